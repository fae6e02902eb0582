"""Run the registry: listen, answer until told to stop, finish what is open, and keep house meanwhile."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from frozen import Frozen
from runtime.errors import RegistryError, UsageError
from runtime.registry.server.app import Parts, Registry
from runtime.registry.server.auth import Htpasswd
from runtime.registry.server.house import House
from runtime.registry.server.local import LocalImages
from runtime.registry.server.storage import Storage
from runtime.registry.server.uploads import Uploads
from runtime.registry.server.workers import Workers

if TYPE_CHECKING:
    from runtime.context import Cancel
    from runtime.store import Store

_BUFFER = 256 << 10
"""Bytes that are read ahead of a connection; twice as many stop its reading."""
_KEEP_ALIVE = 75.0
_HEAD = 20.0
"""Seconds in which the head of a connection's first request has to come; later ones have what is left of the above."""
_LINGER = 3.0
"""Seconds for which the body of a refused request is read and thrown away, so that its sender sees the answer."""
_FINISH = 60.0
"""Seconds in which the last answers have to be sent after a stop, when all requests were handled."""


class Settings(Frozen):
    """How to serve. `local` is a pattern of familiar names; `mirror` the URL of the upstream."""

    host: str = "127.0.0.1"
    port: int = 5000
    htpasswd: Path | None = None
    certificate: tuple[Path, Path] | None = None
    """The TLS certificate (with its chain) and its key."""
    read_only: bool = False
    mirror: str | None = None
    local: str | None = None


def serve(store: Store, settings: Settings, *, stop: Cancel, ready: Callable[[str], None]) -> None:
    """Serve until `stop` is set, then finish the open requests. `ready` gets the URL when connections are accepted.

    The store is open and `idle`; its own context's cancel is set by nobody but us. Raises UsageError for settings that
    cannot be, RegistryError where the address cannot be had.
    """
    asyncio.run(_serve(store, settings, stop, ready))


async def _serve(store: Store, settings: Settings, stop: Cancel, ready: Callable[[str], None]) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, _about: None)  # connections that break are no news
    stopped = asyncio.Event()
    loop.add_reader(stop.fd, stopped.set)
    try:
        async with running(store, settings) as url:
            ready(url)
            await stopped.wait()
    finally:
        loop.remove_reader(stop.fd)


@asynccontextmanager
async def running(store: Store, settings: Settings) -> AsyncIterator[str]:
    """Accept connections during the block, which gets the URL; at its end wait for the open requests."""
    async with AsyncExitStack() as stack:
        workers = stack.enter_context(Workers())
        storage = Storage(store, settings.mirror or "")
        mirror = None
        if settings.mirror is not None:
            from runtime.registry.server.mirror import open_mirror  # lazy: the client of registries

            mirror = await stack.enter_async_context(open_mirror(storage, workers, settings.mirror))
        uploads = Uploads(storage, workers)
        tls = _tls(*settings.certificate) if settings.certificate else None
        house = House(
            storage,
            uploads,
            workers,
            tls=tls,
            certificate=settings.certificate,
            is_mirror=mirror is not None,
        )
        registry = Registry(
            Parts(
                storage=storage,
                uploads=uploads,
                workers=workers,
                local=LocalImages(storage, settings.local) if settings.local is not None else None,
                mirror=mirror,
                htpasswd=Htpasswd(settings.htpasswd, workers) if settings.htpasswd else None,
                read_only=settings.read_only,
                changed=house.wake,
            )
        )
        await stack.enter_async_context(house.kept())
        yield await stack.enter_async_context(_listening(registry, settings, tls))


class _Server(web.Server):
    """A server that gives up a connection on which no request comes: many of them would be all that it can have."""

    def __init__(self, handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], **options: Any) -> None:
        async def begun(request: web.BaseRequest) -> web.StreamResponse:
            self._begun(request.protocol)
            return await handle(request)

        super().__init__(begun, **options)
        self._silent: dict[web.RequestHandler, asyncio.TimerHandle] = {}

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._silent[handler] = asyncio.get_running_loop().call_later(_HEAD, transport.abort)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        self._begun(handler)
        super().connection_lost(handler, exc)

    def _begun(self, handler: web.RequestHandler) -> None:
        waiting = self._silent.pop(handler, None)
        if waiting is not None:
            waiting.cancel()


@asynccontextmanager
async def _listening(registry: Registry, settings: Settings, tls: ssl.SSLContext | None) -> AsyncIterator[str]:
    silent = logging.Logger("registry")  # belongs to nobody's hierarchy, and writes nothing
    silent.addHandler(logging.NullHandler())
    server = _Server(
        registry.handle,
        access_log=None,
        logger=silent,
        auto_decompress=False,  # a blob is what was sent, whatever Content-Encoding says
        keepalive_timeout=_KEEP_ALIVE,
        lingering_time=_LINGER,
        read_bufsize=_BUFFER,
    )
    runner = web.ServerRunner(server, shutdown_timeout=_FINISH)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.host or None, settings.port, ssl_context=tls, backlog=1024)
        try:
            await site.start()
        except OSError as error:
            raise RegistryError(
                f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}",
                hint="choose another address with --host ADDRESS:PORT",
            ) from error
        port = runner.addresses[0][1]
        host = f"[{settings.host}]" if ":" in settings.host else settings.host or "0.0.0.0"
        try:
            yield f"{'https' if tls else 'http'}://{host}:{port}"
        finally:
            await site.stop()
            await registry.drain()  # before the runner's own end, which no longer takes in the rest of a body
    finally:
        await runner.cleanup()


def _tls(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        raise UsageError(f"{certificate} and {key} are no certificate with its key: {error.reason}") from error
    except OSError as error:
        raise UsageError(f"{certificate} or {key} cannot be read: {error.strerror}") from error
    return context
