"""Remove the control groups of containers that have ended, with what still runs in them."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.containers.records import Containers

_MOUNT = "/sys/fs/cgroup"  # as sandbox.cgroups has it, whose import takes longer than the look
_ID_LENGTH = 64
_LOOKED_AT = ("pids", "memory", "unified", "")
"""Hierarchies of which one is enough to find a group by; the last is the whole of version 2."""


def sweep_groups(containers: Containers) -> list[str]:
    """Remove groups of this root that no container holds; returns the ids of their containers.

    Where there are none it is one look into a directory. Groups of build steps are others' to sweep.
    """
    prefix = f"pybuild-{containers.store.layout.key}-"
    ids = [name.removeprefix(prefix) for name in _names() if name.startswith(prefix)]
    return [found for found in ids if len(found) == _ID_LENGTH and containers.clear_group(found)]


def _names() -> list[str]:
    for kind in _LOOKED_AT:
        try:
            return os.listdir(os.path.join(_MOUNT, kind))
        except OSError:
            continue
    return []
