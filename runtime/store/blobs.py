"""Keep blobs in `ROOT/images/blobs/ALGORITHM/HEX`: nothing has that name before it is whole and verified.

Layout: OCI image-spec, image-layout.md § Blobs. Who writes what is there already writes for nothing, but does no harm.

Nobody waits for the disk. A blob that was not synced yet has no write permission (0444, else 0644), which its inode
had before it had the name, so that no power cut separates the two; which boot it came under stands in the database.
One that another boot left so is read and compared before it counts as being here. `settle` syncs.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from runtime.errors import BlobMissing, DigestMismatch, DocumentError, StoreError
from runtime.oci.digests import HEX_LENGTHS, Digest, algorithm_of, digest_of, hex_of, is_digest, parse_digest
from runtime.store.leases import boot_mark
from runtime.store.once import once
from runtime.store.parts import WORTH, part_of
from runtime.store.placement import disk_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from runtime.store.facade import Store

CHUNK = 1 << 20
_UNSETTLED, _SETTLED = 0o444, 0o644
_TABLES = ("CREATE TABLE IF NOT EXISTS unsettled_blobs(digest TEXT PRIMARY KEY, boot TEXT NOT NULL)",)


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
        import hashlib  # lazy: OpenSSL

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

    def take_up(self) -> None:
        """Count what the file holds already; its position is behind that then."""
        while data := self._file.read(CHUNK):
            self._store.cancel.check()
            self._hash.update(data)
            self.size += len(data)

    def discard(self) -> None:
        """Begin anew: what came is wrong."""
        with suppress(FileNotFoundError):
            os.unlink(self._path)
        self.size = 0

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
        """Verify and name the blob; returns digest and size. Raises DigestMismatch."""
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
        self._trusted: set[Digest] = set()
        """Unsettled ones that came under this boot."""
        store.database.ensure("blobs", 1, _TABLES)

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
        if self._status(digest) is None:
            raise BlobMissing(digest)
        return self._open(digest)

    def _open(self, digest: Digest) -> BinaryIO:
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

    @contextmanager
    def resumed(self, expected: Digest, size: int) -> Iterator[BlobWriter]:
        """Take in a blob as `writer` does, after the bytes that an interrupted command left (the writer's `size`).

        The lock `("blob", expected)` is held. What is not committed is left for the next one; see `parts`.
        """
        path = part_of(self._store.layout, expected)
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise self.failed(error) from error
        with FileIO(fd, "r+") as file:
            if os.fstat(fd).st_size > size:
                os.ftruncate(fd, 0)
            writer = BlobWriter(self, file, path, expected, size)
            try:
                writer.take_up()
                yield writer
            finally:
                if writer.size < WORTH or self.has(expected):
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
        with self._open(digest) as file:
            self._compare(digest, file)

    def admit(self, path: Path, digest: Digest) -> None:
        """Rename a file of the workspace, which the caller compared to `digest`, to its name."""
        target = self.path(parse_digest(digest))
        try:
            target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            os.chmod(path, _UNSETTLED)
            with self._store.database.write() as connection:
                connection.execute("INSERT OR REPLACE INTO unsettled_blobs VALUES(?, ?)", (digest, self._boot))
            os.rename(path, target)
        except OSError as error:
            raise self.failed(error) from error

    def unsettled(self) -> tuple[Digest, ...]:
        """List the blobs that came under this boot and may not be on the disk yet, the latest last."""
        rows = self._store.database.read("SELECT digest FROM unsettled_blobs WHERE boot = ? ORDER BY rowid", self._boot)
        return tuple(Digest(row[0]) for row in rows)

    def settled(self, digests: Iterable[Digest]) -> None:
        """Hear that blobs are on the disk."""
        digests = tuple(digests)
        for digest in digests:
            with suppress(FileNotFoundError):
                os.chmod(self.path(digest), _SETTLED)
        with self._store.database.write() as connection:
            connection.executemany("DELETE FROM unsettled_blobs WHERE digest = ?", [(digest,) for digest in digests])

    def failed(self, error: OSError) -> StoreError:
        """Put an error of the disk into a sentence; for BlobWriter."""
        return disk_error(self._store.layout.root, "writing a blob", error)

    def _status(self, digest: Digest) -> os.stat_result | None:
        try:
            status = os.lstat(self.path(digest))
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        if status.st_mode & stat.S_IWUSR or digest in self._trusted or self._is_sound(digest):
            return status
        return None

    def _is_sound(self, digest: Digest) -> bool:
        """Tell whether a blob that was not synced is what it was, by its boot or by its content."""
        row = self._store.database.one("SELECT boot FROM unsettled_blobs WHERE digest = ?", digest)
        if row is not None and row[0] == self._boot:
            self._trusted.add(digest)
            return True
        try:
            with self._open(digest) as file:
                self._compare(digest, file)
                os.fsync(file.fileno())
        except (DigestMismatch, StoreError, OSError):
            return False
        self.settled((digest,))
        return True

    def _compare(self, digest: Digest, file: BinaryIO) -> None:
        import hashlib  # lazy: OpenSSL

        actual = hashlib.new(algorithm_of(digest))
        while data := file.read(CHUNK):
            self._store.context.cancel.check()
            actual.update(data)
        found = f"{algorithm_of(digest)}:{actual.hexdigest()}"
        if found != digest:
            raise DigestMismatch(f"blob {digest} is damaged", expected=digest, actual=found)

    @once
    def _boot(self) -> str:
        return boot_mark()
