"""Keep pace with an earlier layer of the same instruction, to write only what is not as it was.

No layer is ever written again, so a new one may stand on an old one: see `runtime.store.snapshots`. What is taken over
was read and has the digest that is wanted; what it is called, or what anybody once noted of it, does not count.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path

from runtime.store.layers.tree import Metadata, read_metadata, read_open
from runtime.store.layers.walk import FILE_FLAGS, TreeWalk, opened

_CHUNK = 1 << 20


class NotAbove(Exception):
    """The new layer cannot stand on the earlier one, which has something that the new one lacks at this place."""


class EarlierLayer:
    """The entries of one layer, gone through in step with those of another, in the order of a layer's tar.

    A context manager. Each entry of the new layer is met once, by `directory` or `take`; both raise NotAbove where an
    entry of the earlier one was passed over, or is a directory and the new one is not, or the reverse.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        with opened(*paths) as roots:
            self._walk = TreeWalk(*roots)
        self._entries = iter(self._walk)
        self._next = next(self._entries, None)

    def __enter__(self) -> EarlierLayer:
        return self

    def __exit__(self, *exc: object) -> None:
        self._walk.__exit__()

    def directory(self, path: bytes) -> Metadata | None:
        """Come to the directory `path`; returns what it is in the earlier layer, None where it is not there."""
        place = self._meet(path)
        if place is None:
            return None
        found = read_metadata(*place)
        if found.kind != "directory" or found.opaque:
            raise NotAbove(path)
        self._walk.enter(place[1])
        self._next = next(self._entries, None)
        return found

    def take(self, path: bytes, metadata: Metadata, digest: bytes) -> Iterable[bytes] | None:
        """Come to the entry `path`, no directory; returns its bytes if the earlier layer has the very same.

        None says that it has to be written: `metadata` and `digest` (SHA-256, raw) are not what is there, or it is one
        of several names of one file.
        """
        place = self._meet(path)
        if place is None:
            return None
        is_file = self._next is not None and self._next[3]
        pieces = _file(place, metadata, digest) if is_file else _other(place, metadata)
        self._next = next(self._entries, None)
        return pieces

    def end(self) -> None:
        """Say that the new layer has no more entries."""
        if self._next is not None:
            raise NotAbove(self._next[0])

    def _meet(self, path: bytes) -> tuple[int, bytes] | None:
        """Return directory and name of the entry at `path`, None where it is not there."""
        if self._next is None:
            return None
        found, directory, name, _ = self._next
        if found == path:
            return directory, name
        if found.split(b"/") < path.split(b"/"):
            raise NotAbove(found)
        return None


def _file(place: tuple[int, bytes], metadata: Metadata, digest: bytes) -> Iterable[bytes] | None:
    if metadata.kind != "file" or metadata.nlink > 1:
        return None
    directory, name = place
    fd = os.open(name, FILE_FLAGS, dir_fd=directory)
    keep = False
    try:
        if not is_same(read_open(fd), metadata):
            return None
        pieces = _pieces_of(fd, metadata.size, digest)
        keep = pieces is not None and not isinstance(pieces, list)
        return pieces
    finally:
        if not keep:
            os.close(fd)


def _other(place: tuple[int, bytes], metadata: Metadata) -> Iterable[bytes] | None:
    found = read_metadata(*place)
    if found.kind == "directory":
        raise NotAbove(place[1])
    return () if metadata.nlink == 1 and is_same(found, metadata) else None


def is_same(found: Metadata, wanted: Metadata) -> bool:
    """Tell whether an entry has the metadata that is wanted, and no second name."""
    return (
        found.kind == wanted.kind
        and found.mode == wanted.mode
        and found.uid == wanted.uid
        and found.gid == wanted.gid
        and found.size == wanted.size
        and found.mtime_ns == wanted.mtime_ns
        and found.rdev == wanted.rdev
        and found.link == wanted.link
        and found.xattrs == wanted.xattrs
        and (found.nlink == 1 or found.kind == "directory")
    )


def _pieces_of(fd: int, size: int, digest: bytes) -> Iterable[bytes] | None:
    """Return what is in an open file if it has this digest: a list of one piece, or a reader that closes `fd`."""
    if size <= _CHUNK:
        data = os.read(fd, size + 1)
        return [data] if len(data) == size and sha256(data).digest() == digest else None
    found = sha256()
    while piece := os.read(fd, _CHUNK):
        found.update(piece)
    if found.digest() != digest:
        return None
    os.lseek(fd, 0, os.SEEK_SET)
    return _read(fd)


def _read(fd: int) -> Iterator[bytes]:
    try:
        while piece := os.read(fd, _CHUNK):
            yield piece
    finally:
        os.close(fd)
