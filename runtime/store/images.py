"""Keep images and their names: the database is the truth, `index.json` follows before anything returns.

An image is its config; its id is the config's digest. Names are normalised references with a tag. An image that was
only built has no manifest until one is asked for (`manifest`), which makes its layer blobs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from frozen import Frozen
from runtime.errors import NotFound, ReferenceInvalid, StoreError
from runtime.oci.digests import ChainID, Digest, chain_ids, hex_of, is_digest
from runtime.oci.documents import (
    OCI_CONFIG,
    Descriptor,
    ImageConfig,
    Manifest,
    decode_config,
    decode_manifest,
    layer_compression,
)
from runtime.oci.fields import MANIFEST_LIMIT
from runtime.oci.references import DEFAULT_TAG, Reference, parse_reference
from runtime.store.compression import Compression
from runtime.store.layerblobs import LayerBlobs
from runtime.store.leases import pinned_by
from runtime.store.once import once
from runtime.store.projection import encode_descriptor, project, stored_descriptor

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3

    from runtime.store.database import Row
    from runtime.store.facade import Store

TABLES = (
    """CREATE TABLE IF NOT EXISTS images(
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        manifest TEXT,
        size INTEGER NOT NULL,
        recorded INTEGER NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS names(
        name TEXT PRIMARY KEY,
        image TEXT NOT NULL REFERENCES images(id),
        target TEXT,
        updated INTEGER NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS names_by_image ON names(image)",
    """CREATE TABLE IF NOT EXISTS repository_digests(
        repository TEXT NOT NULL,
        digest TEXT NOT NULL,
        image TEXT NOT NULL,
        PRIMARY KEY (repository, digest)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS repository_digests_by_image ON repository_digests(image)",
)

SHORT_ID = 12
"""Hex digits of an id in lists."""


class Image(Frozen):
    """An image of the store; `manifest` is None while its layers are no blobs.

    `names` and `digests` (name@digest, as pulled or pushed) are sorted. `size`: bytes of file content of all layers.
    `recorded`, `tagged`: nanoseconds since the epoch, `tagged` 0 for one without names. `sequence` orders images by
    when they came, whatever the clock said.
    """

    id: Digest
    config: ImageConfig
    names: tuple[Reference, ...]
    digests: tuple[Reference, ...]
    manifest: Descriptor | None
    size: int
    recorded: int
    tagged: int
    sequence: int

    @property
    def short_id(self) -> str:
        """The first twelve digits of the id."""
        return hex_of(self.id)[:SHORT_ID]

    @property
    def chain_id(self) -> ChainID | None:
        """The topmost layer, None for an image without layers."""
        return self.config.chain_id


class ImageStore:
    """The images of one store. Methods that change names return after `index.json` says the same."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._database = store.database
        self._database.ensure("images", 1, TABLES)

    @once
    def layers(self) -> LayerBlobs:
        """The layers of images as blobs."""
        return LayerBlobs(self._store)

    def resolve(self, text: str) -> Image | None:
        """Find an image as Docker does: by id, name, name@digest, or unique prefix of an id; None where there is none.

        A name comes before a prefix that is spelled like it.
        """
        image_id = self.resolve_id(text)
        return self.get(image_id) if image_id else None

    def require(self, text: str) -> Image:
        """Find an image; raises NotFound with Docker's words and the nearest name that exists."""
        image = self.resolve(text)
        if image is None:
            raise NotFound(f"No such image: {_tagged(text)}", hint=self._suggestion(text))
        return image

    def resolve_id(self, text: str) -> Digest | None:
        """Find the id of an image, as `resolve` does, without reading its config."""
        if is_digest(text) or is_digest(f"sha256:{text}"):
            digest = text if ":" in text else f"sha256:{text}"
            return self._one_id("SELECT id FROM images WHERE id = ?", digest) or self._one_id(
                "SELECT image FROM repository_digests WHERE digest = ? LIMIT 1", digest
            )
        try:
            reference = parse_reference(text)
        except ReferenceInvalid:
            reference = None
        found = self._named(reference) if reference else None
        return found or self._prefixed(text.removeprefix("sha256:"))

    def get(self, image_id: Digest) -> Image:
        """Read an image by its whole id, also one that was removed and that a container holds; raises NotFound."""
        row = self._database.one("SELECT * FROM images WHERE id = ?", image_id)
        if row is not None:
            return self._image(row)
        if not pinned_by(self._database, "image", image_id) or not self._store.blobs.has(image_id):
            raise NotFound(f"No such image: {image_id}")
        config = decode_config(self._store.blobs.read(image_id, MANIFEST_LIMIT))
        size = self._size(config)
        return Image(
            id=image_id, config=config, names=(), digests=(), manifest=None, size=size, recorded=0, tagged=0, sequence=0
        )

    def list(self) -> tuple[Image, ...]:
        """Read all images, the latest that came first."""
        return tuple(self._image(row) for row in self._database.read("SELECT * FROM images ORDER BY seq DESC"))

    def target(self, reference: Reference) -> Descriptor | None:
        """Give the index that a name stands for, None where it stands for one image alone."""
        row = self._database.one("SELECT target FROM names WHERE name = ?", str(reference.tagged()))
        return stored_descriptor(row["target"]) if row and row["target"] else None

    def record(
        self,
        config: bytes,
        names: Sequence[Reference] = (),
        *,
        manifest: Descriptor | None = None,
        target: Descriptor | None = None,
    ) -> Image:
        """Keep an image under its names, which move here from whatever had them, in one transaction.

        `manifest` says that all its blobs are in the store. A name with a digest is kept as one of its
        `digests`. `target` is the index that the names stand for. Raises StoreError where a layer is neither a
        snapshot nor a remembered blob, DocumentError for a wrong config.
        """
        parsed = decode_config(config)
        size = self._size(parsed)
        image_id = self._store.blobs.put(config)
        now = self._store.context.now()
        with self.changing() as connection:
            connection.execute(
                """INSERT INTO images(id, manifest, size, recorded) VALUES(?, ?, ?, ?)
                ON CONFLICT(id) DO UPDATE SET manifest = coalesce(excluded.manifest, manifest), size = excluded.size""",
                (image_id, encode_descriptor(manifest) if manifest else None, size, now),
            )
            for name in names:
                self._name(connection, name, image_id, target, now)
        return self.get(image_id)

    def tag(self, image: Image, reference: Reference) -> None:
        """Give an image one more name, which moves here if another has it; a digest in it is not a name."""
        if reference.digest is not None and reference.tag is None:
            raise StoreError("refusing to create a tag with a digest reference")
        now = self._store.context.now()
        with self.changing() as connection:
            row = connection.execute(
                "SELECT target FROM names WHERE image = ? AND target IS NOT NULL LIMIT 1", (image.id,)
            ).fetchone()
            connection.execute(
                "INSERT OR REPLACE INTO names(name, image, target, updated) VALUES(?, ?, ?, ?)",
                (_name_of(reference), image.id, row["target"] if row else None, now),
            )

    def add_digest(self, image: Image, reference: Reference) -> None:
        """Note under which digest a registry has an image; `reference` is a name@digest."""
        with self._database.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO repository_digests(repository, digest, image) VALUES(?, ?, ?)",
                (reference.name, reference.digest, image.id),
            )

    @contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """Change names and images in one transaction, after which `index.json` says the same.

        Within an outer block of the same thread it is part of that one's.
        """
        if self._database.is_writing:
            with self._database.write() as connection:
                yield connection
            return
        with self._store.unprojected():
            with self._database.write() as connection:
                yield connection
            project(self._store)

    def untag(self, *references: Reference) -> None:
        """Take names (or, for a name@digest, that digest) away; those that are not there are fine."""
        with self.changing() as connection:
            for reference in references:
                if reference.digest is not None:
                    connection.execute(
                        "DELETE FROM repository_digests WHERE repository = ? AND digest = ?",
                        (reference.name, reference.digest),
                    )
                else:
                    connection.execute("DELETE FROM names WHERE name = ?", (_name_of(reference),))

    def remove(self, image: Image) -> None:
        """Forget an image and its names; what it alone needed is the sweep's to delete (see `collect`)."""
        with self.changing() as connection:
            connection.execute("DELETE FROM names WHERE image = ?", (image.id,))
            connection.execute("DELETE FROM repository_digests WHERE image = ?", (image.id,))
            connection.execute("DELETE FROM images WHERE id = ?", (image.id,))

    def unpacked(self, image: Image) -> ChainID | None:
        """See to it that all layers are snapshots; returns the topmost, None for an image without layers."""
        return self.layers.unpacked(image.config.diff_ids)

    def manifest(
        self,
        image: Image,
        compression: Compression = "gzip",
        *,
        level: int | None = None,
        force: bool = False,
    ) -> Descriptor:
        """Give the manifest of an image, with all its blobs in the store; what is missing is made and remembered.

        The image is in the OCI layout from then on. A manifest that exists is given as it is, unless `force` asks for
        `compression` in every layer.
        """
        if image.manifest and (not force or self._has_compression(image.manifest, compression)):
            return image.manifest
        layers = self.layers.made(image.config.diff_ids, compression, level=level, force=force)
        config = Descriptor(media_type=OCI_CONFIG, digest=image.id, size=self._store.blobs.size(image.id))
        manifest = Manifest(config=config, layers=layers)
        data = manifest.encode()
        descriptor = Descriptor(
            media_type=manifest.media_type,
            digest=self._store.blobs.put(data),
            size=len(data),
            platform=image.config.platform if image.config.os else None,
        )
        if image.manifest is None:
            with self.changing() as connection:
                connection.execute(
                    "UPDATE images SET manifest = ? WHERE id = ?", (encode_descriptor(descriptor), image.id)
                )
        return descriptor

    def read_manifest(self, descriptor: Descriptor) -> Manifest:
        """Read the manifest of a descriptor."""
        return decode_manifest(self._store.blobs.read(descriptor.digest, MANIFEST_LIMIT))

    def _has_compression(self, descriptor: Descriptor, compression: Compression) -> bool:
        layers = self.read_manifest(descriptor).layers
        return all(layer_compression(layer.media_type) == compression for layer in layers)

    def _image(self, row: Row) -> Image:
        config = decode_config(self._store.blobs.read(Digest(row["id"]), MANIFEST_LIMIT))
        names = self._database.read("SELECT name, updated FROM names WHERE image = ? ORDER BY name", row["id"])
        digests = self._database.read(
            "SELECT repository, digest FROM repository_digests WHERE image = ? ORDER BY repository, digest", row["id"]
        )
        return Image(
            id=Digest(row["id"]),
            config=config,
            names=tuple(parse_reference(name["name"]) for name in names),
            digests=tuple(parse_reference(f"{entry['repository']}@{entry['digest']}") for entry in digests),
            manifest=stored_descriptor(row["manifest"]) if row["manifest"] else None,
            size=row["size"],
            recorded=row["recorded"],
            tagged=max((name["updated"] for name in names), default=0),
            sequence=row["seq"],
        )

    def _name(
        self,
        connection: sqlite3.Connection,
        name: Reference,
        image_id: Digest,
        target: Descriptor | None,
        now: int,
    ) -> None:
        if name.digest is not None:
            connection.execute(
                "INSERT OR REPLACE INTO repository_digests(repository, digest, image) VALUES(?, ?, ?)",
                (name.name, name.digest, image_id),
            )
        if name.tag is not None or name.digest is None:
            connection.execute(
                "INSERT OR REPLACE INTO names(name, image, target, updated) VALUES(?, ?, ?, ?)",
                (_name_of(name), image_id, encode_descriptor(target) if target else None, now),
            )

    def _size(self, config: ImageConfig) -> int:
        """Add up the layers; a layer that is not unpacked counts with the size of its blob."""
        total = 0
        for diff_id, chain_id in zip(config.diff_ids, chain_ids(config.diff_ids), strict=True):
            snapshot = self._store.snapshots.get(chain_id)
            blob = None if snapshot else self.layers.remembered(diff_id)
            if snapshot is None and blob is None:
                raise StoreError(f"layer {diff_id} of the image is not in the store")
            total += snapshot.size if snapshot else blob.size if blob else 0
        return total

    def _one_id(self, sql: str, *params: object) -> Digest | None:
        row = self._database.one(sql, *params)
        return Digest(row[0]) if row else None

    def _named(self, reference: Reference) -> Digest | None:
        if reference.digest is None:
            return self._one_id("SELECT image FROM names WHERE name = ?", str(reference.tagged()))
        found = self._one_id(
            "SELECT image FROM repository_digests WHERE repository = ? AND digest = ?", reference.name, reference.digest
        )
        # A manifest that was made here is known under the repositories of the image's names, too.
        return found or self._one_id(
            """SELECT images.id FROM images JOIN names ON names.image = images.id
            WHERE names.name GLOB ? AND json_extract(coalesce(names.target, images.manifest), '$.digest') = ?""",
            f"{_glob_quoted(reference.name)}:*",
            reference.digest,
        )

    def _prefixed(self, prefix: str) -> Digest | None:
        if not prefix or len(prefix) > 64 or not set(prefix) <= set("0123456789abcdef"):
            return None
        low = f"sha256:{prefix}"
        rows = self._database.read("SELECT id FROM images WHERE id >= ? AND id < ? LIMIT 2", low, low + "g")
        return Digest(rows[0]["id"]) if len(rows) == 1 else None

    def _suggestion(self, text: str) -> str | None:
        try:
            parse_reference(text)
        except ReferenceInvalid as error:
            return error.hint
        prefix = text.removeprefix("sha256:")
        if prefix and set(prefix) <= set("0123456789abcdef"):
            low = f"sha256:{prefix}"
            row = self._database.one("SELECT count(*) FROM images WHERE id >= ? AND id < ?", low, low + "g")
            if row and row[0] > 1:
                return f"{row[0]} images have ids that begin with {prefix}: write more digits"
        near = nearest(_tagged(text), (row["name"] for row in self._database.read("SELECT name FROM names")))
        return f"did you mean {near}?" if near else "`pybuild images` lists what there is"


def nearest(wanted: str, names: Iterable[str]) -> str | None:
    """Find the stored name that looks most like `wanted`, in its familiar spelling."""
    from difflib import get_close_matches  # lazy: 4 ms

    familiar = sorted(parse_reference(name).familiar() for name in names)
    return next(iter(get_close_matches(wanted, familiar, 1)), None)


def _tagged(text: str) -> str:
    """Spell a missing name as Docker does: with the tag that was looked for."""
    try:
        return parse_reference(text).tagged().familiar()
    except ReferenceInvalid:
        return text


def _name_of(reference: Reference) -> str:
    """Give what a reference is stored under: repository and tag."""
    return f"{reference.name}:{reference.tag or DEFAULT_TAG}"


def _glob_quoted(text: str) -> str:
    return text.replace("[", "[[]")
