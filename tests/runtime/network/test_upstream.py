"""Which of several name servers is believed."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from runtime.network.dns import NXDOMAIN, REFUSED, SERVFAIL, A, Question, asks
from runtime.network.upstream import Upstream, read_framed

ASKED = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + b"\3web\0" + struct.pack(">HH", A, 1)
FOUND = Question(ASKED).answer([(A, b"\x0a\x00\x00\x09")])


def _code(answer: bytes) -> int:
    return answer[3] & 0xF


class _Servers:
    """Servers of the loopback that give the answers they were made with, over UDP and TCP, all at one port."""

    def __init__(self, stack: ExitStack, answers: tuple[bytes, ...]) -> None:
        self.addresses = tuple(f"127.0.0.{number}" for number in range(2, 2 + len(answers)))
        self.port = 0
        for address, answer in zip(self.addresses, answers, strict=True):
            udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            udp.bind((address, self.port))
            self.port = udp.getsockname()[1]
            tcp = stack.enter_context(socket.create_server((address, self.port)))
            threading.Thread(target=self._datagrams, args=(udp, answer), daemon=True).start()
            threading.Thread(target=self._streams, args=(tcp, answer), daemon=True).start()

    @staticmethod
    def _datagrams(sock: socket.socket, answer: bytes) -> None:
        while True:
            try:
                _, client = sock.recvfrom(1000)
                sock.sendto(answer, client)
            except OSError:
                return

    @staticmethod
    def _streams(sock: socket.socket, answer: bytes) -> None:
        while True:
            try:
                client, _ = sock.accept()
            except OSError:
                return
            with client, suppress(OSError):
                read_framed(client)
                client.sendall(struct.pack(">H", len(answer)) + answer)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def _ask(stack: ExitStack, kind: int, *answers: bytes) -> bytes:
    for _ in range(20):  # a port that is free of one protocol or address may not be of another
        try:
            servers = _Servers(stack, answers)
        except OSError:
            continue
        return Upstream(servers.addresses, port=servers.port).ask(ASKED, kind)
    pytest.fail("no port is free")


def _fails(code: int) -> bytes:
    return Question(ASKED).answer([], code)


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
@pytest.mark.parametrize("code", [SERVFAIL, REFUSED])
def test_a_server_that_does_not_tell_is_followed_by_the_next(stack: ExitStack, kind: int, code: int) -> None:
    assert _ask(stack, kind, _fails(code), FOUND) == FOUND


def test_a_server_that_knows_of_no_such_name_is_believed(stack: ExitStack) -> None:
    assert _code(_ask(stack, socket.SOCK_DGRAM, _fails(NXDOMAIN), FOUND)) == NXDOMAIN


def test_where_no_server_tells_the_last_ones_words_are_passed_on(stack: ExitStack) -> None:
    assert _code(_ask(stack, socket.SOCK_DGRAM, _fails(SERVFAIL), _fails(REFUSED))) == REFUSED


@pytest.mark.parametrize("answer", [b"", b"short", b"\0\0" + FOUND[2:]])
def test_what_answers_no_question_of_ours_is_passed_over(stack: ExitStack, answer: bytes) -> None:
    assert _ask(stack, socket.SOCK_DGRAM, answer, FOUND) == FOUND


def test_where_nobody_answers_that_is_said() -> None:
    assert _code(Upstream(()).ask(ASKED, socket.SOCK_DGRAM)) == SERVFAIL


def test_an_answer_and_a_scrap_ask_nothing() -> None:
    assert asks(ASKED)
    assert not asks(FOUND)
    assert not asks(ASKED[:11])
