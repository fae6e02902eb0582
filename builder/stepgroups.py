"""Give a step a control group, for limits that were asked for or a parent that was named; all others have none.

::

    RUN/groups/OWNER       one file a group that is in use; it holds the group's name, relative to the hierarchies
    RUN/group-parents      one line a group that was made because a step's was to be below it

OWNER names the process that made it (see `runtime.store.leases`): the next build removes what a killed one left.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import PybuildError, UsageError

if TYPE_CHECKING:
    from runtime.context import Context


_TRIES = 10


def check_parent(text: str) -> str:
    """Return a parent group as a relative path. Raises UsageError for one that cannot be."""
    if ".." in text.split("/") or text.endswith(".slice"):
        raise UsageError(
            f'invalid argument "{text}" for "--cgroup-parent" flag',
            hint="write a path below /sys/fs/cgroup, as /builds",
        )
    return posixpath.normpath(text).strip("/").removeprefix(".")


@contextmanager
def step_group(context: Context, parent: str) -> Iterator[str]:
    """Give the name of a group for one step, which exists and may get limits; it is gone at the end of the block.

    `parent` is made where it is not there, and goes again with the last of its groups. Raises PybuildError where no
    group can be made.
    """
    from runtime.sandbox.cgroups import PREFIX
    from runtime.store.leases import own_name

    owner = own_name(context)
    name = posixpath.join(parent, f"{PREFIX}{context.layout.key}-step-{owner}")
    directory = _directory(context)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    mark = directory / owner
    mark.write_text(name)
    try:
        _make(context, name)
        yield name
    finally:
        _remove(context, name)
        mark.unlink(missing_ok=True)


def sweep_groups(context: Context) -> None:
    """Remove the groups of processes that are gone; where none was ever made it is one system call."""
    try:
        names = os.listdir(_directory(context))
    except FileNotFoundError:
        return
    from runtime.store.leases import is_alive

    for name in names:
        if not is_alive(name):
            mark = _directory(context) / name
            with suppress(FileNotFoundError):
                _remove(context, mark.read_text())
                mark.unlink()


def _make(context: Context, name: str) -> None:
    """Have the group in every hierarchy that can be written; notes which of those above it are new."""
    from runtime.sandbox.cgroups import hierarchies

    made = False
    for hierarchy in hierarchies(own=context.rootless):
        for _ in range(_TRIES):
            try:
                _note_new(context, hierarchy.directory, posixpath.dirname(name))
                os.makedirs(f"{hierarchy.directory}/{name}", mode=0o755, exist_ok=True)
            except FileNotFoundError:
                continue  # another step has just taken the empty parent away
            except OSError:
                break
            made = True
            with suppress(OSError):
                if hierarchy.version == 1 and "cpuset" in hierarchy.controllers:
                    _fill_cpusets(hierarchy.directory, name)
                if hierarchy.version == 2:
                    _hand_down(hierarchy.directory, name)
            break
    if not made:
        raise PybuildError(
            "no control group can be made here, and limits of steps need one",
            hint="as a user: systemd-run --user --scope -p Delegate=yes pybuild …",
        )


def _note_new(context: Context, top: str, parent: str) -> None:
    """Write down which groups down to `parent` do not exist yet: they are ours to remove."""
    parts = parent.split("/") if parent else []
    paths = ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
    new = [f"{top}/{path}\n" for path in paths if not os.path.exists(f"{top}/{path}")]
    if new:
        with _parents(context).open("a") as file:
            file.writelines(new)


def _fill_cpusets(top: str, name: str) -> None:
    """Give new groups the processors and memory nodes of those above: an empty set admits no process (cpuset(7))."""
    path = top
    for part in name.split("/"):
        above, path = path, f"{path}/{part}"
        for kind in ("cpuset.cpus", "cpuset.mems"):
            own = Path(path, kind)
            if not own.read_text().strip():
                own.write_text(Path(above, kind).read_text())


def _hand_down(top: str, name: str) -> None:
    """Hand the controllers of version 2 down to a group, from the top."""
    path = top
    for part in name.split("/"):
        for controller in Path(path, "cgroup.controllers").read_text().split():
            with suppress(OSError):
                Path(path, "cgroup.subtree_control").write_text(f"+{controller}")
        path = f"{path}/{part}"


def _remove(context: Context, name: str) -> None:
    """Remove a group with whatever still runs in it, and of those above it the ones that were made for us."""
    from runtime.sandbox.cgroups import Cgroup, hierarchies

    found = hierarchies(own=context.rootless)
    Cgroup(name, [(hierarchy, f"{hierarchy.directory}/{name}") for hierarchy in found]).remove()
    with suppress(FileNotFoundError):
        for path in sorted(set(_parents(context).read_text().splitlines()), reverse=True):
            with suppress(OSError):  # somebody else's step is in it, or it is gone
                os.rmdir(path)


def _directory(context: Context) -> Path:
    return context.layout.run / "groups"


def _parents(context: Context) -> Path:
    return context.layout.run / "group-parents"
