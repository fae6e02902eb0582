"""Compare the registry's records with the blobs of the store, for `system check`; change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from runtime.errors import PybuildError
from runtime.oci.digests import Digest
from runtime.oci.fields import MANIFEST_LIMIT
from runtime.registry.server.errors import Refusal
from runtime.registry.server.manifests import read_manifest
from runtime.registry.server.records import owner_of
from runtime.store.check import Problem

if TYPE_CHECKING:
    from runtime.store import Store
    from runtime.store.database import Row


def check_records(store: Store) -> tuple[Problem, ...]:
    """Look whether each repository, pushed or mirrored, has what it says, and whether that is kept from collection.

    What is in the blobs is `store.check`'s. A server may work meanwhile: what it removes is not reported.
    """
    if store.database.one("SELECT 1 FROM sqlite_master WHERE name = 'registry_repositories'") is None:
        return ()
    problems: list[Problem] = []
    for row in store.database.read("SELECT id, name, upstream FROM registry_repositories ORDER BY upstream, name"):
        store.context.cancel.check()
        what = f"registry repository {row['name']}" + (f" of {row['upstream']}" if row["upstream"] else "")
        problems += [Problem(what=what, message=message) for message in _Repository(store, row).faults()]
    rows = store.database.read(
        """SELECT DISTINCT owner FROM pins WHERE owner >= 'registry:' AND owner < 'registry;'
        AND substr(owner, 10) NOT IN (SELECT id FROM registry_repositories) ORDER BY owner"""
    )
    problems += [Problem(what=f"pins of {row[0]}", message="there is no such repository") for row in rows]
    return tuple(problems)


class _Repository:
    """One repository's rows against the store."""

    def __init__(self, store: Store, row: Row) -> None:
        self._store = store
        self._database = store.database
        self._id = int(row["id"])
        self._is_mirror = bool(row["upstream"])

    def faults(self) -> Iterator[str]:
        """Say what is wrong, in an order that does not change."""
        for digest in self._digests("registry_blobs"):
            if (message := self._fault_of(digest)) and self._is_recorded("registry_blobs", digest):
                yield f"blob {message}"
        for digest in self._digests("registry_manifests"):
            for message in self._faults_of_manifest(digest):
                if self._is_recorded("registry_manifests", digest):
                    yield f"manifest {message}"
        for row in self._database.read(
            """SELECT tag, digest FROM registry_tags AS t WHERE repository = ?1 AND NOT EXISTS (
                SELECT 1 FROM registry_manifests WHERE repository = ?1 AND digest = t.digest) ORDER BY tag""",
            self._id,
        ):
            yield f"tag {row['tag']} names manifest {row['digest']}, which it does not have"

    def _fault_of(self, digest: Digest) -> str | None:
        if not self._store.blobs.has(digest):
            return f"{digest} is missing"
        pinned = self._database.one(
            "SELECT 1 FROM pins WHERE owner = ? AND kind = 'blob' AND target = ?", owner_of(self._id), digest
        )
        return None if pinned else f"{digest} is not pinned: a collection would delete it"

    def _faults_of_manifest(self, digest: Digest) -> Iterator[str]:
        if message := self._fault_of(digest):
            yield message
        row = self._database.one(
            "SELECT media_type, size FROM registry_manifests WHERE repository = ? AND digest = ?", self._id, digest
        )
        if row is None or not self._store.blobs.has(digest):
            return
        size = self._store.blobs.size(digest)
        if size != row["size"]:
            yield f"{digest} has {size} bytes, not {row['size']}"
            return
        try:
            info = read_manifest(self._store.blobs.read(digest, MANIFEST_LIMIT), row["media_type"])
        except (PybuildError, Refusal) as error:
            yield f"{digest} cannot be read: {error.message}"
            return
        if self._is_mirror:
            return  # it fetches what it lacks
        for blob in info.blobs:
            if not self._is_recorded("registry_blobs", blob):
                yield f"{digest} needs blob {blob}, which was deleted"
        for child in info.manifests:
            if not self._is_recorded("registry_manifests", child) and not self._is_recorded("registry_blobs", child):
                yield f"{digest} needs manifest {child}, which was deleted"

    def _digests(self, table: str) -> list[Digest]:
        rows = self._database.read(f"SELECT digest FROM {table} WHERE repository = ? ORDER BY digest", self._id)
        return [Digest(row[0]) for row in rows]

    def _is_recorded(self, table: str, digest: str) -> bool:
        query = f"SELECT 1 FROM {table} WHERE repository = ? AND digest = ?"
        return self._database.one(query, self._id, digest) is not None
