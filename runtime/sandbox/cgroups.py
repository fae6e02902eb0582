"""Keep a container in control groups of its own: limits, the list of devices it may use, and a way to kill it whole.

Version 1 has a hierarchy for each controller and version 2 one for all; a machine may have both, and then a group is
made in each hierarchy. Names are `pybuild-KEY-ID`, so that what a killed process left can be found by name alone.
OCI runtime-spec, config-linux.md § Control Groups.
"""

from __future__ import annotations

import os
import time
from errno import EBUSY, ENOENT

from runtime.sandbox.device_rules import allow_on_v1, attach_to_v2, rules_of
from runtime.sandbox.failure import LaunchFailure, refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

    from runtime.sandbox.limits import Setting

MOUNT = "/sys/fs/cgroup"
PREFIX = "pybuild-"
_KILL_SECONDS = 5.0
_SIGKILL = 9


class Hierarchy:
    """One mounted cgroup file system: `directory` is where groups of ours are made.

    `key` is what /proc/self/cgroup calls it: the controllers as "cpu,cpuacct" or "name=systemd", "" for version 2.
    """

    def __init__(self, version: int, key: str, controllers: frozenset[str], directory: str, mount: str) -> None:
        self.version = version
        self.key = key
        self.controllers = controllers
        self.directory = directory
        self.mount = mount


def hierarchies(*, own: bool = False) -> list[Hierarchy]:
    """List the hierarchies of this machine, in the order of /proc/self/mountinfo.

    With `own`, groups are made beside the highest group above this process that this user may write to (a delegated
    one, version 2), else at the top.
    """
    found = []
    with open("/proc/self/mountinfo", "rb") as file:
        lines = file.read().splitlines()
    for line in lines:
        fields = line.split(b" ")
        kind = fields[fields.index(b"-") + 1 :]
        where = os.fsdecode(fields[4].replace(b"\\040", b" "))
        if kind[0] == b"cgroup2":
            directory = _delegated(where) if own else where
            found.append(Hierarchy(2, "", _controllers_of_v2(directory), directory, where))
        elif kind[0] == b"cgroup":
            words = [os.fsdecode(word) for word in kind[2].split(b",")]
            names = [word for word in words if word not in ("rw", "ro", "xattr", "clone_children", "noprefix")]
            found.append(Hierarchy(1, ",".join(names), frozenset(names), where, where))
    return found


def own_groups() -> dict[str, str]:
    """Give the hierarchies (by their key) in which this process is in another group than the topmost, with its path."""
    lines = [line.split(":", 2) for line in _read("/proc/self/cgroup").splitlines()]
    return {key: path for _, key, path in lines if path != "/"}


def _controllers_of_v2(directory: str) -> frozenset[str]:
    try:
        return frozenset(_read(f"{directory}/cgroup.controllers").split())
    except OSError:
        return frozenset()


def _delegated(mount: str) -> str:
    """Find the highest group, from this process's own one upwards, where this user may make groups."""
    own = ""
    for line in _read("/proc/self/cgroup").splitlines():
        if line.startswith("0::"):
            own = line[3:].rstrip("/")
    best = mount
    while own:
        if not os.access(f"{mount}{own}/cgroup.procs", os.W_OK) or not os.access(f"{mount}{own}", os.W_OK):
            break
        best = mount + own
        own = own.rpartition("/")[0]
    return best


class Cgroup:
    """A container's groups, one in each hierarchy; a context manager that kills what is in them and removes them."""

    def __init__(self, name: str, groups: list[tuple[Hierarchy, str]]) -> None:
        self.name = name
        self.groups = groups

    def __enter__(self) -> Cgroup:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()

    @property
    def paths(self) -> dict[str, str]:
        """Host directories of the group: controller ("memory", …; "" for version 2) to path."""
        found = {}
        for hierarchy, path in self.groups:
            if hierarchy.version == 2:
                found[""] = path
            else:
                found.update(dict.fromkeys(hierarchy.controllers, path))
        return found

    def add(self, pid: int) -> None:
        """Move a process into every group. Raises OSError."""
        for _, path in self.groups:
            write(f"{path}/cgroup.procs", str(pid))

    def remove(self) -> None:
        """Kill every process that is left in a group and remove the groups; a group that is gone already is fine."""
        for _, path in self.groups:
            _remove(path)


def counts_swap(*, rootless: bool) -> bool:
    """Tell whether groups made here can be given a limit of swap; version 1 may have been booted without."""
    for hierarchy in hierarchies(own=rootless):
        if "memory" in hierarchy.controllers:
            if hierarchy.version == 1:
                return os.path.exists(f"{hierarchy.directory}/memory.memsw.limit_in_bytes")
            return os.path.exists("/proc/swaps")  # which goes with the file that groups have then, and the topmost not
    return False


def create(name: str, resources: dict[str, Any], *, rootless: bool) -> Cgroup | None:
    """Make the groups `name` and set what `resources` (linux.resources) asks for.

    A limit that cannot be had raises LaunchFailure. Where no group can be made at all and nothing was asked for, None.
    """
    from runtime.sandbox.limits import settings_of  # lazy: what only sweeps needs no limits

    wanted = settings_of(resources)
    made: list[tuple[Hierarchy, str]] = []
    cgroup = Cgroup(name, made)
    try:
        for hierarchy in hierarchies(own=rootless):
            _make(hierarchy, name, made)
        _set_all(cgroup, wanted)
        _limit_devices(cgroup, resources.get("devices") or [], rootless)
    except OSError as error:
        cgroup.remove()
        raise refused("cgroup", f"cgroup {name}: {error}", errno=error.errno or 0) from None
    except BaseException:
        cgroup.remove()
        raise
    return cgroup if made else None


def change(name: str, resources: dict[str, Any], *, rootless: bool) -> None:
    """Set limits of the groups `name`, which exist. Raises LaunchFailure for one that cannot be had."""
    groups = [(hierarchy, f"{hierarchy.directory}/{name}") for hierarchy in hierarchies(own=rootless)]
    cgroup = Cgroup(name, [(hierarchy, path) for hierarchy, path in groups if os.path.isdir(path)])
    from runtime.sandbox.limits import settings_of  # lazy: as above

    wanted = settings_of(resources)
    try:
        _set_all(cgroup, wanted)
    except LaunchFailure:
        # Version 1 holds memory below memory and swap together: a higher limit needs the other order.
        _set_all(cgroup, wanted[::-1])


def _make(hierarchy: Hierarchy, name: str, made: list[tuple[Hierarchy, str]]) -> None:
    """Make a group and, where `name` has slashes, those above it, which stay: they were asked for by name."""
    path = hierarchy.directory
    for part in name.split("/"):
        above, path = path, f"{path}/{part}"
        try:
            os.mkdir(path, 0o755)
        except FileExistsError:  # of a run that was killed under this id, or a parent that is there
            pass
        except OSError:  # not ours to write, or mounted read-only: then without a group, unless limits were asked for
            return
        if "cpuset" in hierarchy.controllers and hierarchy.version == 1:
            for file in ("cpuset.cpus", "cpuset.mems"):
                if not _read(f"{path}/{file}").strip():
                    write(f"{path}/{file}", _read(f"{above}/{file}").strip())
    made.append((hierarchy, path))


def _set_all(cgroup: Cgroup, wanted: list[Setting]) -> None:
    for setting in wanted:
        name = {"blkio": "io"}.get(setting.controller, setting.controller)
        for hierarchy, path in cgroup.groups:
            if hierarchy.version == 1 and setting.controller in hierarchy.controllers:
                _set(setting.what, path, setting.v1)
                break
            if hierarchy.version == 2 and name in hierarchy.controllers:
                if setting.v2 is None:
                    raise refused("cgroup", f"{setting.what}: control groups of version 2 have no such setting")
                _enable(hierarchy, name, setting.what, path)
                _set(setting.what, path, setting.v2)
                break
        else:
            text = f"{setting.what}: no cgroup with the controller {name!r} can be written here"
            if not cgroup.groups:
                text += "; as a user: systemd-run --user --scope -p Delegate=yes pybuild …"
            raise refused("cgroup", text)


def _set(what: str, path: str, pairs: list[tuple[str, str]]) -> None:
    for file, value in pairs:
        try:
            write(f"{path}/{file}", value)
        except OSError as error:
            reason = "this kernel does not offer it" if error.errno == ENOENT else os.strerror(error.errno or 0).lower()
            text = f"{what} cannot be set ({file}): {reason}"
            raise refused("cgroup", text, errno=error.errno or 0) from None


def _enable(hierarchy: Hierarchy, controller: str, what: str, path: str) -> None:
    """Hand a version 2 controller down from `hierarchy.directory` to the group at `path`."""
    directory = hierarchy.directory
    for part in path.removeprefix(f"{directory}/").split("/"):
        file = f"{directory}/cgroup.subtree_control"
        if controller not in _read(file).split():
            try:
                write(file, f"+{controller}")
            except OSError as error:
                reason = os.strerror(error.errno or 0).lower()
                if error.errno == EBUSY:
                    reason = "processes live in that group itself"
                text = f"{what}: controller {controller!r} cannot be enabled below {directory}: {reason}"
                raise refused("cgroup", text, errno=error.errno or 0) from None
        directory += f"/{part}"


def _limit_devices(cgroup: Cgroup, devices: list[dict[str, Any]], rootless: bool) -> None:
    """Put the allow list of devices into force; in a user namespace the kernel refuses foreign devices by itself."""
    if not devices or rootless:
        return
    rules = rules_of(devices)
    for hierarchy, path in cgroup.groups:
        if hierarchy.version == 1 and "devices" in hierarchy.controllers:
            allow_on_v1(path, rules)
            return
    for hierarchy, path in cgroup.groups:
        if hierarchy.version == 2:
            attach_to_v2(path, rules)
            return


def _remove(path: str) -> None:
    """Kill and remove one group and those below it; the kernel needs a moment to let go of killed processes."""
    deadline = time.monotonic() + _KILL_SECONDS
    while True:
        try:
            os.rmdir(path)
            return
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() > deadline:
                return
        _kill(path)
        for entry in os.scandir(path):
            if entry.is_dir(follow_symlinks=False):
                _remove(entry.path)
        time.sleep(0.002)


def _kill(path: str) -> None:
    try:
        write(f"{path}/cgroup.kill", "1")
        return
    except OSError:  # version 1, or before Linux 5.14
        pass
    try:
        pids = [int(word) for word in _read(f"{path}/cgroup.procs").split()]
    except OSError:
        return
    for pid in pids:
        try:
            os.kill(pid, _SIGKILL)
        except ProcessLookupError:
            pass
    try:
        write(f"{path}/freezer.state", "THAWED")  # a frozen process does not even die
    except OSError:
        pass


def sweep(key: str, alive: Collection[str], *, rootless: bool = False) -> list[str]:
    """Remove groups of root `key` whose id is not in `alive`, with whatever still runs in them; the removed names."""
    removed = []
    prefix = f"{PREFIX}{key}-"
    for hierarchy in hierarchies(own=rootless):
        try:
            names = sorted(entry.name for entry in os.scandir(hierarchy.directory) if entry.name.startswith(prefix))
        except OSError:
            continue
        for name in names:
            if name.removeprefix(prefix) not in alive and os.access(hierarchy.directory, os.W_OK):
                _remove(f"{hierarchy.directory}/{name}")
                removed.append(name)
    return sorted(set(removed))


def write(path: str, text: str) -> None:
    """Write to a control file in one call; an error comes from the write, not from a later close."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    finally:
        os.close(fd)


def _read(path: str) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(fd, 65536):
            parts.append(part)
        return os.fsdecode(b"".join(parts))
    finally:
        os.close(fd)
