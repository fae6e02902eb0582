"""The bridge of a root and its firewall table, in a machine of the test's own."""

from __future__ import annotations

import subprocess

import pytest

from runtime.network import attach, bridge
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
    left_over,
    server,
    silent,
    sleeper,
)

pytestmark = [pytest.mark.root, pytest.mark.netadmin]


def refuse(_links: Rtnetlink) -> tuple[int, int, int]:
    raise AssertionError("the bridge was made anew")


def nft(*words: str) -> str:
    return subprocess.run(("nft", *words), check=True, capture_output=True, text=True).stdout


def test_a_bridges_name_fits_into_what_the_kernel_has_for_it() -> None:
    assert len(bridge.bridge_name("0123456789")) == 15
    assert len(bridge.port_name("0123456789", 0xFFFFFFFF)) == 15


def test_the_table_is_what_nft_reads_it_as(machine: int) -> None:
    bridge.ensure(bridge.default(KEY), choose)
    listed = nft("list", "table", "ip", f"pybuild_{KEY}")
    # nft since 1.1 has a name for it there, too.
    assert listed.replace("hook output priority dstnat;", "hook output priority -100;").split() == (
        f"""
        table ip pybuild_{KEY} {{
            map ports {{
                type inet_proto . inet_service : ipv4_addr . inet_service
            }}
            map addressed {{
                type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service
            }}
            chain guard {{
                type filter hook prerouting priority raw; policy accept;
                iifname "br-pb{KEY}" ip daddr 127.0.0.0/8 drop
            }}
            chain prerouting {{
                type nat hook prerouting priority dstnat; policy accept;
                dnat ip to ip daddr . meta l4proto . th dport map @addressed
                fib daddr type local dnat ip to meta l4proto . th dport map @ports
            }}
            chain output {{
                type nat hook output priority -100; policy accept;
                dnat ip to ip daddr . meta l4proto . th dport map @addressed
                fib daddr type local dnat ip to meta l4proto . th dport map @ports
            }}
            chain forward {{
                type filter hook forward priority filter; policy accept;
                oifname "br-pb{KEY}" ct state established,related accept
                oifname "br-pb{KEY}" ct status dnat accept
                iifname "br-pb{KEY}" oifname "br-pb{KEY}" accept
                oifname "br-pb{KEY}" drop
            }}
            chain postrouting {{
                type nat hook postrouting priority srcnat; policy accept;
                ip saddr 10.200.4.0/22 oifname != "br-pb{KEY}" masquerade
                ip saddr 10.200.4.0/22 oifname "br-pb{KEY}" ct status dnat masquerade
                ip saddr 127.0.0.0/8 oifname "br-pb{KEY}" masquerade
            }}
        }}
        """.split()
    )


def test_a_bridge_that_is_whole_is_left_as_it_is(machine: int) -> None:
    first, mtu = bridge.ensure(bridge.default(KEY), choose)
    again, _ = bridge.ensure(bridge.default(KEY), refuse)
    assert (first.index, first.gateway, first.prefix) == (again.index, again.gateway, again.prefix)
    assert mtu == 1400, "the way out's"


def test_a_container_reaches_the_outside_under_the_machines_address(container: int) -> None:
    found, _ = bridge.ensure(bridge.default(KEY), choose)
    attach.attach(document(found), container)
    assert ask(OUTSIDE, pid=container) == UPLINK


def test_containers_reach_each_other_and_the_machine(container: int) -> None:
    found, _ = bridge.ensure(bridge.default(KEY), choose)
    attach.attach(document(found), container)
    with sleeper() as other, server(pid=other, port=81), server(port=82):
        attach.attach(document(found, number=3), other)
        assert ask("10.200.4.3", pid=container, port=81) == "10.200.4.2"
        assert ask("10.200.4.1", pid=container, port=82) == "10.200.4.2"


def test_nobody_outside_reaches_a_container(machine: int, container: int) -> None:
    found, _ = bridge.ensure(bridge.default(KEY), choose)
    attach.attach(document(found), container)
    ip("route", "add", "10.200.4.0/22", "via", UPLINK, pid=machine)
    with server(pid=container, port=81):
        assert silent("10.200.4.2", pid=machine, port=81)


def test_the_bridges_of_two_roots_are_closed_to_each_other(container: int) -> None:
    other_key = "00c0ffee01"
    ours, _ = bridge.ensure(bridge.default(KEY), choose)
    theirs, _ = bridge.ensure(bridge.default(other_key), lambda _links: (0x0AC80800, 22, 0x0AC80801))
    attach.attach(document(ours), container)
    with sleeper() as other, server(pid=other, port=81):
        attach.attach(document(theirs, key=other_key), other)
        assert silent("10.200.8.2", pid=container, port=81)


def test_a_forward_chain_that_drops_is_passed_after_its_own_rules(container: int) -> None:
    nft("add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }")
    nft("add rule ip filter FORWARD counter")
    found, _ = bridge.ensure(bridge.default(KEY), choose)
    attach.attach(document(found), container)
    rules = [line for line in nft("list", "chain", "ip", "filter", "FORWARD").splitlines() if "counter" in line]
    assert "comment" not in rules[0]
    assert [f'comment "pybuild_{KEY}"' in line for line in rules[1:]] == [True, True]
    assert ask(OUTSIDE, pid=container) == UPLINK


def test_a_firewall_that_came_later_is_passed_at_the_next_use(container: int) -> None:
    found, _ = bridge.ensure(bridge.default(KEY), choose)
    attach.attach(document(found), container)
    nft("add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }")
    assert silent(OUTSIDE, pid=container)
    bridge.ensure(bridge.default(KEY), refuse)
    assert ask(OUTSIDE, pid=container) == UPLINK


def test_a_table_that_somebody_flushed_is_made_again(machine: int) -> None:
    bridge.ensure(bridge.default(KEY), choose)
    nft("flush", "ruleset")
    bridge.ensure(bridge.default(KEY), refuse)
    assert "masquerade" in nft("list", "table", "ip", f"pybuild_{KEY}")


def test_a_bridge_that_somebody_deleted_is_made_again_with_its_table(machine: int) -> None:
    bridge.ensure(bridge.default(KEY), choose)
    ip("link", "del", f"br-pb{KEY}")
    found, _ = bridge.ensure(bridge.default(KEY), lambda _links: (0x0AC80800, 22, 0x0AC80801))
    assert found.network == 0x0AC80800
    assert "10.200.8.0/22" in nft("list", "table", "ip", f"pybuild_{KEY}")


def test_a_bridge_without_address_was_left_half_made_and_is_made_again(machine: int) -> None:
    ip("link", "add", f"br-pb{KEY}", "type", "bridge")
    found, _ = bridge.ensure(bridge.default(KEY), choose)
    assert found.gateway == SUBNET[0] + 1


def test_forwarding_is_switched_on(machine: int) -> None:
    with open("/proc/sys/net/ipv4/ip_forward", "w") as file:
        file.write("0")
    bridge.ensure(bridge.default(KEY), choose)
    with open("/proc/sys/net/ipv4/ip_forward") as file:
        assert file.read() == "1\n"


def test_taking_down_leaves_nothing_and_touches_nothing_else(machine: int) -> None:
    nft("add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }")
    before = nft("list", "ruleset")
    bridge.ensure(bridge.default(KEY), choose)
    assert left_over(KEY) == [f"br-pb{KEY}", f"table {KEY}"]
    bridge.take_down(KEY)
    assert left_over(KEY) == []
    assert nft("list", "ruleset") == before
    bridge.take_down(KEY)


def test_a_port_of_a_dying_namespace_does_not_stop_a_new_container(machine: int, container: int) -> None:
    found, _ = bridge.ensure(bridge.default(KEY), choose)
    name = str(document(found)["port"])
    ip("link", "add", name, "type", "veth", "peer", "name", "other")
    attach.attach(document(found), container)
    assert "inet 10.200.4.2/22" in ip("-4", "addr", "show", "eth0", pid=container)


def test_the_link_of_a_container_has_the_mtu_of_the_way_out_and_no_ipv6_of_its_own(container: int) -> None:
    found, _ = bridge.ensure(bridge.default(KEY), choose)
    attach.attach(document(found), container)
    shown = ip("addr", "show", "eth0", pid=container)
    assert "mtu 1400" in shown
    assert "inet6" not in shown


def test_the_host_itself_is_never_taken_for_a_container(machine: int) -> None:
    found, _ = bridge.ensure(bridge.default(KEY), choose)
    with sleeper(separate=False) as pid, pytest.raises(OSError, match="no network namespace of its own"):
        attach.attach(document(found), pid)
