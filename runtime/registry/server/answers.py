"""Write answers: JSON, errors, and blobs, which the kernel sends from the file where it can."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, BinaryIO, Protocol

from aiohttp import web

from runtime.registry.server.paths import ByteRange, read_range

if TYPE_CHECKING:
    from runtime.oci.digests import Digest
    from runtime.registry.server.errors import Refusal

API_VERSION = {"Docker-Distribution-Api-Version": "registry/2.0", "Server": "pybuild"}

_SLICE = 4 << 20
"""Bytes of a file that are sent before the time limit begins anew."""
_SLICE_TIME = 300.0
"""Seconds for one slice: who takes less than 14 KB a second is given up."""


def empty(status: int, headers: Mapping[str, str]) -> web.Response:
    """Answer without a body."""
    return web.Response(status=status, headers={**API_VERSION, **headers})


def document(value: object, *, content_type: str = "application/json", headers: Mapping[str, str]) -> web.Response:
    """Answer with a JSON document."""
    body = json.dumps(value, separators=(",", ":")).encode()
    return web.Response(body=body, headers={**API_VERSION, "Content-Type": content_type, **headers})


def failure(refusal: Refusal) -> web.Response:
    """Answer with an error."""
    headers = {**API_VERSION, "Content-Type": "application/json", **refusal.headers}
    return web.Response(status=refusal.status, body=refusal.body(), headers=headers)


def content_headers(digest: Digest, media_type: str) -> dict[str, str]:
    """Give the headers of a manifest or blob, whose digest is its entity tag."""
    return {
        **API_VERSION,
        "Content-Type": media_type,
        "Docker-Content-Digest": digest,
        "ETag": f'"{digest}"',
    }


def not_modified(request: web.BaseRequest, digest: Digest, headers: Mapping[str, str]) -> web.Response | None:
    """Answer 304 where the client says that it has this content."""
    tags = request.headers.get("If-None-Match")
    if tags is None or not {"*", digest}.intersection(entity_tags(tags)):
        return None
    kept = {name: value for name, value in headers.items() if name != "Content-Type"}
    return web.Response(status=304, headers=kept)


def entity_tags(text: str) -> tuple[str, ...]:
    """Read a list of entity tags (RFC 9110 § 8.8.3), quotes and weakness left out."""
    return tuple(tag.strip().removeprefix("W/").strip('"') for tag in text.split(","))


class BlobSource(Protocol):
    """Where the bytes of a blob come from: a file that is whole, or one that still grows."""

    size: int

    async def send(self, request: web.BaseRequest, response: web.StreamResponse, part: ByteRange, /) -> None:
        """Send a part of the blob after the headers; raises ConnectionError where that cannot go on."""

    def close(self) -> None:
        """Free the file."""


class FileSource:
    """A blob of the store, open."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = os.fstat(file.fileno()).st_size

    async def send(self, request: web.BaseRequest, _response: web.StreamResponse, part: ByteRange) -> None:
        """Send from the file to the socket; with TLS through memory, in pieces."""
        loop = asyncio.get_running_loop()
        offset, end = part.first, part.last + 1
        while offset < end:
            transport = request.transport
            if transport is None:
                raise ConnectionResetError("the client has gone")
            count = min(end - offset, _SLICE)
            async with asyncio.timeout(_SLICE_TIME):
                sent = await loop.sendfile(transport, self._file, offset, count)
            if sent == 0:
                raise ConnectionAbortedError("the blob is shorter than it was")
            offset += sent

    def close(self) -> None:
        self._file.close()


async def send_blob(request: web.BaseRequest, digest: Digest, source: BlobSource) -> web.StreamResponse:
    """Answer a GET or HEAD of a blob, or of a range of it; `source` is closed."""
    try:
        headers = {
            **content_headers(digest, "application/octet-stream"),
            "Accept-Ranges": "bytes",
            "Cache-Control": "max-age=31536000",
        }
        same = not_modified(request, digest, headers)
        if same is not None:
            return same
        if_range = request.headers.get("If-Range")
        current = if_range is None or digest in entity_tags(if_range)
        part = read_range(request.headers.get("Range"), source.size) if current else None
        response = web.StreamResponse(status=200 if part is None else 206, headers=headers)
        if part is not None:
            response.headers["Content-Range"] = f"bytes {part.first}-{part.last}/{source.size}"
        whole = ByteRange(first=0, last=source.size - 1)
        part = part or whole
        response.content_length = part.length
        await response.prepare(request)
        if request.method != "HEAD" and part.length:
            try:
                await source.send(request, response, part)
            except TimeoutError as error:
                raise ConnectionAbortedError("the client takes nothing") from error
        await response.write_eof()
        return response
    finally:
        source.close()
