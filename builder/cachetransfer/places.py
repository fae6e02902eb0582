"""Where a cache lies: an OCI layout in a directory, or a tag of a registry."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from runtime.errors import BlobMissing, PybuildError, UsageError
from runtime.oci import documents
from runtime.oci.digests import Digest, algorithm_of, hex_of, sha256_of
from runtime.oci.documents import OCI_MANIFEST, REF_NAME, Descriptor, Index, Manifest
from runtime.oci.fields import MANIFEST_LIMIT
from runtime.oci.references import parse_reference

if TYPE_CHECKING:
    from runtime.context import Context
    from runtime.registry.client import Repository
    from runtime.registry.transport import Body

Opener = Callable[[], BinaryIO]
_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_CHUNK = 1 << 20
_LARGE = 64 << 20
"""Bytes that a manifest in a directory may have: one of a large cache has thousands of layers."""


class Place(Protocol):
    """One cache's place; threads may share it."""

    @property
    def title(self) -> str:
        """How a message names it."""

    def manifest(self) -> Manifest | None:
        """Read the manifest that the tag stands for, None where there is none. Raises PybuildError."""

    def open(self, descriptor: Descriptor) -> AbstractContextManager[BinaryIO]:
        """Open a blob for reading; not verified yet. Raises PybuildError."""

    def has(self, digest: Digest) -> bool:
        """Tell whether a blob is there."""

    def put(self, digest: Digest, size: int, opener: Opener) -> None:
        """Write a blob that is not there."""

    def finish(self, manifest: Manifest) -> None:
        """Let the tag stand for a manifest whose blobs are all there."""


class DirectoryPlace:
    """An OCI image layout; nothing that is there already is written again."""

    def __init__(self, directory: Path, tag: str = "latest", *, reset: bool = False) -> None:
        self._directory = directory
        self._tag = tag
        self.reset = reset
        """Whether `finish` drops what no tag needs any more."""

    @property
    def title(self) -> str:
        return str(self._directory)

    def manifest(self) -> Manifest | None:
        found = [item for item in self._index() if item.annotations.get(REF_NAME) == self._tag]
        if not found:
            return None
        with self.open(found[0]) as file:
            data = file.read(_LARGE + 1)
        if sha256_of(data) != found[0].digest:
            raise PybuildError(f"{self.title}: the manifest {found[0].digest} is damaged")
        return documents.decode_manifest(data)

    @contextmanager
    def open(self, descriptor: Descriptor) -> Iterator[BinaryIO]:
        try:
            file = open(self._path(descriptor.digest), "rb")  # noqa: SIM115 closed below
        except FileNotFoundError:
            raise BlobMissing(descriptor.digest, hint=f"{self.title} is not complete") from None
        except OSError as error:
            raise PybuildError(f"{self.title}: blob {descriptor.digest}: {error.strerror}") from error
        with file:
            yield file

    def has(self, digest: Digest) -> bool:
        return self._path(digest).is_file()

    def put(self, digest: Digest, size: int, opener: Opener) -> None:
        path = self._path(digest)
        with self._told(), opener() as source:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._write(path, source)
        if path.stat().st_size != size:
            path.unlink()
            raise PybuildError(f"{self.title}: blob {digest} was cut while it was written")

    def finish(self, manifest: Manifest) -> None:
        from io import BytesIO

        data = manifest.encode()
        digest = sha256_of(data)
        if not self.has(digest):
            self.put(digest, len(data), lambda: BytesIO(data))
        named = Descriptor(
            media_type=OCI_MANIFEST,
            digest=digest,
            size=len(data),
            annotations={REF_NAME: self._tag},
            artifact_type=manifest.artifact_type,
        )
        entries = self.add_entries([named])
        if self.reset:
            self._drop_unneeded(entries)

    def add_entries(self, named: Sequence[Descriptor]) -> tuple[Descriptor, ...]:
        """List documents in the layout's index, in place of those with the same names; gives the whole list."""
        tags = {item.annotations.get(REF_NAME) for item in named} - {None}
        digests = {item.digest for item in named}
        others = tuple(
            item
            for item in self._index()
            if item.annotations.get(REF_NAME) not in tags
            and (item.digest not in digests or item.annotations.get(REF_NAME))
        )
        entries = (*others, *named)
        with self._told():
            self._replace("oci-layout", _LAYOUT)
            self._replace("index.json", Index(manifests=entries).encode())
        return entries

    def _index(self) -> tuple[Descriptor, ...]:
        try:
            data = (self._directory / "index.json").read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return ()
        return documents.decode_index(data).manifests

    def _drop_unneeded(self, tops: tuple[Descriptor, ...]) -> None:
        needed: set[str] = set()
        for top in tops:
            needed.add(top.digest)
            with self.open(top) as file:
                manifest = documents.decode_manifest(file.read(_LARGE))
            needed.update(item.digest for item in (manifest.config, *manifest.layers))
        for path in (self._directory / "blobs" / "sha256").iterdir():
            if f"sha256:{path.name}" not in needed:
                path.unlink(missing_ok=True)

    def _replace(self, name: str, data: bytes) -> None:
        path = self._directory / name
        with suppress(FileNotFoundError):
            if path.read_bytes() == data:
                return
        from io import BytesIO

        self._write(path, BytesIO(data))

    def _write(self, path: Path, source: BinaryIO) -> None:
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
        try:
            with temporary.open("xb") as file:
                while data := source.read(_CHUNK):
                    file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(path)
        finally:
            temporary.unlink(missing_ok=True)

    def _path(self, digest: Digest) -> Path:
        return self._directory / "blobs" / algorithm_of(digest) / hex_of(digest)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise PybuildError(f"cache in {self.title}: {error.filename or ''} {error.strerror}") from error


class RegistryPlace:
    """A tag of a registry's repository."""

    def __init__(self, repository: Repository, tag: str) -> None:
        self._repository = repository
        self._tag = tag

    @property
    def title(self) -> str:
        return str(self._repository.reference)

    def manifest(self) -> Manifest | None:
        from runtime.errors import RegistryMissing

        try:
            _, data = self._repository.get_manifest(self._tag, accept=(OCI_MANIFEST, *documents.MANIFEST_TYPES))
        except RegistryMissing:
            return None
        return documents.decode_manifest(data)

    @contextmanager
    def open(self, descriptor: Descriptor) -> Iterator[BinaryIO]:
        with self._repository.blob(descriptor.digest, descriptor.size or None, verify=False) as stream:
            yield cast(BinaryIO, stream)

    def has(self, digest: Digest) -> bool:
        return self._repository.has_blob(digest) is not None

    def put(self, digest: Digest, size: int, opener: Opener) -> None:
        self._repository.upload_blob(_body(opener, size), digest)

    def finish(self, manifest: Manifest) -> None:
        data = manifest.encode()
        if len(data) > MANIFEST_LIMIT:
            raise PybuildError(
                f"the cache has {len(manifest.layers)} layers: too many for one manifest of a registry",
                hint="export with mode=min, or prune the cache first",
            )
        self._repository.put_manifest(self._tag, manifest.media_type, data)


def _body(opener: Opener, size: int) -> Body:
    from runtime.registry.transport import Body

    return Body(open=opener, size=size)


@contextmanager
def registry_place(context: Context, text: str, *, write: bool, insecure: bool = False) -> Iterator[RegistryPlace]:
    """Open the place that a reference names, for the length of a `with` block. Raises UsageError."""
    from runtime.registry.client import Repository  # lazy: 100 ms of HTTP
    from runtime.registry.hostfiles import Rule
    from runtime.registry.hosts import Hosts
    from runtime.registry.session import Session

    reference = parse_reference(text)
    if reference.digest is not None and write:
        raise UsageError(f"a cache cannot be written to a digest: {text}", hint="name a tag")
    hosts = Hosts.load(context)
    if insecure:
        hosts = hosts.with_rule(Rule(prefix=reference.domain, insecure=True))
    with Session.open(context, hosts=hosts) as session:
        repository = Repository(session.transport, reference, push=write)
        yield RegistryPlace(repository, reference.digest or reference.tag or "latest")


def place_of(context: Context, text: str, *, write: bool) -> AbstractContextManager[Place]:
    """Open what `cache export` and `cache import` name: DIR, oci:DIR, or a registry's HOST[:PORT]/NAME[:TAG].

    A word is a reference if its part before the first slash has a dot or a colon or is `localhost`, as Docker's names
    of registries are, and a directory else; `./x` and `/x` are always directories.
    """
    if text.startswith("oci:"):
        return _directory(text.removeprefix("oci:"))
    host, slash, _ = text.removeprefix("docker://").partition("/")
    named = text.startswith("docker://") or (
        slash and not host.startswith(".") and ("." in host or ":" in host or host == "localhost")
    )
    if named and not os.path.isdir(text):
        return registry_place(context, text.removeprefix("docker://"), write=write)
    return _directory(text)


@contextmanager
def _directory(text: str) -> Iterator[DirectoryPlace]:
    if not text:
        raise UsageError("the directory of the cache has no name")
    yield DirectoryPlace(Path(text))
