"""Bring the times of a layer on disk under a limit, so that the tree and its tar say the same."""

from __future__ import annotations

import os
import stat

from runtime.store.layers.walk import TreeWalk
from runtime.store.layers.writer import TimePolicy


def clamp_times(root_fd: int, times: TimePolicy) -> None:
    """Give each mtime below the open directory `root_fd` what `times` makes of it; links are not followed."""
    with TreeWalk(root_fd) as walk:
        for _, dir_fd, name, is_file in walk:
            status = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
            mtime_ns = times.of(status.st_mtime_ns)
            if mtime_ns != status.st_mtime_ns:
                os.utime(name, ns=(status.st_atime_ns, mtime_ns), dir_fd=dir_fd, follow_symlinks=False)
            if not is_file and stat.S_ISDIR(status.st_mode):
                walk.enter(name)
