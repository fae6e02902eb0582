"""Act on a container that runs: signal it, stop it, wait for it; always through its monitor, never by a bare pid."""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress

from runtime.containers import protocol
from runtime.containers.connection import connect
from runtime.containers.exits import read_exit
from runtime.containers.protocol import Frames, frame, number
from runtime.containers.quantities import parse_signal
from runtime.containers.refusals import not_running
from runtime.errors import PybuildError
from runtime.store.leases import is_alive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.containers.connection import Connection
    from runtime.containers.records import Container, Containers

DEFAULT_STOP_TIMEOUT = 10
"""Seconds between the stop signal and SIGKILL."""

_ASKING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
"""Signals that ask for the end where a container names none of its own."""


def stop_signal(container: Container) -> int:
    """Return the number of the signal that asks this container to end."""
    return parse_signal(container.config.get("StopSignal") or "SIGTERM")


def final_signals(container: Container) -> tuple[int, ...]:
    """Return the signals after which a container is not started again by itself: who sends one wants its end."""
    asked = (stop_signal(container),) if container.config.get("StopSignal") else _ASKING
    return (signal.SIGKILL, *asked)


def kill(containers: Containers, container: Container, signal_number: int) -> None:
    """Send a signal to the container's first process. Raises Conflict where it does not run."""
    sock = connect(containers, container) if containers.is_running(container) else None
    if sock is None:
        raise not_running(container)
    with sock, suppress(BrokenPipeError):  # one that ended at this moment
        sock.sendall(frame(protocol.SIGNAL, number(signal_number, 1)))
    containers.record_event(container, "kill", signal=str(signal_number))
    _thaw(containers, container)


def stop(containers: Containers, container: Container, *, signal_number: int = 0, timeout: float | None = None) -> None:
    """Ask the container to end, and kill it `timeout` seconds later (-1: never). One that does not run is fine."""
    if end(containers, container, signal_number=signal_number, timeout=timeout):
        containers.record_event(container, "stop")


def end(containers: Containers, container: Container, *, signal_number: int = 0, timeout: float | None = None) -> bool:
    """Do what `stop` does, and tell whether there was something to end and the container is still there."""
    asked = signal_number or stop_signal(container)
    if timeout is None:
        timeout = container.config.get("StopTimeout", DEFAULT_STOP_TIMEOUT)
    sock = connect(containers, container) if containers.is_running(container) else None
    if sock is None:
        return False
    while sock is not None:
        with sock:
            _end(containers, container, sock, asked, timeout)
        # One that ended by itself before it was asked to is started again by its monitor, and asked again.
        sock = connect(containers, container) if containers.is_running(container) else None
    containers.reconcile()
    return containers.get(container.id) is not None


def _end(containers: Containers, container: Container, sock: Connection, asked: int, timeout: float) -> None:
    """Send the signal that asks for the end, await that, and be stronger where it does not come."""
    with suppress(BrokenPipeError):  # it has ended: what it said of that is still to be read
        sock.sendall(frame(protocol.ATTACH, b"\0") + frame(protocol.SIGNAL, number(asked, 1) + b"\1"))
    containers.record_event(container, "kill", signal=str(asked))
    _thaw(containers, container)
    if _await_end(containers, sock, timeout) is None:
        with suppress(BrokenPipeError):
            sock.sendall(frame(protocol.SIGNAL, number(signal.SIGKILL, 1)))
        containers.record_event(container, "kill", signal=str(int(signal.SIGKILL)))
        if _await_end(containers, sock, DEFAULT_STOP_TIMEOUT) is None:
            _kill_monitor(containers, container)


def _thaw(containers: Containers, container: Container) -> None:
    if (containers.directory(container.id) / "paused").exists():
        from runtime.containers.groups import thaw  # lazy: only for what is paused

        thaw(containers, container)


def _kill_monitor(containers: Containers, container: Container) -> None:
    """Kill a monitor that does not answer, and with it its container; a process that only has its pid is left alone."""
    try:
        pidfd = os.pidfd_open(int(container.monitor.partition("-")[0]))
    except (OSError, ValueError):
        return
    try:
        if is_alive(container.monitor):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            poll.poll(DEFAULT_STOP_TIMEOUT * 1000)
    finally:
        os.close(pidfd)
    if containers.is_held(container.id):
        raise PybuildError(f"container {container.name} does not end although it was killed")


def wait(containers: Containers, container: Container) -> int:
    """Wait for the container's end, return its exit code; at once where it does not run.

    The caller lets the store lock go meanwhile (store.idle). One whose monitor was killed has 137.
    """
    sock = connect(containers, container) if containers.is_running(container) else None
    if sock is None:
        how = read_exit(containers.directory(container.id))  # of a monitor that is about to let go of its lock
        containers.reconcile()
        ended = containers.get(container.id)
        return how.code if how else ended.exit_code if ended else container.exit_code
    with sock:
        with suppress(BrokenPipeError):
            sock.sendall(frame(protocol.ATTACH, b"\0"))
        code = _await_end(containers, sock, -1)
    how = read_exit(containers.directory(container.id))
    containers.reconcile()
    return how.code if how else 137 if code is None else code


def _await_end(containers: Containers, sock: Connection, timeout: float) -> int | None:
    """Read frames until the last; None after `timeout` seconds (-1: never) or where the monitor died."""
    deadline = time.monotonic() + timeout
    frames = Frames()
    cancel = containers.store.context.cancel
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    poll.register(cancel.fd, select.POLLIN)
    while True:
        left = deadline - time.monotonic() if timeout >= 0 else None
        if left is not None and left <= 0:
            return None
        ready = poll.poll(None if left is None else left * 1000)
        cancel.check()
        if not ready:
            continue
        try:
            data = sock.recv(1 << 16)
        except ConnectionError:
            data = b""
        if not data:
            return 137
        for kind, payload in frames.feed(data):
            if kind in (protocol.EXITED, protocol.FAILED):
                return payload[0]
