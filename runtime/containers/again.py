"""Start a container that was made before: take its lock, give it a monitor, attach to it or not."""

from __future__ import annotations

import fcntl
import os
import time

from runtime.containers import protocol
from runtime.containers.foreground import run_attached, run_detached
from runtime.containers.records import Container, Containers
from runtime.containers.start import monitor_process
from runtime.errors import Conflict, NotFound

_PATIENCE = 2.0
"""Seconds to wait for a lock that is held for a moment: by an end that is under way, or by somebody who looks."""


def claim(containers: Containers, container: Container) -> int:
    """Take the container's `alive` lock; returns its descriptor. Raises Conflict where it runs or is removed."""
    try:
        fd = os.open(containers.directory(container.id) / "alive", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFound(f"No such container: {container.name}") from None
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(fd)
                raise Conflict(f"container {container.name} is in use: it starts, runs or is removed") from None
            time.sleep(0.005)
    if containers.get(container.id) is None:
        os.close(fd)
        raise NotFound(f"No such container: {container.name}")
    containers.settle(container.id)
    return fd


def start_detached(containers: Containers, container: Container) -> None:
    """Start the container, leave it to its monitor; one that runs is fine. Raises StartFailed, Conflict if paused."""
    if containers.is_running(container):
        if containers.state(container) == "paused":
            raise Conflict(
                "cannot start a paused container, try unpause instead", hint=f"pybuild unpause {container.name}"
            )
        return
    with monitor_process() as monitor:
        try:
            alive = claim(containers, container)
        except Conflict:
            fresh = containers.get(container.id)
            if fresh is not None and containers.is_running(fresh):
                return  # another command has started it meanwhile
            raise
        image = containers.store.images.get(container.image)  # type: ignore[arg-type]  # a digest, as create wrote it
        run_detached(containers, container, image, alive, monitor, made=False)


def start_attached(containers: Containers, container: Container, *, stdin: bool, proxy: bool, keys: bytes) -> int:
    """Start the container and be its terminal; returns its exit code. Raises StartFailed, Conflict where it runs.

    Where it has a terminal of its own no signal of this process is passed on (`proxy`).
    """
    with monitor_process() as monitor:
        alive = claim(containers, container)
        image = containers.store.images.get(container.image)  # type: ignore[arg-type]  # as above
        streams = protocol.OUT | protocol.ERR | (protocol.IN if stdin else 0)
        proxy = proxy and not container.config.get("Tty", False)
        return run_attached(
            containers, container, image, alive, monitor, proxy=proxy, keys=keys, streams=streams, made=False
        )
