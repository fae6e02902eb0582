"""Take in blobs piece by piece: upload sessions that outlive their connections, and the server.

The bytes of a session lie in `ROOT/registry/uploads/ID`; how many came is the file's size. A server that dies leaves a
session that can go on: what was hashed while it came is read once more then. A blob has no name before its digest was
compared. OCI distribution-spec § Pushing blobs.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import uuid
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from runtime.errors import StoreError
from runtime.oci.digests import Digest, algorithm_of
from runtime.registry.server.errors import Refusal, digest_invalid, upload_unknown
from runtime.registry.server.storage import Storage, hash_file
from runtime.store.placement import disk_error, is_full

if TYPE_CHECKING:
    from runtime.registry.server.body import Body
    from runtime.registry.server.paths import ByteRange
    from runtime.registry.server.workers import Workers

_REMEMBERED = 512
"""Sessions whose running digests are kept in memory; others are read again at their end."""


class Hasher(Protocol):
    """An object of hashlib."""

    def update(self, data: bytes | memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...


class Upload:
    """One session. `lock` is held by the request that adds to it or ends it."""

    def __init__(self, upload_id: str, repository: str, algorithm: str, path: Path, size: int) -> None:
        self.id = upload_id
        self.repository = repository
        self.algorithm = algorithm
        self.path = path
        self.size = size
        """Bytes that came."""
        self.hasher: Hasher | None = hashlib.new(algorithm) if size == 0 else None
        self.lock = asyncio.Lock()
        self.ended = False

    @property
    def location(self) -> str:
        """The path that the next request goes to."""
        return f"/v2/{self.repository}/blobs/uploads/{self.id}"

    @property
    def range(self) -> str:
        """What came, as a Range header; an empty session has no way to say so and looks like one with a byte."""
        return f"0-{max(self.size - 1, 0)}"


class Uploads:
    """The sessions below one root, which several servers may share."""

    def __init__(self, storage: Storage, workers: Workers) -> None:
        self._storage = storage
        self._store = storage.store
        self._database = storage.store.database
        self._workers = workers
        self._directory = storage.store.layout.root / "registry" / "uploads"
        self._known: OrderedDict[str, Upload] = OrderedDict()
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def start(self, repository: str, algorithm: str = "sha256") -> Upload:
        """Begin a session."""
        upload_id = str(uuid.UUID(hex=self._store.context.token(32), version=4))

        def record() -> None:
            with self._database.write() as connection:
                connection.execute(
                    "INSERT INTO registry_uploads(id, repository, algorithm, started) VALUES(?, ?, ?, ?)",
                    (upload_id, repository, algorithm, self._store.context.now()),
                )

        await self._workers.quick(record)
        return self._remember(Upload(upload_id, repository, algorithm, self._directory / upload_id, 0))

    async def find(self, repository: str, upload_id: str) -> Upload:
        """Find a session of a repository; raises Refusal BLOB_UPLOAD_UNKNOWN."""
        row = await self._workers.quick(
            self._database.one, "SELECT repository, algorithm FROM registry_uploads WHERE id = ?", upload_id
        )
        if row is None or row["repository"] != repository:
            self._known.pop(upload_id, None)
            raise upload_unknown(upload_id)
        known = self._known.get(upload_id)
        if known is None:
            path = self._directory / upload_id
            known = Upload(upload_id, repository, row["algorithm"], path, _size_of(path))
        return self._remember(known)

    async def receive(self, upload: Upload, body: Body, announced: ByteRange | None = None) -> None:
        """Add a body to a session, whose lock is held; what came before a cut stays, and can be gone on from.

        A full disk ends the session, whose bytes would keep it full for everybody. Raises Refusal 416 where
        `announced` does not begin at the session's end.
        """
        if upload.ended:
            raise upload_unknown(upload.id)
        file = await self._workers.quick(self._open, upload)
        try:
            if announced is not None and announced.first != upload.size:
                raise out_of_order(upload)
            writing: asyncio.Future[None] | None = None
            try:
                async for pieces in body.blocks():
                    if writing is not None:
                        await writing
                    writing = asyncio.ensure_future(self._workers.heavy(self._write, upload, file, pieces))
            finally:
                if writing is not None:
                    await writing
        except StoreError as error:
            if is_full(error):
                await self.drop(upload)
            raise
        finally:
            os.close(file)

    async def finish(self, upload: Upload, digest: Digest) -> None:
        """End a session whose bytes are a blob of its repository from now on, if they have that digest.

        The session is over in any case. Raises Refusal DIGEST_INVALID.
        """
        if upload.ended:
            raise upload_unknown(upload.id)
        try:
            actual = await self._workers.heavy(self._digest, upload, algorithm_of(digest))
            if actual != digest:
                raise digest_invalid("provided digest did not match uploaded content")
            await self._workers.heavy(self._storage.keep_blob, upload.repository, digest, upload.path)
        finally:
            await self.drop(upload)

    async def drop(self, upload: Upload) -> None:
        """End a session and forget its bytes."""
        upload.ended = True
        self._known.pop(upload.id, None)
        await self._workers.quick(self._drop, upload.id)

    def sweep(self, before: int) -> None:
        """End the sessions to which nothing came since `before` (ns); blocks."""
        for row in self._database.read("SELECT id FROM registry_uploads WHERE started < ?", before):
            if _changed(self._directory / row["id"]) < before:
                self._drop(row["id"])
        known = {row["id"] for row in self._database.read("SELECT id FROM registry_uploads")}
        for name in os.listdir(self._directory):
            if name not in known and _changed(self._directory / name) < before:
                with suppress(FileNotFoundError):
                    os.unlink(self._directory / name)

    # -- in threads ------------------------------------------------------------------------------------------------

    def _open(self, upload: Upload) -> int:
        """Open a session's file at its end, for this server alone; what another one added is found there."""
        try:
            file = os.open(upload.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise self._failed(error) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            raise out_of_order(upload) from None
        size = os.fstat(file).st_size
        if size != upload.size:
            upload.size, upload.hasher = size, None
        return file

    def _write(self, upload: Upload, file: int, pieces: list[bytes]) -> None:
        try:
            for piece in pieces:
                view = memoryview(piece)
                while view:
                    count = _write_some(file, view)
                    if upload.hasher is not None:
                        upload.hasher.update(view[:count])
                    upload.size += count
                    view = view[count:]
        except OSError as error:
            raise self._failed(error) from error

    def _digest(self, upload: Upload, algorithm: str) -> Digest:
        if upload.size == 0 and not upload.path.exists():
            os.close(self._open(upload))
        if upload.hasher is not None and upload.algorithm == algorithm and _size_of(upload.path) == upload.size:
            return Digest(f"{algorithm}:{upload.hasher.hexdigest()}")
        return hash_file(upload.path, algorithm)

    def _drop(self, upload_id: str) -> None:
        # The file first: on a full disk the database can be written only then.
        with suppress(FileNotFoundError):
            os.unlink(self._directory / upload_id)
        with self._database.write() as connection:
            connection.execute("DELETE FROM registry_uploads WHERE id = ?", (upload_id,))

    def _failed(self, error: OSError) -> StoreError:
        return disk_error(self._store.layout.root, "taking in a blob", error)

    def _remember(self, upload: Upload) -> Upload:
        self._known[upload.id] = upload
        self._known.move_to_end(upload.id)
        if len(self._known) > _REMEMBERED:
            oldest = next(iter(self._known.values()))
            if not oldest.lock.locked():
                del self._known[oldest.id]
        return upload


def _write_some(file: int, data: memoryview) -> int:
    return os.write(file, data)


def out_of_order(upload: Upload) -> Refusal:
    """Refuse a chunk that does not begin where the last one ended; the headers say where that is."""
    return Refusal(
        416,
        "BLOB_UPLOAD_INVALID",
        f"chunks come in order: the next one begins at byte {upload.size}",
        headers={"Location": upload.location, "Range": upload.range, "Docker-Upload-UUID": upload.id},
    )


def _size_of(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def _changed(path: Path) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except FileNotFoundError:
        return 0
