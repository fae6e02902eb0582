"""Let a blob be read while it still arrives: one thread writes it, another reads behind the writer.

The end is given only after the whole blob was verified, so that whoever reads to the end has read the right bytes.
Nothing is kept in memory: the bytes lie in the file that becomes the blob.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, cast

from runtime.errors import Cancelled, DigestMismatch, RegistryError, StoreError
from runtime.registry.events import BlobProgress, Phase, Sink
from runtime.registry.transport import Body

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.oci.digests import Digest
    from runtime.oci.documents import Descriptor
    from runtime.registry.client import Repository
    from runtime.registry.session import Session
    from runtime.registry.uploads import Growing
    from runtime.store.blobs import BlobWriter
    from runtime.store.facade import Store

_SLICE = 0.1
"""Seconds between two looks at the cancellation."""
_STEP = 1 << 20
"""Bytes between two reports of progress."""


class Arrival:
    """One blob on its way into the store; any number of threads may read it meanwhile."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._changed = threading.Condition()
        self._file: BinaryIO | None = None
        self._blob: Callable[[], BinaryIO] | None = None
        self._available = 0
        self._verified = False

    def begin(self, file: BinaryIO) -> None:
        """Say that there will be bytes in `file`, which is closed when the blob has its name."""
        with self._changed:
            self._file = file
            self._changed.notify_all()

    def advance(self, available: int, *, verified: bool = False) -> None:
        """Say how many bytes can be read; `verified` that those are all, and the right ones."""
        with self._changed:
            self._available = available
            self._verified = self._verified or verified
            self._changed.notify_all()

    def end(self, blob: Callable[[], BinaryIO], size: int) -> None:
        """Say that the blob is in the store, where `blob` opens it."""
        with self._changed:
            self._blob = blob
            self._available, self._verified = size, True
            self._changed.notify_all()
        self.abandon()

    def abandon(self) -> None:
        """Close what `begin` gave; a reader that is at it reads on from its own descriptor."""
        with self._changed:
            if self._file is not None:
                self._file.close()
                self._file = None

    def wait_begun(self) -> None:
        """Wait until there is something to read; raises what stopped the session."""
        with self._changed:
            while self._file is None and self._blob is None:
                self._changed.wait(_SLICE)
                self._session.check()

    @contextmanager
    def opened(self, progress: Callable[[int], None]) -> Iterator[BinaryIO]:
        """Read the blob from its start, waiting for bytes that are not there yet; the end comes once it is verified.

        `progress` gets the bytes that were read so far.
        """
        with self._descriptor() as fd:
            yield cast(BinaryIO, _Following(self, fd, progress))

    @contextmanager
    def growing(self, digest: Callable[[], Digest]) -> Iterator[Growing]:
        """Give the blob as what is being made; `digest` waits for its digest."""
        with self._descriptor() as fd:
            yield _Sections(self, fd, digest)

    def cause_of(self, error: BaseException) -> BaseException:
        """Give what ended a download that ended with `error`: that may be what its reader found in it."""
        return self._session.failure or error

    def reach(self, size: int) -> int:
        """Wait until there are `size` bytes, or all; returns how many there are."""
        with self._changed:
            while self._available < size and not self._verified:
                self._changed.wait(_SLICE)
                self._session.check()
            return self._available

    @contextmanager
    def _descriptor(self) -> Iterator[int]:
        """Give a descriptor of the file, of one's own."""
        while True:
            self.wait_begun()
            with self._changed:
                if self._blob is not None:
                    with self._blob() as file:
                        fd = os.dup(file.fileno())
                elif self._file is not None:
                    fd = os.dup(self._file.fileno())
                else:  # abandoned by a download that failed
                    continue
            break
        try:
            yield fd
        finally:
            os.close(fd)

    def read_at(self, fd: int, position: int, size: int) -> bytes:
        """Read at most `size` bytes, at least one unless the blob ends there."""
        here = self.reach(position + 1) - position
        return os.pread(fd, min(size, here), position) if here > 0 else b""


class _Following(io.RawIOBase):
    """The reading end: a stream without seek."""

    def __init__(self, arrival: Arrival, fd: int, progress: Callable[[int], None]) -> None:
        super().__init__()
        self._progress = progress
        self._arrival = arrival
        self._fd = fd
        self._position = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            return b"".join(iter(lambda: self.read(1 << 20), b""))
        data = self._arrival.read_at(self._fd, self._position, size)
        self._position += len(data)
        self._progress(self._position)
        return data


class _Sections:
    """A blob on its way, to be read in parts: an `uploads.Growing`."""

    def __init__(self, arrival: Arrival, fd: int, digest: Callable[[], Digest]) -> None:
        self._fd = fd
        self.reach = arrival.reach
        self.digest = digest

    def part(self, offset: int, size: int) -> Body:
        return Body(open=lambda: _Section(self._fd, offset, size), size=size)


class _Section:
    """Some bytes of a file from their first on, whoever else reads it."""

    def __init__(self, fd: int, offset: int, size: int) -> None:
        self._fd = fd
        self._start = self._position = offset
        self._end = offset + size

    def read(self, size: int = -1) -> bytes:
        left = self._end - self._position
        data = os.pread(self._fd, left if size < 0 else min(size, left), self._position)
        self._position += len(data)
        return data

    def seek(self, offset: int) -> None:
        self._position = self._start + offset


def download(store: Store, repository: Repository, descriptor: Descriptor, arrival: Arrival, progress: Sink) -> None:
    """Bring a blob into the store unless it is there; one process does, and the others look again.

    What an interrupted command left of it is not fetched again, unless it turns out to be wrong; nobody reads the blob
    before that is known. Raises DigestMismatch, RegistryError, StoreError for a full disk, Cancelled; what came stays
    for the next command then, unless something was wrong with what came.
    """
    digest = descriptor.digest

    def report(done: int, phase: Phase) -> None:
        progress(BlobProgress(key=digest, phase=phase, done=done, total=descriptor.size))

    with store.locked("blob", digest):
        if store.blobs.has(digest):
            report(descriptor.size, "downloaded")
        elif not _go_on(store, repository, descriptor, report):
            with store.blobs.resumed(digest, descriptor.size) as writer:
                arrival.begin(writer.open())
                try:
                    _fetch(repository, descriptor, writer, arrival, report)
                except BaseException as error:
                    arrival.abandon()
                    # The bytes were wrong, or the disk is full.
                    if not isinstance(arrival.cause_of(error), RegistryError | Cancelled):
                        writer.discard()
                    raise
    arrival.end(lambda: store.blobs.open(digest), store.blobs.size(digest))


def _go_on(store: Store, repository: Repository, descriptor: Descriptor, report: Callable[[int, Phase], None]) -> bool:
    """Bring the rest of a blob that an interrupted command began; False where it has to be brought as a whole."""
    with store.blobs.resumed(descriptor.digest, descriptor.size) as writer:
        if writer.size == 0:
            return False
        try:
            _fetch(repository, descriptor, writer, None, report)
        except DigestMismatch:
            writer.discard()
            return False
        except StoreError:
            writer.discard()
            raise
        return True


def _fetch(
    repository: Repository,
    descriptor: Descriptor,
    writer: BlobWriter,
    arrival: Arrival | None,
    report: Callable[[int, Phase], None],
) -> None:
    """Write a blob from where the writer is, verify it, and give it its name."""
    digest, offset = descriptor.digest, writer.size
    with repository.blob(digest, descriptor.size, offset=offset, verify=False, urls=descriptor.urls) as stream:
        report(offset, "downloading")
        shown = offset
        while data := stream.read(_STEP):
            writer.write(data)
            if arrival is not None:
                arrival.advance(writer.size)
            if writer.size - shown >= _STEP:
                shown = writer.size
                report(shown, "downloading")
        writer.verify()
        report(descriptor.size, "downloaded")
        if arrival is not None:
            arrival.advance(writer.size, verified=True)
        writer.commit()
