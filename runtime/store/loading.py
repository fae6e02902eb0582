"""Load images from a tar that `save`, Docker, podman, skopeo or buildx made: an OCI layout or a docker archive.

The archive is read once, from a stream that cannot be rewound, so what it holds is put aside in the workspace first and
judged when it is all there. Nothing of it is unpacked by the names that it uses: a name is only ever a key. Blobs and
names enter the store after everything was compared; a fault leaves the store as it was.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from frozen import Frozen, replace
from runtime.errors import DigestMismatch, DocumentError, LayerError, ReferenceInvalid, StoreError
from runtime.oci import documents
from runtime.oci.digests import Digest, algorithm_of, hex_of, is_digest, sha256_of
from runtime.oci.documents import Descriptor, ImageConfig, Index, Manifest
from runtime.oci.fields import MANIFEST_LIMIT, Reader, decode_object, decode_value
from runtime.oci.platforms import Platform, best, host_platform
from runtime.oci.references import Reference, parse_reference
from runtime.store.compression import CHUNK, decompressed, detect
from runtime.store.images import Image
from runtime.store.layers import reader as tar
from runtime.store.placement import disk_error
from runtime.store.trees import remove_tree

if TYPE_CHECKING:
    from runtime.store.facade import Store

_LINK_LIMIT = 16
_MEMBER_LIMIT = 200_000


class Loaded(Frozen):
    """One image that was loaded, with the names that it got, which may be none."""

    image: Image
    names: tuple[Reference, ...]


class _Candidate(Frozen):
    """An image of the archive that will be recorded: its documents, its layers' descriptors and files."""

    config_data: bytes
    config: ImageConfig
    manifest: Descriptor
    layers: tuple[tuple[Descriptor, Path], ...]
    target: Descriptor | None
    names: tuple[Reference, ...]
    needs: Mapping[Digest, Path]
    """All blobs that enter the store with it."""


def load(store: Store, stream: BinaryIO, *, platform: Platform | None = None) -> tuple[Loaded, ...]:
    """Load all images of an archive, which may be compressed; of an index the one for `platform`, else for the host.

    Raises StoreError and its kin for an archive that is damaged, incomplete, or not what it says it is.
    """
    staging = _Staging(store, store.workspace() / f"load-{store.context.token(8)}")
    staging.directory.mkdir(mode=0o700)
    try:
        staging.read(decompressed(stream, "archive"))
        found = tuple(_candidates(staging, platform or host_platform()))
        if not found:
            raise StoreError("the archive holds no image")
        for candidate in found:
            store.images.layers.admit(candidate.config.diff_ids, candidate.layers)
        for candidate in found:
            for digest, path in sorted(candidate.needs.items()):
                if not store.blobs.has(digest):
                    store.blobs.admit(path, digest)
        return tuple(
            Loaded(
                image=store.images.record(item.config_data, item.names, manifest=item.manifest, target=item.target),
                names=item.names,
            )
            for item in found
        )
    finally:
        remove_tree(staging.directory)


class _Staging:
    """What an archive holds, by name and by digest, put aside in files of our own naming."""

    def __init__(self, store: Store, directory: Path) -> None:
        self.directory = directory
        self._store = store
        self._files: dict[str, tuple[Path, Digest]] = {}
        self._links: dict[str, str] = {}
        self._blobs: dict[Digest, Path] = {}

    def read(self, stream: BinaryIO) -> None:
        """Put all members aside; raises StoreError for names that lead out, and members that no image has."""
        archive = tar.TarReader(stream)
        try:
            for count, member in enumerate(archive):
                self._store.context.cancel.check()
                if count > _MEMBER_LIMIT:
                    raise StoreError(f"the archive has more than {_MEMBER_LIMIT} members")
                self._take(archive, member)
        except LayerError as error:
            message = error.message.replace("the layer", "the archive")
            raise StoreError(
                f"the archive cannot be read: {message}", hint="it must be a tar, as `docker save` writes it"
            ) from error

    def has(self, name: str) -> bool:
        """Tell whether the archive has a file of this name."""
        return self._find(name) is not None

    def document(self, name: str) -> bytes:
        """Read a small file by name; raises StoreError where it is missing."""
        path, _ = self.file(name)
        return self._bounded(path, name)

    def file(self, name: str) -> tuple[Path, Digest]:
        """Give a file by name, links followed, with its sha256; raises StoreError where it is missing."""
        found = self._find(name)
        if found is None:
            raise StoreError(f"the archive is incomplete: it has no file {name!a}")
        return found

    def blob(self, descriptor: Descriptor, what: str) -> Path:
        """Give the file of a blob; raises StoreError where it is missing, DigestMismatch for another size."""
        path = self._blobs.get(descriptor.digest)
        if path is None:
            raise StoreError(f"the archive is incomplete: blob {descriptor.digest} ({what}) is missing")
        size = path.stat().st_size
        if size != descriptor.size:
            raise DigestMismatch(
                f"size of {what} {descriptor.digest} in the archive",
                expected=f"{descriptor.size} bytes",
                actual=f"{size} bytes",
            )
        return path

    def has_blob(self, digest: Digest) -> bool:
        """Tell whether the archive has a blob, whole."""
        return digest in self._blobs

    def blob_document(self, descriptor: Descriptor, what: str) -> bytes:
        """Read a small blob."""
        return self._bounded(self.blob(descriptor, what), f"{what} {descriptor.digest}")

    def add_blob(self, digest: Digest, path: Path) -> None:
        """Let a file that is known by name be found by its digest as well."""
        self._blobs[digest] = path

    def add_document(self, data: bytes) -> Path:
        """Add a document of our own making."""
        path = self._new_path()
        path.write_bytes(data)
        self._blobs[sha256_of(data)] = path
        return path

    def add_plain(self, source: Path, name: str) -> tuple[Path, Digest]:
        """Add the decompressed content of a file."""
        path = self._new_path()
        hasher = hashlib.sha256()
        with open(source, "rb") as compressed, open(path, "xb") as file:
            plain = decompressed(compressed, f"{name} in the archive")
            while data := plain.read(CHUNK):
                self._store.context.cancel.check()
                hasher.update(data)
                file.write(data)
        return path, Digest(f"sha256:{hasher.hexdigest()}")

    def _take(self, archive: tar.TarReader, member: tar.Member) -> None:
        name = _inside(member.name, "")
        if member.typeflag == tar.DIRECTORY or name is None:
            if name is None:
                raise StoreError(f"the archive is refused: {member.shown!a} leads out of it")
            return
        if member.typeflag in {tar.LINK, tar.SYMLINK}:
            base = name.rpartition("/")[0] if member.typeflag == tar.SYMLINK else ""
            target = _inside(member.link, base)
            if target is None:
                link = os.fsdecode(member.link)
                raise StoreError(f"the archive is refused: {member.shown!a} is a link that leads out of it ({link!a})")
            self._links[name] = target
            return
        if member.typeflag not in {tar.FILE, tar.OLD_FILE, tar.CONTIGUOUS} or member.extents is not None:
            raise StoreError(f"the archive is refused: {member.shown!a} is no plain file")
        self._put_aside(archive, name)

    def _put_aside(self, archive: tar.TarReader, name: str) -> None:
        said = _digest_of_path(name)
        hashers = {"sha256": hashlib.sha256()}
        if said and algorithm_of(said) != "sha256":
            hashers[algorithm_of(said)] = hashlib.new(algorithm_of(said))
        path = self._new_path()
        try:
            with open(path, "xb", buffering=0) as file:
                for data in archive.data():
                    self._store.context.cancel.check()
                    for hasher in hashers.values():
                        hasher.update(data)
                    while data:
                        data = data[file.write(data) :]
        except OSError as error:
            raise disk_error(self._store.layout.root, f"putting {name!a} aside", error) from error
        found = {algorithm: Digest(f"{algorithm}:{hasher.hexdigest()}") for algorithm, hasher in hashers.items()}
        if said:
            actual = found[algorithm_of(said)]
            if actual != said:
                raise DigestMismatch(f"{name} in the archive", expected=said, actual=actual)
            self._blobs[said] = path
        self._files[name] = (path, found["sha256"])

    def _find(self, name: str) -> tuple[Path, Digest] | None:
        for _ in range(_LINK_LIMIT):
            if name in self._files:
                return self._files[name]
            if name not in self._links:
                return None
            name = self._links[name]
        raise StoreError(f"the archive is refused: {name!a} is a link in a circle")

    def _bounded(self, path: Path, what: str) -> bytes:
        if path.stat().st_size > MANIFEST_LIMIT:
            raise DocumentError(f"{what} in the archive is larger than {MANIFEST_LIMIT} bytes")
        return path.read_bytes()

    def _new_path(self) -> Path:
        return self.directory / self._store.context.token(16)


def _inside(name: bytes, base: str) -> str | None:
    """Normalise a name of the archive, relative to `base`; None for one that leads out."""
    text = os.fsdecode(name)
    if text.startswith("/"):
        return None
    parts: list[str] = base.split("/") if base else []
    for part in text.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in {"", "."}:
            parts.append(part)
    return "/".join(parts)


def _digest_of_path(name: str) -> Digest | None:
    parts = name.split("/")
    if len(parts) == 3 and parts[0] == "blobs" and is_digest(f"{parts[1]}:{parts[2]}"):
        return Digest(f"{parts[1]}:{parts[2]}")
    return None


def _candidates(staging: _Staging, platform: Platform) -> Iterator[_Candidate]:
    if staging.has("oci-layout") and staging.has("index.json"):
        yield from _from_layout(staging, platform)
    elif staging.has("manifest.json"):
        yield from _from_docker(staging)
    elif staging.has("repositories"):
        raise StoreError(
            "the archive has the format of Docker before 1.10, which is not supported",
            hint="load it into a newer Docker and save it again",
        )
    else:
        raise StoreError(
            "the archive holds neither an OCI layout (index.json) nor a docker archive (manifest.json)",
            hint="a tar of a root file system is taken in by `pybuild import`",
        )


def _from_layout(staging: _Staging, platform: Platform) -> Iterator[_Candidate]:
    """Read an OCI layout: one candidate for each image or index, under all the names that point to it."""
    layout = Reader(decode_object(staging.document("oci-layout"), "oci-layout"))
    version = layout.text("imageLayoutVersion")
    if not version.startswith("1."):
        raise StoreError(f"the archive is an OCI layout of version {version!a}; 1.0.0 is supported")
    named: dict[Digest, tuple[Descriptor, list[Reference]]] = {}
    for descriptor in documents.decode_index(staging.document("index.json")).manifests:
        names = named.setdefault(descriptor.digest, (descriptor, []))[1]
        name = _name_of(descriptor)
        if name is not None and name not in names:
            names.append(name)
    tags = _docker_tags(staging)
    for descriptor, names in named.values():
        candidate = _of_descriptor(staging, descriptor, platform)
        if candidate is None:
            continue
        more = [name for name in tags.get(sha256_of(candidate.config_data), ()) if name not in names]
        yield replace(candidate, names=(*names, *more))


def _candidate(
    staging: _Staging,
    manifest: Descriptor,
    document: Manifest,
    needs: Mapping[Digest, Path],
    target: Descriptor | None = None,
) -> _Candidate:
    """Read the config of an image, and pair the layers that it names with the blobs."""
    config_data = staging.blob_document(document.config, "config")
    config = documents.decode_config(config_data)
    if len(document.layers) != len(config.diff_ids):
        raise StoreError(
            f"the archive is refused: image {document.config.digest} has {len(config.diff_ids)} diff IDs "
            f"and {len(document.layers)} layers"
        )
    return _Candidate(
        config_data=config_data,
        config=config,
        manifest=_plain(manifest),
        layers=tuple((layer, needs[layer.digest]) for layer in document.layers),
        target=target,
        names=(),
        needs=needs,
    )


def _of_descriptor(staging: _Staging, descriptor: Descriptor, platform: Platform) -> _Candidate | None:
    """Read what a descriptor of `index.json` points to; None for what is no image."""
    data = staging.blob_document(descriptor, "manifest")
    if documents.media_type_of(data) in documents.MANIFEST_TYPES:
        document = documents.decode_manifest(data)
        if not document.is_image:
            return None
        return _candidate(staging, descriptor, document, _needs(staging, descriptor, document))
    chosen, document = _choose(staging, documents.decode_index(data), platform)
    needs = _needs(staging, chosen, document)
    complete = _complete(staging, descriptor)
    if complete is None:
        return _candidate(staging, chosen, document, needs)
    return _candidate(staging, chosen, document, {**needs, **complete}, _plain(descriptor))


def _choose(staging: _Staging, index: Index, platform: Platform) -> tuple[Descriptor, Manifest]:
    """Choose the image of an index that runs here, among those that the archive holds."""
    images: list[tuple[Descriptor, Manifest, Platform]] = []
    for descriptor in index.manifests:
        if descriptor.media_type in documents.INDEX_TYPES or not staging.has_blob(descriptor.digest):
            continue
        document = documents.decode_manifest(staging.blob_document(descriptor, "manifest"))
        if document.is_image and staging.has_blob(document.config.digest):
            offered = descriptor.platform
            if offered is None or not offered.os:
                offered = documents.decode_config(staging.blob_document(document.config, "config")).platform
            if offered.os != "unknown":
                images.append((descriptor, document, offered))
    if not images:
        raise StoreError("the archive is incomplete: it holds an index, and none of the images that are listed there")
    place = best(platform, [offered for _, _, offered in images])
    if place is None and len(images) > 1:
        there = ", ".join(sorted(str(offered.normalised()) for _, _, offered in images))
        raise StoreError(f"the archive has no image for {platform}, only for {there}", hint="choose with --platform")
    return images[place or 0][:2]


def _needs(staging: _Staging, descriptor: Descriptor, document: Manifest) -> dict[Digest, Path]:
    """List the blobs of one image; raises StoreError where one is missing or has another size."""
    needs = {
        descriptor.digest: staging.blob(descriptor, "manifest"),
        document.config.digest: staging.blob(document.config, "config"),
    }
    for layer in document.layers:
        needs[layer.digest] = staging.blob(layer, "layer")
    return needs


def _complete(staging: _Staging, descriptor: Descriptor) -> dict[Digest, Path] | None:
    """List all blobs below an index, None where the archive has not all of them."""
    needs: dict[Digest, Path] = {}
    pending = [descriptor]
    while pending:
        current = pending.pop()
        if current.digest in needs:
            continue
        if not staging.has_blob(current.digest):
            return None
        needs[current.digest] = staging.blob(current, "blob")
        if current.media_type in documents.INDEX_TYPES:
            pending += documents.decode_index(staging.blob_document(current, "index")).manifests
        elif current.media_type in documents.MANIFEST_TYPES:
            document = documents.decode_manifest(staging.blob_document(current, "manifest"))
            pending += (document.config, *document.layers)
    return needs


def _plain(descriptor: Descriptor) -> Descriptor:
    """Leave the names out of a descriptor: they are kept elsewhere."""
    kept = {
        key: value
        for key, value in descriptor.annotations.items()
        if key not in {documents.REF_NAME, documents.CONTAINERD_NAME}
    }
    return replace(descriptor, annotations=kept)


def _name_of(descriptor: Descriptor) -> Reference | None:
    """Read a name from the annotations; a bare word as ref.name is a tag of nothing, and no name."""
    text = descriptor.annotations.get(documents.CONTAINERD_NAME)
    if not text:
        text = descriptor.annotations.get(documents.REF_NAME, "")
        if not text or (":" not in text and "/" not in text):
            return None
    return _parsed(text)


def _parsed(text: str) -> Reference | None:
    """Read a name; of one with a digest only the tag counts, since an archive proves nothing about a registry."""
    try:
        reference = parse_reference(text)
    except ReferenceInvalid as error:
        raise StoreError(f"the archive is refused: {error.message}", hint=error.hint) from error
    if reference.digest is not None and reference.tag is None:
        return None
    return replace(reference, digest=None).tagged()


def _parsed_all(texts: Sequence[str]) -> tuple[Reference, ...]:
    return tuple(dict.fromkeys(name for text in texts if (name := _parsed(text)) is not None))


def _docker_tags(staging: _Staging) -> dict[Digest, tuple[Reference, ...]]:
    """Read the names that `manifest.json`, where it is there, has for configs."""
    tags: dict[Digest, tuple[Reference, ...]] = {}
    if staging.has("manifest.json"):
        for entry in _entries(staging):
            name = entry.text("Config")
            if staging.has(name):
                digest = _digest_of_path(name) or staging.file(name)[1]
                tags[digest] = (*tags.get(digest, ()), *_parsed_all(entry.texts("RepoTags")))
    return tags


def _entries(staging: _Staging) -> Sequence[Reader]:
    value = decode_value(staging.document("manifest.json"), "manifest.json")
    return Reader({"manifest.json": value}).items("manifest.json")


def _from_docker(staging: _Staging) -> Iterator[_Candidate]:
    """Read a docker archive: a config and layer tars by name, for which a manifest is made."""
    for entry in _entries(staging):
        name = entry.text("Config")
        path, digest = staging.file(name)
        said = name.rpartition("/")[2].removesuffix(".json")
        if is_digest(f"sha256:{said}") and hex_of(digest) != said:
            raise DigestMismatch(f"{name} in the archive", expected=f"sha256:{said}", actual=digest)
        staging.add_blob(digest, path)
        layers, needs = _layers_of_docker(staging, entry.texts("Layers"))
        config = Descriptor(media_type=documents.OCI_CONFIG, digest=digest, size=path.stat().st_size)
        document = Manifest(config=config, layers=layers)
        data = document.encode()
        manifest = Descriptor(media_type=documents.OCI_MANIFEST, digest=sha256_of(data), size=len(data))
        needs |= {digest: path, manifest.digest: staging.add_document(data)}
        yield replace(_candidate(staging, manifest, document, needs), names=_parsed_all(entry.texts("RepoTags")))


def _layers_of_docker(staging: _Staging, names: Sequence[str]) -> tuple[tuple[Descriptor, ...], dict[Digest, Path]]:
    """Describe layer tars, as they are compressed; what OCI has no media type for is decompressed."""
    layers: list[Descriptor] = []
    needs: dict[Digest, Path] = {}
    for name in names:
        path, digest = staging.file(name)
        with open(path, "rb") as file:
            kind = detect(file.read(6))
        if kind not in {"none", "gzip", "zstd"}:
            path, digest = staging.add_plain(path, name)
            kind = "none"
        size = path.stat().st_size
        layers.append(Descriptor(media_type=documents.layer_media_type(kind), digest=digest, size=size))
        needs[digest] = path
    return tuple(layers), needs
