"""Find and make the directories of an upperdir that is being filled, never outside of it.

Paths come from an archive. A symlink that the same archive made is followed as a chroot to the upperdir would: `..`
stops at the root, an absolute target begins there. Every step is one component below an open descriptor.
"""

from __future__ import annotations

import os
import stat
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from typing import Protocol

from runtime.errors import LayerError
from runtime.store.layers.tree import Metadata, is_whiteout, make_node, make_whiteout, set_opaque, write_metadata
from runtime.store.layers.walk import DIRECTORY_FLAGS

_MAX_LINKS = 255
"""Symlinks that one path may lead through, as Go's and containerd's resolvers have it."""
_OPEN_DIRECTORIES = 64
_IMPLIED = Metadata("directory", 0o755, 0, 0)
"""What a directory becomes that the archive does not name and no lower layer has."""


class Lower(Protocol):
    """The layers below, as far as a layer in the making asks for them."""

    def entry(self, path: bytes, /) -> Metadata | None:
        """Give what lies at `path`, which leads through real directories only; None if nothing does."""

    def names(self, path: bytes, /) -> Iterable[bytes]:
        """List the directory at `path`."""

    def open_file(self, path: bytes, /) -> int:
        """Open the regular file at `path` for reading and return its descriptor."""


class Places:
    """The directories of one upperdir, open for as long as they are in use. A context manager.

    `times` has the mtime that each directory made here is to have at the end, by path. With `follow_lower` a symlink
    of a lower layer is followed as well; without, a directory takes its place, as it does where Docker applies a layer
    to an overlay.
    """

    def __init__(self, root_fd: int, lower: Lower | None, *, follow_lower: bool = False) -> None:
        self.root_fd = root_fd
        self.times: dict[bytes, int] = {}
        self._lower = lower
        self._follow_lower = follow_lower
        self._hidden: set[bytes] = set()
        self._found: dict[bytes, bytes] = {}
        self._open: OrderedDict[bytes, int] = OrderedDict()

    def __enter__(self) -> Places:
        return self

    def __exit__(self, *exc: object) -> None:
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()

    def removed(self, path: bytes) -> None:
        """Learn that the directory or symlink `path` is gone: what is known of it and below no longer holds."""
        self._found.clear()
        below = path + b"/"
        for gone in [known for known in self._open if known == path or known.startswith(below)]:
            os.close(self._open.pop(gone))
        for gone in [known for known in self.times if known == path or known.startswith(below)]:
            del self.times[gone]
        self._hidden = {hidden for hidden in self._hidden if hidden != path and not hidden.startswith(below)}

    def below(self, path: bytes) -> Metadata | None:
        """Give what the lower layers have at a path of real directories, None where this layer hides them."""
        if self._lower is None:
            return None
        if self._hidden and not self._hidden.isdisjoint(_ancestors(path)):
            return None
        return self._lower.entry(path)

    def hide(self, path: bytes, parent_fd: int, name: bytes) -> None:
        """Make the directory `path`, which is `name` in `parent_fd`, opaque."""
        if path:
            set_opaque(parent_fd, name)
        else:
            self._hide_root()
        self._hidden.add(path)

    def _hide_root(self) -> None:
        """Hide each thing in the root by itself: the kernel does not look whether the root of a layer is opaque."""
        for name in self._lower.names(b"") if self._lower is not None else ():
            below = self.below(name)
            try:
                status = os.stat(name, dir_fd=self.root_fd, follow_symlinks=False)
            except FileNotFoundError:
                make_whiteout(self.root_fd, name)
                continue
            if stat.S_ISDIR(status.st_mode) and below is not None and below.kind == "directory":
                set_opaque(self.root_fd, name)

    def parent(self, path: bytes) -> tuple[bytes, int]:
        """Give the real path of the directory `path` and a descriptor, which is good until the next call.

        `path` is relative, without `.` and `..`. Missing directories are made, each with the metadata that the lower
        layers have for it, else 0755 of root. Raises LayerError where something else than a directory is in the way.
        """
        found = self._found.get(path)
        if found is None:
            found = self._found[path] = self.real(path, make=True)
        return found, self.directory(found)

    def existing(self, path: bytes) -> int | None:
        """Open the directory at a real path if this upperdir has it; the descriptor is good until the next call."""
        try:
            return self.directory(path)
        except FileNotFoundError:
            return None

    def directory(self, path: bytes) -> int:
        """Open a real path of this upperdir, through no symlink; the descriptor is good until the next call."""
        if not path:
            return self.root_fd
        fd = self._open.get(path)
        if fd is not None:
            self._open.move_to_end(path)
            return fd
        # The nearest directory that is open, then down one by one: a path may be longer than the kernel takes.
        missing = [path]
        while True:
            above = missing[-1].rpartition(b"/")[0]
            if not above or above in self._open:
                break
            missing.append(above)
        fd = self._open[above] if above else self.root_fd
        for step in reversed(missing):
            fd = os.open(step.rpartition(b"/")[2], DIRECTORY_FLAGS, dir_fd=fd)
            self._open[step] = fd
            if len(self._open) > _OPEN_DIRECTORIES:
                os.close(self._open.popitem(last=False)[1])
        return fd

    def real(self, path: bytes, *, make: bool = False) -> bytes:
        """Follow the symlinks that lead to the directory `path`; what is missing is made, or taken as it is."""
        pending = deque(path.split(b"/"))
        here = b""
        links = 0
        while pending:
            name = pending.popleft()
            if name in {b"", b"."}:
                continue
            if name == b"..":
                here = here.rpartition(b"/")[0]
                continue
            there = b"%b/%b" % (here, name) if here else name
            target = self._step(here, there, name, make=make)
            if target is None:
                here = there
                continue
            links += 1
            if links > _MAX_LINKS:
                raise LayerError(f"{os.fsdecode(path)!r} leads through too many symlinks", entry=os.fsdecode(path))
            if target.startswith(b"/"):
                here = b""
            pending.extendleft(reversed(target.split(b"/")))
        return here

    def _step(self, here: bytes, there: bytes, name: bytes, *, make: bool) -> bytes | None:
        """Look at one component: None for a directory, or what may become one, else the target of a symlink."""
        fd = self.directory(here) if make else self.existing(here)
        try:
            status = os.stat(name, dir_fd=fd, follow_symlinks=False) if fd is not None else None
        except FileNotFoundError:
            status = None
        if fd is None or status is None:
            below = self.below(there)
            if below is not None and below.kind == "symlink" and self._follow_lower:
                return below.link
            if make and fd is not None:
                self.make(there, fd, name, below if below is not None and below.kind == "directory" else _IMPLIED)
            return None
        if stat.S_ISDIR(status.st_mode):
            return None
        if stat.S_ISLNK(status.st_mode):
            return os.readlink(name, dir_fd=fd)
        if not is_whiteout(fd, name, status):
            shown = os.fsdecode(there)
            raise LayerError(f"{shown!r} is in the way of a directory of the same name", entry=shown)
        if make:
            os.unlink(name, dir_fd=fd)
            self.make(there, fd, name, _IMPLIED)
            self.hide(there, fd, name)
        return None

    def make(self, path: bytes, parent_fd: int, name: bytes, metadata: Metadata) -> list[str]:
        """Make the directory `path`, which is `name` in `parent_fd`; returns the attributes that could not be set."""
        make_node(parent_fd, name, metadata)
        self.times[path] = metadata.mtime_ns
        return write_metadata(parent_fd, name, metadata, times=False)

    def set_times(self) -> None:
        """Set the mtimes of the directories, now that nothing is put into them any more."""
        for path, mtime_ns in self.times.items():
            os.utime(self.directory(path), ns=(mtime_ns, mtime_ns))


def _ancestors(path: bytes) -> Iterable[bytes]:
    yield b""
    position = path.find(b"/")
    while position >= 0:
        yield path[:position]
        position = path.find(b"/", position + 1)


def clean(name: bytes) -> Sequence[bytes] | None:
    """Divide a member's name into components, `.` and empty ones left out; None if it leads above the root."""
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            if not parts:
                return None
            parts.pop()
        elif part not in {b"", b"."}:
            parts.append(part)
    return parts
