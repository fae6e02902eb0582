"""Upload blobs: in one piece or in chunks, and on from where a connection broke.

OCI distribution-spec § Pushing blobs.
"""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlencode

from runtime.errors import DigestMismatch, RegistryError
from runtime.oci.digests import Digest, algorithm_of
from runtime.registry.answers import Response, heals
from runtime.registry.transport import CHUNK, Body, Readable, Transport, Tries
from runtime.registry.urls import add_query, resolve

if TYPE_CHECKING:
    from runtime.registry.hosts import Endpoint

_RANGE = re.compile(r"(?:bytes=)?0-(\d{1,18})")
_BINARY = "application/octet-stream"
_LARGEST_CHUNK = 64 << 20
"""Bytes: what a registry may ask a chunk to have at least, for it is kept in memory."""

Progress = Callable[[int], None]
"""Takes the bytes sent so far, which go down after a cut."""


class _Lost(RegistryError):
    """The registry has forgotten an upload of which some was sent."""


class Growing(Protocol):
    """A blob that somebody is making, and that can be read as far as it has come, more than once."""

    def reach(self, size: int, /) -> int:
        """Wait until there are `size` bytes or all; returns how many there are."""

    def part(self, offset: int, size: int, /) -> Body:
        """Give some of what is there."""

    def digest(self) -> Digest:
        """Wait until all is there, and give its digest."""


class Uploads:
    """Uploads to one repository; threads may share one. `path` is `/v2/NAME/blobs/uploads/`."""

    def __init__(self, transport: Transport, endpoint: Endpoint, scopes: Sequence[str]) -> None:
        self._transport = transport
        self._endpoint = endpoint
        self._scopes = tuple(scopes)
        self._path = f"/v2/{endpoint.repository}/blobs/uploads/"
        self._spare: deque[str] = deque()
        """Uploads that a registry began in place of a mount, and that the next one can use."""

    def mount(self, digest: Digest, from_repository: str) -> bool:
        """Ask for a blob of another repository of the same registry; False where it has to be uploaded."""
        query = urlencode({"mount": digest, "from": from_repository}, safe=":/")
        scopes = (*self._scopes, f"repository:{from_repository}:pull")
        try:
            answer = self._transport.request(
                "POST", self._endpoint, f"{self._path}?{query}", scopes=scopes, expect=(201, 202)
            )
        except RegistryError as error:
            if error.status in (400, 401, 403, 404, 405):
                return False  # the other repository is not ours to read
            raise
        with answer:
            if answer.status == 202:
                self._spare.append(self._location(answer))
            return answer.status == 201

    def whole(self, body: Body, digest: Digest, progress: Progress) -> None:
        """Upload a blob of known digest and size (§ POST then PUT), resumed after a cut where the registry can."""
        tries = self._transport.tries()
        progress = _noting(tries, progress)
        location, offset = "", 0
        while True:
            try:
                location = location or self._begin(digest, tries)
                if offset:
                    if offset < body.size:
                        location = self._patch(location, _from(body, offset, progress), offset)
                    self._finish(location, digest, None)
                else:
                    self._finish(location, digest, _from(body, 0, progress))
                return
            except RegistryError as error:
                lost = error.status in (404, 416) and bool(location)
                if not (heals(error) or lost):
                    raise
                tries.again(error)
            location, reached = self._state(location, tries)
            if reached - offset >= CHUNK:
                tries.progress()
            offset = reached if reached <= body.size else 0
            location = location if offset == reached else ""
            progress(offset)

    def stream(self, stream: Readable, algorithm: str, chunk: int, progress: Progress) -> tuple[Digest, int]:
        """Upload what can be read once; returns its digest and size in bytes (§ Pushing a blob in chunks)."""
        digester = hashlib.new(algorithm)
        data = _read_full(stream, chunk)
        digester.update(data)
        if len(data) < chunk:  # that was all: one request less
            digest = Digest(f"{algorithm}:{digester.hexdigest()}")
            self.whole(_held(data), digest, progress)
            return digest, len(data)
        location, least = self._begin_chunked(algorithm)
        if least > chunk:
            more = _read_full(stream, min(least, _LARGEST_CHUNK) - len(data))
            digester.update(more)
            data, chunk = data + more, min(least, _LARGEST_CHUNK)
        offset = 0
        while data:
            location = self._chunk(location, _held(data), offset, progress)
            offset += len(data)
            data = _read_full(stream, chunk)
            digester.update(data)
        digest = Digest(f"{algorithm}:{digester.hexdigest()}")
        self._complete(location, digest)
        return digest, offset

    def growing(self, blob: Growing, chunk: int, progress: Progress) -> Digest:
        """Upload what is still being made, at least `chunk` bytes at a time and all that is there; gives its digest."""
        there = blob.reach(chunk)
        if there < chunk:
            digest = blob.digest()
            self.whole(blob.part(0, there), digest, progress)
            return digest
        try:
            return self._grown(blob, there, chunk, progress)
        except _Lost:  # all of it can be read again, once
            return self._grown(blob, there, chunk, progress)

    def _grown(self, blob: Growing, there: int, chunk: int, progress: Progress) -> Digest:
        location, least = self._begin_chunked("sha256")
        offset = 0
        while offset < there:
            location = self._chunk(location, blob.part(offset, there - offset), offset, progress)
            offset = there
            there = blob.reach(offset + max(chunk, least))
        digest = blob.digest()
        self._complete(location, digest)
        return digest

    def _begin(self, digest: Digest, tries: Tries) -> str:
        algorithm = algorithm_of(digest)
        if algorithm == "sha256":
            with suppress(IndexError):
                return self._spare.popleft()
        return self._begin_chunked(algorithm, tries)[0]

    def _begin_chunked(self, algorithm: str, tries: Tries | None = None) -> tuple[str, int]:
        """Begin an upload; returns its location, and the bytes that a chunk must have at least."""
        query = "" if algorithm == "sha256" else f"?digest-algorithm={algorithm}"
        with self._transport.request(
            "POST", self._endpoint, self._path + query, scopes=self._scopes, expect=(202,), tries=tries
        ) as answer:
            least = answer.headers.get("OCI-Chunk-Min-Length", "")
            return self._location(answer), int(least) if least.isdecimal() else 0

    def _chunk(self, location: str, part: Body, offset: int, progress: Progress) -> str:
        """Send one chunk, what is missing of it again after a cut; returns where the next one goes."""
        tries = self._transport.tries()
        progress = _noting(tries, progress)
        sent = 0
        while True:
            try:
                body = _from(part, sent, lambda done: progress(offset + done))
                return self._patch(location, body, offset + sent)
            except RegistryError as error:
                if not (heals(error) or error.status == 416):
                    raise
                tries.again(error)
                failure = error
            location, reached = self._state(location, tries)
            if not location or not offset <= reached <= offset + part.size:
                raise _Lost(f"{self._endpoint.host} lost the beginning of an upload", hint="push again") from failure
            sent = reached - offset
            if sent == part.size:
                return location

    def _complete(self, location: str, digest: Digest) -> None:
        tries = self._transport.tries()
        while True:
            try:
                return self._finish(location, digest, None)
            except RegistryError as error:
                if error.status == 404 and self._has(digest):
                    return None  # the answer to the last try was lost on its way
                if not heals(error):
                    raise
                tries.again(error)

    def _patch(self, location: str, body: Body, offset: int) -> str:
        headers = {"Content-Type": _BINARY, "Content-Range": f"{offset}-{offset + body.size - 1}"}
        with self._send("PATCH", location, headers, body, (202, 204)) as answer:
            reached = _reached(answer)
            if reached is not None and reached != offset + body.size:
                raise RegistryError(
                    f"{answer.host} took {reached} bytes of an upload where it was sent {offset + body.size}",
                    status=416,
                )
            return self._location(answer)

    def _finish(self, location: str, digest: Digest, body: Body | None) -> None:
        url = add_query(location, urlencode({"digest": digest}, safe=":"))
        headers = {"Content-Type": _BINARY} if body is not None else {}
        with self._send("PUT", url, headers, body if body is not None else b"", (201, 204)) as answer:
            stored = answer.headers.get("Docker-Content-Digest", digest)
        if stored != digest and algorithm_of(stored) == algorithm_of(digest):
            raise DigestMismatch(f"{answer.host} stored another blob", expected=digest, actual=stored)

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: Body | bytes, expect: Sequence[int]
    ) -> Response:
        once = self._transport.once()  # what was sent has to be asked for before another try
        return self._transport.request(
            method, self._endpoint, url, scopes=self._scopes, headers=headers, body=body, expect=expect, tries=once
        )

    def _state(self, location: str, tries: Tries) -> tuple[str, int]:
        """Ask how far an upload has come: its location and bytes; "" and 0 where it is no more."""
        if not location:
            return "", 0
        try:
            with self._transport.request(
                "GET", self._endpoint, location, scopes=self._scopes, expect=(204, 202, 200), tries=tries
            ) as answer:
                return self._location(answer) if "Location" in answer.headers else location, _reached(answer) or 0
        except RegistryError as error:
            if error.status in (400, 404, 405, 410, 501):
                return "", 0
            raise

    def _has(self, digest: Digest) -> bool:
        path = f"/v2/{self._endpoint.repository}/blobs/{digest}"
        with self._transport.request("HEAD", self._endpoint, path, scopes=self._scopes, expect=(200, 404)) as answer:
            return answer.status == 200

    def _location(self, answer: Response) -> str:
        location = answer.headers.get("Location")
        if not location:
            raise RegistryError(f"{answer.host} does not say where an upload goes", status=answer.status)
        return resolve(answer.url, location)


class _Held:
    """Bytes in memory, read without a copy of the whole."""

    def __init__(self, data: bytes) -> None:
        self._view = memoryview(data)

    def read(self, size: int = -1) -> bytes:
        """Read on."""
        end = len(self._view) if size < 0 else size
        data = bytes(self._view[:end])
        self._view = self._view[end:]
        return data


def _held(data: bytes) -> Body:
    return Body(open=lambda: _Held(data), size=len(data))


class _Counted:
    """A body that says how far it was read."""

    def __init__(self, source: Readable, offset: int, progress: Progress) -> None:
        self._source = source
        self._done = offset
        self._progress = progress

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self._done += len(data)
        self._progress(self._done)
        return data

    def close(self) -> None:
        close = getattr(self._source, "close", None)
        if close is not None:
            close()


def _noting(tries: Tries, progress: Progress) -> Progress:
    """Let what moves keep the patience that is left for the time when nothing does."""

    def moved(done: int) -> None:
        tries.alive()
        progress(done)

    return moved


def _from(body: Body, offset: int, progress: Progress) -> Body:
    """Give what is left of a body behind `offset` bytes."""

    def opened() -> Readable:
        source = body.open()
        seek = getattr(source, "seek", None)
        if offset and seek is not None:
            seek(offset)
        elif offset:
            left = offset
            while left and (data := source.read(min(left, CHUNK))):
                left -= len(data)
        return _Counted(source, offset, progress)

    return Body(open=opened, size=body.size - offset)


def _read_full(stream: Readable, size: int) -> bytes:
    """Read `size` bytes, fewer only at the end."""
    first = stream.read(size)
    if len(first) == size or not first:
        return first
    parts, have = [first], len(first)
    while have < size and (data := stream.read(size - have)):
        parts.append(data)
        have += len(data)
    return b"".join(parts)


def _reached(answer: Response) -> int | None:
    """Read how many bytes a registry has of an upload. `0-0` is nothing, as registries write it, or one byte."""
    match = _RANGE.fullmatch(answer.headers.get("Range", ""))
    if match is None:
        return None
    last = int(match[1])
    return last + 1 if last else 0
