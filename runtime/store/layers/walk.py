"""Visit a tree in the order of a layer tar: names in byte order, each directory before what it holds.

Depth is not limited by recursion or by descriptors, and no path grows beyond one component for the kernel.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OPEN_LEVELS = 64
"""So many directories on the way down stay open; those above are found again by `..`."""


class _Level:
    """One directory on the way down: its open descriptor (-1 for closed for a while), path and names to come."""

    __slots__ = ("fd", "path", "pending")

    def __init__(self, fd: int, path: bytes) -> None:
        self.fd = fd
        self.path = path
        with os.scandir(fd) as entries:
            names = [(os.fsencode(entry.name), entry.is_file(follow_symlinks=False)) for entry in entries]
        names.sort(reverse=True)
        self.pending = names


class TreeWalk:
    """An iterator of (path relative to the root, descriptor of its directory, name, is it a regular file).

    After it gave a directory, the consumer calls `enter(path, ...)` if it wants what is in it. The root itself is not
    given. A context manager: it closes the descriptors it opened, not `root_fd`.
    """

    def __init__(self, root_fd: int) -> None:
        self._levels = [_Level(os.open(b".", DIRECTORY_FLAGS, dir_fd=root_fd), b"")]

    def __enter__(self) -> TreeWalk:
        return self

    def __exit__(self, *exc: object) -> None:
        for level in self._levels:
            if level.fd >= 0:
                os.close(level.fd)
        self._levels.clear()

    def __iter__(self) -> Iterator[tuple[bytes, int, bytes, bool]]:
        levels = self._levels
        while levels:
            level = levels[-1]
            pending = level.pending
            prefix = level.path
            while pending:
                name, is_file = pending.pop()
                yield prefix + name, level.fd, name, is_file
                if levels[-1] is not level:
                    break  # the consumer entered a directory
            else:
                self._leave()

    def enter(self, name: bytes) -> int:
        """Visit the directory `name`, which was given just now, before what follows it; returns its descriptor."""
        parent = self._levels[-1]
        level = _Level(os.open(name, DIRECTORY_FLAGS, dir_fd=parent.fd), parent.path + name + b"/")
        self._levels.append(level)
        if len(self._levels) > _OPEN_LEVELS:
            upper = self._levels[-1 - _OPEN_LEVELS]
            os.close(upper.fd)
            upper.fd = -1
        return level.fd

    def _leave(self) -> None:
        level = self._levels.pop()
        if self._levels and self._levels[-1].fd < 0:
            self._levels[-1].fd = os.open(b"..", DIRECTORY_FLAGS, dir_fd=level.fd)
        os.close(level.fd)
