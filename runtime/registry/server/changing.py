"""Answer what changes something: uploads, mounts, manifests, deletions.

OCI distribution-spec § Push, § Content Management.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aiohttp import web

from runtime.oci.digests import HEX_LENGTHS, Digest, algorithm_of
from runtime.oci.fields import MANIFEST_LIMIT
from runtime.registry.server import answers
from runtime.registry.server.body import Body
from runtime.registry.server.errors import (
    blob_unknown,
    digest_invalid,
    manifest_invalid,
    manifest_unknown,
    name_unknown,
    size_invalid,
    unsupported,
    upload_invalid,
)
from runtime.registry.server.paths import ByteRange, Target, as_digest, is_name, is_tag, read_content_range
from runtime.registry.server.records import Conditions
from runtime.registry.server.uploads import Upload

if TYPE_CHECKING:
    from runtime.registry.server.app import Parts

_UPLOAD_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_MOST_TAGS = 100
"""Tags that one PUT of a manifest may name."""


class Changing:
    """The handlers of POST, PUT, PATCH, DELETE, and of the state of an upload."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._workers = parts.workers
        self._storage = parts.storage
        self._records = parts.storage.records
        self._uploads = parts.uploads

    async def answer(self, request: web.BaseRequest, target: Target) -> web.StreamResponse:
        """Answer a request that changes something."""
        match target.kind, request.method:
            case "uploads", _:
                return await self._begin(request, target.name)
            case "upload", "PATCH":
                return await self._chunk(request, target)
            case "upload", "PUT":
                return await self._close(request, target)
            case "upload", "DELETE":
                return await self._cancel(target)
            case "upload", _:
                upload = await self._find(target)
                return answers.empty(204, _progress(upload))
            case "manifest", "PUT":
                return await self._put_manifest(request, target)
            case "manifest", _:
                return await self._delete_manifest(target)
            case _:
                return await self._delete_blob(target)

    # -- blobs -----------------------------------------------------------------------------------------------------

    async def _begin(self, request: web.BaseRequest, name: str) -> web.StreamResponse:
        """Mount, take in a whole blob, or begin an upload."""
        query = request.query
        if "mount" in query:
            mounted = await self._mount(name, query["mount"], query.get("from"))
            if mounted is not None:
                return mounted
        algorithm = query.get("digest-algorithm", "sha256")
        if algorithm not in HEX_LENGTHS:
            raise digest_invalid("the digest algorithm is not one of sha256 or sha512")
        if "digest" not in query:
            upload = await self._uploads.start(name, algorithm)
            return answers.empty(202, _progress(upload))
        digest = _wanted_digest(request)
        body = Body(request)
        upload = await self._uploads.start(name, algorithm_of(digest))
        try:
            async with upload.lock:
                await self._uploads.receive(upload, body)
                return await self._finished(upload, digest)
        except BaseException:
            await self._uploads.drop(upload)  # nobody else knows its place
            raise

    async def _mount(self, name: str, wanted: str, source: str | None) -> web.StreamResponse | None:
        """Give a repository another one's blob; None where it has to be uploaded after all."""
        digest = as_digest(wanted)
        if digest is None:
            raise digest_invalid("the digest is not one of sha256 or sha512")
        if source is not None and not is_name(source):
            return None
        if source is None:
            there = await self._workers.quick(self._records.has_blob_anywhere, digest)
        else:
            there = await self._workers.quick(self._records.has_blob, source, digest)
            local = self._parts.local
            if not there and local is not None:
                there = await self._workers.quick(local.has_blob, source, digest)
        if not there or not await self._workers.quick(self._storage.mount_blob, name, digest):
            return None
        return _created(name, digest)

    async def _chunk(self, request: web.BaseRequest, target: Target) -> web.StreamResponse:
        announced = _announced(request)
        upload = await self._find(target)
        async with upload.lock:
            await self._uploads.receive(upload, Body(request), announced)
            return answers.empty(202, _progress(upload))

    async def _close(self, request: web.BaseRequest, target: Target) -> web.StreamResponse:
        digest = _wanted_digest(request)
        announced = _announced(request)
        upload = await self._find(target)
        async with upload.lock:
            await self._uploads.receive(upload, Body(request), announced)
            return await self._finished(upload, digest)

    async def _finished(self, upload: Upload, digest: Digest) -> web.StreamResponse:
        await self._uploads.finish(upload, digest)
        return _created(upload.repository, digest)

    async def _cancel(self, target: Target) -> web.StreamResponse:
        upload = await self._find(target)
        async with upload.lock:
            await self._uploads.drop(upload)
        return answers.empty(204, {})

    async def _find(self, target: Target) -> Upload:
        # A wrong form is answered like an id that nobody has: no file name is made of what was not made here.
        known = target.argument if _UPLOAD_ID.fullmatch(target.argument) else ""
        return await self._uploads.find(target.name, known)

    async def _delete_blob(self, target: Target) -> web.StreamResponse:
        digest = as_digest(target.argument)
        if digest is None:
            raise digest_invalid("the digest is not one of sha256 or sha512")
        if await self._workers.quick(self._records.unlink_blob, target.name, digest):
            self._parts.changed()
            return answers.empty(202, {"Docker-Content-Digest": digest})
        local = self._parts.local
        if local is not None and await self._workers.quick(local.has_blob, target.name, digest):
            raise unsupported("local images are read-only")
        raise blob_unknown(digest)

    # -- manifests -------------------------------------------------------------------------------------------------

    async def _put_manifest(self, request: web.BaseRequest, target: Target) -> web.StreamResponse:
        name, argument = target.name, target.argument
        by_digest = ":" in argument
        if by_digest and as_digest(argument) is None:
            raise digest_invalid("the digest is not one of sha256 or sha512")
        if not by_digest and not is_tag(argument):
            raise manifest_invalid(f"{argument[:200]!a} is no tag")
        tags = request.query.getall("tag", [])
        if tags and not by_digest:
            raise manifest_invalid("tag parameters go with a digest")
        if len(tags) > _MOST_TAGS or not all(map(is_tag, tags)):
            raise manifest_invalid(f"the tag parameters are more than {_MOST_TAGS}, or one of them is no tag")
        data = await Body(request).whole(MANIFEST_LIMIT)
        stored, info = await self._workers.heavy(
            self._storage.put_manifest,
            name,
            argument,
            data,
            request.headers.get("Content-Type", ""),
            tags=tags,
            conditions=_conditions(request),
        )
        headers = {
            "Location": f"/v2/{name}/manifests/{stored.digest}",
            "Docker-Content-Digest": stored.digest,
            "ETag": f'"{stored.digest}"',
        }
        if info.subject is not None:
            headers["OCI-Subject"] = info.subject
        if tags:
            headers["OCI-Tag"] = ", ".join(tags)
        return answers.empty(201, headers)

    async def _delete_manifest(self, target: Target) -> web.StreamResponse:
        name, argument = target.name, target.argument
        digest = as_digest(argument)
        if ":" in argument and digest is None:
            raise digest_invalid("the digest is not one of sha256 or sha512")
        if digest is not None:
            gone = await self._workers.quick(self._records.delete_manifest, name, digest)
        else:
            gone = await self._workers.quick(self._records.delete_tag, name, argument)
        if gone:
            self._parts.changed()
            return answers.empty(202, {})
        local = self._parts.local
        if local is not None and await self._workers.quick(local.has_manifest, name, argument):
            raise unsupported("local images are read-only")
        if await self._workers.quick(self._records.repository, name) is None:
            raise name_unknown(name)
        raise manifest_unknown(name, argument)


def _progress(upload: Upload) -> dict[str, str]:
    return {"Location": upload.location, "Range": upload.range, "Docker-Upload-UUID": upload.id}


def _created(name: str, digest: Digest) -> web.Response:
    location = f"/v2/{name}/blobs/{digest}"
    return answers.empty(201, {"Location": location, "Docker-Content-Digest": digest})


def _wanted_digest(request: web.BaseRequest) -> Digest:
    digest = as_digest(request.query.get("digest", ""))
    if digest is None:
        raise digest_invalid("the digest parameter is missing, or not one of sha256 or sha512")
    return digest


def _announced(request: web.BaseRequest) -> ByteRange | None:
    """Read where a chunk goes; raises Refusal where the header cannot be read, or its length is another."""
    text = request.headers.get("Content-Range")
    if text is None:
        return None
    announced = read_content_range(text)
    if announced is None:
        raise upload_invalid("Content-Range must be FIRST-LAST")
    length = request.content_length
    if length is not None and length != announced.length:
        raise size_invalid(f"Content-Range has {announced.length} bytes, and Content-Length is {length}")
    return announced


def _conditions(request: web.BaseRequest) -> Conditions | None:
    wanted, unwanted = request.headers.get("If-Match"), request.headers.get("If-None-Match")
    if wanted is None and unwanted is None:
        return None
    return Conditions(
        if_match=answers.entity_tags(wanted) if wanted is not None else None,
        if_none_match=answers.entity_tags(unwanted) if unwanted is not None else None,
    )
