"""Keep blobs in `ROOT/images/blobs/ALGORITHM/HEX`: nothing has that name before it is whole and on the disk.

Layout: OCI image-spec, image-layout.md § Blobs. Who writes what is there already writes for nothing, but does no harm.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from runtime.errors import BlobMissing, DigestMismatch, DocumentError, StoreError
from runtime.oci.digests import HEX_LENGTHS, Digest, algorithm_of, digest_of, hex_of, is_digest, parse_digest
from runtime.store.placement import disk_error

if TYPE_CHECKING:
    from runtime.store.facade import Store

CHUNK = 1 << 20


class BlobWriter:
    """A blob on its way in; `commit` verifies it and gives it its name, and without that nothing stays.

    `write` hashes as it goes. Not usable by two threads at once.
    """

    def __init__(self, store: BlobStore, file: FileIO, path: Path, expected: Digest | None, size: int | None) -> None:
        self._store = store
        self._file = file
        self._path = path
        self._expected = expected
        self._expected_size = size
        self._algorithm = algorithm_of(expected) if expected else "sha256"
        self._hash = hashlib.new(self._algorithm)
        self.size = 0
        """Bytes written so far."""

    def write(self, data: bytes | memoryview) -> int:
        """Append, unbuffered; raises DigestMismatch as soon as there is more than the expected size, and Cancelled."""
        self._store.cancel.check()
        self.size += len(data)
        if self._expected_size is not None and self.size > self._expected_size:
            raise DigestMismatch(
                f"size of blob {self._expected or ''}".rstrip(),
                expected=f"{self._expected_size} bytes",
                actual="more",
            )
        self._hash.update(data)
        try:
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            raise self._store.failed(error) from error
        return len(data)

    def open(self) -> BinaryIO:
        """Open the file for reading what was written so far; it can be read on after its end as a blob, or without."""
        return open(self._path, "rb", buffering=0)

    def verify(self) -> Digest:
        """Compare digest and size of what was written, all of it; returns the digest. Raises DigestMismatch."""
        if self._expected_size is not None and self.size != self._expected_size:
            raise DigestMismatch(
                f"size of blob {self._expected or ''}".rstrip(),
                expected=f"{self._expected_size} bytes",
                actual=f"{self.size} bytes",
            )
        digest = Digest(f"{self._algorithm}:{self._hash.hexdigest()}")
        if self._expected is not None and digest != self._expected:
            raise DigestMismatch("digest of a blob", expected=self._expected, actual=digest)
        return digest

    def commit(self) -> tuple[Digest, int]:
        """Verify, sync, and name the blob; returns digest and size. Raises DigestMismatch."""
        digest = self.verify()
        if not self._store.has(digest):
            self._store.admit(self._path, digest)
        return digest, self.size


class BlobStore:
    """The blobs of one store. Reading does not verify: what has the name was verified when it got it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.cancel = store.context.cancel
        self._directory = store.layout.images / "blobs"

    def path(self, digest: Digest) -> Path:
        """Give the file of a blob, whether it exists or not."""
        return self._directory / algorithm_of(digest) / hex_of(digest)

    def has(self, digest: Digest) -> bool:
        """Tell whether the blob is here, whole."""
        return self._status(digest) is not None

    def size(self, digest: Digest) -> int:
        """Give the blob's size in bytes; raises BlobMissing."""
        status = self._status(digest)
        if status is None:
            raise BlobMissing(digest)
        return status.st_size

    def open(self, digest: Digest) -> BinaryIO:
        """Open a blob for reading, to be closed by the caller; raises BlobMissing."""
        try:
            return open(self.path(digest), "rb")
        except FileNotFoundError:
            raise BlobMissing(digest) from None
        except OSError as error:
            raise StoreError(f"blob {digest} cannot be read: {error.strerror}") from error

    def read(self, digest: Digest, limit: int) -> bytes:
        """Read a document of at most `limit` bytes, verified; raises BlobMissing, DocumentError, DigestMismatch."""
        with self.open(digest) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise DocumentError(f"blob {digest} is larger than the {limit} bytes that a document may have")
        actual = digest_of(data, algorithm_of(digest))
        if actual != digest:
            raise DigestMismatch(
                f"blob {digest} is damaged", expected=digest, actual=actual, hint="`pybuild system check` finds all"
            )
        return data

    @contextmanager
    def writer(self, expected: Digest | None = None, size: int | None = None) -> Iterator[BlobWriter]:
        """Take in a blob whose digest may be known; what was not committed at the end of the block is gone.

        Raises StoreError where the disk does not take it (it is full), with nothing left behind.
        """
        path = self._store.workspace() / f"blob-{self._store.context.token(16)}"
        try:
            file = open(path, "xb", buffering=0)  # noqa: SIM115 closed below, and only once
        except OSError as error:
            raise self.failed(error) from error
        try:
            with file:
                yield BlobWriter(self, file, path, expected, size)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(path)

    def put(self, data: bytes) -> Digest:
        """Keep bytes that are in memory, such as a config or manifest, under their sha256 digest."""
        digest = digest_of(data, "sha256")
        if not self.has(digest):
            with self.writer(digest, len(data)) as writer:
                writer.write(data)
                writer.commit()
        return digest

    def delete(self, digest: Digest) -> None:
        """Delete a blob; one that is not there is fine. Only for who holds the exclusive store lock."""
        with suppress(FileNotFoundError):
            os.unlink(self.path(digest))

    def digests(self) -> Iterator[Digest]:
        """List the blobs that are here, sorted within an algorithm; files with other names are left out."""
        for algorithm in sorted(HEX_LENGTHS):
            try:
                names = sorted(os.listdir(self._directory / algorithm))
            except FileNotFoundError:
                continue
            for name in names:
                if is_digest(f"{algorithm}:{name}"):
                    yield Digest(f"{algorithm}:{name}")

    def verify(self, digest: Digest) -> None:
        """Read a blob and compare; raises DigestMismatch or BlobMissing."""
        actual = hashlib.new(algorithm_of(digest))
        with self.open(digest) as file:
            while data := file.read(CHUNK):
                self._store.context.cancel.check()
                actual.update(data)
        found = f"{algorithm_of(digest)}:{actual.hexdigest()}"
        if found != digest:
            raise DigestMismatch(f"blob {digest} is damaged", expected=digest, actual=found)

    def admit(self, path: Path, digest: Digest) -> None:
        """Sync a file of the workspace, which the caller compared to `digest`, and rename it to its name."""
        target = self.path(parse_digest(digest))
        try:
            target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            os.chmod(path, 0o644)
            _sync(path)
            os.rename(path, target)
            _sync(target.parent)
        except OSError as error:
            raise self.failed(error) from error

    def failed(self, error: OSError) -> StoreError:
        """Put an error of the disk into a sentence; for BlobWriter."""
        return disk_error(self._store.layout.root, "writing a blob", error)

    def _status(self, digest: Digest) -> os.stat_result | None:
        try:
            status = os.lstat(self.path(digest))
        except FileNotFoundError:
            return None
        return status if stat.S_ISREG(status.st_mode) else None


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
