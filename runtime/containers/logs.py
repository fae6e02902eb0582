"""Read a container's log, which its monitor writes (logfile.py), from the beginning, the end, or as it grows.

A log that is rotated lies in `log.N` (the oldest) to `log.1` and `log`; a reader goes through them in this order and
follows when another file takes the place of the one it reads.
"""

from __future__ import annotations

import os
import time
from bisect import insort
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from frozen import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

_PIECE = 1 << 16
"""Bytes read at once from the end of a log."""

_TRIES = 10
"""How often the files of a log are listed in which one was rotated meanwhile."""


class Record(NamedTuple):
    """A piece of output: a whole line with its newline, or a part of one that goes on in the stream's next record.

    `time` is RFC 3339 in UTC; `begins` says whether it is the first piece of its line.
    """

    time: str
    stderr: bool
    text: bytes
    begins: bool


class LogReader:
    """The log of one container; a context manager. A log that does not exist yet has nothing.

    `since` and `until` are nanoseconds since the epoch, None for no limit; `ended` says that `until` was reached.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files: deque[BinaryIO] = deque()
        self._inside = {b"stdout": False, b"stderr": False}
        self.since: int | None = None
        self.until: int | None = None
        self.ended = False

    def __enter__(self) -> LogReader:
        return self

    def __exit__(self, *exc: object) -> None:
        for file in self._files:
            file.close()

    def skip_to_last(self, count: int) -> None:
        """Go to where the last `count` lines begin; reading gives them and what comes later.

        The log is read from its end. A piece begins a line if the one before it in its stream ended one, so a piece is
        known to begin one when that other has been met.
        """
        self._open()
        starts: list[tuple[int, int]] = []  # file and position, negative: the latest first
        first: dict[bytes, tuple[int, int]] = {}  # the earliest piece met of each stream
        for index in reversed(range(len(self._files))):
            for position, line in _backwards(self._files[index]):
                _, stream, tag, _ = line.split(b" ", 3)
                if tag == b"F" and stream in first:
                    insort(starts, first.pop(stream))
                first[stream] = -index, -position
                if 0 < count <= len(starts) and starts[count - 1] <= min(first.values()):
                    break
            else:
                continue
            break
        else:
            for place in first.values():
                insort(starts, place)
        self._go(starts[count - 1] if 0 < count <= len(starts) else None, everything=count > 0)

    def _go(self, place: tuple[int, int] | None, *, everything: bool) -> None:
        """Go to a place, negative as above; without one to the beginning or, if not `everything`, to the end."""
        if self._files:
            index, position = (-place[0], -place[1]) if place else (0, 0)
            if place is None and not everything:
                index = len(self._files) - 1
                position = _end(self._files[index])
            for _ in range(index):
                self._files.popleft().close()
            for number, file in enumerate(self._files):
                file.seek(0 if number else position)
        self._inside = dict.fromkeys(self._inside, False)

    def read(self) -> Iterator[Record]:
        """Give what is there now; may be called again later for what has come since."""
        self._open()
        since, until = (None if moment is None else _stamp(moment) for moment in (self.since, self.until))
        while self._files:
            file = self._files[0]
            for line in iter(file.readline, b""):
                if not line.endswith(b"\n"):
                    file.seek(-len(line), 1)  # the rest of it is being written
                    break
                record = self._read(line)
                if until is not None and record.time > until:
                    self.ended = True
                    return
                if since is None or record.time >= since:
                    yield record
            if not self._next(file):
                return

    def _next(self, file: BinaryIO) -> bool:
        """Go on to the file behind this one; False where it is the last, which may still grow."""
        if len(self._files) == 1:
            self._files.extend(self._newer(os.fstat(file.fileno()).st_ino))
            if len(self._files) == 1:
                return False
            rest = file.readline()  # what came between the last look and the rotation
            if rest:
                file.seek(-len(rest), 1)
                return True
        self._files.popleft().close()
        return True

    def _newer(self, inode: int) -> list[BinaryIO]:
        """Open the files that were begun after the one with this number, which is open, the oldest first."""
        with suppress(FileNotFoundError):
            if os.stat(self._path).st_ino == inode:
                return []
        files = self._all()
        numbers = [os.fstat(file.fileno()).st_ino for file in files]
        known = numbers.index(inode) + 1 if inode in numbers else 0  # else it was rotated away and deleted
        for file in files[:known]:
            file.close()
        return files[known:]

    def _name(self, place: int) -> Path:
        return self._path if place == 0 else self._path.with_name(f"{self._path.name}.{place}")

    def _all(self) -> list[BinaryIO]:
        """Open the files of the log, the oldest first, as they are between two rotations; none where it is rotated."""
        for _ in range(_TRIES):
            found: dict[int, BinaryIO] = {}  # by number: one that moves on meanwhile may be met twice
            place = missing = 0
            while missing < 2:  # in the middle of a rotation there is one gap
                try:
                    file = open(self._name(place), "rb")  # noqa: SIM115  closed by __exit__
                    missing = 0
                    if found.setdefault(os.fstat(file.fileno()).st_ino, file) is not file:
                        file.close()
                except FileNotFoundError:
                    missing += 1
                place += 1
            files = list(found.values())
            if not files or self._is_newest(files[0]):
                return files[::-1]
            for stale in files:
                stale.close()
        return []

    def _is_newest(self, file: BinaryIO) -> bool:
        try:
            return os.stat(self._path).st_ino == os.fstat(file.fileno()).st_ino
        except FileNotFoundError:
            return False

    def _open(self) -> None:
        if not self._files:
            self._files.extend(self._all())

    def _read(self, line: bytes) -> Record:
        moment, stream, tag, text = line.split(b" ", 3)
        begins = not self._inside.get(stream, False)
        self._inside[stream] = tag == b"P"
        return Record(
            moment.decode("ascii", "replace"), stream == b"stderr", text if tag == b"F" else text[:-1], begins
        )


def _end(file: BinaryIO) -> int:
    """Return where the last whole line of a file ends."""
    for position, line in _backwards(file):
        return position + len(line) + 1
    return 0


def _backwards(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Give position and text (without the newline) of the whole lines of a file, the last first."""
    position = file.seek(0, os.SEEK_END)
    rest: bytes | None = None  # what is there of the line that ends behind the piece
    while position:
        size = min(_PIECE, position)
        position -= size
        piece = os.pread(file.fileno(), size, position)
        if rest is None:
            whole, newline, _ = piece.rpartition(b"\n")  # behind the last newline a line is being written
            if not newline:
                continue
            rest, piece = b"", whole
        lines = (piece + rest).split(b"\n")
        rest = lines[0]
        behind = position + sum(map(len, lines)) + len(lines) - 1
        for line in reversed(lines[1:]):
            behind -= len(line)
            yield behind, line
            behind -= 1
    if rest is not None:
        yield 0, rest


def _stamp(moment: int) -> str:
    """Write a time as a log's lines have it, which sort as text."""
    seconds, nanoseconds = divmod(max(0, moment), 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{nanoseconds:09}Z"
