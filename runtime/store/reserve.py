"""Keep a little of the disk aside, so that on a full one commands can still look, and above all remove something.

`ROOT/locks/spare` is a file of blocks that nobody needs. Whoever opens the store on a disk with next to nothing left
cuts a slice off it: room for its rows and notes. On a disk with plenty left the file is made whole again.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_WHOLE = 2 << 20
_SLICE = 256 << 10
_LITTLE = 256 << 10
_PLENTY = 16 << 20
"""Bytes: of the file, of what one command takes of it, of a disk that is all but full, of one that is far from it."""


def see_to_it(locks: Path) -> None:
    """Give a slice where the disk is all but full; make the file whole where there is plenty. Raises nothing."""
    with suppress(OSError):
        disk = os.statvfs(locks)
        free = disk.f_bavail * disk.f_frsize
        if _LITTLE <= free < _PLENTY or not disk.f_blocks:
            return
        spare = locks / "spare"
        try:
            size = os.stat(spare).st_size
        except FileNotFoundError:
            size = 0
        if free < _LITTLE:
            if size:
                os.truncate(spare, max(0, size - _SLICE))
        elif size < _WHOLE:
            fd = os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, _WHOLE)
            finally:
                os.close(fd)
