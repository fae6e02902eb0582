"""Sockets that notice when the other side only pretends to move.

A byte now and then keeps every time-out from ending, in either direction.
"""

from __future__ import annotations

import fcntl
import socket
import ssl
import struct
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

WINDOW = 60.0
"""Seconds of waiting after which it is judged how much moved meanwhile."""
SLOWEST = 500
"""Bytes a second that have to move on average, far fewer than on any line that images are moved over."""


class TooSlow(TimeoutError):
    """Something moved, but so little that it would never end."""


class _Paced:
    """What makes a socket notice; the time-outs that it has are for each single wait."""

    _end: float | None = None
    _waited = 0.0
    _moved = 0

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Let what is received in the block come within `seconds`, however it trickles; else TooSlow is raised."""
        self._end = time.monotonic() + seconds
        try:
            yield
        finally:
            self._end = None
            self._waited, self._moved = 0.0, 0

    def recv_into(self, buffer: Any, *more: Any) -> int:
        """Receive as a socket does; raises TooSlow."""
        begin = time.monotonic()
        if self._end is not None and begin > self._end:
            raise TooSlow("the head of the answer does not end")
        count = self._patiently(super().recv_into, buffer, *more)  # type: ignore[misc]
        if self._end is None:
            self._judge(begin, count)
        return count

    def send(self, data: Any, flags: int = 0) -> int:
        """Send what can be sent now; raises TooSlow."""
        begin = time.monotonic()
        count = self._patiently(super().send, data, flags)  # type: ignore[misc]
        self._judge(begin, count)
        return count

    def _patiently(self, move: Callable[..., int], *arguments: Any) -> int:
        """Let no time-out end what waits for the other side to take what the kernel still has for it.

        Megabytes lie there on a fast way to somebody slow (a tunnel), and a third of them has to go before there is
        room again: that can be minutes without a byte of ours, and the answer can come only behind all of them.
        """
        before: int | None = None
        while True:
            try:
                return move(*arguments)
            except TimeoutError:
                waiting = self._in_kernel()
                if waiting == 0 or (before is not None and waiting >= before):
                    raise
                before = waiting
                if self._end is not None:
                    self._end += self.gettimeout() or 0  # type: ignore[attr-defined]

    def _in_kernel(self) -> int:
        """Give how many bytes were sent and not taken yet (tcp(7), SIOCOUTQ)."""
        answer = fcntl.ioctl(self.fileno(), termios.TIOCOUTQ, bytes(4))  # type: ignore[attr-defined]
        return int(struct.unpack("i", answer)[0])

    def _judge(self, begin: float, count: int) -> None:
        self._waited += time.monotonic() - begin
        self._moved += count
        if self._waited >= WINDOW:
            waited, moved = self._waited, self._moved
            self._waited, self._moved = 0.0, 0
            if moved < SLOWEST * waited:
                raise TooSlow(f"{moved} bytes in {waited:.0f} seconds")


class PlainSocket(_Paced, socket.socket):
    """One without TLS."""

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send all; the time-out begins anew whenever some of it was taken, as it does with TLS."""
        with memoryview(data) as view, view.cast("B") as left:
            done = 0
            while done < len(left):
                done += self.send(left[done:], flags)


class TlsSocket(_Paced, ssl.SSLSocket):
    """One over TLS."""
