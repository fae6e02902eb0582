"""Answer requests: who may ask, what the path stands for, and the error where it cannot be had.

OCI distribution-spec v1.1 § API. Reading is in `reading`, changing in `changing`.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from aiohttp import web

from frozen import Frozen
from runtime.errors import Cancelled, PybuildError
from runtime.registry.server import answers
from runtime.registry.server.changing import Changing
from runtime.registry.server.errors import Refusal, unsupported
from runtime.registry.server.paths import Target, read_path
from runtime.registry.server.reading import Reading
from runtime.store.placement import is_full

if TYPE_CHECKING:
    from runtime.registry.server.auth import Htpasswd
    from runtime.registry.server.local import LocalImages
    from runtime.registry.server.mirror import Mirror
    from runtime.registry.server.storage import Storage
    from runtime.registry.server.uploads import Uploads
    from runtime.registry.server.workers import Workers

_READ = frozenset(("GET", "HEAD"))
_ALLOWED = {
    "base": "GET, HEAD",
    "catalog": "GET, HEAD",
    "tags": "GET, HEAD",
    "referrers": "GET, HEAD",
    "blob": "GET, HEAD, DELETE",
    "manifest": "GET, HEAD, PUT, DELETE",
    "uploads": "POST",
    "upload": "GET, HEAD, PATCH, PUT, DELETE",
}


class Parts(Frozen):
    """What a registry is made of. With a `mirror` it is read-only, and has what the upstream has."""

    storage: Storage
    uploads: Uploads
    workers: Workers
    local: LocalImages | None = None
    mirror: Mirror | None = None
    htpasswd: Htpasswd | None = None
    read_only: bool = False
    changed: Callable[[], None] = lambda: None
    """Called when something was deleted."""


class Registry:
    """The handler of all requests."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._debug = parts.storage.store.context.debug
        self._stderr = parts.storage.store.context.stderr
        self._reading = Reading(parts)
        self._changing = Changing(parts)
        self._open = 0
        self._stopping = False
        self._ended = asyncio.Event()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; never raises anything but ConnectionError and what aiohttp ends a connection with."""
        self._open += 1
        try:
            response = await self._answer_or_error(request)
        finally:
            self._open -= 1
            self._ended.set()
        if self._stopping:
            response.force_close()
        return response

    async def drain(self) -> None:
        """Wait for the open requests to end; their connections, and those of requests that come now, end with them."""
        self._stopping = True
        while self._open:
            self._ended.clear()
            await self._ended.wait()

    async def _answer_or_error(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._answer(request)
        except Refusal as refusal:
            return answers.failure(refusal)
        except (PybuildError, OSError) as error:
            if isinstance(error, (ConnectionError, Cancelled)):
                raise
            return self._fault(error)
        except web.RequestPayloadError as error:
            raise ConnectionResetError("the body ended early") from error

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.raw_path == "/" and request.method in _READ:
            # What watches over servers asks whether this one lives, without a password.
            return answers.empty(200, {"Cache-Control": "no-cache"})
        if self._parts.htpasswd is not None:
            await self._parts.htpasswd.check(request.headers.get("Authorization"))
        target = read_path(request.raw_path if request.raw_path.startswith("/") else request.rel_url.raw_path)
        if request.method not in _ALLOWED[target.kind].split(", "):
            raise unsupported(f"{request.method} is not for this path", allow=_ALLOWED[target.kind])
        writes = request.method not in _READ
        if writes and (self._parts.read_only or self._parts.mirror is not None):
            raise unsupported("this registry is read-only")
        return await self._handler(target, writes)(request, target)

    def _handler(
        self, target: Target, writes: bool
    ) -> Callable[[web.BaseRequest, Target], Awaitable[web.StreamResponse]]:
        if writes or target.kind == "upload":
            return self._changing.answer
        return self._reading.answer

    def _fault(self, error: Exception) -> web.StreamResponse:
        """Answer with what went wrong here, such as a full disk, in its words without the hint."""
        if self._debug:
            traceback.print_exception(error, file=self._stderr)
        if is_full(error):
            return answers.failure(Refusal(507, "UNKNOWN", "no space left on the disk of the registry"))
        text = error.message if isinstance(error, PybuildError) else str(error.strerror or error)  # type: ignore[attr-defined]
        return answers.failure(Refusal(500, "UNKNOWN", text))
