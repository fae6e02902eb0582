"""Read the body of a request: in blocks, with an end to waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from runtime.registry.server.errors import Refusal, manifest_too_large

if TYPE_CHECKING:
    from aiohttp.web import BaseRequest

BLOCK = 1 << 20
"""Bytes that go to a thread at a time."""
STALL = 60.0
"""Seconds without a single byte after which a request is given up."""


class Body:
    """The body of one request. `100 Continue` is sent when it is first read: one who is refused sends nothing."""

    def __init__(self, request: BaseRequest) -> None:
        self._request = request
        self._asked = "100-continue" not in request.headers.get("Expect", "").lower()

    @property
    def length(self) -> int | None:
        """Bytes, None where the client did not say."""
        return self._request.content_length

    async def blocks(self) -> AsyncIterator[list[bytes]]:
        """Give the body in lists of pieces, about BLOCK bytes each; after a cut the rest that came, then the error."""
        await self._ask()
        content = self._request.content
        pieces: list[bytes] = []
        size = 0
        cut: Exception | None = None
        while True:
            try:
                async with asyncio.timeout(STALL):
                    piece = await content.readany()
            except TimeoutError:
                cut = Refusal(408, "BLOB_UPLOAD_INVALID", f"nothing came for {STALL:.0f} s")
                break
            except Exception as error:  # whatever the connection ended with, the bytes before it are good
                cut = error
                break
            if not piece:
                break
            pieces.append(piece)
            size += len(piece)
            if size >= BLOCK:
                yield pieces
                pieces, size = [], 0
        if pieces:
            yield pieces
        if cut is not None:
            raise cut

    async def whole(self, limit: int) -> bytes:
        """Read all of it; raises Refusal 413 where it is larger than `limit` bytes."""
        if (self.length or 0) > limit:
            raise manifest_too_large(limit)
        parts: list[bytes] = []
        size = 0
        async for pieces in self.blocks():
            parts += pieces
            size += sum(map(len, pieces))
            if size > limit:
                raise manifest_too_large(limit)
        return b"".join(parts)

    async def _ask(self) -> None:
        if not self._asked:
            self._asked = True
            await self._request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._request.writer.output_size = 0
