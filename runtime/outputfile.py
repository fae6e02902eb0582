"""Write a file that a user has named: it has its name when it is whole, and a device or pipe stays what it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_LONGEST = 200
"""Characters of a name that go into the temporary one, so that this is not too long where that was not."""


@contextmanager
def output_file(path: Path) -> Iterator[BinaryIO]:
    """Open `path` for writing: after a clean end of the block it is the new file, after another it is what it was.

    A link keeps its place, and what it leads to is written. Devices, pipes and what leads to an open file
    (`/dev/stdout`) are written as they are. Raises OSError.
    """
    if _is_special(path):
        with path.open("wb") as file:
            yield file
        return
    path = Path(os.path.realpath(path))
    temporary = path.with_name(f".{path.name[:_LONGEST]}.{os.getpid()}-{os.urandom(4).hex()}")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    finally:
        with suppress(OSError):
            temporary.unlink()


def _is_special(path: Path) -> bool:
    if path.exists() and not path.is_file():
        return True
    return path.is_symlink() and Path("/proc") in (path.parent / path.readlink()).parents
