"""Keep house while the registry serves: end old uploads, sync, drop what nobody needs, collect the store's garbage."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from frozen import replace
from runtime.context import Cancel
from runtime.errors import PybuildError
from runtime.registry.server.records import LIFETIME
from runtime.store import Store
from runtime.store.collect import collect

if TYPE_CHECKING:
    from runtime.registry.server.storage import Storage
    from runtime.registry.server.uploads import Uploads
    from runtime.registry.server.workers import Workers

_EVERY = 30.0
"""Seconds between two rounds where nothing was deleted. They are cheap: garbage is looked for only after deletions."""
_SOON = 2.0
"""Seconds from a deletion to the round that it causes: deletions come in crowds."""
_TRIES = 10
"""Times that a round tries to have the store alone before it leaves that to the next one."""
_PAUSE = 0.5
"""Seconds between two tries."""
UNUSED_LIFETIME = 7 * LIFETIME
"""Nanoseconds for which a mirror keeps what nobody asks for."""


class House:
    """The rounds of one server. What goes wrong in one is left to the next."""

    def __init__(
        self,
        storage: Storage,
        uploads: Uploads,
        workers: Workers,
        *,
        tls: ssl.SSLContext | None = None,
        certificate: tuple[Path, Path] | None = None,
        is_mirror: bool = False,
    ) -> None:
        self._storage = storage
        self._uploads = uploads
        self._workers = workers
        self._tls = tls
        self._certificate = certificate
        self._is_mirror = is_mirror
        self._woken = asyncio.Event()
        self._cancel = Cancel()
        self._garbage = True
        self._certificate_state: list[int] = []

    def wake(self) -> None:
        """Ask for a round soon, because something was deleted."""
        self._woken.set()

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Go on rounds during the block."""
        task = asyncio.create_task(self._rounds())
        try:
            yield
        finally:
            self._cancel.set(15)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _rounds(self) -> None:
        while True:
            with suppress(PybuildError, OSError):
                await self._workers.long(self._round)
            try:
                async with asyncio.timeout(_EVERY):
                    await self._woken.wait()
                await asyncio.sleep(_SOON)
                self._garbage = True
            except TimeoutError:
                pass
            self._woken.clear()

    def _round(self) -> None:
        now = self._storage.store.context.now()
        self._follow_certificate()
        self._storage.store.settle()
        self._uploads.sweep(now - LIFETIME)
        if self._is_mirror and self._storage.records.drop_unused(now - UNUSED_LIFETIME):
            self._garbage = True
        if self._storage.records.drop_unreferenced(now - LIFETIME):
            self._garbage = True
        if self._garbage and self._collect():
            self._garbage = False

    def _follow_certificate(self) -> None:
        """Use a certificate that was replaced for the connections that come; half a pair is tried again."""
        if self._tls is None or self._certificate is None:
            return
        with suppress(OSError):
            state = [os.stat(path).st_mtime_ns for path in self._certificate]
            if state != self._certificate_state:
                self._tls.load_cert_chain(*self._certificate)
                self._certificate_state = state

    def _collect(self) -> bool:
        """Delete garbage, if nobody else has the store open: through a Store of its own, whose lock is another."""
        context = replace(self._storage.store.context, cancel=self._cancel)
        with Store.open(context) as store:
            for _ in range(_TRIES):
                with store.exclusive(wait=False) as alone:
                    if alone:
                        collect(store, wait=False)
                        return True
                if self._cancel.wait(_PAUSE):
                    break
        return False
