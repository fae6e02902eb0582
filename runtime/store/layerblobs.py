"""Go between layers as directories and layers as blobs, and remember which blob holds which layer.

A blob is remembered for a diff ID only after somebody compared the two: the one who made it from the snapshot, or the
one who unpacked or read it. A layer may have several blobs, one for each compression.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack

from runtime.errors import BlobMissing, DigestMismatch, LayerError, StoreError
from runtime.oci.digests import ChainID, DiffID, Digest, algorithm_of, chain_ids
from runtime.oci.documents import Descriptor, layer_compression, layer_media_type
from runtime.store.compression import CHUNK, Compression, Compressor, decompressed
from runtime.store.placement import disk_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO, Protocol

    from runtime.store.blobs import BlobWriter
    from runtime.store.facade import Store
else:
    Protocol = object

TABLES = (
    """CREATE TABLE IF NOT EXISTS layer_blobs(
        diff_id TEXT NOT NULL,
        digest TEXT NOT NULL,
        media_type TEXT NOT NULL,
        size INTEGER NOT NULL,
        PRIMARY KEY (diff_id, digest)) WITHOUT ROWID""",
)


_PATIENCE = 2.0
"""Seconds for which a layer that waits for those below keeps others from unpacking it as well."""


class Watcher(Protocol):
    """Whoever reads a blob while it is made."""

    def begin(self, file: BinaryIO, /) -> None:
        """Take the file that grows, to be closed by the watcher."""

    def advance(self, available: int, /, *, verified: bool = False) -> None:
        """Hear how many bytes are there; `verified` that those are all."""


class _Watched:
    """A sink that tells a watcher how much was written."""

    def __init__(self, writer: BlobWriter, watcher: Watcher) -> None:
        self._writer = writer
        self._watcher = watcher
        watcher.begin(writer.open())

    def write(self, data: bytes, /) -> None:
        self._writer.write(data)
        self._watcher.advance(self._writer.size)


class LayerBlobs:
    """The blobs of layers of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.database.ensure("layer_blobs", 1, TABLES)

    def remembered(self, diff_id: DiffID, compression: Compression | None = None) -> Descriptor | None:
        """Find a blob of a layer that is still there; with `compression` only one that has it."""
        rows = self._store.database.read(
            "SELECT digest, media_type, size FROM layer_blobs WHERE diff_id = ? ORDER BY digest", diff_id
        )
        for row in rows:
            fits = compression is None or layer_compression(row["media_type"]) == compression
            if fits and self._store.blobs.has(Digest(row["digest"])):
                return Descriptor(media_type=row["media_type"], digest=Digest(row["digest"]), size=row["size"])
        return None

    def remember(self, diff_id: DiffID, descriptor: Descriptor) -> None:
        """Record that a blob holds a layer, which the caller has seen for itself."""
        kind = layer_compression(descriptor.media_type)
        if kind is None:
            raise StoreError(f"{descriptor.media_type!a} is no layer's media type")
        with self._store.database.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO layer_blobs(diff_id, digest, media_type, size) VALUES(?, ?, ?, ?)",
                (diff_id, descriptor.digest, layer_media_type(kind), descriptor.size),
            )

    def is_remembered(self, diff_id: DiffID, digest: Digest) -> bool:
        """Tell whether it is known that the blob holds the layer."""
        return (
            self._store.database.one("SELECT 1 FROM layer_blobs WHERE diff_id = ? AND digest = ?", diff_id, digest)
            is not None
        )

    def made(
        self,
        diff_ids: Sequence[DiffID],
        compression: Compression = "gzip",
        *,
        level: int | None = None,
        force: bool = False,
    ) -> tuple[Descriptor, ...]:
        """Give a blob for each layer of a stack, bottom first; those that are missing are made, in parallel.

        A blob of another compression than asked for does as well, unless `force`. Raises StoreError where a layer is
        neither a blob nor a snapshot, or its files are not what was recorded.
        """
        chain = chain_ids(diff_ids)
        work = list(zip(diff_ids, chain, strict=True))

        def one(item: tuple[DiffID, ChainID]) -> Descriptor:
            diff_id, chain_id = item
            found = self.remembered(diff_id, compression) or (None if force else self.remembered(diff_id))
            return found or self.make(diff_id, chain_id, compression, level)

        if len(work) < 2:
            return tuple(map(one, work))
        from concurrent.futures import ThreadPoolExecutor  # lazy: 8 ms

        with ThreadPoolExecutor(max_workers=min(len(work), os.cpu_count() or 1)) as pool:
            return tuple(pool.map(one, work))

    def make(
        self,
        diff_id: DiffID,
        chain_id: ChainID,
        compression: Compression,
        level: int | None = None,
        *,
        watcher: Watcher | None = None,
    ) -> Descriptor:
        """Make the blob of one layer, unless there is one with this compression, and remember it.

        `watcher` can read along while it is made; it hears nothing where the blob is there.
        """
        store = self._store
        with store.locked("blob", f"{diff_id} {compression}"):
            found = self.remembered(diff_id, compression)
            if found:
                return found
            with store.blobs.writer() as writer:
                compressor = Compressor(_Watched(writer, watcher) if watcher else writer, compression, level)
                self._write_plain(diff_id, chain_id, compressor)
                compressor.close()
                if watcher is not None:
                    watcher.advance(writer.size, verified=True)
                digest, size = writer.commit()
            descriptor = Descriptor(media_type=layer_media_type(compression), digest=digest, size=size)
            self.remember(diff_id, descriptor)
            return descriptor

    def _write_plain(self, diff_id: DiffID, chain_id: ChainID, sink: Compressor) -> None:
        """Write a layer's tar: from a blob of another compression, which has its very bytes, or from its snapshot."""
        descriptor = self.remembered(diff_id)
        if descriptor is not None:
            self.compare(diff_id, self._store.blobs.path(descriptor.digest), sink)
        elif self._store.snapshots.get(chain_id) is None:
            raise StoreError(
                f"layer {diff_id} is neither unpacked nor a blob", hint="pull, load or build the image again"
            )
        else:
            self._store.snapshots.write_tar(chain_id, sink)

    def unpacked(self, diff_ids: Sequence[DiffID]) -> ChainID | None:
        """See to it that each layer of a stack is a snapshot; one process unpacks a layer, others wait for it.

        Returns the topmost chain ID, None for no layers. Raises BlobMissing where a layer is nowhere, and what
        unpacking raises.
        """
        parent: ChainID | None = None
        for diff_id, chain_id in zip(diff_ids, chain_ids(diff_ids), strict=True):
            if self._store.snapshots.get(chain_id) is None:
                descriptor = self.remembered(diff_id)
                if descriptor is None:
                    raise BlobMissing(diff_id, hint="pull, load or build the image again")
                self._unpack(parent, diff_id, chain_id, self._store.blobs.path(descriptor.digest))
            parent = chain_id
        return parent

    def admit(self, diff_ids: Sequence[DiffID], blobs: Sequence[tuple[Descriptor, Path]]) -> None:
        """Take in the layers of an image that came as blobs: unpack each, compared to its diff ID, and remember it.

        `blobs`, bottom first, are descriptors with the files that hold them, which were compared to their digests.
        Raises DigestMismatch or LayerError for a layer that is not what the config says; nothing is remembered of it.
        """
        parent: ChainID | None = None
        for diff_id, chain_id, (descriptor, path) in zip(diff_ids, chain_ids(diff_ids), blobs, strict=True):
            self._store.context.cancel.check()
            if self._store.snapshots.get(chain_id) is None:
                self._unpack(parent, diff_id, chain_id, path)
            elif not self.is_remembered(diff_id, descriptor.digest):
                self.compare(diff_id, path)
            parent = chain_id
        for diff_id, (descriptor, _) in zip(diff_ids, blobs, strict=True):
            self.remember(diff_id, descriptor)

    def _unpack(self, parent: ChainID | None, diff_id: DiffID, chain_id: ChainID, path: Path) -> None:
        self.unpack(parent, diff_id, chain_id, lambda: open(path, "rb"))  # noqa: SIM115 a context manager

    def unpack(
        self,
        parent: ChainID | None,
        diff_id: DiffID,
        chain_id: ChainID,
        opened: Callable[[], AbstractContextManager[BinaryIO]],
        *,
        limit: int | None = None,
        below: Callable[[float | None], bool] | None = None,
    ) -> bool:
        """Make the snapshot of a layer on top of `parent` of a blob; False, with nothing opened, where it is there.

        One process unpacks a layer, others wait for it. `limit` is how many bytes it may have uncompressed, where it
        is compressed and a stranger's. With `below`, `parent` may still be on its way, and `below` waits for it: at
        most so many seconds, telling whether it is there. Raises LayerError, DigestMismatch, StoreError where the disk
        does not take it, and what reading raises.
        """
        with ExitStack() as lock:
            lock.enter_context(self._store.locked("unpack", chain_id))
            if self._store.snapshots.get(chain_id) is not None:
                return False

            def ready() -> None:
                # Whoever makes the layers below may wait for this very lock, which stands for many layers.
                if below is not None and not below(_PATIENCE):
                    lock.close()
                    below(None)

            with opened() as file:
                what = f"layer {diff_id}"
                plain = decompressed(file, what, limit=limit)
                try:
                    self._store.snapshots.apply(parent, plain, expected=diff_id, ready=ready if below else None)
                except LayerError as error:
                    raise LayerError(f"{what}: {error.message}", entry=error.entry, hint=error.hint) from error
                except OSError as error:
                    raise disk_error(self._store.layout.root, f"unpacking {what}", error) from error
        return True

    def compare(self, diff_id: DiffID, path: Path, sink: Compressor | None = None) -> None:
        """Read a blob, and raise DigestMismatch if it does not hold the layer; `sink` gets the plain bytes."""
        import hashlib  # lazy: OpenSSL

        hasher = hashlib.new(algorithm_of(diff_id))
        with open(path, "rb") as file:
            plain: BinaryIO = decompressed(file, f"layer {diff_id}")
            while data := plain.read(CHUNK):
                self._store.context.cancel.check()
                hasher.update(data)
                if sink is not None:
                    sink.write(data)
        actual = f"{algorithm_of(diff_id)}:{hasher.hexdigest()}"
        if actual != diff_id:
            raise DigestMismatch("layer", expected=diff_id, actual=actual)
