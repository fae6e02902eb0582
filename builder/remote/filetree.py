"""Show one downloaded file as a tree: its root holds that file and nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator

from builder.remote.webfiles import RemoteFile
from runtime.errors import NotFound
from runtime.store.layers.tree import Metadata

_MODE = 0o600
"""What BuildKit gives a file that it downloads."""


class FileTree:
    """A tree of one file, which is its own only entry; its content is known by its digest and not read for that."""

    def __init__(self, file: RemoteFile) -> None:
        self._file = file
        self._name = os.fsencode(file.name)
        self._metadata = Metadata("file", _MODE, 0, 0, size=file.size, mtime_ns=file.mtime_ns)

    @property
    def title(self) -> str:
        return f"the download of {self._file.name}"

    def stat(self, path: bytes) -> Metadata | None:
        return self._metadata if path == self._name else None

    def children(self, path: bytes) -> list[bytes]:
        return [] if path else [self._name]

    def walk(self, path: bytes) -> Iterator[tuple[bytes, Metadata, bytes]]:
        if path != self._name:
            raise NotFound(f"{os.fsdecode(path)!r}: not found in {self.title}")
        yield b"", self._metadata, self.file_digest(path)

    def open(self, path: bytes) -> int:
        del path
        return os.open(self._file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)

    def file_digest(self, path: bytes, size: int | None = None) -> bytes:
        del path, size
        return bytes.fromhex(self._file.digest.partition(":")[2])
