"""Copy images between registries, layouts and archives, blob by blob, without a store in between.

Nothing is unpacked or compressed anew: what arrives has the digests that it had. Artifacts of every kind move as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from frozen import Frozen
from runtime.errors import UsageError
from runtime.oci import documents
from runtime.oci.digests import Digest
from runtime.oci.documents import Descriptor
from runtime.oci.references import Reference, parse_reference
from runtime.registry import resolving
from runtime.registry.events import BlobProgress, Phase, Sink, nowhere
from runtime.registry.push import is_foreign, send_manifest
from runtime.registry.transport import Body, Readable

if TYPE_CHECKING:
    from runtime.oci.platforms import Platform
    from runtime.registry.blobstream import BlobStream
    from runtime.registry.places import Opened, Place, Source, Target
    from runtime.registry.session import Session


class Copied(Frozen):
    """What a copy led to: the manifest or index that the name at the target stands for now."""

    digest: Digest
    size: int


def copy(
    source: Place,
    target: Place,
    session: Session,
    *,
    platform: Platform | None = None,
    everything: bool = False,
    referrers: bool = False,
    progress: Sink = nowhere,
) -> Copied:
    """Copy what `source` names: of an index one image, for `platform` or this machine, or with `everything` all of it.

    With `referrers`, what speaks of it goes along. Raises NotFound, RegistryError, DigestMismatch, StoreError.
    """
    with ExitStack() as stack:
        reading = stack.enter_context(open_source(session, source))
        writing = stack.enter_context(open_target(session, target))
        return _Copy(session, reading, writing, progress).run(platform, everything, referrers)


@contextmanager
def open_source(session: Session, place: Place) -> Iterator[Source]:
    """Open where an image is."""
    if place.kind == "registry":
        yield _RegistrySource(session, parse_reference(place.name).tagged())
    elif place.kind == "layout":
        from runtime.registry.layoutplace import LayoutSource

        yield LayoutSource(place.path, place.name)
    else:
        from runtime.registry.archiveplace import ArchiveSource

        docker = place.kind == "docker-archive"
        with ArchiveSource(session.context, place.path, place.name, docker=docker) as archive:
            yield archive


@contextmanager
def open_target(session: Session, place: Place) -> Iterator[Target]:
    """Open where an image goes."""
    if place.kind == "registry":
        yield _RegistryTarget(session, parse_reference(place.name).tagged())
    elif place.kind == "layout":
        from runtime.registry.layoutplace import LayoutTarget

        yield LayoutTarget(session.context, place.path, place.name)
    else:
        from runtime.registry.archiveplace import ArchiveTarget

        docker = place.kind == "docker-archive"
        with ArchiveTarget(session.context, place.path, place.name, docker=docker) as archive:
            yield archive


class _Copy:
    """One copy at work."""

    def __init__(self, session: Session, source: Source, target: Target, progress: Sink) -> None:
        self._session = session
        self._source = source
        self._target = target
        self._progress = progress
        self._documents: dict[Digest, bytes] = {}

    def run(self, platform: Platform | None, everything: bool, referrers: bool) -> Copied:
        """Move blobs in parallel, then manifests from the lowest up."""
        descriptor, data = self._source.get_manifest(self._source.top)
        self._documents[descriptor.digest] = data
        top = descriptor
        if not everything and documents.media_type_of(data) in documents.INDEX_TYPES:
            found = resolving.Document(descriptor=descriptor, data=data)
            top = resolving.resolve(self._source, self._source.top, platform, found=found).chosen
        manifests, blobs = resolving.closure(self._read, top)
        if referrers:
            for item in self._speaking_of(manifests):
                further, other = resolving.closure(self._read, item)
                manifests, blobs = (*further, *manifests), (*blobs, *other)
        unique = {blob.digest: blob for blob in blobs if not is_foreign(blob)}
        self._session.wait([self._session.submit(partial(self._blob, blob)) for blob in unique.values()])
        for manifest in {item.digest: item for item in manifests}.values():
            self._target.put_manifest(manifest, self._read(manifest))
        self._target.finish(top, self._read(top))
        return Copied(digest=top.digest, size=len(self._read(top)))

    def _read(self, descriptor: Descriptor) -> bytes:
        if descriptor.digest not in self._documents:
            self._documents[descriptor.digest] = resolving.child(self._source, descriptor).data
        return self._documents[descriptor.digest]

    def _speaking_of(self, manifests: tuple[Descriptor, ...]) -> tuple[Descriptor, ...]:
        listed = {item.digest for item in manifests}
        found: dict[Digest, Descriptor] = {}
        pending = list(listed)
        while pending:
            for item in self._source.referrers(pending.pop()):
                if item.digest not in found and item.digest not in listed:
                    found[item.digest] = item
                    pending.append(item.digest)
        return tuple(found.values())

    def _blob(self, blob: Descriptor) -> None:
        self._report(blob, "preparing")
        if self._target.has_blob(blob):
            self._report(blob, "exists", done=blob.size)
            return
        place = self._target.mount_blob(blob, self._source)
        if place is None:
            self._report(blob, "uploading")
            self._target.put_blob(blob, partial(self._opened, blob))
        self._report(blob, "uploaded", done=blob.size, mounted_from=place or "")

    @contextmanager
    def _opened(self, blob: Descriptor) -> Iterator[_Counted]:
        with self._source.open_blob(blob) as stream:
            yield _Counted(stream, partial(self._report, blob, "uploading"))

    def _report(self, blob: Descriptor, phase: Phase, done: int = 0, mounted_from: str = "") -> None:
        self._progress(
            BlobProgress(key=blob.digest, phase=phase, done=done, total=blob.size, mounted_from=mounted_from)
        )


class _Counted:
    """A stream that tells how much of it was read."""

    def __init__(self, stream: Readable, report: Callable[[int], None]) -> None:
        self._stream = stream
        self._report = report
        self._done = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self._done += len(data)
        self._report(self._done)
        return data


class _RegistrySource:
    """A `places.Source`: a tag or digest of a registry."""

    def __init__(self, session: Session, reference: Reference) -> None:
        self.reference = reference
        self.top = str(reference.digest or reference.tag)
        self._repository = session.repository(reference)

    def get_manifest(self, target: str) -> tuple[Descriptor, bytes]:
        return self._repository.get_manifest(target)

    def read_blob(self, digest: Digest, size: int | None, *, limit: int) -> bytes:
        return self._repository.read_blob(digest, size, limit=limit)

    def open_blob(self, blob: Descriptor) -> BlobStream:
        return self._repository.blob(blob.digest, blob.size, urls=blob.urls)

    def referrers(self, digest: Digest) -> tuple[Descriptor, ...]:
        return self._repository.referrers(digest)


class _RegistryTarget:
    """A `places.Target`: a tag of a registry, or its repository alone for a digest."""

    def __init__(self, session: Session, reference: Reference) -> None:
        self._reference = reference
        self._repository = session.repository(reference, push=True)

    def has_blob(self, blob: Descriptor) -> bool:
        return self._repository.has_blob(blob.digest) is not None

    def mount_blob(self, blob: Descriptor, source: Source) -> str | None:
        """Let the registry take a blob from another of its own repositories."""
        if not isinstance(source, _RegistrySource) or source.reference.domain != self._reference.domain:
            return None
        path = source.reference.path
        if path == self._reference.path or not self._repository.mount_blob(blob.digest, path):
            return None
        return path

    def put_blob(self, blob: Descriptor, opened: Opened) -> None:
        with ExitStack() as stack:

            def again() -> Readable:
                stack.close()
                return stack.enter_context(opened())

            self._repository.upload_blob(Body(open=again, size=blob.size), blob.digest)

    def put_manifest(self, descriptor: Descriptor, data: bytes) -> None:
        send_manifest(self._repository, descriptor.digest, data, descriptor.digest)

    def finish(self, top: Descriptor, data: bytes) -> None:
        if self._reference.digest is not None and self._reference.digest != top.digest:
            raise UsageError(
                f"{self._reference.familiar()}: the image that was copied has the digest {top.digest}",
                hint="name a tag, or the digest that it has",
            )
        if self._reference.tag is not None:
            send_manifest(self._repository, top.digest, data, self._reference.tag)
