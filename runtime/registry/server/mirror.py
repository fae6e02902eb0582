"""Keep what an upstream registry has, as it is asked for: a pull-through cache.

A tag is asked for upstream each time, and what is here does where the upstream cannot be reached. What has a digest
comes from here once it is here. What is kept lies in a name space of its own, apart from what was pushed, and is
dropped a week after it was last asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from frozen import replace
from runtime.context import Cancel
from runtime.errors import Cancelled, DocumentError, PybuildError, RegistryError, UsageError
from runtime.oci.references import DEFAULT_DOMAIN, Reference
from runtime.registry.client import Repository
from runtime.registry.credentials import CredentialSource
from runtime.registry.hostfiles import Place, Rule, read_place
from runtime.registry.hosts import Hosts
from runtime.registry.server.answers import BlobSource, FileSource
from runtime.registry.server.downloads import Download, SizeAlone
from runtime.registry.server.errors import Refusal, blob_unknown
from runtime.registry.server.manifests import read_manifest
from runtime.registry.server.paths import Page, as_digest
from runtime.registry.transport import Timing, Transport

if TYPE_CHECKING:
    from runtime.oci.digests import Digest
    from runtime.registry.server.storage import Storage
    from runtime.registry.server.workers import Workers

_T = TypeVar("_T")

_TIMING = Timing(connect=10, stall=30, tries=3, total=20, longest_wait=10)
"""Shorter than for a user at a terminal: whoever asks us tries again himself."""


@asynccontextmanager
async def open_mirror(storage: Storage, workers: Workers, url: str) -> AsyncIterator[Mirror]:
    """Be connected to an upstream during the block; raises UsageError for a URL that is none."""
    try:
        place = read_place(url, "--mirror")
    except DocumentError as error:
        raise UsageError(
            f"--mirror {url}: {error.message}", hint="write http://HOST[:PORT] or https://HOST[:PORT]"
        ) from error
    cancel = Cancel()
    context = replace(storage.store.context, cancel=cancel)
    hosts = Hosts.load(context).with_rule(Rule(prefix=place.host, location=place))
    with Transport(context, hosts, CredentialSource(context), timing=_TIMING) as transport:
        mirror = Mirror(storage, workers, transport, place)
        try:
            yield mirror
        finally:
            cancel.set(15)
            await mirror.settle()


class Mirror:
    """One upstream. Equal requests that come at once are asked once."""

    def __init__(self, storage: Storage, workers: Workers, transport: Transport, place: Place) -> None:
        self._storage = storage
        self._records = storage.records
        self._workers = workers
        self._transport = transport
        self._place = place
        self._asked: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._downloads: dict[tuple[str, Digest], Download] = {}

    async def settle(self) -> None:
        """Wait for what is under way, which the transport's cancel ends."""
        pending = [*self._asked.values(), *(one.task for one in self._downloads.values() if one.task is not None)]
        await asyncio.gather(*pending, return_exceptions=True)

    # -- manifests -------------------------------------------------------------------------------------------------

    async def refresh(self, name: str, target: str) -> None:
        """See to it that the records have what the upstream has under a tag or digest.

        Raises Refusal where the upstream cannot be asked, and nothing is here.
        """
        key = (name, target)
        task = self._asked.get(key)
        if task is None:
            task = asyncio.create_task(self._workers.long(self._refresh, name, target))
            self._asked[key] = task
            task.add_done_callback(lambda _: self._asked.pop(key, None))
        try:
            await asyncio.shield(task)
        except (PybuildError, Refusal) as error:
            if await self._workers.quick(self._records.manifest, name, target) is None:
                raise _unreachable(error) from error

    def _refresh(self, name: str, target: str) -> None:
        """Ask the upstream; in a thread."""
        digest = as_digest(target)
        if digest is not None and self._records.manifest(name, digest) is not None:
            self._records.touch_manifest(name, digest)
            return
        repository = self._repository(name)
        found = repository.head_manifest(target)
        if found is None:
            if digest is None:
                self._records.delete_tag(name, target)
            return
        if digest is None and self._records.move_tag(name, target, found.digest):
            self._records.touch_manifest(name, found.digest)
            return
        descriptor, data = repository.get_manifest(found.digest)
        info = read_manifest(data, descriptor.media_type)
        tags = () if digest is not None else (target,)
        self._storage.keep_manifest(name, descriptor.digest, data, info, tags, complete=False)

    # -- blobs -----------------------------------------------------------------------------------------------------

    async def blob(self, name: str, digest: Digest, *, size_alone: bool) -> BlobSource:
        """Give a blob that is not here, or only on its way; raises Refusal BLOB_UNKNOWN, or for an upstream's error."""
        download = self._downloads.get((name, digest))
        if download is None:
            if not size_alone and await self._workers.heavy(self._mount_known, name, digest):
                return FileSource(await self._workers.quick(self._storage.open_blob, digest))
            size = await self._ask(lambda: self._repository(name).has_blob(digest))
            if size is None:
                raise blob_unknown(digest)
            if size_alone:
                return SizeAlone(size)
            download = self._downloads.get((name, digest)) or self._begin(name, digest, size)
        return download.source()

    def _begin(self, name: str, digest: Digest, size: int) -> Download:
        download = Download(digest, size, self._storage, self._workers)
        key = (name, digest)
        self._downloads[key] = download
        download.start(lambda: self._repository(name).blob(digest, size), name)
        download.when_done(lambda: self._downloads.pop(key, None))
        return download

    def _mount_known(self, name: str, digest: Digest) -> bool:
        """Take a blob that the store has for other reasons, if a manifest of this repository says that it belongs."""
        return self._records.is_referenced(name, digest) and self._storage.mount_blob(name, digest)

    # -- discovery -------------------------------------------------------------------------------------------------

    async def tags(self, name: str, page: Page) -> list[str] | None:
        """List the upstream's tags; those that are here where it cannot be reached."""

        def ask() -> list[str]:
            if page.limit < 1:
                return []
            return list(islice(self._repository(name).tags(page=page.limit, last=page.last or None), page.limit))

        try:
            return await self._workers.long(ask)
        except RegistryError as error:
            found = await self._workers.quick(self._records.tags, name, page)
            if found is None and error.status != 404:
                raise _unreachable(error) from error
            return found

    async def referrers(
        self, name: str, subject: Digest, artifact_type: str | None, page: Page
    ) -> list[dict[str, object]]:
        """List the upstream's referrers; those that are here where it cannot be reached."""

        def ask() -> list[dict[str, object]]:
            found = self._repository(name).referrers(subject, artifact_type=artifact_type)
            after = sorted((one for one in found if one.digest > page.last), key=lambda one: one.digest)
            return [one.raw for one in after[: page.limit]]

        try:
            return await self._workers.long(ask)
        except RegistryError:
            return await self._workers.quick(self._records.referrers, name, subject, artifact_type, page)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _repository(self, name: str) -> Repository:
        """Name a repository of the upstream; the Hub's own images are in `library`."""
        if self._place.host == DEFAULT_DOMAIN and "/" not in name:
            name = f"library/{name}"
        return Repository(self._transport, Reference(domain=self._place.host, path=name))

    async def _ask(self, function: Callable[[], _T]) -> _T:
        try:
            return await self._workers.long(function)
        except PybuildError as error:
            raise _unreachable(error) from error


def _unreachable(error: Exception) -> Refusal:
    """Say why the upstream's content cannot be had: it refuses, or it cannot be reached."""
    if isinstance(error, Refusal):
        return Refusal(502, "UNKNOWN", f"the upstream sent what is no manifest: {error.message}")
    status = error.status if isinstance(error, RegistryError) else 0
    text = error.message if isinstance(error, PybuildError) else str(error)
    if isinstance(error, Cancelled):
        return Refusal(503, "UNKNOWN", "the registry is stopping")
    if status == 429:
        return Refusal(429, "TOOMANYREQUESTS", text, headers={"Retry-After": "60"})
    if status in (401, 403, 404):
        return Refusal(404, "NAME_UNKNOWN", text)
    return Refusal(502, "UNKNOWN", text)
