"""Frame what a monitor and its clients say to each other on one stream socket; standard library alone.

A frame is a kind (one byte), the length of its payload (four bytes, big endian) and the payload. The monitor's socket
is `ROOT/containers/ID/socket`; the process that starts a monitor speaks the same over an inherited pair.

Client to monitor::

    START     first frame of the starter: the plan as marshal writes it; with it (SCM_RIGHTS) the descriptors of
              `alive`, of the directory, and of what else is to be held open
    ATTACH    one byte of flags: IN | OUT | ERR; the answer is STARTED
    STDIN     bytes for the container; a client has WINDOW_SIZE bytes of credit and gets more by WINDOW
    STDIN_END nothing more will come
    RESIZE    rows and columns, two bytes each
    SIGNAL    one byte: the number for the container's first process; a second, 1, where it is to end for good
    CLOSED    one byte, OUT or ERR: the reader of that stream has gone
    RESTART   another restart policy: name and largest count, as marshal writes them
    EXEC      a further command, as marshal writes it (execution.py); the connection is that command's from then on
Monitor to client::

    STARTED   the container's pid, four bytes
    FAILED    one byte of exit code and what was wrong, as text; the last frame
    STDOUT STDERR bytes
    WINDOW    four bytes: more of STDIN may be sent
    EXITED    one byte of exit code and, where the monitor failed, what was wrong; the last frame
"""

from __future__ import annotations

START, ATTACH, STDIN, STDIN_END, RESIZE, SIGNAL, CLOSED, EXEC, RESTART = range(1, 10)
STARTED, FAILED, STDOUT, STDERR, WINDOW, EXITED = range(16, 22)

IN, OUT, ERR = 1, 2, 4

WINDOW_SIZE = 1 << 18
"""Bytes of standard input that may be under way between a client and the container."""

CHUNK = 1 << 16
"""Bytes of output in one frame at most: what a pipe holds."""

LARGEST = 1 << 25
"""Bytes of payload that a reader accepts; only START comes near."""

_HEADER = 5


class ProtocolError(Exception):
    """The other side sent what is no frame."""


def frame(kind: int, payload: bytes = b"") -> bytes:
    """Return one frame as bytes."""
    return kind.to_bytes(1, "big") + len(payload).to_bytes(4, "big") + payload


def number(value: int, width: int = 4) -> bytes:
    """Return a whole number as the payload (or part of one) of `width` bytes."""
    return value.to_bytes(width, "big")


class Frames:
    """Put frames together again from pieces of a stream."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Take what was read and return the frames that are whole now, in order. Raises ProtocolError."""
        pending = self._pending
        pending += data
        frames = []
        start = 0
        while len(pending) - start >= _HEADER:
            length = int.from_bytes(pending[start + 1 : start + _HEADER], "big")
            if length > LARGEST:
                raise ProtocolError(f"a frame of {length} bytes")
            end = start + _HEADER + length
            if len(pending) < end:
                break
            frames.append((pending[start], bytes(pending[start + _HEADER : end])))
            start = end
        del pending[:start]
        return frames
