"""Keep manifests that speak of another one, such as signatures and attestations, as long as that one is kept.

OCI image-spec, manifest.md § subject; OCI distribution-spec § Listing Referrers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.store.projection import encode_descriptor, stored_descriptor

if TYPE_CHECKING:
    from runtime.oci.digests import Digest
    from runtime.oci.documents import Descriptor
    from runtime.store.facade import Store

_TABLES = (
    """CREATE TABLE IF NOT EXISTS referrers(
        subject TEXT NOT NULL,
        digest TEXT NOT NULL,
        descriptor TEXT NOT NULL,
        PRIMARY KEY (subject, digest)) WITHOUT ROWID""",
)


class Referrers:
    """The referrers of one store, by the digest of their subject."""

    def __init__(self, store: Store) -> None:
        self._database = store.database
        self._database.ensure("referrers", 1, _TABLES)

    def add(self, subject: Digest, descriptor: Descriptor) -> None:
        """Keep a manifest, whose blobs are all in the store, with its subject."""
        with self._database.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO referrers(subject, digest, descriptor) VALUES(?, ?, ?)",
                (subject, descriptor.digest, encode_descriptor(descriptor)),
            )

    def of(self, subject: str) -> tuple[Descriptor, ...]:
        """List what speaks of a manifest, by digest."""
        rows = self._database.read("SELECT descriptor FROM referrers WHERE subject = ? ORDER BY digest", subject)
        return tuple(stored_descriptor(row["descriptor"]) for row in rows)

    def subjects(self) -> frozenset[str]:
        """List the digests that something speaks of."""
        return frozenset(str(row[0]) for row in self._database.read("SELECT DISTINCT subject FROM referrers"))
