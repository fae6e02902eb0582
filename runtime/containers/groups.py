"""See and steer a running container through its control groups: its processes, what they use, whether they may run."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from frozen import Frozen
from runtime.containers.cgroup import cgroup_name
from runtime.containers.refusals import not_running, refuse_restarting
from runtime.errors import Conflict, PybuildError
from runtime.sandbox.cgroups import hierarchies, write

if TYPE_CHECKING:
    from runtime.containers.records import Container, Containers

_PATIENCE = 10.0
"""Seconds until frozen processes must have stopped."""


class Usage(Frozen):
    """What a container uses: nanoseconds of CPU, bytes of memory (limit 0: none), bytes moved, processes."""

    cpu: int = 0
    memory: int = 0
    limit: int = 0
    received: int = 0
    sent: int = 0
    read: int = 0
    written: int = 0
    pids: int = 0


def paths(containers: Containers, container: Container) -> dict[str, str]:
    """Return the directories of the container's groups: controller ("memory", …; "" for version 2) to path."""
    name = cgroup_name(containers, container.id, container.host_config.get("CgroupParent", ""))
    found: dict[str, str] = {}
    for hierarchy in hierarchies(own=containers.store.context.rootless):
        path = f"{hierarchy.directory}/{name}"
        if os.path.isdir(path):
            found.update(dict.fromkeys([""] if hierarchy.version == 2 else hierarchy.controllers, path))
    return found


def pids(containers: Containers, container: Container) -> tuple[int, ...]:
    """Return the host's numbers of the container's processes, in order.

    Without a control group they are what descends from its monitor in a pid namespace below.
    """
    found: set[int] = set()
    groups = paths(containers, container)
    for path in set(groups.values()):
        for directory, _, _ in os.walk(path):
            found.update(map(int, _read(f"{directory}/cgroup.procs").split()))
    return tuple(sorted(found)) if groups else _descendants(int(container.monitor.partition("-")[0] or 0))


def _descendants(monitor: int) -> tuple[int, ...]:
    parents: dict[int, int] = {}
    depths: dict[int, int] = {}
    for name in filter(str.isdecimal, os.listdir("/proc")):
        fields = dict(line.split(":", 1) for line in _read(f"/proc/{name}/status").splitlines() if ":" in line)
        parents[int(name)] = int(fields.get("PPid", "0"))
        depths[int(name)] = len(fields.get("NSpid", "").split())
    family = {monitor}
    while grown := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= grown
    return tuple(sorted(pid for pid in family if depths.get(pid, 0) > depths.get(monitor, 0)))


def pause(containers: Containers, container: Container, *, for_now: bool = False) -> None:
    """Freeze every process of a running container. Raises Conflict, and PybuildError where it cannot be had here.

    `for_now`: only as long as this process lives. Until all of it is frozen it is so in any case: what a killed command
    left half done is undone by the next one (records).
    """
    state = containers.state(container)
    if state == "paused":
        raise Conflict(f"Container {container.id} is already paused", hint=f"pybuild unpause {container.name}")
    refuse_restarting(containers, container)
    if state != "running":
        raise not_running(container)
    mark = containers.directory(container.id) / "paused"
    mark.write_text(containers.store.owner)
    if not _freeze(containers, container, frozen=True):
        mark.unlink()
        raise PybuildError(
            f"container {container.name} cannot be paused: it has no control group here",
            hint="as a user: systemd-run --user --scope -p Delegate=yes pybuild …",
        )
    if not for_now:
        mark.write_text("")
    containers.record_event(container, "pause")


def unpause(containers: Containers, container: Container) -> None:
    """Let a paused container run on. Raises Conflict for one that is not paused."""
    if containers.state(container) != "paused":
        raise Conflict(f"Container {container.id} is not paused")
    thaw(containers, container)
    containers.record_event(container, "unpause")


def thaw(containers: Containers, container: Container) -> None:
    """Let the processes run whether they were frozen or not: what comes before a signal that must arrive."""
    mark = containers.directory(container.id) / "paused"
    if mark.exists():
        with suppress(FileNotFoundError):  # a signal that waited has ended it, and its group has gone
            _freeze(containers, container, frozen=False)
        mark.unlink(missing_ok=True)


def _freeze(containers: Containers, container: Container, *, frozen: bool) -> bool:
    groups = paths(containers, container)
    deadline = time.monotonic() + _PATIENCE
    if "freezer" in groups:
        word, file = ("FROZEN" if frozen else "THAWED"), f"{groups['freezer']}/freezer.state"
        write(file, word)
        while _read(file).strip() != word and time.monotonic() < deadline:
            time.sleep(0.002)
            write(file, word)
        return True
    if "" in groups:
        write(f"{groups['']}/cgroup.freeze", "1" if frozen else "0")
        wanted = f"frozen {int(frozen)}"
        while wanted not in _read(f"{groups['']}/cgroup.events") and time.monotonic() < deadline:
            time.sleep(0.002)
        return True
    return False


def usage(containers: Containers, container: Container) -> Usage:
    """Measure what the container uses now; what no control group counts here is 0."""
    groups = paths(containers, container)
    version2 = groups.get("", "")
    cpu = memory = limit = read = written = 0
    if "cpuacct" in groups:
        cpu = _number(f"{groups['cpuacct']}/cpuacct.usage")
    elif version2:
        cpu = _table(f"{version2}/cpu.stat").get("usage_usec", 0) * 1000
    if "memory" in groups:
        inactive = _table(f"{groups['memory']}/memory.stat").get("total_inactive_file", 0)
        memory = max(0, _number(f"{groups['memory']}/memory.usage_in_bytes") - inactive)
        limit = _number(f"{groups['memory']}/memory.limit_in_bytes")
    elif version2:
        inactive = _table(f"{version2}/memory.stat").get("inactive_file", 0)
        memory = max(0, _number(f"{version2}/memory.current") - inactive)
        limit = _number(f"{version2}/memory.max")
    if "blkio" in groups:
        for line in _read(f"{groups['blkio']}/blkio.throttle.io_service_bytes").splitlines():
            words = line.split()
            read += int(words[2]) if words[1:2] == ["Read"] else 0
            written += int(words[2]) if words[1:2] == ["Write"] else 0
    else:
        for word in _read(f"{version2}/io.stat").split() if version2 else ():
            key, _, value = word.partition("=")
            read += int(value) if key == "rbytes" else 0
            written += int(value) if key == "wbytes" else 0
    received, sent = _traffic(container.pid)
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Usage(
        cpu=cpu,
        memory=memory,
        limit=limit if 0 < limit < total else total,
        received=received,
        sent=sent,
        read=read,
        written=written,
        pids=len(pids(containers, container)),
    )


def _traffic(pid: int) -> tuple[int, int]:
    received = sent = 0
    for line in _read(f"/proc/{pid}/net/dev").splitlines()[2:]:
        name, _, rest = line.partition(":")
        if name.strip() != "lo":
            words = rest.split()
            received, sent = received + int(words[0]), sent + int(words[8])
    return received, sent


def _number(path: str) -> int:
    text = _read(path).strip()
    return int(text) if text.isdecimal() else 0


def _table(path: str) -> dict[str, int]:
    return {key: int(value) for key, value in (line.split()[:2] for line in _read(path).splitlines())}


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
