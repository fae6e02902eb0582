"""Remove containers: the row, the directory, what only they hold."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from runtime.errors import Conflict, NotFound, PybuildError
from runtime.store.leases import is_alive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.containers.records import Container, Containers

_PATIENCE = 2.0
"""Seconds to wait for a lock that is held for a moment only, by a command that looks or by an end that is under way."""

_KEPT = "kept"
"""The file that names the process which restarts a container of `--rm`."""

BATCH = 64
"""How many containers go in one transaction; a descriptor is open for each."""


def remove(containers: Containers, container_id: str, *, force: bool = False, volumes: bool = False) -> None:
    """Remove one container; `force` kills it first, `volumes` (always so with --rm) takes its anonymous volumes along.

    Raises Conflict for one that runs, NotFound for one that has gone. What another command removes at this moment is
    waited for.
    """
    container = containers.get(container_id)
    if container is None:
        raise NotFound(f"No such container: {container_id}")
    if containers.is_running(container):
        if not force:
            state = containers.state(container)
            detail = "stop the container before removing or force remove"
            what = f"{state}: {detail}" if state != "paused" else "paused and must be unpaused first"
            raise Conflict(
                f'cannot remove container "{container.name}": container is {what}',
                hint=f"pybuild rm -f {container.name}",
            )
        from runtime.containers.lifecycle import end  # lazy: only for those that run

        end(containers, container, signal_number=signal.SIGKILL)
    with _locked(containers, container):
        fresh = containers.get(container_id)
        if fresh is None:
            return  # another command was first
        with containers.database.write():  # one transaction for both
            containers.settle(container_id)
            containers.forget(fresh)
        names = [mount["Name"] for mount in fresh.mounts if mount.get("Type") == "volume"]
        if names and (volumes or fresh.auto_remove):
            from runtime.containers.volumes import Volumes  # lazy: 3 ms

            Volumes(containers.store).remove_anonymous(names)
        containers.discard(container_id)


def remove_after_run(containers: Containers, container_id: str) -> None:
    """Remove a container that was to go after its run, unless somebody restarts it at this moment."""
    try:
        holder = (containers.directory(container_id) / _KEPT).read_text()
    except FileNotFoundError:
        holder = ""
    if not (holder and is_alive(holder)):
        with suppress(Conflict, NotFound):
            remove(containers, container_id)


@contextmanager
def kept(containers: Containers, container: Container) -> Iterator[None]:
    """Keep a container beyond the end of its run while the block lasts, or this process lives, to start it again."""
    if not container.auto_remove:
        yield
        return
    mark = containers.directory(container.id) / _KEPT
    try:
        mark.write_text(containers.store.owner)
        yield
    finally:
        mark.unlink(missing_ok=True)


def remove_stopped(containers: Containers, ids: Sequence[str]) -> list[str]:
    """Remove those of the containers that nobody uses; returns their ids, in the order given."""
    removed: list[str] = []
    for start in range(0, len(ids), BATCH):
        containers.store.context.cancel.check()
        batch = ids[start : start + BATCH]
        gone = remove_resting(containers, batch)
        for container_id in batch:
            if container_id not in gone and not containers.is_held(container_id):  # somebody only looked at it
                with suppress(Conflict, NotFound):  # started or removed by somebody else at this moment
                    remove(containers, container_id)
                    gone.add(container_id)
        removed += (found for found in batch if found in gone)
    return removed


def remove_resting(containers: Containers, ids: Sequence[str], *, volumes: bool = False) -> set[str]:
    """Remove those of the containers (`BATCH` at most) that nobody uses at this moment, all in one go.

    Waits for nobody while it holds their locks: what starts, runs, is looked at or has an end that nobody recorded is
    left for `remove`. Returns the ids of those that went; `volumes` as there. A kill in between leaves directories
    without a row, or trash, which the next command deletes.
    """
    with ExitStack() as locks:
        mine = [found for found in ids if _lock_now(containers, found, locks)]
        with containers.database.write():  # one transaction for all of them
            rows = [container for container in map(containers.get, mine) if container and container.state != "running"]
            containers.forget(*rows)
        names = [
            mount["Name"]
            for container in rows
            if volumes or container.auto_remove
            for mount in container.mounts
            if mount.get("Type") == "volume"
        ]
        if names:
            from runtime.containers.volumes import Volumes  # lazy: 3 ms

            Volumes(containers.store).remove_anonymous(names)
        _discard_all(containers, rows)
    return {container.id for container in rows}


def _discard_all(containers: Containers, gone: Sequence[Container]) -> None:
    from runtime.store.trees import remove_trees  # lazy: only where many go

    doomed = containers.store.trash_name()
    doomed.mkdir(mode=0o700)
    for container in gone:
        with suppress(FileNotFoundError):
            os.rename(containers.directory(container.id), doomed / container.id)
    remove_trees(doomed)


def _lock_now(containers: Containers, container_id: str, locks: ExitStack) -> bool:
    """Take a container's `alive` lock, which `locks` gives back; False where somebody has it, or there is none."""
    try:
        fd = os.open(containers.directory(container_id) / "alive", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    locks.callback(os.close, fd)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def abandon(containers: Containers, container: Container) -> None:
    """Take away a service of a build that was killed, and with the last one the network that they shared.

    Whatever another command does with them at this moment goes first: the next one finishes this.
    """
    from runtime.network.networks import Networks  # lazy: only after a kill

    with suppress(PybuildError):
        dismiss(containers, container.id)
        Networks(containers.store).remove(Networks(containers.store).find(container.host_config["NetworkMode"]))


def dismiss(containers: Containers, container_id: str) -> None:
    """Kill a container and remove it with its volumes, whether the command was cancelled or not."""
    container = containers.get(container_id)
    if container is None:
        return
    if containers.is_running(container):
        from runtime.containers.connection import connect  # lazy: only for those that run
        from runtime.containers.protocol import SIGNAL, frame, number

        sock = connect(containers, container)
        if sock is not None:
            with sock, suppress(OSError):
                sock.sendall(frame(SIGNAL, number(signal.SIGKILL, 1) + b"\1"))
        end = time.monotonic() + _PATIENCE
        while containers.is_held(container_id) and time.monotonic() < end:
            time.sleep(0.01)
    with suppress(NotFound):
        remove(containers, container_id, force=True, volumes=True)


@contextmanager
def _locked(containers: Containers, container: Container) -> Iterator[None]:
    """Hold the container's `alive` lock. Raises Conflict where it starts or runs."""
    try:
        fd = os.open(containers.directory(container.id) / "alive", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield  # a directory that somebody deleted by hand: the row goes all the same
        return
    try:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Conflict(f"container {container.name} is in use: it starts, runs or is removed") from None
                time.sleep(0.002)
        yield
    finally:
        os.close(fd)
