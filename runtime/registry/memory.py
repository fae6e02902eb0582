"""Remember what registries taught us: which repositories hold a blob, and what a name is for another platform.

Hints only: each is checked where it is used, and losing them costs a question or an upload.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from runtime.oci.digests import Digest

if TYPE_CHECKING:
    from runtime.oci.platforms import Platform
    from runtime.oci.references import Reference
    from runtime.store.facade import Store
    from runtime.store.images import Image

_TABLES = (
    """CREATE TABLE IF NOT EXISTS blob_repositories(
        digest TEXT NOT NULL,
        domain TEXT NOT NULL,
        path TEXT NOT NULL,
        sequence INTEGER NOT NULL,
        PRIMARY KEY (digest, domain, path)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS blob_repositories_by_sequence ON blob_repositories(sequence)",
    """CREATE TABLE IF NOT EXISTS platform_images(
        name TEXT NOT NULL,
        platform TEXT NOT NULL,
        image TEXT NOT NULL,
        PRIMARY KEY (name, platform)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS tag_digests(
        name TEXT PRIMARY KEY,
        image TEXT NOT NULL,
        digest TEXT NOT NULL) WITHOUT ROWID""",
)
_KEPT = 4096
"""Blobs' places that are remembered, the latest."""


class Memory:
    """The hints of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.database.ensure("registry", 3, _TABLES)

    def seen(self, reference: Reference, digests: Iterable[Digest]) -> None:
        """Remember that the repository of `reference` has blobs."""
        with self._store.database.write() as connection:
            connection.executemany(
                """INSERT OR REPLACE INTO blob_repositories(digest, domain, path, sequence)
                VALUES(?, ?, ?, (SELECT coalesce(max(sequence), 0) + 1 FROM blob_repositories))""",
                [(digest, reference.domain, reference.path) for digest in digests],
            )
            connection.execute(
                """DELETE FROM blob_repositories WHERE sequence <=
                (SELECT max(sequence) FROM blob_repositories) - ?""",
                (_KEPT,),
            )

    def places(self, reference: Reference, digest: Digest) -> tuple[str, ...]:
        """List other repositories of the same registry that have a blob, the latest seen first, two at most."""
        rows = self._store.database.read(
            """SELECT path FROM blob_repositories WHERE digest = ? AND domain = ? AND path != ?
            ORDER BY sequence DESC LIMIT 2""",
            digest,
            reference.domain,
            reference.path,
        )
        return tuple(str(row[0]) for row in rows)

    def note_platform(self, reference: Reference, platform: Platform, image: Image) -> None:
        """Remember which image a name is for a platform; what was said of images that have gone is forgotten."""
        with self._store.database.write() as connection:
            for table in ("platform_images", "tag_digests"):
                connection.execute(f"DELETE FROM {table} WHERE image NOT IN (SELECT id FROM images)")
            connection.execute(
                "INSERT OR REPLACE INTO platform_images(name, platform, image) VALUES(?, ?, ?)",
                (str(reference.tagged()), str(platform.normalised()), image.id),
            )

    def note_digest(self, reference: Reference, image: Image, digest: Digest) -> None:
        """Remember what a registry's tag stood for when it was asked last: the digest of an index or manifest."""
        with self._store.database.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO tag_digests(name, image, digest) VALUES(?, ?, ?)",
                (str(reference.tagged()), image.id, digest),
            )

    def digest_of(self, reference: Reference, image: Image) -> Digest | None:
        """Give the registry's digest of an image that a name stands for here; None where no registry is known."""
        row = self._store.database.one(
            "SELECT digest FROM tag_digests WHERE name = ? AND image = ?", str(reference.tagged()), image.id
        )
        known = [item.digest for item in image.digests if item.name == reference.name and item.digest is not None]
        if row is not None and row[0] in known:
            return Digest(row[0])
        return known[0] if known else None

    def for_platform(self, reference: Reference, platform: Platform) -> Image | None:
        """Give the image that a name was for a platform when it was pulled, if that image is here."""
        row = self._store.database.one(
            """SELECT platform_images.image FROM platform_images JOIN images ON images.id = platform_images.image
            WHERE name = ? AND platform = ?""",
            str(reference.tagged()),
            str(platform.normalised()),
        )
        return self._store.images.get(Digest(row[0])) if row else None
