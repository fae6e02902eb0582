"""Read a container's log, which its monitor writes (logfile.py), from the beginning, the end, or as it grows.

A log that is rotated lies in `log.N` (the oldest) to `log.1` and `log`; a reader goes through them in this order and
follows when another file takes the place of the one it reads.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple


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
        self._opened = False
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
        """Go to where the last `count` lines begin; reading gives them and what comes later."""
        self._open()
        starts: deque[tuple[int, int]] = deque(maxlen=count)
        position = 0
        for index, file in enumerate(self._files):
            position = 0
            for line in file:
                if not line.endswith(b"\n"):
                    break
                if self._read(line).begins:
                    starts.append((index, position))
                position += len(line)
        if self._files:
            first, start = starts[0] if starts else (len(self._files) - 1, position)
            for _ in range(first):
                self._files.popleft().close()
            for index, file in enumerate(self._files):
                file.seek(0 if index else start)
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
            newer = self._newer(os.fstat(file.fileno()).st_ino)
            if newer is None:
                return False
            rest = file.readline()  # what came between the last look and the rotation
            if rest:
                file.seek(-len(rest), 1)
                return True
            self._files.append(newer)
        self._files.popleft().close()
        return True

    def _newer(self, inode: int) -> BinaryIO | None:
        """Open the file that was begun after the one with this number; None where that is the one being written."""
        place = 0
        while True:
            try:
                found = os.stat(self._name(place)).st_ino
            except FileNotFoundError:
                place = -1  # it was rotated away and deleted: what remains begins with the oldest
                break
            if found == inode:
                break
            place += 1
        if place == 0:
            return None
        try:
            return open(self._name(place - 1) if place > 0 else self._all()[0], "rb")
        except (FileNotFoundError, IndexError):
            return None  # rotated at this moment; the next look finds it

    def _name(self, place: int) -> Path:
        return self._path if place == 0 else self._path.with_name(f"{self._path.name}.{place}")

    def _all(self) -> list[Path]:
        """List the files of the log, the oldest first."""
        found: list[Path] = []
        while self._name(len(found)).exists():
            found.append(self._name(len(found)))
        return found[::-1]

    def _open(self) -> None:
        if self._opened and self._files:
            return
        for path in self._all():
            try:
                self._files.append(open(path, "rb"))  # noqa: SIM115  closed by __exit__
            except FileNotFoundError:
                continue
        self._opened = True

    def _read(self, line: bytes) -> Record:
        moment, stream, tag, text = line.split(b" ", 3)
        begins = not self._inside.get(stream, False)
        self._inside[stream] = tag == b"P"
        return Record(
            moment.decode("ascii", "replace"), stream == b"stderr", text if tag == b"F" else text[:-1], begins
        )


def _stamp(moment: int) -> str:
    """Write a time as a log's lines have it, which sort as text."""
    seconds, nanoseconds = divmod(max(0, moment), 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{nanoseconds:09}Z"
