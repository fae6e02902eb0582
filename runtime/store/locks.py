"""Take flock locks on files of `ROOT/locks`, which are never deleted.

The order, outermost first; who holds one may take only later ones::

    store        shared by whoever uses the store, exclusive for the sweep of garbage
    step, blob   one process does a piece of work, the others wait and look again
    container
    network
    index.json

The kernel frees a lock when its holder dies, so nothing has to be cleaned up. Waiting looks at the context's cancel.
A lock belongs to an open file description: a process forked while one is held shares it, so descriptors are
close-on-exec and no step is forked from a process that holds an exclusive one.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from runtime.context import Cancel
from runtime.errors import StoreError

_FIRST_WAIT = 0.001
_LONGEST_WAIT = 0.05
"""Seconds between two tries of a lock that somebody else holds."""


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except IsADirectoryError:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)


class Lock:
    """One lock file (or directory that exists), open for the life of this object; `close` frees whatever is held."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._fd = _open(path)
        except OSError as error:
            raise StoreError(f"lock file {path} cannot be opened: {error.strerror}") from error

    def acquire(self, cancel: Cancel, *, exclusive: bool) -> None:
        """Wait until the lock is held; a lock that is held already is given up first if its mode changes (flock(2)).

        Raises Cancelled when `cancel` is set meanwhile.
        """
        if self.try_acquire(exclusive=exclusive):
            return
        wait = _FIRST_WAIT
        while not self.try_acquire(exclusive=exclusive):
            cancel.check()
            cancel.wait(wait)
            wait = min(wait * 2, _LONGEST_WAIT)

    def try_acquire(self, *, exclusive: bool) -> bool:
        """Take the lock if it is free; says whether it is held so now. A lock in the other mode is lost if not."""
        operation = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
        try:
            fcntl.flock(self._fd, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Free the lock; the object can be used again."""
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Free the lock and close the file."""
        if self._fd >= 0:
            with suppress(OSError):
                os.close(self._fd)
            self._fd = -1


@contextmanager
def held(path: Path, cancel: Cancel, *, exclusive: bool = True) -> Iterator[None]:
    """Hold the lock file `path` for the length of a `with` block. Threads of one process exclude each other, too."""
    lock = Lock(path)
    try:
        lock.acquire(cancel, exclusive=exclusive)
        yield
    finally:
        lock.close()
