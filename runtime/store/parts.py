"""Keep what came of a download that was interrupted, so that the next command goes on from there.

`ROOT/partial/ALGORITHM-HEX.BOOT` is the beginning of a blob, written by whoever holds the lock `("blob", digest)`. It
is compared only as a whole, when the rest has come. What another boot left may lack what was not written to the disk
in time, and is of no use; nor is what nobody went on with for a day.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from runtime.oci.digests import Digest, algorithm_of, hex_of
from runtime.store.leases import boot_mark

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.context import Layout

WORTH = 1 << 20
"""Bytes from which on a beginning is kept."""
_LIFETIME = 24 * 3600
"""Seconds since something was added."""


def part_of(layout: Layout, digest: Digest) -> Path:
    """Give the file for the beginning of a blob, whether it exists or not."""
    return layout.partial / f"{algorithm_of(digest)}-{hex_of(digest)}.{boot_mark()}"


def sweep_parts(layout: Layout, boot: str, now: float) -> None:
    """Delete what nobody will go on with; `now`: seconds since the epoch."""
    with suppress(FileNotFoundError):
        for name in os.listdir(layout.partial):
            path = layout.partial / name
            with suppress(FileNotFoundError):
                if not name.endswith(f".{boot}") or os.stat(path).st_mtime < now - _LIFETIME:
                    os.unlink(path)


def drop_parts(layout: Layout) -> int:
    """Delete all beginnings, and give their bytes; the exclusive store lock is held."""
    size = 0
    with suppress(FileNotFoundError):
        for name in os.listdir(layout.partial):
            size += os.stat(layout.partial / name).st_size
            os.unlink(layout.partial / name)
    return size
