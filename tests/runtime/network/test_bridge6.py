"""A bridge with IPv6: the way out under the machine's address, no way in but by published ports."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from runtime.network import attach, bridge, portrules, rtnetlink
from runtime.network.bridge import Bridge, Design, bridge_name
from runtime.network.nftables import IPV6, NFPROTO_IPV6, Manner, Nftables
from runtime.network.rtnetlink import Rtnetlink
from tests.runtime.network.machines import KEY, PORT, ask, choose, document, eventually, ip, silent, sleeper

pytestmark = [pytest.mark.root, pytest.mark.netadmin]

UPLINK, OUTSIDE = "2001:db8::1", "2001:db8::2"
SUBNET = "fd00:77::"
PUBLISHED, TCP = 18080, 6
_SERVER = """
import socket, sys
server = socket.create_server(("::", int(sys.argv[1])), family=socket.AF_INET6)
print(flush=True)
while True:
    client, address = server.accept()
    client.sendall(address[0].encode())
    client.close()
"""


def _number(address: str) -> int:
    return int.from_bytes(socket.inet_pton(socket.AF_INET6, address), "big")


@contextmanager
def server(pid: int) -> Iterator[None]:
    """Run a server that tells who asks over IPv6, in the namespace of `pid`."""
    command = ("nsenter", "-n", "-t", str(pid), sys.executable, "-I", "-S", "-c", _SERVER, str(PORT))
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield
        finally:
            process.kill()


@pytest.fixture
def far(machine: int) -> int:
    """Give the pid of the process outside, which is reached over IPv6 as well."""
    ip("-6", "addr", "add", f"{UPLINK}/64", "dev", "uplink", "nodad")
    ip("-6", "addr", "add", f"{OUTSIDE}/64", "dev", "eth0", "nodad", pid=machine)
    ip("-6", "route", "add", "default", "via", OUTSIDE)
    for name, pid in (("uplink", None), ("eth0", machine)):  # what is forwarded asks neighbours by these addresses
        assert eventually(lambda name=name, pid=pid: "tentative" not in ip("-6", "addr", "show", name, pid=pid))  # type: ignore[misc]
    return machine


def _design(**openness: bool) -> Design:
    return Design(bridge_name(KEY), bridge.table_name(KEY), six=(_number(f"{SUBNET}1"), 64), manner=Manner(**openness))


def _attach(found: Bridge, pid: int, number: int = 2, **more: object) -> None:
    six = {"address6": _number(f"{SUBNET}{number}"), "prefix6": 64, "gateway6": _number(f"{SUBNET}1")}
    attach.attach({**document(found, number=number), **six, **more}, pid)


def test_a_container_goes_out_under_the_machines_address_and_is_not_reached_from_there(
    far: int, container: int
) -> None:
    found, _ = bridge.ensure(_design(), choose)
    _attach(found, container)
    with server(far):
        assert ask(OUTSIDE, pid=container) == UPLINK
    ip("-6", "route", "add", f"{SUBNET}/64", "via", UPLINK, pid=far)
    with server(container):
        assert silent(f"{SUBNET}2", pid=far)


def test_without_masquerade_a_container_is_seen_itself(far: int, container: int) -> None:
    found, _ = bridge.ensure(_design(masquerade=False), choose)
    _attach(found, container)
    ip("-6", "route", "add", f"{SUBNET}/64", "via", UPLINK, pid=far)
    with server(far):
        assert ask(OUTSIDE, pid=container) == f"{SUBNET}2"


def test_a_published_port_is_reached_from_outside_and_by_a_container(far: int, container: int) -> None:
    found, _ = bridge.ensure(_design(), choose)
    _attach(found, container)
    portrules.put(KEY, bridge.table_name(KEY), _number(f"{SUBNET}2"), [((0, TCP, PUBLISHED), PORT)], IPV6)
    with sleeper() as other, server(container):
        _attach(found, other, 3)
        assert ask(UPLINK, pid=far, port=PUBLISHED) == OUTSIDE
        assert ask(UPLINK, pid=other, port=PUBLISHED) == f"{SUBNET}1"
    portrules.drop(KEY, [((0, TCP, PUBLISHED), PORT)], IPV6)
    with server(container):
        assert ask(UPLINK, pid=far, port=PUBLISHED) == "ConnectionRefusedError"


def test_containers_reach_each_other_unless_they_are_kept_apart(far: int, container: int) -> None:
    found, _ = bridge.ensure(_design(), choose)
    _attach(found, container)
    with sleeper() as other, sleeper() as third, sleeper() as fourth, server(container), server(third):
        _attach(found, other, 3)
        assert ask(f"{SUBNET}2", pid=other) == f"{SUBNET}3"
        _attach(found, third, 4, apart=True)
        _attach(found, fourth, 5, apart=True)
        assert silent(f"{SUBNET}4", pid=fourth)


def test_an_internal_bridge_has_no_way_out(far: int, container: int) -> None:
    found, _ = bridge.ensure(_design(internal=True), choose)
    _attach(found, container)
    with server(far):
        assert silent(OUTSIDE, pid=container)


def test_nothing_is_left_of_either_version(far: int) -> None:
    bridge.ensure(_design(), choose)
    bridge.take_down(KEY)
    with Rtnetlink() as links, Nftables() as rules:
        assert links.link(bridge_name(KEY)) is None
        assert rules.tables(f"pybuild_{KEY}") == rules.tables(f"pybuild_{KEY}", NFPROTO_IPV6) == []


def test_a_machine_that_learns_its_routes_goes_on_to_do_so(far: int) -> None:
    bridge.ensure(_design(), choose)
    for name, learns in (("uplink", "2"), ("lo", "1")):
        with open(f"/proc/sys/net/ipv6/conf/{name}/accept_ra") as file:
            assert file.read().strip() == learns
    with open("/proc/sys/net/ipv6/conf/all/forwarding") as file:
        assert file.read().strip() == "1"
    with Rtnetlink() as links:
        assert any(prefix == 64 for _, _, prefix in links.addresses(rtnetlink.AF_INET6))
