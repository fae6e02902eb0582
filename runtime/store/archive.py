"""Save images as one tar that is an OCI layout and a `docker load`-able archive at once.

The tar is deterministic: sorted names, no times, no owners. Layers keep the compression that their blobs have.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from frozen import Frozen, replace
from runtime.errors import NotFound, StoreError
from runtime.oci.digests import Digest, algorithm_of, hex_of
from runtime.oci.documents import CONTAINERD_NAME, INDEX_TYPES, REF_NAME, Descriptor, Index, decode_index
from runtime.oci.fields import MANIFEST_LIMIT
from runtime.oci.references import Reference, parse_reference
from runtime.store.compression import CHUNK, Compression
from runtime.store.images import Image
from runtime.store.layers.headers import BLOCK, END, encode_header
from runtime.store.layers.tree import Metadata
from runtime.store.projection import LAYOUT

if TYPE_CHECKING:
    from runtime.context import Cancel
    from runtime.store.facade import Store


class Sink(Protocol):
    """Whatever takes the bytes of the archive."""

    def write(self, data: bytes, /) -> object:
        """Take all of `data`."""


class Readable(Protocol):
    """Whatever gives the bytes of a member."""

    def read(self, size: int = -1, /) -> bytes:
        """Give at most `size` bytes, b"" at the end."""


class Selected(Frozen):
    """One image to save, under `names`, none for one that was given by its id; `target` is an index or its manifest."""

    image: Image
    names: tuple[Reference, ...]
    manifest: Descriptor
    target: Descriptor


def select(store: Store, texts: Sequence[str], *, compression: Compression = "gzip") -> tuple[Selected, ...]:
    """Find what to save: names, ids, or a repository without a tag for all its tags; makes what blobs are missing.

    Raises NotFound. The same image under several names is one entry.
    """
    found: dict[tuple[Digest, Digest], Selected] = {}
    for text in texts:
        for image, name in _resolve(store, text):
            manifest = store.images.manifest(image, compression)
            target = (store.images.target(name) if name else None) or manifest
            key = (image.id, target.digest)
            names = found[key].names if key in found else ()
            if name is not None and name not in names:
                names = (*names, name)
            found[key] = Selected(image=image, names=names, manifest=manifest, target=target)
    return tuple(found.values())


def save(store: Store, texts: Sequence[str], sink: Sink, *, compression: Compression = "gzip") -> None:
    """Write the archive of `texts` (see `select`) to `sink`."""
    write_archive(store, select(store, texts, compression=compression), sink)


def write_archive(store: Store, selected: Sequence[Selected], sink: Sink) -> None:
    """Write the archive of what was selected; nothing is made any more, but each blob is read once."""
    blobs = {digest for item in selected for digest in _closure(store, item)}
    index, manifest = _documents(store, selected)
    repositories = _repositories(store, selected)
    tar = ArchiveWriter(sink)
    tar.directory("blobs/")
    for algorithm in sorted({algorithm_of(digest) for digest in blobs}):
        tar.directory(f"blobs/{algorithm}/")
        for digest in sorted(digest for digest in blobs if algorithm_of(digest) == algorithm):
            with store.blobs.open(digest) as file:
                tar.stream(blob_path(digest), store.blobs.size(digest), file, store.context.cancel)
    tar.file("index.json", index)
    tar.file("manifest.json", manifest)
    tar.file("oci-layout", LAYOUT)
    if repositories:
        tar.file("repositories", repositories)
    tar.end()


def _resolve(store: Store, text: str) -> Iterator[tuple[Image, Reference | None]]:
    image = store.images.resolve(text)
    by_id = image is not None and hex_of(image.id).startswith(text.removeprefix("sha256:"))
    if by_id and image is not None:
        yield image, None
        return
    reference = parse_reference(text)
    if reference.tag is None and reference.digest is None:
        rows = store.database.read(
            "SELECT name, image FROM names WHERE name >= ? AND name < ? ORDER BY name",
            f"{reference.name}:",
            f"{reference.name};",
        )
        if rows:
            for row in rows:
                yield store.images.get(Digest(row["image"])), parse_reference(row["name"])
            return
    if image is None:
        raise NotFound(f"No such image: {reference.familiar()}", hint="`pybuild images` lists what there is")
    yield image, None if reference.tag is None else replace(reference, digest=None)


def _closure(store: Store, item: Selected) -> Iterator[Digest]:
    """List the blobs that one entry needs, documents first."""
    pending = [item.target, item.manifest]
    while pending:
        descriptor = pending.pop()
        yield descriptor.digest
        if descriptor.media_type in INDEX_TYPES:
            pending += decode_index(store.blobs.read(descriptor.digest, MANIFEST_LIMIT)).manifests
        else:
            manifest = store.images.read_manifest(descriptor)
            yield manifest.config.digest
            for layer in manifest.layers:
                yield layer.digest


def _documents(store: Store, selected: Sequence[Selected]) -> tuple[bytes, bytes]:
    """Make `index.json` and Docker's `manifest.json`."""
    descriptors: list[Descriptor] = []
    entries: list[dict[str, object]] = []
    for item in selected:
        names = item.names or (None,)
        descriptors += [_annotated(item.target, name) for name in names]
        manifest = store.images.read_manifest(item.manifest)
        entries.append(
            {
                "Config": blob_path(manifest.config.digest),
                "RepoTags": [name.familiar() for name in item.names] or None,
                "Layers": [blob_path(layer.digest) for layer in manifest.layers],
            }
        )
    index = Index(manifests=tuple(descriptors)).encode()
    return index, _document(entries)


def _repositories(store: Store, selected: Sequence[Selected]) -> bytes:
    """Make the document by which archives named images before `manifest.json`: scripts still read names out of it."""
    tops: dict[str, dict[str, str]] = {}
    for item in selected:
        layers = store.images.read_manifest(item.manifest).layers
        for name in item.names:
            if name.tag is not None and layers:
                tops.setdefault(name.familiar_name, {})[name.tag] = hex_of(layers[-1].digest)
    return _document(tops) if tops else b""


def _document(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _annotated(descriptor: Descriptor, name: Reference | None) -> Descriptor:
    """Annotate as containerd's exporter does, with the full name and the tag."""
    if name is None:
        return descriptor
    annotations = {**descriptor.annotations, CONTAINERD_NAME: str(name), REF_NAME: name.tag or ""}
    return replace(descriptor, annotations=annotations)


def blob_path(digest: Digest) -> str:
    return f"blobs/{algorithm_of(digest)}/{hex_of(digest)}"


class ArchiveWriter:
    """Write the members of an archive, all with the same metadata; `end` writes its end."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def directory(self, name: str) -> None:
        self._sink.write(encode_header(b"5", name.encode(), Metadata("directory", 0o755, 0, 0)))

    def file(self, name: str, data: bytes) -> None:
        self._head(name, len(data))
        self._sink.write(data)
        self._pad(len(data))

    def stream(self, name: str, size: int, source: Readable, cancel: Cancel) -> None:
        """Write a file of `size` bytes, all that `source` gives; raises StoreError where that is another number."""
        self._head(name, size)
        left = size
        while data := source.read(CHUNK):
            cancel.check()
            left -= len(data)
            if left < 0:
                break
            self._sink.write(data)
        if left:
            raise StoreError(f"{name} is not {size} bytes long, as was said")
        self._pad(size)

    def end(self) -> None:
        self._sink.write(END)

    def _head(self, name: str, size: int) -> None:
        self._sink.write(encode_header(b"0", name.encode(), Metadata("file", 0o644, 0, 0), size=size))

    def _pad(self, size: int) -> None:
        if size % BLOCK:
            self._sink.write(bytes(BLOCK - size % BLOCK))
