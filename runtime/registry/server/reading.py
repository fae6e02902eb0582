"""Answer what changes nothing: manifests, blobs, tags, referrers, the catalog.

OCI distribution-spec § Pull, § Content Discovery.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from aiohttp import web

from runtime.oci.digests import Digest
from runtime.oci.documents import OCI_INDEX
from runtime.oci.fields import MANIFEST_LIMIT
from runtime.registry.server import answers
from runtime.registry.server.errors import (
    blob_unknown,
    digest_invalid,
    manifest_unknown,
    name_unknown,
)
from runtime.registry.server.paths import Page, Target, as_digest, is_tag, read_page

if TYPE_CHECKING:
    from runtime.registry.server.app import Parts
    from runtime.registry.server.records import StoredManifest

_MOST_NAMES = 1000
_MOST_TAGS = 10_000
_MOST_REFERRERS = 1000
_REFERRERS_SIZE = MANIFEST_LIMIT - (64 << 10)
"""Bytes of descriptors on one page: an index is a manifest, and has the limits of one."""


class Reading:
    """The handlers of GET and HEAD."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._workers = parts.workers
        self._storage = parts.storage
        self._records = parts.storage.records

    async def answer(self, request: web.BaseRequest, target: Target) -> web.StreamResponse:
        """Answer a request that reads."""
        match target.kind:
            case "manifest":
                return await self._manifest(request, target)
            case "blob":
                return await self._blob(request, target)
            case "tags":
                return await self._tags(request, target)
            case "referrers":
                return await self._referrers(request, target)
            case "catalog":
                return await self._catalog(request)
            case _:
                return answers.document({}, headers={})

    async def _manifest(self, request: web.BaseRequest, target: Target) -> web.StreamResponse:
        name, argument = target.name, target.argument
        if ":" in argument and as_digest(argument) is None:
            raise digest_invalid("the digest is not one of sha256 or sha512")
        if ":" not in argument and not is_tag(argument):
            raise manifest_unknown(name, argument)
        if self._parts.mirror is not None:
            await self._parts.mirror.refresh(name, argument)
        stored = await self._workers.quick(self._records.manifest, name, argument)
        if stored is None and self._parts.local is not None:
            stored = await self._workers.long(self._parts.local.manifest, name, argument)
        if stored is None:
            raise manifest_unknown(name, argument)
        return await self._send_manifest(request, name, stored)

    async def _send_manifest(self, request: web.BaseRequest, name: str, stored: StoredManifest) -> web.StreamResponse:
        headers = answers.content_headers(stored.digest, stored.media_type)
        same = answers.not_modified(request, stored.digest, headers)
        if same is not None:
            return same
        data = await self._workers.quick(self._storage.read_manifest, name, stored)
        if request.method == "HEAD":
            response = web.StreamResponse(headers=headers)
            response.content_length = len(data)
            await response.prepare(request)
            await response.write_eof()
            return response
        return web.Response(body=data, headers=headers)

    async def _blob(self, request: web.BaseRequest, target: Target) -> web.StreamResponse:
        digest = as_digest(target.argument)
        if digest is None:
            raise digest_invalid("the digest is not one of sha256 or sha512")
        source = await self._source(target.name, digest, head=request.method == "HEAD")
        return await answers.send_blob(request, digest, source)

    async def _source(self, name: str, digest: Digest, *, head: bool) -> answers.BlobSource:
        """Open a blob, wherever it is; a HEAD is what a push begins with, and keeps the blob for it."""
        if await self._workers.quick(self._records.has_blob, name, digest, touch=head):
            return answers.FileSource(await self._workers.quick(self._storage.open_blob, digest))
        local = self._parts.local
        if local is not None and await self._workers.quick(local.has_blob, name, digest):
            return answers.FileSource(await self._workers.quick(self._storage.open_blob, digest))
        if self._parts.mirror is not None:
            return await self._parts.mirror.blob(name, digest, size_alone=head)
        raise blob_unknown(digest)

    async def _tags(self, request: web.BaseRequest, target: Target) -> web.StreamResponse:
        page = read_page(request.query, most=_MOST_TAGS)
        wider = Page(limit=page.limit + 1, last=page.last)
        if self._parts.mirror is not None:
            found = await self._parts.mirror.tags(target.name, wider)
        else:
            found = await self._workers.quick(self._records.tags, target.name, wider)
        if self._parts.local is not None:
            images = await self._workers.quick(self._parts.local.tags, target.name)
            if images is not None:
                found = _merged(found or [], images, wider)
        if found is None:
            raise name_unknown(target.name)
        tags, headers = _page(request, found, page)
        return answers.document({"name": target.name, "tags": tags}, headers=headers)

    async def _catalog(self, request: web.BaseRequest) -> web.StreamResponse:
        page = read_page(request.query, most=_MOST_NAMES)
        wider = Page(limit=page.limit + 1, last=page.last)
        found = await self._workers.quick(self._records.names, wider)
        if self._parts.local is not None:
            found = _merged(found, await self._workers.quick(self._parts.local.names), wider)
        names, headers = _page(request, found, page)
        return answers.document({"repositories": names}, headers=headers)

    async def _referrers(self, request: web.BaseRequest, target: Target) -> web.StreamResponse:
        if as_digest(target.argument) is None:
            raise digest_invalid("the digest is not one of sha256 or sha512")
        wanted = request.query.get("artifactType") or None
        page = read_page(request.query, most=_MOST_REFERRERS)
        wider = Page(limit=page.limit + 1, last=page.last)
        if self._parts.mirror is not None:
            found = await self._parts.mirror.referrers(target.name, Digest(target.argument), wanted, wider)
        else:
            found = await self._workers.quick(self._records.referrers, target.name, target.argument, wanted, wider)
        shown = _fitting(found, page.limit)
        headers = {"OCI-Filters-Applied": "artifactType"} if wanted else {}
        if len(shown) < len(found) and shown:
            headers["Link"] = _next(request, page.limit, str(shown[-1]["digest"]))
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": shown}
        return answers.document(index, content_type=OCI_INDEX, headers=headers)


def _merged(pushed: Sequence[str], local: Sequence[str], page: Page) -> list[str]:
    return sorted({*pushed, *(name for name in local if name > page.last)})[: page.limit]


def _page(request: web.BaseRequest, found: Sequence[str], page: Page) -> tuple[list[str], dict[str, str]]:
    """Cut what was found, one more than asked for, to a page; returns it and the Link to the next one."""
    shown = list(found[: page.limit])
    if len(found) <= page.limit or not shown:
        return shown, {}
    return shown, {"Link": _next(request, page.limit, shown[-1])}


def _next(request: web.BaseRequest, limit: int, last: str) -> str:
    """Write a Link header (RFC 8288), relative, so that it holds behind any proxy."""
    query = {**request.query, "n": str(limit), "last": last}
    return f'<{request.rel_url.raw_path}?{urlencode(query)}>; rel="next"'


def _fitting(found: Sequence[dict[str, object]], limit: int) -> list[dict[str, object]]:
    shown: list[dict[str, object]] = []
    size = 0
    for descriptor in found[:limit]:
        size += len(json.dumps(descriptor)) + 1
        if size > _REFERRERS_SIZE and shown:
            break
        shown.append(descriptor)
    return shown
