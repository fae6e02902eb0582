"""Hide paths of the container's /proc and /sys, and make others read-only (config-linux.md § Masked Paths)."""

from __future__ import annotations

import os
from errno import ENOENT, ENOTDIR
from stat import S_ISDIR

from runtime.sandbox import syscalls as sys
from runtime.sandbox.mounts import find, new_filesystem


def mask(root_fd: int, path: str, empty: int) -> int:
    """Cover a file by /dev/null, a directory by an empty read-only tmpfs (one for all, returned)."""
    try:
        target = find(root_fd, path)
    except OSError as error:
        if error.errno in (ENOENT, ENOTDIR):
            return empty
        raise
    if S_ISDIR(os.fstat(target).st_mode):
        if empty < 0:
            data = [("size", "0"), ("nr_inodes", "1")]
            empty = new_filesystem("tmpfs", "tmpfs", data, sys.MOUNT_ATTR_RDONLY)
            sys.move_mount(empty, target)
        else:
            cover = sys.open_tree(empty, b"", sys.OPEN_TREE_CLONE | sys.AT_EMPTY_PATH)
            sys.move_mount(cover, target)
            os.close(cover)
    else:
        null = find(root_fd, "/dev/null")
        cover = sys.open_tree(null, b"", sys.OPEN_TREE_CLONE | sys.AT_EMPTY_PATH)
        sys.move_mount(cover, target)
        os.close(null)
        os.close(cover)
    os.close(target)
    return empty


def lock(root_fd: int, path: str) -> None:
    """Bind a path to itself, read-only and all below it."""
    try:
        target = find(root_fd, path)
    except OSError as error:
        if error.errno in (ENOENT, ENOTDIR):
            return
        raise
    cover = sys.open_tree(target, b"", sys.OPEN_TREE_CLONE | sys.AT_EMPTY_PATH | sys.AT_RECURSIVE)
    sys.mount_setattr(cover, attr_set=sys.MOUNT_ATTR_RDONLY, recursive=True)
    sys.move_mount(cover, target)
    os.close(cover)
    os.close(target)
