"""Read a container's log, which its monitor writes (logfile.py), from the beginning, the end, or as it grows."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from frozen import Frozen


class Record(Frozen):
    """A piece of output: a whole line with its newline, or a part of one that goes on in the stream's next record.

    `time` is RFC 3339 in UTC; `begins` says whether it is the first piece of its line.
    """

    time: str
    stderr: bool
    text: bytes
    begins: bool


class LogReader:
    """The log of one container; a context manager. A log that does not exist yet has nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._inside = {b"stdout": False, b"stderr": False}

    def __enter__(self) -> LogReader:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._file is not None:
            self._file.close()

    def skip_to_last(self, count: int) -> None:
        """Go to where the last `count` lines begin; reading gives them and what comes later."""
        file = self._open()
        if file is None:
            return
        starts: deque[int] = deque(maxlen=count)
        position = 0
        for line in file:
            if not line.endswith(b"\n"):
                break
            if self._read(line).begins:
                starts.append(position)
            position += len(line)
        file.seek(starts[0] if starts else position)
        self._inside = dict.fromkeys(self._inside, False)

    def read(self) -> Iterator[Record]:
        """Give what is there now; may be called again later for what has come since."""
        file = self._open()
        while file is not None:
            line = file.readline()
            if not line.endswith(b"\n"):
                file.seek(-len(line), 1)  # the rest of it is being written
                return
            yield self._read(line)

    def _open(self) -> BinaryIO | None:
        if self._file is None:
            try:
                self._file = open(self._path, "rb")  # noqa: SIM115  closed by __exit__
            except FileNotFoundError:
                return None
        return self._file

    def _read(self, line: bytes) -> Record:
        time, stream, tag, text = line.split(b" ", 3)
        begins = not self._inside.get(stream, False)
        self._inside[stream] = tag == b"P"
        return Record(
            time=time.decode("ascii", "replace"),
            stderr=stream == b"stderr",
            text=text if tag == b"F" else text[:-1],
            begins=begins,
        )
