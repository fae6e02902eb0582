"""Visit a tree in the order of a layer tar: names in byte order, each directory before what it holds.

Depth is not limited by recursion or by descriptors, and no path grows beyond one component for the kernel.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OPEN_LEVELS = 64
"""So many directories on the way down stay open; those above are found again by `..`."""


class _Level:
    """One directory on the way down: its descriptors by root (-1: closed for a while), path and names to come."""

    __slots__ = ("fds", "path", "pending")

    def __init__(self, fds: dict[int, int], path: bytes) -> None:
        self.fds = fds
        self.path = path
        found: dict[bytes, tuple[int, bool]] = {}
        for root, fd in reversed(fds.items()):
            with os.scandir(fd) as entries:
                for entry in entries:
                    found[os.fsencode(entry.name)] = root, entry.is_file(follow_symlinks=False)
        self.pending = sorted(found.items(), reverse=True)


class TreeWalk:
    """An iterator of (path relative to the root, descriptor of its directory, name, is it a regular file).

    After it gave a directory, the consumer calls `enter(name)` if it wants what is in it. The root itself is not
    given. Of several roots, topmost first, directories of one name are one: what has no directory's name is given from
    the topmost that has it. A context manager: it closes the descriptors it opened, not the roots'.
    """

    def __init__(self, *root_fds: int) -> None:
        fds = {root: os.open(b".", DIRECTORY_FLAGS, dir_fd=fd) for root, fd in enumerate(root_fds)}
        self._levels = [_Level(fds, b"")]

    def __enter__(self) -> TreeWalk:
        return self

    def __exit__(self, *exc: object) -> None:
        for level in self._levels:
            for fd in level.fds.values():
                if fd >= 0:
                    os.close(fd)
        self._levels.clear()

    def __iter__(self) -> Iterator[tuple[bytes, int, bytes, bool]]:
        levels = self._levels
        while levels:
            level = levels[-1]
            pending = level.pending
            prefix = level.path
            while pending:
                name, (root, is_file) = pending.pop()
                yield prefix + name, level.fds[root], name, is_file
                if levels[-1] is not level:
                    break  # the consumer entered a directory
            else:
                self._leave()

    def enter(self, name: bytes) -> None:
        """Visit the directory `name`, which was given just now, before what follows it."""
        parent = self._levels[-1]
        fds: dict[int, int] = {}
        for root, fd in parent.fds.items():
            try:
                fds[root] = os.open(name, DIRECTORY_FLAGS, dir_fd=fd)
            except FileNotFoundError:
                continue  # another root has it
        self._levels.append(_Level(fds, parent.path + name + b"/"))
        if len(self._levels) > _OPEN_LEVELS:
            upper, below = self._levels[-1 - _OPEN_LEVELS], self._levels[-_OPEN_LEVELS]
            for root in below.fds:
                os.close(upper.fds[root])
                upper.fds[root] = -1

    def _leave(self) -> None:
        level = self._levels.pop()
        for root, fd in level.fds.items():
            if self._levels and self._levels[-1].fds[root] < 0:
                self._levels[-1].fds[root] = os.open(b"..", DIRECTORY_FLAGS, dir_fd=fd)
            os.close(fd)


@contextmanager
def opened(*paths: Path) -> Iterator[tuple[int, ...]]:
    """Open directories for as long as the block lasts."""
    with ExitStack() as stack:
        fds = []
        for path in paths:
            fds.append(os.open(path, DIRECTORY_FLAGS))
            stack.callback(os.close, fds[-1])
        yield tuple(fds)
