"""Read and write OCI image layouts, as directories (OCI image-spec, image-layout.md)."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from frozen import replace
from runtime.errors import BlobMissing, DocumentError, NotFound, StoreError
from runtime.oci import documents
from runtime.oci.digests import Digest, algorithm_of, hex_of
from runtime.oci.documents import CONTAINERD_NAME, REF_NAME, Descriptor, Index
from runtime.oci.fields import MANIFEST_LIMIT
from runtime.registry.transport import CHUNK
from runtime.registry.verifying import checked, described, subject_of, verified

if TYPE_CHECKING:
    from runtime.context import Context
    from runtime.registry.places import Opened, Source

LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'


class LayoutSource:
    """A `places.Source`: an image of a directory that is an OCI layout."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        if not (directory / "oci-layout").exists():
            raise NotFound(f"{directory} is no OCI layout: it has no file oci-layout")
        self._index = documents.decode_index(_read(directory / "index.json"))
        self.top = str(named(self._index.manifests, name, os.fspath(directory)).digest)

    def get_manifest(self, target: str) -> tuple[Descriptor, bytes]:
        data = self._document(Digest(target), MANIFEST_LIMIT)
        return Descriptor(media_type=documents.media_type_of(data), digest=Digest(target), size=len(data)), data

    def read_blob(self, digest: Digest, size: int | None, *, limit: int) -> bytes:
        del size  # the digest says more
        return self._document(digest, limit)

    @contextmanager
    def open_blob(self, blob: Descriptor) -> Iterator[BinaryIO]:
        try:
            file = open(self._directory / blob_name(blob.digest), "rb")  # noqa: SIM115 closed below
        except FileNotFoundError:
            raise BlobMissing(blob.digest, hint=f"{self._directory} is incomplete") from None
        with file:
            yield file

    def referrers(self, digest: Digest) -> tuple[Descriptor, ...]:
        """List what `index.json` has whose subject is `digest`."""
        return speaking_of(self._index.manifests, digest, lambda item: self.get_manifest(item)[1])

    def _document(self, digest: Digest, limit: int) -> bytes:
        with self.open_blob(Descriptor(media_type="", digest=digest, size=0)) as file:
            data = file.read(limit + 1)
        return verified(data, digest, limit)


class LayoutTarget:
    """A `places.Target`: a directory that is an OCI layout, or becomes one."""

    def __init__(self, context: Context, directory: Path, name: str) -> None:
        self._context = context
        self._directory = directory
        self._name = name
        self._referrers: list[Descriptor] = []
        try:
            if directory.exists() and not (directory / "oci-layout").exists() and any(directory.iterdir()):
                raise StoreError(f"{directory} is neither empty nor an OCI layout", hint="name a new directory")
            (directory / "blobs/sha256").mkdir(parents=True, exist_ok=True)
            if not (directory / "oci-layout").exists():
                self._write(directory / "oci-layout", LAYOUT)
        except OSError as error:
            raise StoreError(f"{error.filename or directory} cannot be written: {error.strerror}") from error

    def has_blob(self, blob: Descriptor) -> bool:
        path = self._directory / blob_name(blob.digest)
        return path.is_file() and path.stat().st_size == blob.size

    def mount_blob(self, blob: Descriptor, source: Source) -> str | None:
        del blob, source
        return None

    def put_blob(self, blob: Descriptor, opened: Opened) -> None:
        path = self._directory / blob_name(blob.digest)
        temporary = path.with_name(f".{self._context.token(16)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with opened() as stream, open(temporary, "xb") as file:
                for data in checked(iter(lambda: stream.read(CHUNK), b""), blob):
                    self._context.cancel.check()
                    file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, path)
        except OSError as error:
            raise StoreError(f"{error.filename or path} cannot be written: {error.strerror}") from error
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary)

    def put_manifest(self, descriptor: Descriptor, data: bytes) -> None:
        path = self._directory / blob_name(descriptor.digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._write(path, data)
        if subject_of(data) is not None:
            self._referrers.append(described(descriptor.digest, data))

    def finish(self, top: Descriptor, data: bytes) -> None:
        """Write `index.json`: the name moves here, whatever had it; other entries stay."""
        entry = described(top.digest, data)
        entry = replace(entry, platform=top.platform)
        if self._name:
            entry = replace(entry, annotations={**entry.annotations, REF_NAME: self._name})
        added = {item.digest: item for item in self._referrers if item.digest != top.digest}
        fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            path = self._directory / "index.json"
            index = documents.decode_index(_read(path)) if path.exists() else Index(manifests=())
            kept = [
                item
                for item in index.manifests
                if item.digest not in added
                and (item.digest != entry.digest or item.annotations.get(REF_NAME, "") not in {"", self._name})
                and not (self._name and item.annotations.get(REF_NAME) == self._name)
            ]
            index = replace(index, manifests=(*kept, entry, *added.values()))
            self._write(path, index.encode())
        finally:
            os.close(fd)

    def _write(self, path: Path, data: bytes) -> None:
        temporary = path.with_name(f".{self._context.token(16)}")
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, path)
        except OSError as error:
            with suppress(OSError):
                os.unlink(temporary)
            raise StoreError(f"{path} cannot be written: {error.strerror}") from error


def named(manifests: Sequence[Descriptor], name: str, where: str) -> Descriptor:
    """Find the entry of an `index.json` with a name, without one the only entry; raises NotFound with the names."""
    entries = [item for item in manifests if not item.artifact_type or names_of(item)]
    if name:
        entries = [item for item in entries if name in names_of(item)]
    distinct = {item.digest: item for item in entries}
    if len(distinct) == 1:
        return next(iter(distinct.values()))
    there = ", ".join(sorted({text for item in manifests for text in names_of(item)}))
    hint = f"there are: {there}" if there else None
    if name:
        raise NotFound(f"{where} has no image {name!r}", hint=hint)
    raise NotFound(f"{where} has {len(distinct)} images: say which one, as PATH:NAME", hint=hint)


def names_of(descriptor: Descriptor) -> tuple[str, ...]:
    """List what an entry may be called by: its annotations for names."""
    values = (descriptor.annotations.get(key) for key in (REF_NAME, CONTAINERD_NAME))
    return tuple(value for value in values if value)


def speaking_of(
    manifests: Sequence[Descriptor], digest: Digest, read: Callable[[Digest], bytes]
) -> tuple[Descriptor, ...]:
    """List the entries of an `index.json` whose subject is `digest`; what cannot be read is none of them."""
    found = []
    for item in manifests:
        try:
            data = read(item.digest)
            if subject_of(data) == digest:
                found.append(described(item.digest, data))
        except (BlobMissing, DocumentError):
            continue
    return tuple(found)


def blob_name(digest: Digest) -> str:
    """Give a blob's path in a layout."""
    return f"blobs/{algorithm_of(digest)}/{hex_of(digest)}"


def _read(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(MANIFEST_LIMIT + 1)  # decoding refuses one that is too long
    except FileNotFoundError:
        raise NotFound(f"{path} is missing: this is no OCI layout") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
