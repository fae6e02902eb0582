"""Write a container's log as its monitor does; standard library alone.

The format is the one of Kubernetes' container runtimes (CRI): `TIME STREAM TAG TEXT`, one line for each line of
output, where TIME is RFC 3339 in UTC with nanoseconds, STREAM `stdout` or `stderr`, and TAG `F` for a text that ended
with a newline, `P` for one that goes on in the next line of that stream. Bytes are kept as they are. A piece of output
is written when it arrives, a part of a line as well, so that nothing waits in memory.

A log that may not grow for ever is rotated between two lines: `log` becomes `log.1`, that `log.2`, and so on.
"""

from __future__ import annotations

import errno
import os
import time

_NAMES = (b"stdout", b"stderr")

_HEAD = len("2024-01-02T03:04:05.123456789Z stdout F ") + 1
"""Bytes that a line takes beside its text, at most."""

_SPARE = 4 << 20
"""Bytes of the disk that a log leaves free: with none at all no command could even look or remove something."""

_BETWEEN_LOOKS = 1 << 20
"""Bytes that are written between two looks at what is free."""


class LogFile:
    """The open log of one container; what cannot be written (a full disk) is counted and told when it can be again.

    `largest`: bytes after which it is rotated, 0 for never. `files`: how many there are at most.
    """

    def __init__(self, directory: int, *, largest: int = 0, files: int = 1) -> None:
        self._directory = directory
        self._largest = largest
        self._files = files
        self._open()
        self._unseen = 0
        self._lost = 0
        self._second = -1
        self._prefix = ""

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open("log", flags, 0o600, dir_fd=self._directory)
        self._size = os.fstat(self._fd).st_size

    def write(self, stderr: bool, data: bytes) -> None:
        """Append one piece of output."""
        if not self._largest or self._size + len(data) + _HEAD * (data.count(b"\n") + 1) <= self._largest:
            self._write(stderr, data)
            return
        begin = end = 0
        size = self._size
        while end < len(data):
            after = data.find(b"\n", end) + 1 or len(data)
            line = after - end + _HEAD
            if size + line > self._largest and end > begin:
                self._write(stderr, data[begin:end])
                begin, size = end, self._size
            if size + line > self._largest:
                size = 0  # it begins a new file
            size += line
            end = after
        self._write(stderr, data[begin:])

    def _write(self, stderr: bool, data: bytes) -> None:
        stamp = self._stamp()
        record = lines(stamp, _NAMES[stderr], data)
        if self._lost:
            record = lines(stamp, b"stderr", b"pybuild: %d bytes of log were lost\n" % self._lost) + record
        try:
            self._spare(len(record))
            if self._largest and self._size and self._size + len(record) > self._largest:
                self._rotate()
            self._append(record)
            self._lost = 0
        except OSError:
            self._lost += len(data)

    def finish(self) -> None:
        """Say how much was lost, if anything was, in the room that is left for others."""
        if self._lost:
            try:
                self._append(lines(self._stamp(), b"stderr", b"pybuild: %d bytes of log were lost\n" % self._lost))
                self._lost = 0
            except OSError:
                pass

    def _spare(self, size: int) -> None:
        """Count what is written, and look at times whether the disk has room. Raises OSError where it has not."""
        self._unseen -= size
        if self._unseen < 0 or self._lost:
            disk = os.fstatvfs(self._fd)
            if disk.f_bavail * disk.f_frsize < _SPARE + size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._unseen = _BETWEEN_LOOKS

    def _rotate(self) -> None:
        """Begin a new file; the oldest goes."""
        for number in range(self._files - 1, 0, -1):
            try:
                os.rename(
                    f"log.{number - 1}" if number > 1 else "log",
                    f"log.{number}",
                    src_dir_fd=self._directory,
                    dst_dir_fd=self._directory,
                )
            except FileNotFoundError:
                pass
        if self._files == 1:
            os.unlink("log", dir_fd=self._directory)
        os.close(self._fd)
        self._open()

    def _append(self, record: bytes) -> None:
        rest = memoryview(record)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError:
            os.ftruncate(self._fd, self._size)  # no half line stays
            raise
        self._size += len(record)

    def _stamp(self) -> bytes:
        second, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        if second != self._second:
            self._second = second
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return b"%s.%09dZ" % (self._prefix.encode(), nanoseconds)


def lines(stamp: bytes, stream: bytes, data: bytes) -> bytes:
    """Return the log lines for one piece of output, all with the same time."""
    head = b"%s %s F " % (stamp, stream)
    whole, newline, rest = data.rpartition(b"\n")
    record = head + whole.replace(b"\n", b"\n" + head) + b"\n" if newline else b""
    return record + b"%s %s P %s\n" % (stamp, stream, rest) if rest else record
