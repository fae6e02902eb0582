"""Published ports in the firewall: from outside, from the host's loopback, from a container by the host's address."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys

import pytest

from runtime.network import attach, bridge, portrules, rtnetlink
from runtime.network.nftables import Nftables
from runtime.network.rtnetlink import Rtnetlink
from tests.runtime.network.machines import KEY, PORT, UPLINK, ask, choose, document, eventually, server

pytestmark = [pytest.mark.root, pytest.mark.netadmin]

PUBLISHED = 18080
TCP, UDP = 6, 17
_ECHO = """
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("", int(sys.argv[1])))
print(flush=True)
while True:
    data, peer = server.recvfrom(1000)
    server.sendto(data.upper(), peer)
"""


@pytest.fixture
def connected(container: int) -> int:
    """Give the pid of a container on a bridge."""
    found, _ = bridge.ensure(bridge.default(KEY), choose)
    attach.attach(document(found), container)
    with Rtnetlink() as links:
        links.transact([rtnetlink.hairpin(bridge.port_name(KEY, found.network + 2))])
    return container


def publish(where: tuple[int, int, int], inside: int = PORT, number: int = 2) -> None:
    portrules.put(KEY, bridge.table_name(KEY), choose(None)[0] + number, [(where, inside)])  # type: ignore[arg-type]


def elements() -> list[str]:
    command = ("nft", "list", "map", "ip", bridge.table_name(KEY), "ports")
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [line.strip() for line in listed.splitlines() if "elements" in line]


def test_another_machine_reaches_a_published_port(machine: int, connected: int) -> None:
    publish((0, TCP, PUBLISHED))
    with server(pid=connected):
        assert ask(UPLINK, pid=machine, port=PUBLISHED) == "198.51.100.2"


def test_the_loopback_and_the_own_address_reach_it_too(connected: int) -> None:
    publish((0, TCP, PUBLISHED))
    with server(pid=connected):
        assert ask("127.0.0.1", pid=os.getpid(), port=PUBLISHED) == "10.200.4.1"
        assert ask(UPLINK, pid=os.getpid(), port=PUBLISHED) == UPLINK


def test_a_container_reaches_itself_by_the_hosts_address(connected: int) -> None:
    publish((0, TCP, PUBLISHED))
    with server(pid=connected):
        assert ask(UPLINK, pid=connected, port=PUBLISHED) == "10.200.4.1"


def test_a_port_of_one_address_is_not_published_at_others(machine: int, connected: int) -> None:
    publish((0x7F000001, TCP, PUBLISHED))
    with server(pid=connected):
        assert ask("127.0.0.1", pid=os.getpid(), port=PUBLISHED) == "10.200.4.1"
        assert ask(UPLINK, pid=machine, port=PUBLISHED) == "ConnectionRefusedError"


def test_a_client_that_sent_datagrams_before_goes_on_from_the_same_port(connected: int) -> None:
    command = ("nsenter", "-n", "-t", str(connected), sys.executable, "-I", "-S", "-c", _ECHO, str(PORT))
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(60)
                client.sendto(b"hello", (UPLINK, PUBLISHED))  # the kernel remembers that this went to the host
                publish((0, UDP, PUBLISHED))
                client.sendto(b"hello", (UPLINK, PUBLISHED))
                assert client.recv(100) == b"HELLO"
        finally:
            process.kill()


def test_datagrams_get_through_and_back(connected: int) -> None:
    publish((0, UDP, PUBLISHED))
    command = ("nsenter", "-n", "-t", str(connected), sys.executable, "-I", "-S", "-c", _ECHO, str(PORT))
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(60)
                client.sendto(b"hello", ("127.0.0.1", PUBLISHED))
                assert client.recv(100) == b"HELLO"
        finally:
            process.kill()


def test_a_container_does_not_reach_the_hosts_loopback(connected: int) -> None:
    with server(port=PORT + 1):
        subprocess.run(
            (
                "nsenter",
                "-n",
                "-t",
                str(connected),
                "ip",
                "route",
                "add",
                "127.0.0.1/32",
                "via",
                "10.200.4.1",
                "table",
                "local",
            ),
            check=False,
        )
        assert "Error" in ask("127.0.0.1", pid=connected, port=PORT + 1, seconds=2)


def test_what_a_dead_container_left_gives_way(connected: int) -> None:
    publish((0, TCP, PUBLISHED), number=9)
    publish((0, TCP, PUBLISHED))
    assert elements() == ["elements = { tcp . 18080 : 10.200.4.2 . 8080 }"]


def test_ports_are_withdrawn_once_and_again(connected: int) -> None:
    publish((0, TCP, PUBLISHED))
    gone = {"key": KEY, "table": bridge.table_name(KEY), "forwards": [((0, TCP, PUBLISHED), PORT)]}
    portrules.withdraw(gone)
    portrules.withdraw(gone)
    assert elements() == []


def test_an_attendant_withdraws_the_ports_when_the_container_ends(container: int, locks: str) -> None:
    found, _ = bridge.ensure(bridge.default(KEY), choose)
    made = document(found) | {
        "locks": locks,
        "table": bridge.table_name(KEY),
        "to": found.network + 2,
        "target": "10.200.4.2",
        "forwards": [((0, TCP, PUBLISHED), PORT)],
        "sockets": [],
    }
    attendants = attach.attach(made, container)
    assert elements()
    os.kill(container, 9)
    poll = select.poll()
    ended = os.pidfd_open(attendants[0])
    poll.register(ended, select.POLLIN)
    assert poll.poll(60_000)
    os.close(ended)
    attach.leave(made, attendants)
    with Nftables() as rules:
        assert eventually(lambda: not rules.has_table(bridge.table_name(KEY)) or not elements())
