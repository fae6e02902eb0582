"""Take files over from an earlier layer of the same instruction: a hard link instead of another copy.

No layer is ever written again, so two may share an inode. What is linked was read and has the digest that is wanted;
what it is called, or what anybody once noted of it, does not count.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path

from runtime.store.layers.tree import Metadata, read_open

_CHUNK = 1 << 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class EarlierLayer:
    """The files of one layer, to be linked into another of the same file system. A context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._root = -1
        self._held: tuple[bytes, int] = (b"", -1)
        self._linked: set[int] = set()

    def __enter__(self) -> EarlierLayer:
        self._root = os.open(self._path, _DIRECTORY)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._held[1] >= 0:
            os.close(self._held[1])
        os.close(self._root)

    def link(self, path: bytes, metadata: Metadata, digest: bytes, directory: int) -> Iterable[bytes] | None:
        """Link the file at `path`, if it is what `metadata` and `digest` (SHA-256, raw) say, into `directory`.

        Returns its bytes, or None where there is no such file and nothing was done. Two names never get one inode:
        that would make hard links of what are two files.
        """
        if metadata.nlink > 1:
            return None
        parent, _, name = path.rpartition(b"/")
        try:
            old = self._open(parent)
            fd = os.open(name, _FILE, dir_fd=old)
        except OSError:
            return None  # not there, or not of that kind, any more
        keep = False
        try:
            found = read_open(fd)
            if found.inode in self._linked or _facts(found) != _facts(metadata):
                return None
            pieces = _pieces_of(fd, metadata.size, digest)
            if pieces is None:
                return None
            try:
                os.link(name, name, src_dir_fd=old, dst_dir_fd=directory, follow_symlinks=False)
            except OSError:
                return None  # as many links as the file system allows
            self._linked.add(found.inode)
            keep = not isinstance(pieces, list)
            return pieces
        finally:
            if not keep:
                os.close(fd)

    def _open(self, path: bytes) -> int:
        """Return a descriptor of a directory, component by component and never through a link."""
        if not path:
            return self._root
        if self._held[0] == path:
            return self._held[1]
        fd = self._root
        for part in path.split(b"/"):
            try:
                following = os.open(part, _DIRECTORY, dir_fd=fd)
            finally:
                if fd != self._root:
                    os.close(fd)
            fd = following
        if self._held[1] >= 0:
            os.close(self._held[1])
        self._held = (path, fd)
        return fd


def _facts(metadata: Metadata) -> tuple[object, ...]:
    return (
        metadata.kind,
        metadata.mode,
        metadata.uid,
        metadata.gid,
        metadata.size,
        metadata.mtime_ns,
        dict(metadata.xattrs),
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
