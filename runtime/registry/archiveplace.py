"""Read and write archives of images: a tar that is an OCI layout, or Docker's.

An archive is read in place: its members are found once, and their bytes when they are wanted. One that is written is
both kinds at once, as `save` writes it, and has its name only when it is whole.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO

from frozen import Frozen, replace
from runtime.errors import BlobMissing, DocumentError, NotFound, ReferenceInvalid, StoreError, UsageError
from runtime.oci import documents
from runtime.oci.digests import Digest, is_digest, sha256_of
from runtime.oci.documents import CONTAINERD_NAME, REF_NAME, Descriptor, Index, Manifest
from runtime.oci.fields import MANIFEST_LIMIT, Reader, decode_value
from runtime.oci.references import parse_reference
from runtime.outputfile import output_file
from runtime.registry.layoutplace import LAYOUT, blob_name, named, speaking_of
from runtime.registry.transport import CHUNK
from runtime.registry.verifying import checked, described, subject_of, verified
from runtime.store.archive import ArchiveWriter
from runtime.store.compression import decompressed, detect

if TYPE_CHECKING:
    from runtime.context import Context
    from runtime.registry.places import Opened, Source

_MEMBERS = 200_000
_LINKS = 16


class _Extent(Frozen):
    """Where a blob lies in the file, in bytes."""

    offset: int
    size: int


class ArchiveSource:
    """A `places.Source`: an image of an archive. A context manager; `docker` says which kind it is to be."""

    def __init__(self, context: Context, path: Path, name: str, *, docker: bool) -> None:
        self._context = context
        self._stack = ExitStack()
        self._path = path
        self._documents: dict[Digest, bytes] = {}
        self._blobs: dict[Digest, _Extent] = {}
        self._manifests: tuple[Descriptor, ...] = ()
        try:
            self._file = self._opened()
            members = self._members()
            if docker and "manifest.json" in members:
                self.top = str(self._read_docker(members, name))
            else:
                self.top = str(self._read_layout(members, name))
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> ArchiveSource:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def get_manifest(self, target: str) -> tuple[Descriptor, bytes]:
        data = self.read_blob(Digest(target), None, limit=MANIFEST_LIMIT)
        return Descriptor(media_type=documents.media_type_of(data), digest=Digest(target), size=len(data)), data

    def read_blob(self, digest: Digest, size: int | None, *, limit: int) -> bytes:
        del size  # the digest says more
        if digest in self._documents:
            return self._documents[digest]
        extent = self._blobs.get(digest)
        if extent is None:
            raise BlobMissing(digest, hint=f"{self._path} is incomplete")
        return verified(os.pread(self._file.fileno(), min(extent.size, limit + 1), extent.offset), digest, limit)

    @contextmanager
    def open_blob(self, blob: Descriptor) -> Iterator[_Slice | io.BytesIO]:
        if blob.digest in self._documents:
            yield io.BytesIO(self._documents[blob.digest])
            return
        extent = self._blobs.get(blob.digest)
        if extent is None:
            raise BlobMissing(blob.digest, hint=f"{self._path} is incomplete")
        yield _Slice(self._file.fileno(), extent)

    def referrers(self, digest: Digest) -> tuple[Descriptor, ...]:
        """List what `index.json` has whose subject is `digest`."""
        return speaking_of(self._manifests, digest, lambda item: self.get_manifest(item)[1])

    def _opened(self) -> BinaryIO:
        """Open the archive, decompressed into a temporary file if it is compressed."""
        try:
            file: BinaryIO = self._stack.enter_context(open(self._path, "rb"))  # noqa: SIM115 the stack closes it
        except FileNotFoundError:
            raise NotFound(f"{self._path}: no such file") from None
        except OSError as error:
            raise StoreError(f"{self._path} cannot be read: {error.strerror}") from error
        kind = detect(file.read(6))
        file.seek(0)
        if kind == "none":
            return file
        plain = self._stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        stream = decompressed(file, os.fspath(self._path))
        while data := stream.read(CHUNK):
            self._context.cancel.check()
            plain.write(data)
        plain.flush()
        return plain

    def _members(self) -> dict[str, _Extent]:
        """Find all files by name, links followed."""
        files: dict[str, _Extent] = {}
        links: dict[str, str] = {}
        self._file.seek(0)
        try:
            archive = self._stack.enter_context(tarfile.open(fileobj=self._file, mode="r:"))  # noqa: SIM115
            for count, member in enumerate(archive):
                self._context.cancel.check()
                if count > _MEMBERS:
                    raise StoreError(f"{self._path} has more than {_MEMBERS} members")
                name = os.path.normpath(member.name)
                if member.isreg() and not member.issparse():
                    files[name] = _Extent(offset=member.offset_data, size=member.size)
                elif member.islnk() or member.issym():
                    base = os.path.dirname(name) if member.issym() else ""
                    links[name] = os.path.normpath(os.path.join(base, member.linkname))
        except tarfile.TarError as error:
            raise StoreError(f"{self._path} is no archive: {error}", hint="it must be a tar") from error
        for name in links:
            target = name
            for _ in range(_LINKS):
                target = links.get(target, target)
            if target in files:
                files[name] = files[target]
        return files

    def _document(self, members: Mapping[str, _Extent], name: str) -> bytes:
        extent = members.get(name)
        if extent is None:
            raise StoreError(f"{self._path} is incomplete: it has no file {name}")
        if extent.size > MANIFEST_LIMIT:
            raise DocumentError(f"{name} in {self._path} is larger than {MANIFEST_LIMIT} bytes")
        return os.pread(self._file.fileno(), extent.size, extent.offset)

    def _read_layout(self, members: Mapping[str, _Extent], name: str) -> Digest:
        for path, extent in members.items():
            parts = path.split("/")
            if len(parts) == 3 and parts[0] == "blobs" and is_digest(f"{parts[1]}:{parts[2]}"):
                self._blobs[Digest(f"{parts[1]}:{parts[2]}")] = extent
        self._manifests = documents.decode_index(self._document(members, "index.json")).manifests
        return named(self._manifests, _full_name(self._manifests, name), os.fspath(self._path)).digest

    def _read_docker(self, members: Mapping[str, _Extent], name: str) -> Digest:
        """Make a manifest for the image of a docker archive; its layers are read once for their digests."""
        value = decode_value(self._document(members, "manifest.json"), "manifest.json")
        entries = Reader({"manifest.json": value}).items("manifest.json")
        entry = self._chosen(entries, name)
        config = self._document(members, os.path.normpath(entry.text("Config")))
        layers = tuple(self._layer(members, os.path.normpath(layer)) for layer in entry.texts("Layers"))
        descriptor = Descriptor(media_type=documents.OCI_CONFIG, digest=sha256_of(config), size=len(config))
        data = Manifest(config=descriptor, layers=layers).encode()
        self._documents |= {descriptor.digest: config, sha256_of(data): data}
        return sha256_of(data)

    def _chosen(self, entries: tuple[Reader, ...], name: str) -> Reader:
        tags = {tag: entry for entry in entries for tag in entry.texts("RepoTags")}
        wanted = _familiar(name)
        found = [entry for entry in entries if not name or wanted in map(_familiar, entry.texts("RepoTags"))]
        if len(found) == 1:
            return found[0]
        hint = f"there are: {', '.join(sorted(tags))}" if tags else None
        if name:
            raise NotFound(f"{self._path} has no image {name!r}", hint=hint)
        raise NotFound(f"{self._path} has {len(entries)} images: say which one, as FILE:NAME", hint=hint)

    def _layer(self, members: Mapping[str, _Extent], name: str) -> Descriptor:
        extent = members.get(name)
        if extent is None:
            raise StoreError(f"{self._path} is incomplete: it has no file {name}")
        kind = detect(os.pread(self._file.fileno(), 6, extent.offset))
        if kind not in {"none", "gzip", "zstd"}:
            raise StoreError(f"{name} in {self._path} is compressed with {kind}, for which OCI has no media type")
        hasher = hashlib.sha256()
        stream = _Slice(self._file.fileno(), extent)
        while data := stream.read(CHUNK):
            self._context.cancel.check()
            hasher.update(data)
        digest = Digest(f"sha256:{hasher.hexdigest()}")
        self._blobs[digest] = extent
        return Descriptor(media_type=documents.layer_media_type(kind), digest=digest, size=extent.size)


class _Slice:
    """A part of a file as a stream of its own: threads may read several at once."""

    def __init__(self, fd: int, extent: _Extent) -> None:
        self._fd = fd
        self._position = extent.offset
        self._end = extent.offset + extent.size

    def read(self, size: int = -1, /) -> bytes:
        left = self._end - self._position
        data = os.pread(self._fd, left if size < 0 else min(size, left), self._position)
        self._position += len(data)
        return data


class ArchiveTarget:
    """A `places.Target`: a new archive. A context manager; where its block fails, nothing is left."""

    def __init__(self, context: Context, path: Path, name: str, *, docker: bool) -> None:
        self._context = context
        self._path = path
        self._name = name
        self._docker = docker
        self._lock = threading.Lock()
        self._written: set[Digest] = set()
        self._manifests: dict[Digest, bytes] = {}
        if path.is_dir():
            raise UsageError(f"{path} is a directory", hint="name a file, or write oci:DIRECTORY")

    def __enter__(self) -> ArchiveTarget:
        with ExitStack() as stack:
            with self._explained():
                self._tar = ArchiveWriter(stack.enter_context(output_file(self._path)))
                self._tar.file("oci-layout", LAYOUT)
                self._tar.directory("blobs/")
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._explained():
            self._stack.__exit__(kind, error, trace)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(f"{self._path} cannot be written: {error.strerror}") from error

    def has_blob(self, blob: Descriptor) -> bool:
        return blob.digest in self._written

    def mount_blob(self, blob: Descriptor, source: Source) -> str | None:
        del blob, source
        return None

    def put_blob(self, blob: Descriptor, opened: Opened) -> None:
        with self._lock, opened() as stream:  # one member after the other
            pieces = _Pieces(checked(iter(lambda: stream.read(CHUNK), b""), blob))
            self._tar.stream(blob_name(blob.digest), blob.size, pieces, self._context.cancel)
            self._written.add(blob.digest)

    def put_manifest(self, descriptor: Descriptor, data: bytes) -> None:
        with self._lock:
            if descriptor.digest not in self._written:
                self._tar.file(blob_name(descriptor.digest), data)
                self._written.add(descriptor.digest)
                self._manifests[descriptor.digest] = data

    def finish(self, top: Descriptor, data: bytes) -> None:
        """Write `index.json`, for Docker `manifest.json` as well: the end of the archive."""
        entry = replace(described(top.digest, data), platform=top.platform)
        if self._name:
            entry = replace(entry, annotations={**entry.annotations, **self._names()})
        more = [
            described(digest, manifest)
            for digest, manifest in self._manifests.items()
            if digest != top.digest and subject_of(manifest) is not None
        ]
        self._tar.file("index.json", Index(manifests=(entry, *more)).encode())
        if self._docker:
            self._tar.file("manifest.json", self._docker_manifest(data))
        with self._explained():
            self._tar.end()

    def _names(self) -> dict[str, str]:
        if not self._docker:
            return {REF_NAME: self._name}
        reference = parse_reference(self._name).tagged()
        return {CONTAINERD_NAME: str(reference), REF_NAME: reference.tag or ""}

    def _docker_manifest(self, data: bytes) -> bytes:
        if documents.media_type_of(data) not in documents.MANIFEST_TYPES:
            raise UsageError("a docker archive holds one image, not an index", hint="leave --all out")
        manifest = documents.decode_manifest(data)
        entry = {
            "Config": blob_name(manifest.config.digest),
            "RepoTags": [parse_reference(self._name).tagged().familiar()] if self._name else None,
            "Layers": [blob_name(layer.digest) for layer in manifest.layers],
        }
        return json.dumps([entry], separators=(",", ":")).encode()


class _Pieces:
    """An iterator of bytes as a stream: each read gives the next piece."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def read(self, _size: int = -1, /) -> bytes:
        return next(self._pieces, b"")


def _familiar(name: str) -> str:
    try:
        return parse_reference(name).tagged().familiar()
    except ReferenceInvalid:
        return name


def _full_name(manifests: tuple[Descriptor, ...], name: str) -> str:
    """Find a name also under the full one that archives of `docker save` have, where only that one is there."""
    if not name or any(item.annotations.get(REF_NAME) == name for item in manifests):
        return name
    try:
        full = str(parse_reference(name).tagged())
    except ReferenceInvalid:
        return name
    return full if any(item.annotations.get(CONTAINERD_NAME) == full for item in manifests) else name
