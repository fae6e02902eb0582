"""Show the store's own images, read-only, under the names that people give them.

`app:1` is repository `app`; who asks for `library/app` gets it, too. Layers are compressed when their image is asked
for first, and remembered (`ImageStore.manifest`). A name that no repository can have (a registry's port in it) is not
shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from frozen import Frozen
from runtime.errors import NotFound, PybuildError, ReferenceInvalid
from runtime.oci.digests import Digest
from runtime.oci.documents import INDEX_TYPES, MANIFEST_TYPES, Descriptor, decode_index, decode_manifest
from runtime.oci.fields import MANIFEST_LIMIT
from runtime.oci.references import Reference, parse_reference
from runtime.registry.server.paths import is_name
from runtime.registry.server.records import StoredManifest
from runtime.store.projection import stored_descriptor

if TYPE_CHECKING:
    from runtime.registry.server.storage import Storage
    from runtime.store.database import Row

_REMEMBERED = 256


class _Tree(Frozen):
    """What is below a name: manifests and indexes by digest, the blobs that they need, and whether all is here."""

    documents: Mapping[Digest, Descriptor]
    blobs: frozenset[Digest]
    whole: bool


class LocalImages:
    """The images whose familiar name, with or without its tag, matches `pattern`. The methods block."""

    def __init__(self, storage: Storage, pattern: str) -> None:
        self._storage = storage
        self._store = storage.store
        self._database = storage.store.database
        self._pattern = pattern
        self._trees: dict[Digest, _Tree] = {}
        _ = self._store.images  # its tables exist

    def names(self) -> list[str]:
        """List the repositories."""
        return sorted({reference.familiar_name for reference, _ in self._shown()})

    def tags(self, name: str) -> list[str] | None:
        """List a repository's tags; None where there is none of that name."""
        found = sorted(reference.tag for reference, _ in self._of(name) if reference.tag)
        return found or None

    def manifest(self, name: str, target: str) -> StoredManifest | None:
        """Find a manifest by tag or digest; by tag the image's layers are compressed if they are not yet.

        A name that stands for an index shows it where all of it is here, else the one image that is.
        """
        if ":" in target:
            return self._below_name(name, Digest(target))
        row = next((row for reference, row in self._of(name) if reference.tag == target), None)
        if row is None:
            return None
        with self._storage.in_use():
            index = stored_descriptor(row["target"]) if row["target"] else None
            if index is not None and self._tree(index).whole:
                return _stored(index)
            try:
                image = self._store.images.get(Digest(row["image"]))
            except NotFound:  # removed since
                return None
            return _stored(self._store.images.manifest(image))

    def has_manifest(self, name: str, target: str) -> bool:
        """Tell whether a tag or digest is one of a local image, making nothing."""
        if ":" in target:
            return self._below_name(name, Digest(target)) is not None
        return any(reference.tag == target for reference, _ in self._of(name))

    def has_blob(self, name: str, digest: Digest) -> bool:
        """Tell whether a blob belongs to an image of the repository that was asked for before."""
        return any(digest in self._tree(top).blobs for top in self._tops(name)) and self._store.blobs.has(digest)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _shown(self) -> Iterator[tuple[Reference, Row]]:
        """Go through the names that can be shown and match the pattern."""
        rows = self._database.read(
            """SELECT names.name, names.image, names.target, images.manifest
            FROM names JOIN images ON images.id = names.image ORDER BY names.name"""
        )
        for row in rows:
            reference = parse_reference(row["name"])
            if is_name(reference.familiar_name) and self._matches(reference):
                yield reference, row

    def _of(self, name: str) -> Iterator[tuple[Reference, Row]]:
        """Go through the names in one repository."""
        try:
            wanted = parse_reference(name).name
        except ReferenceInvalid:
            return
        rows = self._database.read(
            """SELECT names.name, names.image, names.target, images.manifest
            FROM names JOIN images ON images.id = names.image WHERE names.name > ? AND names.name < ?""",
            f"{wanted}:",
            f"{wanted};",
        )
        for row in rows:
            reference = parse_reference(row["name"])
            if reference.name == wanted and self._matches(reference):
                yield reference, row

    def _matches(self, reference: Reference) -> bool:
        return fnmatchcase(reference.familiar_name, self._pattern) or fnmatchcase(reference.familiar(), self._pattern)

    def _tops(self, name: str) -> Iterator[Descriptor]:
        """Go through the manifests and indexes that the names of a repository stand for."""
        for _, row in self._of(name):
            for text in (row["target"], row["manifest"]):
                if text:
                    yield stored_descriptor(text)

    def _below_name(self, name: str, digest: Digest) -> StoredManifest | None:
        for top in self._tops(name):
            descriptor = self._tree(top).documents.get(digest)
            if descriptor is not None and self._store.blobs.has(digest):
                return _stored(descriptor)
        return None

    def _tree(self, top: Descriptor) -> _Tree:
        """Read what is below a manifest or index; remembered where all of it is here."""
        known = self._trees.get(top.digest)
        if known is not None:
            return known
        tree = self._read_tree(top)
        if tree.whole:
            if len(self._trees) >= _REMEMBERED:
                self._trees.clear()
            self._trees[top.digest] = tree
        return tree

    def _read_tree(self, top: Descriptor) -> _Tree:
        documents: dict[Digest, Descriptor] = {}
        blobs: set[Digest] = set()
        whole = True
        pending = [top]
        while pending:
            current = pending.pop()
            if current.digest in documents:
                continue
            try:
                data = self._store.blobs.read(current.digest, MANIFEST_LIMIT)
                if current.media_type in INDEX_TYPES:
                    pending += decode_index(data).manifests
                elif current.media_type in MANIFEST_TYPES:
                    manifest = decode_manifest(data)
                    blobs.update(blob.digest for blob in (manifest.config, *manifest.layers))
            except PybuildError:
                whole = False
                continue
            documents[current.digest] = current
        whole = whole and all(map(self._store.blobs.has, blobs))
        return _Tree(documents=documents, blobs=frozenset(blobs), whole=whole)


def _stored(descriptor: Descriptor) -> StoredManifest:
    return StoredManifest(digest=descriptor.digest, media_type=descriptor.media_type, size=descriptor.size)
