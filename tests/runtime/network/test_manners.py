"""How open a network is to others: routed, unprotected, under an address of the user's choice, without a gateway."""

from __future__ import annotations

import pytest

from runtime.network import attach, bridge, portrules
from runtime.network.bridge import Design
from runtime.network.nftables import Manner
from runtime.network.rtnetlink import Rtnetlink
from tests.runtime.network.machines import (
    KEY,
    OUTSIDE,
    SUBNET,
    UPLINK,
    ask,
    choose,
    document,
    ip,
    server,
    silent,
    sleeper,
)
from tests.runtime.network.test_bridge import nft

pytestmark = [pytest.mark.root, pytest.mark.netadmin]

CONTAINER, TCP = SUBNET[0] + 2, 6
OTHER_KEY = "00c0ffee01"


def _ensure(**more: object) -> bridge.Bridge:
    default = bridge.default(KEY)
    found, _ = bridge.ensure(Design(default.name, default.table, **more), choose)  # type: ignore[arg-type]
    return found


def _known_outside(machine: int) -> None:
    ip("route", "add", "10.200.4.0/22", "via", UPLINK, pid=machine)


def test_a_routed_network_is_reached_at_its_published_ports_alone(machine: int, container: int) -> None:
    attach.attach(document(_ensure(manner=Manner(routed=True))), container)
    _known_outside(machine)
    portrules.put(KEY, bridge.table_name(KEY), CONTAINER, [((CONTAINER, TCP, 81), 81)])
    with server(pid=container, port=81), server(pid=container, port=82):
        assert ask("10.200.4.2", pid=machine, port=81) == OUTSIDE
        assert silent("10.200.4.2", pid=machine, port=82)
    portrules.drop(KEY, [((CONTAINER, TCP, 81), 81)])
    with server(pid=container, port=81):
        assert silent("10.200.4.2", pid=machine, port=81)


def test_containers_of_a_routed_network_are_seen_themselves(machine: int, container: int) -> None:
    attach.attach(document(_ensure(manner=Manner(routed=True))), container)
    _known_outside(machine)
    with server(pid=machine, port=83):
        assert ask(OUTSIDE, pid=container, port=83) == "10.200.4.2"


def test_an_unprotected_network_is_open_to_other_machines_and_closed_to_other_networks(
    machine: int, container: int
) -> None:
    attach.attach(document(_ensure(manner=Manner(unprotected=True))), container)
    _known_outside(machine)
    theirs, _ = bridge.ensure(bridge.default(OTHER_KEY), lambda _links: (0x0AC80800, 22, 0x0AC80801))
    with sleeper() as other, server(pid=container, port=81), server(pid=machine, port=83):
        attach.attach(document(theirs, key=OTHER_KEY), other)
        assert ask("10.200.4.2", pid=machine, port=81) == OUTSIDE
        assert silent("10.200.4.2", pid=other, port=81)
        assert ask(OUTSIDE, pid=container, port=83) == UPLINK


def test_containers_go_out_under_the_address_that_is_given(machine: int, container: int) -> None:
    ip("addr", "add", "198.51.100.9/24", "dev", "uplink")
    attach.attach(document(_ensure(manner=Manner(source=0xC6336409))), container)
    with server(pid=machine, port=83):
        assert ask(OUTSIDE, pid=container, port=83) == "198.51.100.9"


def test_a_bare_bridge_has_no_address_and_its_containers_reach_each_other(container: int) -> None:
    bare = (SUBNET[0] + 1, SUBNET[1])
    found = _ensure(bare=bare, manner=Manner(internal=True))
    assert (found.gateway, found.prefix) == bare
    again, _ = bridge.ensure(
        Design(bridge.default(KEY).name, bridge.table_name(KEY), bare=bare), lambda _links: pytest.fail("it is there")
    )
    assert again.index == found.index
    with Rtnetlink() as links:
        assert found.index not in [index for index, _, _ in links.addresses()]
    attach.attach(document(found), container)
    with sleeper() as other, server(pid=other, port=81):
        attach.attach(document(found, number=3), other)
        assert ask("10.200.4.3", pid=container, port=81) == "10.200.4.2"


def test_a_link_has_the_further_addresses_that_are_asked_for(container: int) -> None:
    extra = {"link_local": [(0xA9FE0105, 16, False), (0xFE80 << 112 | 5, 64, True)], "address6": 0}
    attach.attach({**document(_ensure()), **extra}, container)
    assert "169.254.1.5/16" in ip("-o", "-4", "addr", "show", "eth0", pid=container)


def test_nft_shows_what_a_routed_network_takes(machine: int) -> None:
    _ensure(manner=Manner(routed=True))
    portrules.put(KEY, bridge.table_name(KEY), CONTAINER, [((CONTAINER, TCP, 81), 81)])
    shown = nft("list", "table", "ip", bridge.table_name(KEY))
    assert "elements = { 10.200.4.2 . tcp . 81 }" in shown
    rules = [line.strip() for line in shown.splitlines() if "oifname" in line]
    name = bridge.default(KEY).name
    assert f'oifname "{name}" ip daddr . meta l4proto . th dport @open accept' in rules
    assert f'oifname "{name}" accept' not in rules
