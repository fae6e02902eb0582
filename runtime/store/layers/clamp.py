"""Bring the times of a layer on disk under a limit, so that the tree and its tar say the same."""

from __future__ import annotations

import os
import stat

from runtime.store.layers.walk import TreeWalk
from runtime.store.layers.writer import TimePolicy

_SECOND = 1_000_000_000


def clamp_times(root_fd: int, times: TimePolicy) -> None:
    """Set each mtime after `times.latest` to it, below the open directory `root_fd`; links are not followed."""
    latest = times.latest * _SECOND
    with TreeWalk(root_fd) as walk:
        for _, dir_fd, name, is_file in walk:
            status = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
            if status.st_mtime_ns > latest:
                os.utime(name, ns=(status.st_atime_ns, latest), dir_fd=dir_fd, follow_symlinks=False)
            if not is_file and stat.S_ISDIR(status.st_mode):
                walk.enter(name)
