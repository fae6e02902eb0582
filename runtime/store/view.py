"""Read a stack of layers as the one tree that overlayfs would show, without a mount.

Whiteouts and opaque directories hide what lies below them; a file hides a directory under it and ends what merges.
Symlinks are followed inside the tree: an absolute target begins at its root, and `..` stops there. Layers of a store do
not change, so what was looked up once stays true.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

from frozen import NamedTuple
from runtime.errors import StoreError
from runtime.store.layers.tree import Metadata, read_metadata
from runtime.store.layers.walk import DIRECTORY_FLAGS, FILE_FLAGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

ImagePath = PurePosixPath | bytes | str
"""A path in an image, from its root, with or without a leading slash."""

_MAX_LINKS = 40
"""Symlinks on one path, as the kernel has it (path_resolution(7))."""
_CACHED = 1 << 16
_MISSING = (FileNotFoundError, NotADirectoryError)


class Node(NamedTuple):
    """What lies at one path: its metadata, and the layers (by index, topmost first) that have a part in it.

    Several layers have a part in a merged directory; what is no directory comes from one.
    """

    metadata: Metadata
    layers: tuple[int, ...]


class MergedView:
    """The tree of `layers`, topmost first. A context manager; usable by several threads.

    A path may be given as bytes, str or PurePosixPath. Names are returned as bytes. Layers that have to be found first
    are given by a function, which is called at the first look and may raise StoreError.
    """

    def __init__(self, layers: Sequence[Path] | Callable[[], Sequence[Path]]) -> None:
        self._find = layers if callable(layers) else None
        self._layers = () if callable(layers) else tuple(layers)
        self._roots: dict[int, int] = {}
        self._nodes: dict[bytes, Node | None] = {}

    @property
    def layers(self) -> tuple[Path, ...]:
        find = self._find
        if find is not None:
            self._layers = tuple(find())
            self._find = None
        return self._layers

    def __enter__(self) -> MergedView:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the layers' directories; a later look-up opens them again."""
        while self._roots:
            os.close(self._roots.popitem()[1])

    def stat(self, path: ImagePath) -> Metadata | None:
        """Give what lies at `path`, a symlink itself if it is one; symlinks before it are followed. None for nothing.

        Raises StoreError for a loop of symlinks.
        """
        return self.entry(self._without_last_link(path))

    def resolve(self, path: ImagePath) -> PurePosixPath:
        """Follow all symlinks of `path` inside the tree; what does not exist is kept as it is written.

        Returns an absolute path. Raises StoreError for a loop of symlinks.
        """
        return PurePosixPath("/" + os.fsdecode(self._resolve(_to_bytes(path))))

    def listdir(self, path: ImagePath) -> tuple[bytes, ...]:
        """List the names in a directory, symlinks followed, in byte order.

        Raises FileNotFoundError, and NotADirectoryError.
        """
        return self.names(self._resolve(_to_bytes(path)))

    def read_link(self, path: ImagePath) -> bytes:
        """Give the target of a symlink. Raises FileNotFoundError, and OSError(EINVAL) for what is no symlink."""
        metadata = self.stat(path)
        if metadata is None:
            raise _os_error(errno.ENOENT, _to_bytes(path))
        if metadata.kind != "symlink":
            raise _os_error(errno.EINVAL, _to_bytes(path))
        return metadata.link

    def open(self, path: ImagePath) -> BinaryIO:
        """Open a regular file for reading, symlinks followed; the caller closes it.

        Raises FileNotFoundError, IsADirectoryError, and OSError(EINVAL) for a device, fifo or socket.
        """
        return os.fdopen(self.open_file(self._resolve(_to_bytes(path))), "rb")

    def read_text(self, path: ImagePath, limit: int = 1 << 20) -> str | None:
        """Read a small text file, symlinks followed, as UTF-8 with surrogates for what is none.

        None if there is no such regular file. Raises StoreError if it has more than `limit` bytes.
        """
        try:
            file = self.open(path)
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EINVAL}:
                return None
            raise
        with file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise StoreError(f"{os.fsdecode(_to_bytes(path))!r} in the image has more than {limit} bytes")
        return data.decode("utf-8", "surrogateescape")

    def walk(self, path: ImagePath = b"") -> Iterator[tuple[bytes, Metadata, Path]]:
        """Visit `path` and everything below it, parents first, names in byte order.

        Gives (path relative to `path`, b"" for itself first; metadata; the layer that it comes from): the file is
        `layer / resolved path / relative path`. Nothing is given if nothing is there. (`device`, `inode`) of the
        metadata are equal for hard links only; `nlink` may count names that an upper layer hides.
        """
        top = self._without_last_link(path)
        node = self.node(top)
        if node is None:
            return
        yield b"", node.metadata, self.layers[node.layers[0]] if node.layers else Path()  # no layer, but a root
        if node.metadata.kind != "directory":
            return
        prefix = top + b"/" if top else b""
        stack = [self._children(top, node)]
        while stack:
            for name, child in stack[-1]:
                yield name[len(prefix) :], child.metadata, self.layers[child.layers[0]]
                if child.metadata.kind == "directory":
                    stack.append(self._children(name, child))
                    break
            else:
                stack.pop()

    def entry(self, path: bytes) -> Metadata | None:
        """Give what lies at `path`, relative and without symlinks on the way; None for nothing."""
        node = self.node(path)
        return None if node is None else node.metadata

    def names(self, path: bytes) -> tuple[bytes, ...]:
        """List the directory at `path`, relative and without symlinks, in byte order."""
        node = self.node(path)
        if node is None:
            raise _os_error(errno.ENOENT, path)
        if node.metadata.kind != "directory":
            raise _os_error(errno.ENOTDIR, path)
        return tuple(child.rpartition(b"/")[2] for child, _ in self._children(path, node))

    def open_file(self, path: bytes) -> int:
        """Open the regular file at `path`, relative and without symlinks, and return its descriptor."""
        node = self.node(path)
        if node is None:
            raise _os_error(errno.ENOENT, path)
        if node.metadata.kind != "file":
            raise _os_error(errno.EISDIR if node.metadata.kind == "directory" else errno.EINVAL, path)
        return os.open(path, FILE_FLAGS, dir_fd=self._root(node.layers[0]))

    def subtree(self, path: ImagePath) -> Subtree:
        """Give the directory at `path`, symlinks followed, as a tree of its own."""
        return Subtree(self, self._resolve(_to_bytes(path)))

    def node(self, path: bytes) -> Node | None:
        """Look up `path`, relative and without symlinks, with the layers that have a part in it."""
        if path in self._nodes:
            return self._nodes[path]
        if not path:
            return self._nodes.setdefault(b"", self._root_node())
        missing = [path]  # from the nearest known directory down, so that a long path needs no recursion
        while (above := missing[-1].rpartition(b"/")[0]) and above not in self._nodes:
            missing.append(above)
        found = self.node(above)
        for step in reversed(missing):
            found = self._remember(step, found)
        return found

    def _remember(self, path: bytes, parent: Node | None) -> Node | None:
        found = None
        if parent is not None and parent.metadata.kind == "directory":
            found = self._look_up(path, parent.layers)
        if len(self._nodes) >= _CACHED:
            self._nodes.clear()
        self._nodes[path] = found
        return found

    def _root_node(self) -> Node:
        if not self.layers:
            return Node(Metadata("directory", 0o755, 0, 0), ())
        return Node(read_metadata(self._root(0), b"."), tuple(range(len(self.layers))))

    def _look_up(self, path: bytes, layers: Iterable[int]) -> Node | None:
        """Merge what `layers`, those of the directory that holds it, have at `path`."""
        top: Metadata | None = None
        parts: list[int] = []
        for index in layers:
            try:
                metadata = read_metadata(self._root(index), path)
            except _MISSING:
                continue
            except OSError as error:
                if error.errno != errno.ENAMETOOLONG:
                    raise
                return None
            if metadata.kind == "whiteout" or (top is not None and metadata.kind != "directory"):
                break
            if top is None:
                top = metadata
            parts.append(index)
            if metadata.kind != "directory" or metadata.opaque:
                break
        return None if top is None else Node(top._replace(opaque=False), tuple(parts))

    def _children(self, path: bytes, node: Node) -> Iterator[tuple[bytes, Node]]:
        """Give path and node of everything in a directory, in byte order."""
        names: set[bytes] = set()
        for index in node.layers:
            fd = os.open(path or b".", DIRECTORY_FLAGS, dir_fd=self._root(index))
            try:
                names.update(map(os.fsencode, os.listdir(fd)))
            finally:
                os.close(fd)
        prefix = path + b"/" if path else b""
        for name in sorted(names):
            child = self._look_up(prefix + name, node.layers)
            if child is not None:
                yield prefix + name, child

    def _without_last_link(self, path: ImagePath) -> bytes:
        """Give the real path of the directory that holds `path`, and its last name as it is."""
        parts = [part for part in _to_bytes(path).split(b"/") if part not in {b"", b"."}]
        if not parts or parts[-1] == b"..":
            return self._resolve(b"/".join(parts))
        parent = self._resolve(b"/".join(parts[:-1]))
        return b"%b/%b" % (parent, parts[-1]) if parent else parts[-1]

    def _resolve(self, path: bytes) -> bytes:
        pending = path.split(b"/")[::-1]
        here = b""
        links = 0
        while pending:
            name = pending.pop()
            if name in {b"", b"."}:
                continue
            if name == b"..":
                here = here.rpartition(b"/")[0]
                continue
            there = b"%b/%b" % (here, name) if here else name
            metadata = self.entry(there)
            if metadata is None or metadata.kind != "symlink":
                here = there
                continue
            links += 1
            if links > _MAX_LINKS:
                raise StoreError(f"{os.fsdecode(path)!r} in the image leads through a loop of symlinks")
            if metadata.link.startswith(b"/"):
                here = b""
            pending.extend(metadata.link.split(b"/")[::-1])
        return here

    def _root(self, index: int) -> int:
        fd = self._roots.get(index)
        if fd is None:
            fd = os.open(self.layers[index], DIRECTORY_FLAGS)
            kept = self._roots.setdefault(index, fd)
            if kept != fd:  # another thread came first
                with suppress(OSError):
                    os.close(fd)
                fd = kept
        return fd


class Subtree:
    """A directory of a view as a tree of its own, in the way that unpacking asks for what lies below."""

    def __init__(self, view: MergedView, path: bytes) -> None:
        self._view = view
        self._path = path

    def entry(self, path: bytes) -> Metadata | None:
        """Give what lies at `path` below the directory."""
        return self._view.entry(self._join(path))

    def names(self, path: bytes) -> tuple[bytes, ...]:
        """List a directory; nothing for one that does not exist."""
        try:
            return self._view.names(self._join(path))
        except _MISSING:
            return ()

    def open_file(self, path: bytes) -> int:
        """Open a regular file."""
        return self._view.open_file(self._join(path))

    def _join(self, path: bytes) -> bytes:
        return b"/".join(part for part in (self._path, path) if part)


def _to_bytes(path: ImagePath) -> bytes:
    data = path if isinstance(path, bytes) else os.fsencode(str(path))
    if b"\0" in data:
        raise StoreError(f"{os.fsdecode(data)!r} is no path: it has a zero byte")
    return data


def _os_error(number: int, path: bytes) -> OSError:
    return OSError(number, os.strerror(number), os.fsdecode(path))
