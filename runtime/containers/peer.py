"""The other end of a monitor's socket: a client with what waits for it, and the starter's first words.

Standard library alone, as all that the monitor loads.
"""

from __future__ import annotations

import _socket
import marshal
from struct import calcsize, iter_unpack

from runtime.containers import protocol
from runtime.containers.protocol import Frames, ProtocolError, frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Client:
    """One connection: what it has sent in part, what waits to be sent, and which streams it wants."""

    def __init__(self, sock: _socket.socket, *, starter: bool = False) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.fd = sock.fileno()
        self.starter = starter
        self.flags = 0
        self.frames = Frames()
        self.waiting = bytearray()

    def send(self, kind: int, payload: bytes = b"") -> None:
        """Put a frame into the queue and send what the socket takes."""
        self.waiting += frame(kind, payload)
        self.flush()

    def flush(self) -> None:
        """Send what the socket takes of what waits. Raises OSError where the client has gone."""
        while self.waiting:
            try:
                sent = self.sock.send(self.waiting)
            except BlockingIOError:
                return
            del self.waiting[:sent]


def receive_start(sock: _socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Wait for the starter's first frame; returns its document and descriptors, None where it went away first."""
    frames = Frames()
    fds: list[int] = []
    while True:
        data, ancillary, _, _ = sock.recvmsg(protocol.CHUNK, _socket.CMSG_SPACE(4 * 253), _socket.MSG_CMSG_CLOEXEC)
        for level, kind, content in ancillary:
            if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
                whole = content[: len(content) - len(content) % calcsize("i")]
                fds += [fd for (fd,) in iter_unpack("i", whole)]
        if not data:
            return None
        for kind, payload in frames.feed(data):
            if kind != protocol.START:
                raise ProtocolError(f"a frame of kind {kind} before START")
            return marshal.loads(payload), fds
