"""Hold what a copy is to copy, packed: plans of a hundred thousand files are no rarity."""

from __future__ import annotations

import marshal
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from runtime.store.layers.tree import Metadata

_CHUNK = 256


class Entry(NamedTuple):
    """One file of a plan: `path` relative to what is copied, `digest` raw and empty for what is no regular file.

    `first` is the path of the entry's hard link partner that comes before it in the plan, None for all else.
    """

    path: bytes
    metadata: Metadata
    digest: bytes
    first: bytes | None


class Entries:
    """The entries of a plan, in order; made once, read as often as wanted. An entry takes 150 bytes, unpacked 600.

    `newest` is the latest time of them, in ns since the epoch; None where there are none.
    """

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.newest: int | None = None
        self._packed: list[bytes] = []
        waiting: list[tuple[bytes, tuple[object, ...], bytes, bytes | None]] = []
        newest = None
        for path, metadata, digest, first in entries:
            if newest is None or metadata.mtime_ns > newest:
                newest = metadata.mtime_ns
            waiting.append((path, tuple(metadata), digest, first))
            if len(waiting) == _CHUNK:
                self._packed.append(marshal.dumps(waiting))
                waiting.clear()
        self._packed.append(marshal.dumps(waiting))
        self.newest = newest

    def __iter__(self) -> Iterator[Entry]:
        for chunk in self._packed:
            for path, metadata, digest, first in marshal.loads(chunk):
                yield Entry(path, Metadata._make(metadata), digest, first)
