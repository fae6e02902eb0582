"""Prepare the mounts of a container that need knowledge of it or of the machine; plain ones go on to `mounts`.

Runs in the child before it leaves the host's root. Kinds beyond those of the OCI runtime-spec are `layers`, a stack of
layers or a part of one, and `foreign`, a mount of another container, copied from its mount namespace.
"""

from __future__ import annotations

import os
from errno import ENOENT, EPERM
from stat import S_ISDIR

from runtime.sandbox import cgroups, mounts, rootfs
from runtime.sandbox import syscalls as sys
from runtime.sandbox.failure import LaunchFailure, from_error, refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runtime.sandbox.child import Setup


def prepared(setup: Setup, entry: dict[str, Any]) -> list[mounts.Prepared]:
    """Make the detached mounts of one entry of spec.mounts. Raises LaunchFailure."""
    kind = entry.get("type")
    if kind in ("cgroup", "cgroup2"):
        return _cgroups(setup, entry)
    if kind == "layers":
        return [_layers(entry, setup.userns)]
    if kind == "foreign":
        try:
            return [_foreign(entry)]
        except LaunchFailure:
            if "otherwise" not in entry:
                raise
            return [mounts.prepare(entry["otherwise"])]
    if "rslave" in (entry.get("options") or ()) or "slave" in (entry.get("options") or ()):
        _check_propagation(entry, (b"shared:", b"master:"), "a shared or slave mount")
    try:
        return [mounts.prepare(entry)]
    except LaunchFailure:
        if not setup.userns:
            raise
        other = _instead(entry)
        if other is None:
            raise
        return [mounts.prepare(other)]


def shared(setup: Setup, entry: dict[str, Any]) -> mounts.Prepared | None:
    """Make the detached mount of a bind that is to share its events with the machine; None for every other entry."""
    words = entry.get("options") or ()
    if "rshared" not in words and "shared" not in words:
        return None
    if setup.userns:
        text = (
            f"mount on {entry['destination']}: in a user namespace nothing can be shared with the machine (rslave can)"
        )
        raise refused("mounts", text, path=entry["destination"], errno=EPERM)
    _check_propagation(entry, (b"shared:",), "a shared mount")
    return mounts.prepare(entry)


def _check_propagation(entry: dict[str, Any], marks: tuple[bytes, ...], what: str) -> None:
    """Refuse a bind from a mount that has no events to give or take."""
    source = os.fsencode(os.path.realpath(entry["source"]))
    best, fields = b"", b""
    with open("/proc/self/mountinfo", "rb") as file:
        for line in file:
            left, _, _ = line.partition(b" - ")
            words = left.split(b" ", 6)
            where = words[4].replace(b"\\040", b" ")
            if (source == where or source.startswith(where.rstrip(b"/") + b"/")) and len(where) >= len(best):
                best, fields = where, words[6] if len(words) > 6 else b""
    if not any(field.startswith(marks) for field in fields.split()):
        text = f"path {entry['source']} is mounted on {os.fsdecode(best)} but it is not {what}"
        raise refused("mounts", text, path=entry["destination"])


def _instead(entry: dict[str, Any]) -> dict[str, Any] | None:
    """Say what a user namespace may mount in place of `entry`, which it may not.

    Where one id is mapped, devpts has no group 5; the /proc, /sys and message queues of namespaces that belong to the
    host can be bound and not made.
    """
    words = entry.get("options") or ()
    match entry.get("type"):
        case "devpts":
            return {**entry, "options": [word for word in words if not word.startswith("gid=")]}
        case "proc" | "sysfs" | "mqueue" as kind:
            source = {"proc": "/proc", "sysfs": "/sys", "mqueue": "/dev/mqueue"}[kind]
            options = ["rbind", *words, *(["rro"] if "ro" in words else [])]
            return {**entry, "type": "bind", "source": source, "options": options}
    return None


def stored(entry: dict[str, Any], *, userns: bool) -> mounts.Prepared:
    """Make the detached mount of a bind or of layers, which are there also while the container does not run."""
    return _layers(entry, userns) if entry.get("type") == "layers" else mounts.prepare(entry)


def _layers(entry: dict[str, Any], userns: bool) -> mounts.Prepared:
    """Make a mount of type "layers": a stack like a root filesystem, or with "subpath" a part of one."""
    fd = rootfs.detached(entry["rootfs"], userxattr=userns)
    if entry.get("subpath", "/") != "/":
        whole = fd
        try:
            fd = rootfs.subtree(whole, entry["subpath"])
            os.close(whole)
        except OSError as error:
            raise from_error("mounts", error, f"{entry['subpath']} in the mount on {entry['destination']}") from None
    options = mounts.Options(entry.get("options") or ())
    return mounts.Prepared(fd, entry["destination"], options, S_ISDIR(os.fstat(fd).st_mode))


def _foreign(entry: dict[str, Any]) -> mounts.Prepared:
    """Copy the mount at "source" in the mount namespace "namespace" (a path), which this process visits for it."""
    try:
        own = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        theirs = os.open(entry["namespace"], os.O_RDONLY | os.O_CLOEXEC)
        if entry.get("inode", 0) not in (0, os.fstat(theirs).st_ino):  # the pid is somebody else's by now
            raise OSError(ENOENT, os.strerror(ENOENT))
        try:
            sys.setns(theirs, sys.CLONE_NEWNS)
            root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            place = mounts.find(root, entry["source"])
            fd = sys.open_tree(place, b"", sys.OPEN_TREE_CLONE | sys.AT_EMPTY_PATH)
        finally:
            sys.setns(own, sys.CLONE_NEWNS)
    except OSError as error:
        raise from_error("mounts", error, f"{entry['source']} of the other container") from None
    for number in (own, theirs, root, place):
        os.close(number)
    return mounts.Prepared(fd, entry["destination"], mounts.Options(entry.get("options") or ()))


def _cgroups(setup: Setup, entry: dict[str, Any]) -> list[mounts.Prepared]:
    """Show the container its own control groups: the one of version 2, or each of version 1 below a tmpfs.

    A hierarchy in which it has none of its own would show the machine's, and is left out.
    """
    where, words = entry["destination"], entry.get("options") or ()
    found = [hierarchy for hierarchy in cgroups.hierarchies() if hierarchy.key in setup.own_groups]
    for hierarchy in found:
        if hierarchy.version == 2 and hierarchy.mount == cgroups.MOUNT:
            if setup.userns and not setup.new & sys.CLONE_NEWCGROUP:  # a namespace that is not ours to mount
                options = ["rbind", *words, *(["rro"] if "ro" in words else [])]
                return [mounts.prepare({**entry, "type": "bind", "source": hierarchy.mount, "options": options})]
            return [mounts.prepare({**entry, "type": "cgroup2", "source": "cgroup"})]
    base = [word for word in words if word not in ("ro", "rro")]
    options = [*base, "mode=755"]
    made = [mounts.prepare({"destination": where, "type": "tmpfs", "source": "tmpfs", "options": options})]
    made[0].sealed = len(base) != len(words)
    for hierarchy in found:
        if hierarchy.version == 1:
            group: dict[str, Any] = {"destination": f"{where}/{hierarchy.mount.rpartition('/')[2]}"}
            if setup.new & sys.CLONE_NEWCGROUP:
                group |= {"type": "cgroup", "source": "cgroup", "options": [*words, *hierarchy.key.split(",")]}
            else:  # in the machine's namespace a new mount would show all of its groups
                source = hierarchy.mount + setup.own_groups[hierarchy.key]
                group |= {"type": "bind", "source": source, "options": [*words, "bind"]}
            try:
                made.append(mounts.prepare(group))
            except LaunchFailure:  # not to be had in a user namespace
                continue
    return made
