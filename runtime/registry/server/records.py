"""Keep the registry's name space: which repository has which blobs, manifests and tags, and who refers to whom.

It is apart from the store's images: their names live in other tables. What a repository has is pinned under the owner
`registry:N`, so that a collection of the store keeps it. Each method is one short transaction; a manifest is only
recorded in one that has seen all it needs.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from frozen import Frozen
from runtime.oci.digests import Digest
from runtime.registry.server.errors import Refusal, SeveralRefusals
from runtime.store.leases import add_pins

if TYPE_CHECKING:
    from runtime.registry.server.manifests import ManifestInfo
    from runtime.registry.server.paths import Page
    from runtime.store import Store

TABLES = (
    """CREATE TABLE IF NOT EXISTS registry_repositories(
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        upstream TEXT NOT NULL,
        UNIQUE (name, upstream))""",
    """CREATE TABLE IF NOT EXISTS registry_blobs(
        repository INTEGER NOT NULL,
        digest TEXT NOT NULL,
        touched INTEGER NOT NULL,
        PRIMARY KEY (repository, digest)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS registry_blobs_by_digest ON registry_blobs(digest)",
    """CREATE TABLE IF NOT EXISTS registry_manifests(
        repository INTEGER NOT NULL,
        digest TEXT NOT NULL,
        media_type TEXT NOT NULL,
        size INTEGER NOT NULL,
        touched INTEGER NOT NULL,
        subject TEXT,
        artifact_type TEXT NOT NULL,
        annotations TEXT NOT NULL,
        PRIMARY KEY (repository, digest)) WITHOUT ROWID""",
    """CREATE INDEX IF NOT EXISTS registry_manifests_by_subject ON registry_manifests(repository, subject)
        WHERE subject IS NOT NULL""",
    """CREATE TABLE IF NOT EXISTS registry_references(
        repository INTEGER NOT NULL,
        blob TEXT NOT NULL,
        manifest TEXT NOT NULL,
        PRIMARY KEY (repository, blob, manifest)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS registry_references_by_manifest ON registry_references(repository, manifest)",
    """CREATE TABLE IF NOT EXISTS registry_tags(
        repository INTEGER NOT NULL,
        tag TEXT NOT NULL,
        digest TEXT NOT NULL,
        PRIMARY KEY (repository, tag)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS registry_tags_by_digest ON registry_tags(repository, digest)",
    """CREATE TABLE IF NOT EXISTS registry_uploads(
        id TEXT PRIMARY KEY,
        repository TEXT NOT NULL,
        algorithm TEXT NOT NULL,
        started INTEGER NOT NULL) WITHOUT ROWID""",
)


_SECOND = 1_000_000_000
_HOUR = 3600 * _SECOND
LIFETIME = 24 * _HOUR
"""Nanoseconds for which a blob is kept, after somebody pushed it or asked for it, that no manifest needs."""
_GRACE = 30 * _SECOND
"""The same for blobs whose last manifest was deleted: a client that deletes them one by one still finds them."""


class StoredManifest(Frozen):
    """A manifest that a repository has; `size` in bytes."""

    digest: Digest
    media_type: str
    size: int


class Conditions(Frozen):
    """What a client wants to be so when a tag moves (RFC 9110 § 13); None where it did not say.

    Each is a tuple of digests, `*` for anything at all.
    """

    if_match: tuple[str, ...] | None = None
    if_none_match: tuple[str, ...] | None = None


class Records:
    """The repositories of one name space: what was pushed (`upstream` ""), or what is kept of one upstream."""

    def __init__(self, store: Store, upstream: str = "") -> None:
        self._database = store.database
        self._now = store.context.now
        self._upstream = upstream
        self._database.ensure("registry server", 1, TABLES)

    # -- repositories ----------------------------------------------------------------------------------------------

    def repository(self, name: str) -> int | None:
        """Find a repository's number; None where it does not exist."""
        row = self._database.one(
            "SELECT id FROM registry_repositories WHERE name = ? AND upstream = ?", name, self._upstream
        )
        return int(row["id"]) if row else None

    def names(self, page: Page) -> list[str]:
        """List the repositories that have a manifest, in the order of their bytes."""
        rows = self._database.read(
            """SELECT name FROM registry_repositories AS r WHERE upstream = ? AND name > ?
            AND EXISTS (SELECT 1 FROM registry_manifests WHERE repository = r.id) ORDER BY name LIMIT ?""",
            self._upstream,
            page.last,
            page.limit,
        )
        return [row["name"] for row in rows]

    # -- blobs -----------------------------------------------------------------------------------------------------

    def has_blob(self, name: str, digest: Digest, *, touch: bool = False) -> bool:
        """Tell whether a repository has a blob; `touch` keeps it for as long as one that was just pushed."""
        repository = self.repository(name)
        if repository is None:
            return False
        found = self._database.one(
            "SELECT 1 FROM registry_blobs WHERE repository = ? AND digest = ?", repository, digest
        )
        if found and touch:
            with self._database.write() as connection:
                connection.execute(
                    "UPDATE registry_blobs SET touched = ? WHERE repository = ? AND digest = ?",
                    (self._now(), repository, digest),
                )
        return found is not None

    def has_blob_anywhere(self, digest: Digest) -> bool:
        """Tell whether any repository of the name space has a blob."""
        return (
            self._database.one(
                """SELECT 1 FROM registry_blobs JOIN registry_repositories ON id = repository
                WHERE digest = ? AND upstream = ? LIMIT 1""",
                digest,
                self._upstream,
            )
            is not None
        )

    def is_referenced(self, name: str, digest: Digest) -> bool:
        """Tell whether a manifest of a repository needs a blob, which may be missing."""
        return (
            self._database.one(
                "SELECT 1 FROM registry_references WHERE repository = ? AND blob = ? LIMIT 1",
                self.repository(name),
                digest,
            )
            is not None
        )

    def link_blob(self, name: str, digest: Digest) -> None:
        """Give a repository, which is made if it is new, a blob of the store. Under the shared store lock."""
        with self._database.write() as connection:
            repository = self._made(connection, name)
            connection.execute(
                "INSERT OR REPLACE INTO registry_blobs(repository, digest, touched) VALUES(?, ?, ?)",
                (repository, digest, self._now()),
            )
            self._pin(repository, digest)

    def unlink_blob(self, name: str, digest: Digest) -> bool:
        """Take a blob from a repository; False where it has none."""
        repository = self.repository(name)
        if repository is None:
            return False
        with self._database.write() as connection:
            changed = connection.execute(
                "DELETE FROM registry_blobs WHERE repository = ? AND digest = ?", (repository, digest)
            ).rowcount
            self._unpin(connection, repository, (digest,))
        return changed > 0

    # -- manifests -------------------------------------------------------------------------------------------------

    def manifest(self, name: str, target: str) -> StoredManifest | None:
        """Find a manifest by tag or digest."""
        repository = self.repository(name)
        if repository is None:
            return None
        row = self._database.one(
            "SELECT digest, media_type, size FROM registry_manifests WHERE repository = ? AND digest = ?"
            if ":" in target
            else """SELECT m.digest, m.media_type, m.size FROM registry_tags AS t JOIN registry_manifests AS m
            ON m.repository = t.repository AND m.digest = t.digest WHERE t.repository = ? AND t.tag = ?""",
            repository,
            target,
        )
        if row is None:
            return None
        return StoredManifest(digest=Digest(row["digest"]), media_type=row["media_type"], size=row["size"])

    def put_manifest(
        self,
        name: str,
        stored: StoredManifest,
        info: ManifestInfo,
        tags: Sequence[str],
        *,
        conditions: Conditions | None = None,
        complete: bool = True,
    ) -> None:
        """Record a manifest whose bytes are in the store, and move tags to it. Under the shared store lock.

        Raises Refusal: MANIFEST_BLOB_UNKNOWN where the repository lacks something that it needs (unless not
        `complete`), 412 where `conditions` do not hold.
        """
        with self._database.write() as connection:
            repository = self._made(connection, name)
            if complete:
                self._refuse_missing(connection, repository, info)
            if conditions is not None:
                self._hold(connection, repository, conditions, tags[0] if tags else stored.digest)
            connection.execute(
                "INSERT OR REPLACE INTO registry_manifests VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    repository,
                    stored.digest,
                    stored.media_type,
                    stored.size,
                    self._now(),
                    info.subject,
                    info.artifact_type,
                    json.dumps(dict(info.annotations)),
                ),
            )
            connection.executemany(
                "INSERT OR IGNORE INTO registry_references(repository, blob, manifest) VALUES(?, ?, ?)",
                [(repository, blob, stored.digest) for blob in (*info.blobs, *info.optional)],
            )
            connection.executemany(
                "INSERT OR REPLACE INTO registry_tags(repository, tag, digest) VALUES(?, ?, ?)",
                [(repository, tag, stored.digest) for tag in tags],
            )
            self._pin(repository, stored.digest)

    def move_tag(self, name: str, tag: str, digest: Digest) -> bool:
        """Let a tag name a manifest that the repository has; False where it has it not."""
        stored = self.manifest(name, tag)
        if stored is not None and stored.digest == digest:
            return True
        repository = self.repository(name)
        if repository is None:
            return False
        with self._database.write() as connection:
            return (
                connection.execute(
                    """INSERT OR REPLACE INTO registry_tags(repository, tag, digest)
                    SELECT repository, ?, digest FROM registry_manifests WHERE repository = ? AND digest = ?""",
                    (tag, repository, digest),
                ).rowcount
                > 0
            )

    def delete_tag(self, name: str, tag: str) -> bool:
        """Take a tag away and nothing else; False where there is none."""
        repository = self.repository(name)
        if repository is None:
            return False
        with self._database.write() as connection:
            return (
                connection.execute(
                    "DELETE FROM registry_tags WHERE repository = ? AND tag = ?", (repository, tag)
                ).rowcount
                > 0
            )

    def delete_manifest(self, name: str, digest: Digest) -> bool:
        """Delete a manifest with its tags; False where there is none. The blobs that it alone needed go soon after.

        A blob that somebody asked for since the manifest came stays a day: it may be part of a push under way.
        """
        repository = self.repository(name)
        if repository is None:
            return False
        with self._database.write() as connection:
            row = connection.execute(
                "SELECT touched FROM registry_manifests WHERE repository = ? AND digest = ?", (repository, digest)
            ).fetchone()
            if row is None:
                return False
            self._forget(connection, repository, digest, row["touched"])
        return True

    # -- discovery -------------------------------------------------------------------------------------------------

    def tags(self, name: str, page: Page) -> list[str] | None:
        """List tags in the order of their bytes; None where there is no such repository."""
        repository = self.repository(name)
        if repository is None:
            return None
        rows = self._database.read(
            "SELECT tag FROM registry_tags WHERE repository = ? AND tag > ? ORDER BY tag LIMIT ?",
            repository,
            page.last,
            page.limit,
        )
        return [row["tag"] for row in rows]

    def referrers(self, name: str, subject: str, artifact_type: str | None, page: Page) -> list[dict[str, object]]:
        """List the manifests that name `subject` as theirs, as descriptors, in the order of their digests."""
        rows = self._database.read(
            """SELECT digest, media_type, size, artifact_type, annotations FROM registry_manifests
            WHERE repository = ? AND subject = ? AND digest > ? AND artifact_type = coalesce(?, artifact_type)
            ORDER BY digest LIMIT ?""",
            self.repository(name),
            subject,
            page.last,
            artifact_type,
            page.limit,
        )
        found = []
        for row in rows:
            descriptor: dict[str, object] = {
                "mediaType": row["media_type"],
                "digest": row["digest"],
                "size": row["size"],
            }
            if row["artifact_type"]:
                descriptor["artifactType"] = row["artifact_type"]
            annotations = json.loads(row["annotations"])
            if annotations:
                descriptor["annotations"] = annotations
            found.append(descriptor)
        return found

    # -- what is no longer needed ----------------------------------------------------------------------------------

    def drop_unreferenced(self, before: int) -> int:
        """Take away blobs that no manifest needs and nobody touched since `before` (ns); returns how many."""
        with self._database.write() as connection:
            rows = connection.execute(
                """SELECT repository, digest FROM registry_blobs AS b JOIN registry_repositories ON id = repository
                WHERE upstream = ? AND touched < ? AND NOT EXISTS (
                    SELECT 1 FROM registry_references WHERE repository = b.repository AND blob = b.digest)""",
                (self._upstream, before),
            ).fetchall()
            for row in rows:
                self._drop_blob(connection, row["repository"], row["digest"])
        return len(rows)

    def drop_unused(self, before: int) -> int:
        """Take away manifests that nobody asked for since `before` (ns), and what they alone needed soon after."""
        with self._database.write() as connection:
            rows = connection.execute(
                """SELECT repository, digest FROM registry_manifests JOIN registry_repositories ON id = repository
                WHERE upstream = ? AND touched < ?""",
                (self._upstream, before),
            ).fetchall()
            for row in rows:
                self._forget(connection, row["repository"], row["digest"], before)
        return len(rows)

    def touch_manifest(self, name: str, digest: Digest) -> None:
        """Note that a manifest is still asked for; to the hour, which spares a write for each request."""
        repository, now = self.repository(name), self._now()
        row = self._database.one(
            "SELECT touched FROM registry_manifests WHERE repository = ? AND digest = ?", repository, digest
        )
        if row is not None and row["touched"] < now - _HOUR:
            with self._database.write() as connection:
                connection.execute(
                    "UPDATE registry_manifests SET touched = ? WHERE repository = ? AND digest = ?",
                    (now, repository, digest),
                )

    # -- inside a transaction --------------------------------------------------------------------------------------

    def _made(self, connection: sqlite3.Connection, name: str) -> int:
        connection.execute(
            "INSERT OR IGNORE INTO registry_repositories(name, upstream) VALUES(?, ?)", (name, self._upstream)
        )
        row = connection.execute(
            "SELECT id FROM registry_repositories WHERE name = ? AND upstream = ?", (name, self._upstream)
        ).fetchone()
        return int(row[0])

    def _refuse_missing(self, connection: sqlite3.Connection, repository: int, info: ManifestInfo) -> None:
        def absent(table: str, digests: Iterable[Digest]) -> list[Digest]:
            query = f"SELECT 1 FROM {table} WHERE repository = ? AND digest = ?"
            return [digest for digest in digests if not connection.execute(query, (repository, digest)).fetchone()]

        missing = absent("registry_blobs", info.blobs)
        missing += absent("registry_blobs", absent("registry_manifests", info.manifests))
        if missing:
            raise SeveralRefusals(
                tuple(
                    Refusal(
                        404,
                        "MANIFEST_BLOB_UNKNOWN",
                        "manifest references a manifest or blob unknown to registry",
                        detail={"digest": digest},
                    )
                    for digest in missing[:100]
                )
            )

    def _hold(self, connection: sqlite3.Connection, repository: int, conditions: Conditions, target: str) -> None:
        row = connection.execute(
            "SELECT digest FROM registry_tags WHERE repository = ? AND tag = ?"
            if ":" not in target
            else "SELECT digest FROM registry_manifests WHERE repository = ? AND digest = ?",
            (repository, target),
        ).fetchone()
        current = row["digest"] if row else None
        wanted, unwanted = conditions.if_match, conditions.if_none_match
        fails = (wanted is not None and not _matches(current, wanted)) or (
            unwanted is not None and _matches(current, unwanted)
        )
        if fails:
            raise Refusal(412, "DENIED", f"{target} is not in the state that the request asks for")

    def _forget(self, connection: sqlite3.Connection, repository: int, digest: str, since: int) -> None:
        connection.execute("DELETE FROM registry_manifests WHERE repository = ? AND digest = ?", (repository, digest))
        connection.execute("DELETE FROM registry_tags WHERE repository = ? AND digest = ?", (repository, digest))
        needed = connection.execute(
            "SELECT blob FROM registry_references WHERE repository = ? AND manifest = ?", (repository, digest)
        ).fetchall()
        connection.execute(
            "DELETE FROM registry_references WHERE repository = ? AND manifest = ?", (repository, digest)
        )
        connection.executemany(
            """UPDATE registry_blobs SET touched = min(touched, ?1)
            WHERE repository = ?2 AND digest = ?3 AND touched <= ?4 AND NOT EXISTS (
                SELECT 1 FROM registry_references WHERE repository = ?2 AND blob = ?3)""",
            [(self._now() - LIFETIME + _GRACE, repository, row["blob"], since) for row in needed],
        )
        self._unpin(connection, repository, (digest,))

    def _drop_blob(self, connection: sqlite3.Connection, repository: int, digest: str) -> None:
        connection.execute("DELETE FROM registry_blobs WHERE repository = ? AND digest = ?", (repository, digest))
        self._unpin(connection, repository, (digest,))

    def _pin(self, repository: int, digest: Digest) -> None:
        add_pins(self._database, owner_of(repository), "blob", digest)  # part of the transaction under way

    def _unpin(self, connection: sqlite3.Connection, repository: int, digests: Iterable[str]) -> None:
        """Drop pins of what the repository has neither as a blob nor as a manifest."""
        connection.executemany(
            """DELETE FROM pins WHERE owner = ?1 AND kind = 'blob' AND target = ?2
            AND NOT EXISTS (SELECT 1 FROM registry_blobs WHERE repository = ?3 AND digest = ?2)
            AND NOT EXISTS (SELECT 1 FROM registry_manifests WHERE repository = ?3 AND digest = ?2)""",
            [(owner_of(repository), digest, repository) for digest in digests],
        )


def owner_of(repository: int) -> str:
    """Name a repository as the owner of pins."""
    return f"registry:{repository}"


def _matches(current: str | None, wanted: Sequence[str]) -> bool:
    return current is not None and ("*" in wanted or current in wanted)
