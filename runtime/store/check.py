"""Verify a store: every blob, layer and name, the index and the database; name what is wrong, change nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from frozen import Frozen
from runtime.errors import PybuildError, ReferenceInvalid
from runtime.oci import documents
from runtime.oci.digests import HEX_LENGTHS, ChainID, DiffID, Digest, chain_ids, hex_of, is_digest
from runtime.oci.fields import MANIFEST_LIMIT
from runtime.oci.references import parse_reference
from runtime.store.projection import LAYOUT, expected_index, stored_descriptor

if TYPE_CHECKING:
    from runtime.oci.documents import Descriptor
    from runtime.store.facade import Store


_LOOKS = 20
_BETWEEN_LOOKS = 0.1
"""Seconds; what the layout's documents lack for longer than all looks take is missing."""


class Problem(Frozen):
    """One thing that is wrong: `what` is the object (a path, digest or name), `message` the fault."""

    what: str
    message: str

    def __str__(self) -> str:
        return f"{self.what}: {self.message}"


class Report(Frozen):
    """What was verified, counted, and what is wrong."""

    blobs: int
    snapshots: int
    images: int
    problems: tuple[Problem, ...]


def check(store: Store) -> Report:
    """Read the whole store and compare. Other commands may work meanwhile; a thing they remove is not reported."""
    problems = [Problem(what=str(store.layout.database), message=text) for text in store.database.check()]
    if problems:
        return Report(blobs=0, snapshots=0, images=0, problems=tuple(problems))
    _ = store.images.layers, store.snapshots  # their tables exist
    problems += _file_names(store)
    broken = dict(_blobs(store))
    problems += [Problem(what=f"blob {digest}", message=message) for digest, message in broken.items()]
    problems += _images(store)
    problems += _names(store)
    problems += _snapshots(store)
    problems += _layer_blobs(store, frozenset(broken))
    problems += _index(store)
    return Report(
        blobs=sum(1 for _ in store.blobs.digests()),
        snapshots=_count(store, "snapshots"),
        images=_count(store, "images"),
        problems=tuple(problems),
    )


def _count(store: Store, table: str) -> int:
    row = store.database.one(f"SELECT count(*) FROM {table}")
    return int(row[0]) if row else 0


def _file_names(store: Store) -> Iterator[Problem]:
    """Report files among the blobs whose name is no digest."""
    directory = store.layout.images / "blobs"
    for algorithm in sorted(os.listdir(directory) if directory.is_dir() else ()):
        if algorithm not in HEX_LENGTHS:
            yield Problem(what=str(directory / algorithm), message="does not belong there")
            continue
        for name in sorted(os.listdir(directory / algorithm)):
            path = directory / algorithm / name
            if not is_digest(f"{algorithm}:{name}"):
                yield Problem(what=str(path), message="its name is no digest")
            elif path.is_symlink() or not path.is_file():
                yield Problem(what=str(path), message="is no regular file")


def _blobs(store: Store) -> Iterator[tuple[Digest, str]]:
    for digest in store.blobs.digests():
        try:
            store.blobs.verify(digest)
        except PybuildError as error:
            if store.blobs.path(digest).exists():
                yield digest, error.message


def _images(store: Store) -> Iterator[Problem]:
    """Compare each image with its config, manifest and layers."""
    for row in store.database.read("SELECT id, manifest FROM images ORDER BY seq"):
        what = f"image {row['id']}"
        try:
            config = documents.decode_config(store.blobs.read(Digest(row["id"]), MANIFEST_LIMIT))
        except PybuildError as error:
            yield Problem(what=what, message=f"its config cannot be read: {error.message}")
            continue
        for diff_id, chain_id in zip(config.diff_ids, chain_ids(config.diff_ids), strict=True):
            if store.snapshots.get(chain_id) is None and store.images.layers.remembered(diff_id) is None:
                yield Problem(what=what, message=f"layer {diff_id} is neither unpacked nor a blob")
        if row["manifest"]:
            yield from _below(store, what, stored_descriptor(row["manifest"]))


def missing_below(store: Store, top: Descriptor) -> bool:
    """Tell whether a manifest or index, or something that it names, is not there as it says."""
    return next(_below(store, "", top), None) is not None


def _below(store: Store, what: str, top: Descriptor) -> Iterator[Problem]:
    """Follow a descriptor: each blob is there in the size that was said."""
    pending = [top]
    while pending:
        descriptor = pending.pop()
        if not store.blobs.has(descriptor.digest):
            yield Problem(what=what, message=f"blob {descriptor.digest} ({descriptor.media_type}) is missing")
            continue
        size = store.blobs.size(descriptor.digest)
        if size != descriptor.size:
            yield Problem(what=what, message=f"blob {descriptor.digest} has {size} bytes, not {descriptor.size}")
        try:
            if descriptor.media_type in documents.INDEX_TYPES:
                data = store.blobs.read(descriptor.digest, MANIFEST_LIMIT)
                pending += documents.decode_index(data).manifests
            elif descriptor.media_type in documents.MANIFEST_TYPES:
                manifest = store.images.read_manifest(descriptor)
                pending += (manifest.config, *manifest.layers)
        except PybuildError as error:
            yield Problem(what=what, message=error.message)


def _names(store: Store) -> Iterator[Problem]:
    for row in store.database.read(
        """SELECT names.name, names.target, images.id FROM names
        LEFT JOIN images ON images.id = names.image ORDER BY names.name"""
    ):
        what = f"name {row['name']}"
        if row["id"] is None:
            yield Problem(what=what, message="its image is missing")
        try:
            parse_reference(row["name"])
        except ReferenceInvalid as error:
            yield Problem(what=what, message=error.message)
        if row["target"]:
            yield from _below(store, what, stored_descriptor(row["target"]))


def _snapshots(store: Store) -> Iterator[Problem]:
    """Read each layer's files and compare them with what was recorded; look for directories that nobody recorded."""
    recorded = [ChainID(row[0]) for row in store.database.read("SELECT chain_id FROM snapshots ORDER BY rowid")]
    for chain_id in recorded:
        store.context.cancel.check()
        if store.snapshots.get(chain_id) is None:
            continue  # not trusted: it is made again when it is needed, and `_images` says whether it can be
        try:
            store.snapshots.verify(chain_id)
        except PybuildError as error:
            yield Problem(what=f"layer {chain_id}", message=error.message)
        except OSError as error:
            yield Problem(what=f"layer {chain_id}", message=f"{error.filename}: {error.strerror}")
    for name in sorted(set(os.listdir(store.layout.snapshots)) - {hex_of(chain_id) for chain_id in recorded}):
        if store.database.one("SELECT 1 FROM snapshots WHERE chain_id LIKE ?", f"%:{name}") is None:
            yield Problem(what=str(store.layout.snapshots / name), message="is no recorded layer")


def _layer_blobs(store: Store, broken: frozenset[Digest]) -> Iterator[Problem]:
    """Compare the layers' blobs with the diff IDs that they are remembered for."""
    for row in store.database.read("SELECT diff_id, digest FROM layer_blobs ORDER BY diff_id, digest"):
        digest = Digest(row["digest"])
        if digest in broken or not store.blobs.has(digest):
            continue
        try:
            store.images.layers.compare(DiffID(row["diff_id"]), store.blobs.path(digest))
        except PybuildError as error:
            yield Problem(what=f"blob {digest}", message=error.message)


def _index(store: Store) -> Sequence[Problem]:
    """Compare the OCI layout's documents with the database; another command may be about to write them."""
    problems: list[Problem] = []
    for _ in range(_LOOKS):
        problems = list(_index_now(store))
        if not problems:
            break
        store.context.cancel.wait(_BETWEEN_LOOKS)
    return problems


def _index_now(store: Store) -> Iterator[Problem]:
    images = store.layout.images
    if _count(store, "images") == 0 and not (images / "index.json").exists():
        return
    for name, expected in (("oci-layout", LAYOUT), ("index.json", expected_index(store))):
        try:
            found = (images / name).read_bytes()
        except OSError as error:
            yield Problem(what=str(images / name), message=error.strerror or "cannot be read")
            continue
        if found != expected and found != (LAYOUT if name == "oci-layout" else expected_index(store)):
            yield Problem(what=str(images / name), message="is not what the database says")
