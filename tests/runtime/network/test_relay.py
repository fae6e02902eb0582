"""Connections and datagrams that are passed on to a container by hand."""

from __future__ import annotations

import json
import select
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from runtime.network import relay
from runtime.network.namespaces import HERE
from runtime.network.relay import Datagrams, Target


@pytest.fixture
def udp() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(60)
        yield sock


def _all(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(100), b""))


class Loop:
    """The part of an attendant that waits."""

    def __init__(self) -> None:
        self.actions: dict[int, Callable[[], None]] = {}

    def watch(self, fd: int, action: Callable[[], None] | None) -> None:
        if action is None:
            del self.actions[fd]
        else:
            self.actions[fd] = action

    def turn(self) -> None:
        ready, _, _ = select.select(list(self.actions), [], [], 5)
        for fd in ready:
            with suppress(OSError):
                self.actions[fd]()


def test_datagrams_of_each_client_come_back_to_him_and_the_silent_are_forgotten(
    udp: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "_CLIENTS", 2)
    loop = Loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as published:
        published.bind(("127.0.0.1", 0))
        published.setblocking(False)
        passing = Datagrams(published, udp.getsockname, HERE, loop.watch)
        loop.watch(published.fileno(), passing.receive)
        clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)]
        peers = []
        for number, client in enumerate([*clients, clients[2]]):
            client.settimeout(60)
            client.sendto(b"%d" % number, published.getsockname())
            loop.turn()
            data, peer = udp.recvfrom(100)
            peers.append(peer)
            udp.sendto(data * 2, peer)
            loop.turn()
            assert client.recv(100) == b"%d" % number * 2
            assert len(loop.actions) <= 3
        assert len(set(peers)) == 3
        assert peers[2] == peers[3]
        passing.close()
        assert list(loop.actions) == [published.fileno()]
        for client in clients:
            client.close()


def test_a_connection_is_carried_in_both_directions_until_each_has_ended() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours, theirs = socket.socketpair()
        target = server.getsockname()
        carrier = threading.Thread(target=relay.carry, args=(theirs, target, socket.IPPROTO_TCP, HERE))
        carrier.start()
        inner, _ = server.accept()
        with ours, inner:
            ours.sendall(b"question")
            ours.shutdown(socket.SHUT_WR)
            assert _all(inner) == b"question"
            inner.sendall(b"answer")
            inner.shutdown(socket.SHUT_WR)
            assert _all(ours) == b"answer"
        carrier.join(60)
        assert not carrier.is_alive()


def test_a_connection_to_nobody_ends() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        ours, theirs = socket.socketpair()
        relay.carry(theirs, probe.getsockname(), socket.IPPROTO_TCP, HERE)
        with ours:
            assert ours.recv(1) == b""


def test_the_address_of_a_container_is_that_of_its_way_out(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "state.db") as database:
        database.execute("CREATE TABLE containers(id TEXT, network TEXT)")
    target = Target({"target": "10.1.0.2", "database": str(tmp_path / "state.db"), "owner": "a"})
    assert target.address() == "10.1.0.2"
    networks = {"one": {"address": "10.3.0.2", "gateway": ""}, "two": {"address": "10.2.0.2", "gateway": "10.2.0.1"}}
    with database:
        database.execute("INSERT INTO containers VALUES('a', ?)", (json.dumps({"networks": networks}),))
    assert target.address() == "10.2.0.2"
    with database:
        database.execute("UPDATE containers SET network = '{}'")
    assert target.address() == "10.2.0.2"  # the last that it had
    target.close()
    database.close()
    assert Target({"target": "10.1.0.2", "database": str(tmp_path / "none.db")}).address() == "10.1.0.2"
