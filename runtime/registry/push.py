"""Push images: blobs that the registry lacks, then manifests by digest, and the tag last.

A blob is asked for first, then taken from another repository of the registry if one is known to have it, and only then
sent. A layer that is no blob yet is compressed while it is sent, and the blob is kept for the next time.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from frozen import Frozen, replace
from runtime.errors import BlobMissing, NotFound
from runtime.oci import documents
from runtime.oci.digests import ChainID, DiffID, Digest, chain_ids
from runtime.oci.documents import Descriptor
from runtime.oci.fields import MANIFEST_LIMIT
from runtime.registry import resolving
from runtime.registry.arrivals import Arrival
from runtime.registry.events import BlobProgress, Phase, Sink, TransferStarted, nowhere
from runtime.registry.memory import Memory
from runtime.registry.transport import Body
from runtime.registry.verifying import described, subject_of
from runtime.store.leases import lease
from runtime.store.referrers import Referrers

if TYPE_CHECKING:
    from runtime.oci.platforms import Platform
    from runtime.oci.references import Reference
    from runtime.registry.client import Repository
    from runtime.registry.session import Session
    from runtime.store.compression import Compression
    from runtime.store.facade import Store
    from runtime.store.images import Image

_STREAMED = 16 << 20
"""Bytes of a layer's tar from which on it is sent while it is compressed; smaller ones are asked for first."""


class Pushed(Frozen):
    """What a push led to: the digest that the tag stands for now, and the size of that manifest in bytes."""

    reference: Reference
    digest: Digest
    size: int


def push(
    store: Store,
    reference: Reference,
    session: Session,
    *,
    platform: Platform | None = None,
    compression: Compression = "gzip",
    referrers: bool = False,
    progress: Sink = nowhere,
) -> Pushed:
    """Push the image that has this name in the store, to the registry that the name says.

    An index is pushed whole where all of it is here; `platform` chooses one image of it. With `referrers`, what
    speaks of the image goes along. Raises NotFound for a name that is not here, RegistryError, StoreError, Cancelled.
    """
    reference = reference.tagged()
    image = store.images.resolve(str(reference))
    if image is None:
        raise _not_here(store, reference)
    progress(TransferStarted(target=str(reference.tag or reference.digest), repository=reference.path))
    with lease(store) as held:
        held.pin("image", image.id)
        work = _Push(store, reference, session, compression, progress)
        top = work.image(image, platform)
        descriptor = work.send(top, referrers=referrers)
    name = replace(reference, tag=None, digest=descriptor.digest)
    store.images.add_digest(image, name)
    Memory(store).note_digest(reference, image, descriptor.digest)
    return Pushed(reference=reference, digest=descriptor.digest, size=descriptor.size)


def push_documents(
    store: Store,
    reference: Reference,
    top: Descriptor,
    session: Session,
    *,
    image: Image | None = None,
    progress: Sink = nowhere,
) -> Pushed:
    """Push a manifest or index whose blobs are all in the store: to the tag of `reference`, or without one.

    Where there is no tag, it can be pulled by its digest alone. `image` is the one of the store that it belongs to,
    which then is known by that digest. Raises RegistryError, StoreError, Cancelled.
    """
    target = str(reference.tag or top.digest)
    progress(TransferStarted(target=target, repository=reference.path))
    work = _Push(store, reference, session, "gzip", progress)
    with lease(store) as held:
        for part in work.parts(top):
            held.pin("blob", part.digest)
        work.send(top, referrers=False)
    if image is not None:
        store.images.add_digest(image, replace(reference, tag=None, digest=top.digest))
        Memory(store).note_digest(reference, image, top.digest)
    return Pushed(reference=reference, digest=top.digest, size=top.size)


def tags_of(store: Store, reference: Reference) -> tuple[Reference, ...]:
    """List the names that a repository has in the store, for `push --all-tags`; raises NotFound for none."""
    names = _names_of(store, reference)
    if not names:
        raise _not_here(store, reference)
    return names


def _names_of(store: Store, reference: Reference) -> tuple[Reference, ...]:
    names = {name for image in store.images.list() for name in image.names if name.name == reference.name}
    return tuple(sorted(names, key=str))


def _not_here(store: Store, reference: Reference) -> NotFound:
    """Say what is missing in Docker's words: the repository, or a tag of it."""
    hint = f"`pybuild tag IMAGE {reference.tagged().familiar()}` gives one the name"
    others = _names_of(store, reference)
    if not others:
        return NotFound(f"An image does not exist locally with the tag: {reference.familiar_name}", hint=hint)
    there = ", ".join(str(name.tag) for name in others[:10])
    return NotFound(f"tag does not exist: {reference.familiar()}", hint=f"there is {there}; {hint}")


class _Push:
    """One name on its way out."""

    def __init__(
        self, store: Store, reference: Reference, session: Session, compression: Compression, progress: Sink
    ) -> None:
        self._store = store
        self._reference = reference
        self._session = session
        self._compression = compression
        self._progress = progress
        self._repository: Repository = session.repository(reference, push=True)
        self._memory = Memory(store)
        self._sent: set[Digest] = set()
        self._shown: dict[Digest, DiffID] = {}
        """The diff IDs of layers, under which Docker shows them."""

    def image(self, image: Image, platform: Platform | None) -> Descriptor:
        """Give the manifest or index to push, with all its blobs in the store; layers may be sent on the way."""
        target = self._store.images.target(self._reference)
        if target is not None and platform is None:
            return target
        if target is not None and platform is not None:
            return resolving.resolve(_Stored(self._store), target.digest, platform).chosen
        resolving.refuse_other_platform(self._reference.familiar(), image.config, platform)
        if image.manifest is None:
            self._make_layers(image)
        manifest = self._store.images.manifest(image, self._compression)
        layers = self._store.images.read_manifest(manifest).layers
        self._shown |= {layer.digest: diff_id for layer, diff_id in zip(layers, image.config.diff_ids, strict=True)}
        return manifest

    def _make_layers(self, image: Image) -> None:
        """Compress the large layers that are no blobs yet while they are sent; the small ones are left."""
        layers = self._store.images.layers
        work = []
        for diff_id, chain_id in zip(image.config.diff_ids, chain_ids(image.config.diff_ids), strict=True):
            snapshot = self._store.snapshots.get(chain_id)
            if snapshot and snapshot.tar_size >= _STREAMED and layers.remembered(diff_id) is None:
                self._progress(BlobProgress(key=diff_id, phase="preparing"))
                work.append(self._session.submit(partial(self._stream, diff_id, chain_id)))
        self._session.wait(work)

    def _stream(self, diff_id: DiffID, chain_id: ChainID) -> None:
        """Compress a layer in one thread and send it in another, which reads behind the first."""
        from concurrent.futures import Future

        arrival = Arrival(self._session)
        layers = self._store.images.layers
        digest: Future[Digest] = Future()

        def produce() -> Digest:
            try:
                made = layers.make(diff_id, chain_id, self._compression, watcher=arrival)
                arrival.end(partial(self._store.blobs.open, made.digest), made.size)
            finally:
                arrival.abandon()
            digest.set_result(made.digest)
            return made.digest

        def consume() -> Digest:
            def report(done: int) -> None:
                self._progress(BlobProgress(key=diff_id, phase="uploading", done=done))

            with arrival.growing(lambda: self._session.wait([digest])[0]) as blob:
                return self._repository.upload_growing(blob, progress=report)

        _, sent = self._session.together((produce, consume))
        self._progress(BlobProgress(key=diff_id, phase="uploaded"))
        self._sent.add(sent)

    def parts(self, top: Descriptor) -> tuple[Descriptor, ...]:
        """List all that is pushed with `top`, itself included."""
        manifests, blobs = resolving.closure(self._read, top)
        return (*manifests, *blobs)

    def send(self, top: Descriptor, *, referrers: bool) -> Descriptor:
        """Push everything below `top`, then `top` under the tag."""
        manifests, blobs = resolving.closure(self._read, top)
        more = self._speaking_of(manifests) if referrers else ()
        for descriptor in more:
            further, other = resolving.closure(self._read, descriptor)
            manifests = (*further, *manifests)
            blobs = (*blobs, *other)
        wanted = {blob.digest: blob for blob in blobs if not is_foreign(blob)}
        layers = [blob for blob in wanted.values() if documents.layer_compression(blob.media_type) is not None]
        for blob in layers:
            if blob.digest not in self._sent:
                self._report(blob, "preparing")
        self._session.wait([self._session.submit(partial(self._blob, blob)) for blob in wanted.values()])
        self._memory.seen(self._reference, wanted)
        for descriptor in manifests:
            self._manifest(descriptor, descriptor.digest)
        if self._reference.tag is not None:
            self._manifest(top, self._reference.tag)
        return top

    def _speaking_of(self, manifests: Sequence[Descriptor]) -> tuple[Descriptor, ...]:
        """Collect what speaks of manifests, and what speaks of that, each once."""
        known = Referrers(self._store)
        found: dict[Digest, Descriptor] = {}
        pending = [item.digest for item in manifests]
        while pending:
            for item in known.of(pending.pop()):
                if item.digest not in found:
                    found[item.digest] = item
                    pending.append(item.digest)
        listed = {item.digest for item in manifests}
        return tuple(item for item in found.values() if item.digest not in listed)

    def _blob(self, blob: Descriptor) -> None:
        """See to it that the registry has a blob."""
        if blob.digest in self._sent:
            return
        if self._repository.has_blob(blob.digest) is not None:
            self._report(blob, "exists", done=blob.size)
            return
        for path in self._memory.places(self._reference, blob.digest):
            if self._repository.mount_blob(blob.digest, path):
                self._report(blob, "uploaded", done=blob.size, mounted_from=path)
                return
        blobs = self._store.blobs
        if not blobs.has(blob.digest):
            raise BlobMissing(blob.digest, hint="pull the image again, or push one --platform of it")
        body = Body(open=partial(blobs.open, blob.digest), size=blobs.size(blob.digest))
        self._report(blob, "uploading")
        self._repository.upload_blob(body, blob.digest, progress=partial(self._uploading, blob))
        self._report(blob, "uploaded", done=blob.size)
        self._sent.add(blob.digest)

    def _uploading(self, blob: Descriptor, done: int) -> None:
        self._report(blob, "uploading", done=done)

    def _report(self, blob: Descriptor, phase: Phase, *, done: int = 0, mounted_from: str = "") -> None:
        if documents.layer_compression(blob.media_type) is None:
            return  # Docker shows layers alone
        key = self._shown.get(blob.digest, blob.digest)
        self._progress(BlobProgress(key=key, phase=phase, done=done, total=blob.size, mounted_from=mounted_from))

    def _manifest(self, descriptor: Descriptor, target: str) -> None:
        send_manifest(self._repository, descriptor.digest, self._read(descriptor), target)

    def _read(self, descriptor: Descriptor) -> bytes:
        return self._store.blobs.read(descriptor.digest, MANIFEST_LIMIT)


def send_manifest(repository: Repository, digest: Digest, data: bytes, target: str) -> None:
    """Store a manifest under `target`, its digest or a tag, and see to it that it is found as a referrer if it is one.

    OCI distribution-spec § Pushing Manifests with Subject.
    """
    noted = repository.put_manifest(target, documents.media_type_of(data), data)[1]
    subject = subject_of(data)
    if subject is not None and noted is None:
        repository.add_referrer(subject, described(digest, data))


class _Stored:
    """The manifests and configs of the store: a `resolving.Source`."""

    def __init__(self, store: Store) -> None:
        self._blobs = store.blobs

    def get_manifest(self, target: str) -> tuple[Descriptor, bytes]:
        data = self._blobs.read(Digest(target), MANIFEST_LIMIT)
        return Descriptor(media_type=documents.media_type_of(data), digest=Digest(target), size=len(data)), data

    def read_blob(self, digest: Digest, size: int | None, *, limit: int) -> bytes:
        del size  # what is in the store was compared when it came
        return self._blobs.read(digest, limit)


def is_foreign(blob: Descriptor) -> bool:
    """Tell whether a layer must not be pushed (OCI image-spec, layer.md § Non-Distributable Layers)."""
    return ".nondistributable." in blob.media_type or ".foreign." in blob.media_type
