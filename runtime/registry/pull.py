"""Pull an image: find it, bring what is missing, unpack its layers while they arrive, then give it its name.

Nothing has a name before all of it is here and verified. A layer is skipped where its snapshot is here; layers unpack
in their order, from the lowest, while later ones are still on their way.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from functools import partial
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, BinaryIO

from frozen import Frozen, replace
from runtime.errors import BlobMissing, DigestMismatch, NotFound
from runtime.oci import documents
from runtime.oci.digests import ChainID, DiffID, Digest, chain_ids
from runtime.oci.documents import Descriptor, ImageConfig
from runtime.oci.fields import MANIFEST_LIMIT
from runtime.oci.platforms import host_platform, suits
from runtime.registry import resolving
from runtime.registry.arrivals import Arrival, download
from runtime.registry.events import BlobProgress, Sink, TransferStarted, nowhere
from runtime.registry.memory import Memory
from runtime.registry.resolving import Resolved
from runtime.store.leases import Lease, lease
from runtime.store.referrers import Referrers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from runtime.oci.platforms import Platform
    from runtime.oci.references import Reference
    from runtime.registry.client import Repository
    from runtime.registry.session import Session
    from runtime.store.facade import Store
    from runtime.store.images import Image

_ROOM = 1 << 30
"""Bytes that any layer may unpack to."""
_RATIO = 256
"""Times its own size that a larger layer may unpack to; real ones stay below 30."""
_EMPTY = "docker.io/library/scratch"
"""What a registry cannot have."""
_SLICE = 0.1
"""Seconds between two looks at the cancellation."""
_REFERRERS = 256
"""Manifests that speak of one image and are brought with it."""


class Pulled(Frozen):
    """What a pull led to: `digest` is the registry's for the name; `changed` False where all was here already."""

    reference: Reference
    image: Image
    digest: Digest
    changed: bool


def pull(
    store: Store,
    reference: Reference,
    session: Session,
    *,
    platform: Platform | None = None,
    named: bool = True,
    referrers: bool = False,
    progress: Sink = nowhere,
) -> Pulled:
    """Pull one image and give it its name; of a reference with a digest that digest alone, as Docker does.

    `platform` chooses from an index (else this machine's), and is refused for an image of another. Without `named`
    the tag stays where it is in the store, and the image is known by its digest. With `referrers`, what the registry
    has that speaks of the image is kept with it. Raises NotFound, RegistryError,
    DigestMismatch, LayerError, StoreError, Cancelled; the store is as it was then, but for whole blobs and layers.
    """
    _refuse_reserved(reference)
    reference = reference.tagged()
    target = str(reference.digest or reference.tag)
    repository = session.repository(reference)
    current = _unchanged(store, reference, repository, platform) if named else None
    with lease(store) as held:
        work = _Pull(store, reference, repository, session, held, progress)
        if current is not None:
            progress(TransferStarted(target=target, repository=reference.path))
        pulled = current or work.run(target, platform, named)
        if referrers:
            work.referrers(pulled)
    return pulled


def pull_all(
    store: Store,
    reference: Reference,
    session: Session,
    *,
    platform: Platform | None = None,
    referrers: bool = False,
    progress: Sink = nowhere,
) -> Iterator[Pulled]:
    """Pull all tags of a repository, one after the other in the registry's order."""
    _refuse_reserved(reference)
    for tag in session.repository(reference).tags():
        name = replace(reference, tag=tag, digest=None)
        yield pull(store, name, session, platform=platform, referrers=referrers, progress=progress)


def _refuse_reserved(reference: Reference) -> None:
    if reference.name == _EMPTY:
        raise NotFound("'scratch' is a reserved name", hint="it stands for nothing at all, and for that in FROM alone")


def _unchanged(store: Store, reference: Reference, repository: Repository, platform: Platform | None) -> Pulled | None:
    """Ask for the digest alone where the name is here; gives the image if the registry has the same one."""
    image = store.images.resolve(str(reference))
    if image is None or not suits(platform or host_platform(), image.config.platform):
        return None
    top = reference.digest
    if top is None:
        head = repository.head_manifest(str(reference.tag))
        top = head.digest if head else None
    known = {item.digest for item in image.digests if item.name == reference.name}
    if top is None or top not in known or not _is_whole(store, image):
        return None
    return Pulled(reference=reference, image=image, digest=top, changed=False)


def _is_whole(store: Store, image: Image) -> bool:
    """Tell whether each layer of an image is here, or its blob: a power cut may have taken one, or the user."""
    chain = chain_ids(image.config.diff_ids)
    layers = all(
        store.snapshots.get(chain_id) is not None or store.images.layers.remembered(diff_id) is not None
        for diff_id, chain_id in zip(image.config.diff_ids, chain, strict=True)
    )
    return layers and not _lacks_blobs(store, image)


def _lacks_blobs(store: Store, image: Image) -> bool:
    """Tell whether an image that is in the OCI layout has lost some of its blobs there."""
    if image.manifest is None:
        return False
    if not store.blobs.has(image.manifest.digest):
        return True
    return not all(store.blobs.has(layer.digest) for layer in store.images.read_manifest(image.manifest).layers)


class _Known:
    """A repository, but what the store has is not fetched: a `resolving.Source`."""

    def __init__(self, store: Store, repository: Repository) -> None:
        self._store = store
        self._repository = repository

    def get_manifest(self, target: str) -> tuple[Descriptor, bytes]:
        if ":" in target and self._store.blobs.has(Digest(target)):
            data = self._store.blobs.read(Digest(target), MANIFEST_LIMIT)
            kind = documents.media_type_of(data)
            return Descriptor(media_type=kind, digest=Digest(target), size=len(data)), data
        return self._repository.get_manifest(target)

    def read_blob(self, digest: Digest, size: int | None, *, limit: int) -> bytes:
        if self._store.blobs.has(digest):
            return self._store.blobs.read(digest, limit)
        return self._repository.read_blob(digest, size, limit=limit)


class _Turn(Frozen):
    """A layer to unpack; `below` is set when its parent is here (None: it is already), `done` when itself is."""

    layer: Descriptor
    arrival: Arrival
    diff_id: DiffID
    chain_id: ChainID
    parent: ChainID | None
    below: Event | None
    done: Event


def _turns(layers: Sequence[Descriptor], config: ImageConfig, arrivals: Mapping[Digest, Arrival]) -> list[_Turn]:
    """List what arrives, the lowest layer first: each is unpacked beside others, few need to know what lies below."""
    turns: list[_Turn] = []
    parent: ChainID | None = None
    below: Event | None = None
    for layer, diff_id, chain_id in zip(layers, config.diff_ids, chain_ids(config.diff_ids), strict=True):
        done: Event | None = None
        if layer.digest in arrivals:
            done = Event()
            turns.append(
                _Turn(
                    layer=layer,
                    arrival=arrivals[layer.digest],
                    diff_id=diff_id,
                    chain_id=chain_id,
                    parent=parent,
                    below=below,
                    done=done,
                )
            )
        parent, below = chain_id, done
    return turns


class _Pull:
    """One image on its way here."""

    def __init__(
        self,
        store: Store,
        reference: Reference,
        repository: Repository,
        session: Session,
        held: Lease,
        progress: Sink,
    ) -> None:
        self._store = store
        self._reference = reference
        self._repository = repository
        self._source = _Known(store, repository)
        self._session = session
        self._lease = held
        self._progress = progress

    def run(self, target: str, platform: Platform | None, named: bool) -> Pulled:
        """Do all of it."""
        resolved = resolving.resolve(self._source, target, platform)
        self._progress(TransferStarted(target=target, repository=self._reference.path))
        config_data, config = resolving.read_config(self._source, resolved.manifest)
        if len(resolved.documents) == 1:
            resolving.refuse_other_platform(self._reference.familiar(), config, platform)
        blobs = (resolved.manifest.config, *resolved.manifest.layers)
        self._lease.pin(
            "blob", *(item.digest for item in blobs), *(item.descriptor.digest for item in resolved.documents)
        )
        self._lease.pin("snapshot", *chain_ids(config.diff_ids))
        for document in resolved.documents:
            self._keep(document.descriptor.digest, document.data)
        self._keep(resolved.manifest.config.digest, config_data)
        artifacts = [self._session.submit(self._artifact(item)) for item in resolved.artifacts]
        self._layers(resolved.manifest.config.digest, resolved.manifest.layers, config)
        self._session.wait(artifacts)
        image = self._record(resolved, config_data, config, named)
        memory = Memory(self._store)
        memory.seen(self._reference, (item.digest for item in blobs))
        by_digest = replace(self._reference, tag=None, digest=resolved.top.descriptor.digest)
        for name in (self._reference, by_digest):
            memory.note_platform(name, platform or host_platform(), image)
        if named:
            memory.note_digest(self._reference, image, resolved.top.descriptor.digest)
        return Pulled(reference=self._reference, image=image, digest=resolved.top.descriptor.digest, changed=True)

    def referrers(self, pulled: Pulled) -> None:
        """Bring what speaks of the image and of its index, and what speaks of that, level by level."""
        pending = [pulled.digest]
        if pulled.image.manifest is not None and pulled.image.manifest.digest != pulled.digest:
            pending.append(pulled.image.manifest.digest)
        seen = set(pending)
        while pending:
            subject = pending.pop()
            found = [item for item in self._repository.referrers(subject) if item.digest not in seen][:_REFERRERS]
            self._session.wait([self._session.submit(self._artifact(item)) for item in found])
            for item in found:
                if self._store.blobs.has(item.digest):
                    Referrers(self._store).add(subject, item)
            seen |= {item.digest for item in found}
            pending += [item.digest for item in found] if len(seen) < _REFERRERS else []

    def _keep(self, digest: Digest, data: bytes) -> None:
        """Put a document into the store under the digest that it has there, sha256 or not."""
        if not self._store.blobs.has(digest):
            with self._store.blobs.writer(digest, len(data)) as writer:
                writer.write(data)
                writer.commit()

    def _artifact(self, descriptor: Descriptor) -> Callable[[], None]:
        """Give the work that brings an attestation here; an index may name ones that the registry has not."""

        def work() -> None:
            try:
                document = resolving.child(self._source, descriptor)
            except NotFound:
                return
            manifest = documents.decode_manifest(document.data)
            self._lease.pin("blob", descriptor.digest, *(item.digest for item in (manifest.config, *manifest.layers)))
            for blob in {item.digest: item for item in (manifest.config, *manifest.layers)}.values():
                if not self._store.blobs.has(blob.digest):
                    download(self._store, self._repository, blob, Arrival(self._session), nowhere)
            self._keep(descriptor.digest, document.data)

        return work

    def _layers(self, image_id: Digest, layers: Sequence[Descriptor], config: ImageConfig) -> None:
        """Bring and unpack what is not here, from the lowest layer up; blobs alone where the OCI layout lost them."""
        lost: set[Digest] = set()
        known = self._store.images.resolve(image_id)
        if known is not None and _lacks_blobs(self._store, known):
            lost = {layer.digest for layer in layers if not self._store.blobs.has(layer.digest)}
        missing = [
            layer
            for layer, chain_id in zip(layers, chain_ids(config.diff_ids), strict=True)
            if layer.digest in lost or self._store.snapshots.get(chain_id) is None
        ]
        arrivals: dict[Digest, Arrival] = {}
        for layer in layers:
            self._progress(BlobProgress(key=layer.digest, phase="waiting" if layer in missing else "exists"))
        downloads = []
        for layer in missing:
            if layer.digest in arrivals:
                continue
            arrival = arrivals[layer.digest] = Arrival(self._session)
            if self._store.blobs.has(layer.digest):
                self._refuse_other_size(layer)
                arrival.end(partial(self._store.blobs.open, layer.digest), layer.size)
            else:
                work = partial(download, self._store, self._repository, layer, arrival, self._progress)
                downloads.append(self._session.submit(work))
        turns = _turns(layers, config, arrivals)
        compared = self._session.in_turn([partial(self._unpack, turn) for turn in turns])
        self._session.wait(downloads)
        for turn, made in zip(turns, compared, strict=True):
            if made:
                self._store.images.layers.remember(turn.diff_id, turn.layer)

    def _unpack(self, turn: _Turn) -> bool:
        """Unpack one layer, as far as it has arrived; tells whether this compared its blob with its diff ID."""

        def wait(seconds: float | None) -> bool:
            end = None if seconds is None else monotonic() + seconds
            while turn.below is not None and not turn.below.wait(_SLICE):
                self._session.check()
                if end is not None and monotonic() > end:
                    return False
            return True

        layer = turn.layer
        turn.arrival.wait_begun()
        made = self._store.images.layers.unpack(
            turn.parent,
            turn.diff_id,
            turn.chain_id,
            lambda: self._opened(turn.arrival, layer),
            limit=max(_ROOM, layer.size * _RATIO),
            below=wait,
        )
        turn.done.set()
        self._progress(BlobProgress(key=layer.digest, phase="complete", done=layer.size, total=layer.size))
        return made

    @contextmanager
    def _opened(self, arrival: Arrival, layer: Descriptor) -> Iterator[BinaryIO]:
        """Read a layer and show how far unpacking is."""

        def read(done: int) -> None:
            self._progress(BlobProgress(key=layer.digest, phase="extracting", done=done, total=layer.size))

        with arrival.opened(read) as stream:
            yield stream

    def _refuse_other_size(self, layer: Descriptor) -> None:
        size = self._store.blobs.size(layer.digest)
        if size != layer.size:
            raise DigestMismatch(
                f"size of layer {layer.digest}", expected=f"{layer.size} bytes", actual=f"{size} bytes"
            )

    def _record(self, resolved: Resolved, config_data: bytes, config: ImageConfig, named: bool) -> Image:
        """Name the image, with its manifest where all of that is here, and its index where all of that is."""
        blobs = self._store.blobs
        chosen = resolved.chosen
        if chosen.platform is None and config.os:
            chosen = replace(chosen, platform=config.platform)
        whole = all(blobs.has(item.digest) for item in (resolved.manifest.config, *resolved.manifest.layers))
        top = resolved.top.descriptor
        name = replace(self._reference, digest=top.digest)
        if not named:  # the digest of an index stays with the image that has the name
            name = replace(name, tag=None, digest=chosen.digest)
        elif self._reference.digest is not None:
            name = replace(name, tag=None)
        referrers = Referrers(self._store)
        for artifact in resolved.artifacts:
            if blobs.has(artifact.digest):
                referrers.add(chosen.digest, artifact)
        return self._store.images.record(
            config_data,
            (name,),
            manifest=chosen if whole else None,
            target=top if len(resolved.documents) > 1 and self._is_whole(top) else None,
        )

    def _is_whole(self, top: Descriptor) -> bool:
        """Tell whether all that an index names is in the store."""
        blobs = self._store.blobs
        try:
            _, content = resolving.closure(lambda item: blobs.read(item.digest, MANIFEST_LIMIT), top)
        except BlobMissing:
            return False
        return all(blobs.has(item.digest) for item in content)
