"""Do a piece of work in another network namespace.

Standard library alone, and usable under `python -I -S`. A thread does it, and ends: an unprivileged user's process
that has left the host's network namespace cannot come back, and the others of its threads never leave.
"""

from __future__ import annotations

import _thread
import errno
import os

from runtime.sandbox import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    _T = TypeVar("_T")

HERE = -1
"""Stands for the network namespace that the caller is in."""


def within(namespace: int, work: Callable[[], _T]) -> _T:
    """Return what `work` returns, or raise what it raises, in the network namespace of the descriptor `namespace`.

    Sockets that it makes belong to that namespace for good. Raises OSError where it cannot be entered.
    """
    if namespace == HERE:
        return work()
    results: list[_T] = []
    failures: list[BaseException] = []
    threads: list[int] = []
    done = _thread.allocate_lock()
    done.acquire()

    def run() -> None:
        threads.append(_thread.get_native_id())
        try:
            syscalls.setns(namespace, syscalls.CLONE_NEWNET)
            results.append(work())
        except BaseException as error:
            failures.append(error)
        finally:
            done.release()

    _thread.start_new_thread(run, ())
    done.acquire()
    while os.path.exists(f"/proc/self/task/{threads[0]}"):  # the caller may fork: nothing is left half done
        os.sched_yield()
    if failures:
        raise failures[0]
    return results[0]


def inside(pid: int, work: Callable[[], _T]) -> _T:
    """Do `work` in the network namespace of process `pid`, which must have one of its own. Raises OSError."""
    namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if os.path.samestat(os.fstat(namespace), os.stat("/proc/thread-self/ns/net")):
            raise OSError(errno.EINVAL, f"process {pid} has no network namespace of its own")
        return within(namespace, work)
    finally:
        os.close(namespace)
