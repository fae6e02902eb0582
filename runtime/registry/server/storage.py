"""Change what repositories hold, so that a collection of the store, in this or another process, never loses any of it.

The server keeps the store open without its lock (`Store.idle`): collections may pass at any time, and keep what is
pinned. What it does to content it does here, in threads, each time under the shared store lock.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from runtime.errors import BlobMissing
from runtime.oci.digests import Digest, algorithm_of, digest_of
from runtime.registry.server.errors import blob_unknown, digest_invalid, manifest_unknown
from runtime.registry.server.manifests import ManifestInfo, read_manifest
from runtime.registry.server.records import Conditions, Records, StoredManifest
from runtime.store.locks import held

if TYPE_CHECKING:
    from runtime.store import Store


class Storage:
    """The blobs of the store and the records of one name space. Its methods block: they are called in threads."""

    def __init__(self, store: Store, upstream: str = "") -> None:
        self.store = store
        self.records = Records(store, upstream)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Hold the shared store lock: no collection runs during the block."""
        with held(self.store.layout.locks / "store", self.store.context.cancel, exclusive=False):
            yield

    def open_blob(self, digest: Digest) -> BinaryIO:
        """Open a blob, to be closed by the caller; raises Refusal BLOB_UNKNOWN. What is open stays readable."""
        try:
            return self.store.blobs.open(digest)
        except BlobMissing:
            raise blob_unknown(digest) from None

    def keep_blob(self, name: str, digest: Digest, path: Path) -> None:
        """Take in a file that was compared to its digest (it is gone afterwards), and give a repository the blob."""
        with self.in_use():
            if self.store.blobs.has(digest):
                with suppress(FileNotFoundError):
                    os.unlink(path)
            else:
                self.store.blobs.admit(path, digest)
            self.records.link_blob(name, digest)

    def mount_blob(self, name: str, digest: Digest) -> bool:
        """Give a repository a blob that another one has; False where it is not here any more."""
        with self.in_use():
            if not self.store.blobs.has(digest):
                return False
            self.records.link_blob(name, digest)
        return True

    def put_manifest(
        self,
        name: str,
        target: str,
        data: bytes,
        content_type: str,
        *,
        tags: Sequence[str] = (),
        conditions: Conditions | None = None,
    ) -> tuple[StoredManifest, ManifestInfo]:
        """Keep a pushed manifest under a tag or its digest, and under `tags`. Raises Refusal."""
        info = read_manifest(data, content_type)
        algorithm = algorithm_of(target) if ":" in target else "sha256"
        digest = digest_of(data, algorithm)
        if ":" in target and digest != target:
            raise digest_invalid("provided digest did not match uploaded content")
        named = (*(() if ":" in target else (target,)), *tags)
        return self.keep_manifest(name, digest, data, info, named, conditions=conditions), info

    def keep_manifest(
        self,
        name: str,
        digest: Digest,
        data: bytes,
        info: ManifestInfo,
        tags: Sequence[str],
        *,
        conditions: Conditions | None = None,
        complete: bool = True,
    ) -> StoredManifest:
        """Keep a manifest whose digest was compared; see `Records.put_manifest`."""
        stored = StoredManifest(digest=digest, media_type=info.media_type, size=len(data))
        with self.in_use():
            if not self.store.blobs.has(digest):
                with self.store.blobs.writer(digest, len(data)) as writer:
                    writer.write(data)
                    writer.commit()
            self.records.put_manifest(name, stored, info, tags, conditions=conditions, complete=complete)
        return stored

    def read_manifest(self, name: str, stored: StoredManifest) -> bytes:
        """Read the bytes of a manifest, verified; raises Refusal where they are gone."""
        try:
            return self.store.blobs.read(stored.digest, stored.size)
        except BlobMissing:
            raise manifest_unknown(name, stored.digest) from None


def hash_file(path: Path, algorithm: str, chunk: int = 1 << 20) -> Digest:
    """Read a file and give its digest."""
    hasher = hashlib.new(algorithm)
    with open(path, "rb", buffering=0) as file:
        buffer = bytearray(chunk)
        view = memoryview(buffer)
        while count := file.readinto(buffer):
            hasher.update(view[:count])
    return Digest(f"{algorithm}:{hasher.hexdigest()}")
