"""Write and read how a container ended: the one file by which a monitor leaves word; standard library alone.

`exit` holds one line of text, `CODE FINISHED_NS OOM ERROR`, and appears whole, by rename.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path


_ROOM = 512
"""Bytes that hold any end but for one with a long error, which is cut off on a full disk."""


class Exit:
    """An end: exit code (128+n for signal n), time in nanoseconds since the epoch, killed for memory, what failed."""

    __slots__ = ("code", "error", "finished", "oom_killed")

    def __init__(self, *, code: int, finished: int, oom_killed: bool = False, error: str = "") -> None:
        self.code = code
        self.finished = finished
        self.oom_killed = oom_killed
        self.error = error


def reserve_exit(directory_fd: int) -> None:
    """Take the room that the word will need, so that it can be left on a disk that is full by then."""
    fd = os.open("exit.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600, dir_fd=directory_fd)
    try:
        os.write(fd, b" " * _ROOM)
    finally:
        os.close(fd)


def write_exit(directory_fd: int, how: Exit) -> None:
    """Leave word in the container's directory. Raises OSError where there is no room: it is then found as lost."""
    line = f"{how.code} {how.finished} {int(how.oom_killed)} {how.error}\n".encode("utf-8", "surrogateescape")
    fd = os.open("exit.new", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=directory_fd)
    try:
        written = os.pwrite(fd, line, 0)
        os.ftruncate(fd, written)
    finally:
        os.close(fd)
    os.rename("exit.new", "exit", src_dir_fd=directory_fd, dst_dir_fd=directory_fd)


def read_exit(directory: Path) -> Exit | None:
    """Return how the container with this directory ended; None where its monitor left no whole word."""
    try:
        with open(directory / "exit", encoding="utf-8", errors="surrogateescape") as file:
            code, finished, oom, error = file.read().rstrip("\n").split(" ", 3)
        return Exit(code=int(code), finished=int(finished), oom_killed=oom == "1", error=error)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
