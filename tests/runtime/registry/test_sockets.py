"""Servers that trickle: neither silent nor ever done."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from runtime.registry import connections, sockets
from runtime.registry.answers import ConnectionCut
from runtime.registry.hosts import Endpoint
from runtime.registry.sockets import PlainSocket, TooSlow
from runtime.registry.transport import Transport


@contextmanager
def trickling(beginning: bytes) -> Iterator[str]:
    """Serve every connection `beginning` and then a byte now and then; gives host and port."""
    over = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65536)
            connection.sendall(beginning)
            while not over.wait(0.01):
                connection.sendall(b"a")

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_body_that_trickles_is_a_connection_that_broke(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "WINDOW", 0.1)
    with trickling(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n") as host:
        endpoint = Endpoint(host=host, schemes=("http",))
        answer = transport.request("GET", endpoint, "/x")
        with answer, pytest.raises(ConnectionCut, match="so slowly that it would never end"):
            answer.read(1 << 20)


def test_the_head_of_an_answer_that_trickles_is_not_waited_for(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_HEAD", -transport.timing.stall)
    with trickling(b"HTTP/1.1 200 OK\r\nX-Name: ") as host:
        endpoint = Endpoint(host=host, schemes=("http",))
        with pytest.raises(ConnectionCut, match="so slowly that it would never end"):
            transport.request("GET", endpoint, "/x", tries=transport.once())


def test_what_is_sent_has_its_time_out_for_each_piece_that_is_taken() -> None:
    taken: list[int] = []

    class Reluctant(PlainSocket):
        def send(self, data: memoryview, flags: int = 0) -> int:  # type: ignore[override]
            taken.append(len(data))
            return super().send(data[:1000], flags)

    with socket.create_server(("127.0.0.1", 0)) as listener, Reluctant() as sender:
        sender.connect(listener.getsockname())
        sender.sendall(b"x" * 2500)
    assert taken == [2500, 1500, 500]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge at once, and find everything too slow."""
    monkeypatch.setattr(sockets, "WINDOW", 0.0)
    monkeypatch.setattr(sockets, "SLOWEST", 10**15)


@pytest.mark.usefixtures("impatient")
def test_what_moves_too_slowly_is_given_up_in_both_directions() -> None:
    ours, theirs = socket.socketpair()
    with PlainSocket(fileno=ours.detach()) as mine, theirs:
        theirs.sendall(b"x")
        with pytest.raises(TooSlow):
            mine.recv_into(bytearray(1))
        with pytest.raises(TooSlow):
            mine.sendall(b"x")


@pytest.mark.usefixtures("impatient")
def test_waiting_for_the_head_of_an_answer_is_no_slowness() -> None:
    ours, theirs = socket.socketpair()
    with PlainSocket(fileno=ours.detach()) as mine, theirs:
        theirs.sendall(b"x")
        with mine.within(3600):
            assert mine.recv_into(bytearray(1)) == 1
