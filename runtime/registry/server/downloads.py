"""Fetch a blob once for all who want it, who get its bytes while they come.

Nothing has the blob's name before its digest was compared; who reads along is cut off where it turns out wrong.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from aiohttp import web

    from runtime.oci.digests import Digest
    from runtime.registry.blobstream import BlobStream
    from runtime.registry.server.paths import ByteRange
    from runtime.registry.server.storage import Storage
    from runtime.registry.server.workers import Workers

_CHUNK = 1 << 20


class SizeAlone:
    """The answer to a HEAD of a blob that is not here."""

    def __init__(self, size: int) -> None:
        self.size = size

    async def send(self, _request: web.BaseRequest, _response: web.StreamResponse, _part: ByteRange, /) -> None:
        """Send nothing: there is nothing."""

    def close(self) -> None:
        """Free nothing."""


class Download:
    """One blob on its way here. Used in the event loop's thread, but for `_fetch`."""

    def __init__(self, digest: Digest, size: int, storage: Storage, workers: Workers) -> None:
        self.digest = digest
        self.size = size
        self.written = 0
        self.task: asyncio.Task[None] | None = None
        self._storage = storage
        self._workers = workers
        self._loop = asyncio.get_running_loop()
        self._grown = asyncio.Event()
        store = storage.store
        self._path: Path = store.workspace() / f"mirror-{store.context.token(16)}"
        self._file = open(self._path, "x+b", buffering=0)  # noqa: SIM115  closed by _end

    def start(self, open_stream: Callable[[], BlobStream], name: str) -> None:
        """Begin; the blob will be the repository's."""
        self.task = asyncio.create_task(self._workers.long(self._fetch, open_stream, name))
        self.task.add_done_callback(lambda _: self._end())

    def when_done(self, call: Callable[[], object]) -> None:
        """Call something at the end, good or bad."""
        if self.task is not None:
            self.task.add_done_callback(lambda _: call())

    def source(self) -> GrowingSource:
        """Open what is there so far, for one reader; by its descriptor, as the name goes while this is under way."""
        return GrowingSource(self, os.fdopen(os.dup(self._file.fileno()), "rb"))

    async def beyond(self, offset: int) -> int:
        """Wait until more than `offset` bytes may be sent; returns how many. Raises ConnectionError where it failed.

        The last byte is held back until the digest was compared: nobody takes a wrong blob for a whole one.
        """
        while (there := self._sendable()) <= offset:
            await self._grown.wait()
        return there

    def _sendable(self) -> int:
        if self.task is not None and self.task.done():
            if self.task.cancelled() or self.task.exception() is not None:
                raise ConnectionAbortedError("the upstream's blob is bad or incomplete")
            return self.size
        return min(self.written, self.size - 1)

    def _end(self) -> None:
        self._file.close()
        self._grow()

    def _grow(self) -> None:
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    def _fetch(self, open_stream: Callable[[], BlobStream], name: str) -> None:
        """Read the stream, which verifies, into the file; in a thread."""
        try:
            with open_stream() as stream:
                while data := stream.read(_CHUNK):
                    view = memoryview(data)
                    while view:
                        view = view[self._file.write(view) :]
                    self.written += len(data)
                    self._loop.call_soon_threadsafe(self._grow)
            self._storage.keep_blob(name, self.digest, self._path)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(self._path)


class GrowingSource:
    """A blob that is sent while it downloads."""

    def __init__(self, download: Download, file: BinaryIO) -> None:
        self._download = download
        self._file = file
        self.size = download.size

    async def send(self, _request: web.BaseRequest, response: web.StreamResponse, part: ByteRange, /) -> None:
        """Send a part as far as it is there, and wait for the rest."""
        offset, end = part.first, part.last + 1
        loop = asyncio.get_running_loop()
        while offset < end:
            there = await self._download.beyond(offset)
            count = min(there, end, offset + _CHUNK) - offset
            data = await loop.run_in_executor(None, os.pread, self._file.fileno(), count, offset)
            if not data:
                raise ConnectionAbortedError("the blob is shorter than it was")
            await response.write(data)
            offset += len(data)

    def close(self) -> None:
        """Free the file."""
        self._file.close()
