"""Delete a tree whatever modes and depth its directories have."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

_HANDS = 4
"""Threads that delete many trees: each of them mostly waits for the disk's journal."""

_DEPTH = 64
"""Directories deeper than this are moved to the top before they are emptied: descriptors and recursion are finite."""

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(path: Path | str) -> None:
    """Delete `path` with everything below it; links are not followed, a missing path is fine.

    Directories that cannot be listed (overlayfs leaves `work/work` with mode 000) are opened up first. Raises OSError
    where something cannot be deleted all the same.
    """
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return
    if not stat.S_ISDIR(status.st_mode):
        with suppress(FileNotFoundError):
            os.unlink(path)
        return
    top = _open_directory(os.fspath(path), None)
    if top is None:
        return
    try:
        moved = _Moved(top)
        _empty(top, 0, moved)
        while moved.names:
            _remove_directory(top, moved.names.pop(), 0, moved)
    finally:
        os.close(top)
    with suppress(FileNotFoundError):
        os.rmdir(path)


def remove_trees(parent: Path) -> None:
    """Delete a directory that holds many trees, several of them at the same time.

    Raises OSError for the first thing that cannot be deleted, when all the others were tried.
    """
    import threading  # lazy: only where many go

    names = iter(os.listdir(parent))  # whose next() no two threads enter at once
    failures: list[OSError] = []

    def work() -> None:
        for name in names:
            try:
                remove_tree(parent / name)
            except OSError as error:
                failures.append(error)

    hands = [threading.Thread(target=work) for _ in range(_HANDS - 1)]
    for hand in hands:
        hand.start()
    work()
    for hand in hands:
        hand.join()
    if failures:
        raise failures[0]
    os.rmdir(parent)


class _Moved:
    """The deep directories that were moved into the top one, by their new names."""

    def __init__(self, top: int) -> None:
        self.top = top
        self.names: list[str] = []
        self._count = 0

    def take(self, name: str, parent: int) -> None:
        self._count += 1
        new = f"..moved.{self._count}"
        os.rename(name, new, src_dir_fd=parent, dst_dir_fd=self.top)
        self.names.append(new)


def _empty(directory: int, depth: int, moved: _Moved) -> None:
    children = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                children.append(entry.name)
                continue
            with suppress(FileNotFoundError):
                os.unlink(entry.name, dir_fd=directory)
    for name in children:
        with suppress(FileNotFoundError):
            if depth < _DEPTH:
                _remove_directory(directory, name, depth, moved)
            else:
                moved.take(name, directory)


def _remove_directory(parent: int, name: str, depth: int, moved: _Moved) -> None:
    descriptor = _open_directory(name, parent)
    if descriptor is None:
        return
    try:
        _empty(descriptor, depth + 1, moved)
    finally:
        os.close(descriptor)
    with suppress(FileNotFoundError):
        os.rmdir(name, dir_fd=parent)


def _open_directory(name: str, parent: int | None) -> int | None:
    """Open a directory for deletion, with mode 0700 given to it if need be; None where it is gone."""
    try:
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if status.st_mode & 0o700 != 0o700 and stat.S_ISDIR(status.st_mode):
            with suppress(PermissionError):
                os.chmod(name, 0o700, dir_fd=parent)
        return os.open(name, _OPEN, dir_fd=parent)
    except FileNotFoundError:
        return None
