"""Read a tree that others write to: each file is copied as it is listed, and what is copied is what counts.

For a context that did not keep still for as long as a step needed to read it. BuildKit takes such a copy of every
context; here it costs time only where something changes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from builder.trees import GONE, SourceTree, join

if TYPE_CHECKING:
    from runtime.context import Cancel
    from runtime.store.layers.tree import Metadata

_CHUNK = 1 << 20
_COPY = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class HeldTree:
    """A tree whose files, once a walk has given them, stay what they were. Their copies lie in `directory`."""

    def __init__(self, tree: SourceTree, directory: Path, cancel: Cancel | None) -> None:
        self._tree = tree
        self._directory = directory
        self._cancel = cancel
        self._names: dict[bytes, str] = {}
        self._made = 0

    @property
    def title(self) -> str:
        return self._tree.title

    def stat(self, path: bytes) -> Metadata | None:
        return self._tree.stat(path)

    def children(self, path: bytes) -> list[bytes]:
        return self._tree.children(path)

    def walk(self, path: bytes) -> Iterator[tuple[bytes, Metadata, bytes]]:
        """Walk the tree and copy its files; one that is gone before it could be read is left out."""
        known: dict[tuple[int, int], tuple[str, int, bytes]] = {}
        for relative, metadata, _ in self._tree.walk(path):
            if metadata.kind != "file":
                yield relative, metadata, b""
                continue
            place = join(path, relative)
            inode = metadata.device, metadata.inode
            copy = known.get(inode) or self._copied(place)
            if copy is None:
                continue
            known[inode] = copy
            self._names[place], size, digest = copy
            yield relative, metadata._replace(size=size), digest

    def open(self, path: bytes) -> int:
        name = self._names.get(path)
        return self._tree.open(path) if name is None else os.open(self._directory / name, _COPY)

    def file_digest(self, path: bytes, size: int | None = None) -> bytes:
        return self._tree.file_digest(path, size)

    def _copied(self, path: bytes) -> tuple[str, int, bytes] | None:
        """Copy one file, as long as it is now; gives the copy's name, size and SHA-256, None where none is any more."""
        try:
            source = self._tree.open(path)
        except OSError as error:
            if error.errno in GONE:
                return None
            raise
        self._made += 1
        name, size, digest = str(self._made), 0, sha256()
        try:
            target = os.open(self._directory / name, _NEW, 0o600)
            try:
                left = os.fstat(source).st_size
                while chunk := os.read(source, min(left - size, _CHUNK)):
                    if self._cancel is not None:
                        self._cancel.check()
                    digest.update(chunk)
                    size += len(chunk)
                    view = memoryview(chunk)
                    while view:
                        view = view[os.write(target, view) :]
            finally:
                os.close(target)
        except IsADirectoryError:
            return None
        finally:
            os.close(source)
        return name, size, digest.digest()
