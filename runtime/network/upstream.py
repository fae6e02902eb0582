"""Ask other name servers for what no container is called.

Standard library alone, and usable under `python -I -S`.
"""

from __future__ import annotations

import socket
import struct

from runtime.network.dns import REFUSED, SERVFAIL, Question
from runtime.network.namespaces import HERE, within
from runtime.network.relay import CHUNK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_PATIENCE = 2.0
"""Seconds to wait for one of them."""


class Upstream:
    """Name servers, asked in turn from the host's network; those of `near` from the namespace `inside`."""

    def __init__(self, servers: Sequence[str], near: Sequence[str] = (), inside: int = HERE, port: int = 53) -> None:
        self._servers = tuple(servers)
        self.near = frozenset(near)
        self._inside = inside
        self._port = port

    def ask(self, message: bytes, kind: int) -> bytes:
        """Return the first answer; one that says that a server cannot or will not tell only where no other is better.

        `kind` is SOCK_DGRAM or SOCK_STREAM. SERVFAIL where none answers.
        """
        last = Question(message).answer([], SERVFAIL)
        for server in self._servers:
            try:
                answer = self._ask_one(server, message, kind)
            except OSError:
                continue
            if len(answer) < 12 or answer[:2] != message[:2]:
                continue
            if answer[3] & 0xF not in (SERVFAIL, REFUSED):
                return answer
            last = answer
        return last

    def _ask_one(self, server: str, message: bytes, kind: int) -> bytes:
        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        where = self._inside if server in self.near else HERE
        with within(where, lambda: socket.socket(family, kind)) as sock:
            sock.settimeout(_PATIENCE)
            sock.connect((server, self._port))
            if kind == socket.SOCK_STREAM:
                sock.sendall(struct.pack(">H", len(message)) + message)
                return read_framed(sock)
            sock.send(message)
            return sock.recv(CHUNK)


def read_framed(sock: socket.socket) -> bytes:
    """Read one message with its length before it; nothing at the end of the connection."""
    head = _read(sock, 2)
    return _read(sock, struct.unpack(">H", head)[0]) if len(head) == 2 else b""


def _read(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count and (piece := sock.recv(count - len(data))):
        data += piece
    return data
