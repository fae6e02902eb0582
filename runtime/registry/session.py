"""Hold what one command needs to move images: the transport, and the threads that move blobs.

A failure anywhere, or the user's interruption, stops everything that the session does. The calling thread waits in
short slices, so that signals are seen.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from frozen import replace
from runtime.context import Cancel
from runtime.errors import Cancelled
from runtime.registry.client import Repository
from runtime.registry.transport import Transport

if TYPE_CHECKING:
    from concurrent.futures import Future

    from runtime.context import Context
    from runtime.oci.references import Reference
    from runtime.registry.credentials import CredentialSource
    from runtime.registry.hosts import Hosts

_T = TypeVar("_T")

JOBS = 4
"""Blobs that move at once: more gains nothing on one connection's bandwidth, and registries limit clients."""
_SLICE = 0.1
"""Seconds between two looks at the cancellation."""


class Session:
    """One command's connections and threads; a context manager, threads may share it.

    `stop` is the cancel of the transport, which a failure sets; `open` makes both.
    """

    def __init__(self, context: Context, transport: Transport, stop: Cancel) -> None:
        from concurrent.futures import ThreadPoolExecutor  # lazy: 8 ms

        self.context = context
        self.transport = transport
        self._stop = stop
        self._pool = ThreadPoolExecutor(max_workers=JOBS, thread_name_prefix="blob")
        self._failure: BaseException | None = None
        self._lock = threading.Lock()

    @classmethod
    @contextmanager
    def open(
        cls, context: Context, credentials: CredentialSource | None = None, hosts: Hosts | None = None
    ) -> Iterator[Session]:
        """Open a session for the length of a block; its end waits for all threads, which stop if the block failed.

        `hosts` take the place of what the configuration says of registries.
        """
        stop = Cancel()
        transport = Transport(replace(context, cancel=stop), hosts, credentials)
        with transport, cls(context, transport, stop) as session:
            yield session

    def __enter__(self) -> Session:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if error is not None:
            self.fail(error)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def repository(self, reference: Reference, *, push: bool = False) -> Repository:
        """Give the repository of a name, to read from or with `push` to write to."""
        return Repository(self.transport, reference, push=push)

    def submit(self, work: Callable[[], _T]) -> Future[_T]:
        """Let one of the threads do something; its failure stops the session."""
        return self._pool.submit(self._guarded(work))

    def in_turn(self, work: Sequence[Callable[[], _T]]) -> list[_T]:
        """Do several things, begun in their order, in as many threads as there are processors; results in order.

        Each may wait for blobs, and for those before it. A failure stops the session.
        """
        if len(work) < 2:
            return [task() for task in work]
        from concurrent.futures import ThreadPoolExecutor

        workers = max(1, min(len(work), len(os.sched_getaffinity(0)), JOBS))
        with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="layer") as pool:
            try:
                return self.wait([pool.submit(self._guarded(task)) for task in work])
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _guarded(self, work: Callable[[], _T]) -> Callable[[], _T]:
        def guarded() -> _T:
            try:
                self.check()
                return work()
            except BaseException as error:
                self.fail(error)
                raise

        return guarded

    def wait(self, futures: Sequence[Future[_T]]) -> list[_T]:
        """Wait for work and give what came of it, in order; raises the session's first failure."""
        for future in futures:
            while not future.done():
                self.pause(future)
            if future.exception() is not None or future.cancelled():
                self.check()
        return [future.result() for future in futures]

    def pause(self, future: Future[_T]) -> None:
        """Wait a moment for `future`; raises what stopped the session."""
        from concurrent.futures import wait

        wait((future,), timeout=_SLICE)
        self.check()

    @property
    def failure(self) -> BaseException | None:
        """What stopped the session, if something did."""
        return self._failure

    def check(self) -> None:
        """Raise the first failure of the session, or Cancelled."""
        if self.context.cancel.signal:
            self._stop.set(self.context.cancel.signal)
            self.context.cancel.check()
        if self._failure is not None:
            raise self._failure

    def fail(self, error: BaseException) -> None:
        """Stop everything because of `error`; the first one that is no mere consequence is kept."""
        with self._lock:
            if self._failure is None or isinstance(self._failure, Cancelled):
                self._failure = error
        self._stop.set(getattr(error, "signal", 0) or 2)

    def together(self, work: Sequence[Callable[[], _T]]) -> list[_T]:
        """Do several things at once, each in a thread of its own that may wait for blobs; results in order."""
        if len(work) == 1:
            return [work[0]()]
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(max_workers=max(1, min(len(work), JOBS)), thread_name_prefix="image") as pool:
            try:
                return self.wait([pool.submit(self._guarded(task)) for task in work])
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
