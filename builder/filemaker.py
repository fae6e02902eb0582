"""Make small files in a second thread, while the first one reads and digests those that come next."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runtime.store.layers.tree import Metadata, write_open

if TYPE_CHECKING:
    import queue
    import threading

_BATCH_FILES = 128
_BATCH_SIZE = 1 << 20
_WAITING = 4
"""Batches that wait at most: memory is bounded."""
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

Batch = list[tuple[bytes, Metadata, bytes]]


class FileMaker:
    """Makes files below the open directory `root`, where nobody else writes. A context manager.

    `incomplete` is True once a file could not be given all of its metadata.
    """

    def __init__(self, root: int) -> None:
        self.incomplete = False
        self._root = root
        self._batch: Batch = []
        self._size = 0
        self._thread: threading.Thread | None = None
        self._queue: queue.Queue[Batch | None] | None = None
        self._failure: BaseException | None = None

    def __enter__(self) -> FileMaker:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._thread is not None and self._queue is not None:
            self._failure = self._failure or RuntimeError("closed")  # what still waits is not needed
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def put(self, path: bytes, metadata: Metadata, content: bytes) -> None:
        """Make the file `path`, whose directory exists, sooner or later. Raises what failed with an earlier one."""
        self._batch.append((path, metadata, content))
        self._size += len(content)
        if len(self._batch) >= _BATCH_FILES or self._size >= _BATCH_SIZE:
            self._hand_over()

    def wait(self) -> None:
        """Come back when every file is made. Raises what failed."""
        batch, self._batch, self._size = self._batch, [], 0
        if self._queue is not None:
            self._queue.join()
        if self._failure is not None:
            raise self._failure
        self._make(batch)

    def _hand_over(self) -> None:
        if self._queue is None:
            import queue  # lazy: 1 ms that a few files do not need
            import threading

            self._queue = queue.Queue(maxsize=_WAITING)
            self._thread = threading.Thread(target=self._work, args=(self._queue,), name="file-maker", daemon=True)
            self._thread.start()
        if self._failure is not None:
            raise self._failure
        self._queue.put(self._batch)
        self._batch, self._size = [], 0

    def _work(self, batches: queue.Queue[Batch | None]) -> None:
        while (batch := batches.get()) is not None:
            try:
                if self._failure is None:
                    self._make(batch)
            except BaseException as error:
                self._failure = error
            finally:
                batches.task_done()

    def _make(self, batch: Batch) -> None:
        for path, metadata, content in batch:
            fd = os.open(path, _NEW_FILE, 0o600, dir_fd=self._root)
            try:
                write_all(fd, content)
                if write_open(fd, metadata):
                    self.incomplete = True
            except OSError as error:
                error.filename = error.filename or "/" + os.fsdecode(path)
                raise
            finally:
                os.close(fd)


def write_all(fd: int, content: bytes) -> None:
    """Write all of `content`."""
    written = os.write(fd, content)
    while written < len(content):
        written += os.write(fd, memoryview(content)[written:])
