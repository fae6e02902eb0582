"""Let the stages of one command line work at the same time: a thread each, and one that waits for the user.

Builds for several platforms or targets share a crew: `--jobs` counts for all of them, and the first failure stops all.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from runtime.context import Cancel
from runtime.errors import Cancelled

if TYPE_CHECKING:
    from builder.records import Record
    from runtime.oci.digests import Digest

_GRACE = 4.0
"""Seconds that threads have to end after a cancellation; the contract gives the whole program five."""


class Crew:
    """What the threads of a build share: `stop` ends their work, of which at most `jobs` parts go on at once.

    `platforms` tells whether they build for several, which the progress then names. `fresh` holds what ran, by key:
    what several of them need runs once, also where nothing is taken from the cache. `told` are lines of the progress
    that would say the same for each.
    """

    def __init__(self, jobs: int, *, platforms: bool = False) -> None:
        self.stop = Cancel()
        self.platforms = platforms
        self.fresh: dict[Digest, Record] = {}
        self.told: set[str] = set()
        self._slots = threading.BoundedSemaphore(max(1, jobs))
        self._lock = threading.Lock()
        self._failure: BaseException | None = None

    def job(self) -> _Job:
        """Return what holds one of the slots for work while it is entered."""
        return _Job(self._slots, self.stop)

    def run(self, works: Sequence[Callable[[], None]], user: Cancel) -> None:
        """Do all of `works`, a thread each. Raises what the first one that failed raised, and Cancelled."""
        done_read, done_write = os.pipe2(os.O_CLOEXEC)
        remaining = len(works)

        def work(act: Callable[[], None]) -> None:
            try:
                act()
            except BaseException as error:
                self._fail(error)
            finally:
                os.write(done_write, b"!")

        threads = [threading.Thread(target=work, args=(act,), daemon=True) for act in works]
        try:
            for thread in threads:
                thread.start()
            poll = select.poll()
            poll.register(done_read, select.POLLIN)
            poll.register(user.fd, select.POLLIN)
            timeout: float | None = None
            while remaining:
                ready = poll.poll(None if timeout is None else timeout * 1000)
                if timeout is not None and not ready:
                    break  # threads that do not end are left behind; the process is about to end
                for fd, _ in ready:
                    if fd == done_read:
                        remaining -= len(os.read(done_read, 4096))
                    else:
                        poll.unregister(user.fd)
                        self.stop.set(user.signal or 2)
                        timeout = _GRACE
            user.check()
        finally:
            if not remaining:
                os.close(done_read)
                os.close(done_write)
        if self._failure is not None:
            raise self._failure

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            if self._failure is None or isinstance(self._failure, Cancelled):
                self._failure = error
        self.stop.set(2)


class _Job:
    """Hold one of the slots for work; waiting for one looks at the cancellation."""

    def __init__(self, slots: threading.BoundedSemaphore, stop: Cancel) -> None:
        self._slots = slots
        self._stop = stop

    def __enter__(self) -> None:
        while not self._slots.acquire(timeout=0.05):
            self._stop.check()

    def __exit__(self, *_: object) -> None:
        self._slots.release()
