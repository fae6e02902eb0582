"""Write the merged tree of an image: as a tar, or into a directory of the caller's."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from runtime.errors import PybuildError

if TYPE_CHECKING:
    from runtime.context import Cancel
    from runtime.store.layers.tree import Metadata
    from runtime.store.view import MergedView

_CHUNK = 1 << 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SOURCE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class Sink(Protocol):
    """Whatever takes the bytes of an archive."""

    def write(self, data: bytes, /) -> object:
        """Take all of `data`."""


def write_tree_tars(
    trees: Sequence[tuple[str, MergedView]], sink: Sink, cancel: Cancel, *, epoch: int | None = None
) -> None:
    """Write trees as one deterministic tar, each below the directory that is named with it; "" is the tar's root.

    With `epoch` (s, SOURCE_DATE_EPOCH) that is the time of all files.
    """
    from runtime.store.layers.writer import LayerWriter  # lazy: only for this output

    with LayerWriter(sink) as writer:
        for name, view in sorted(trees, key=lambda tree: tree[0]):
            prefix = os.fsencode(name)
            for path, metadata, layer in view.walk():
                cancel.check()
                target = b"/".join(part for part in (prefix, path) if part)
                if not target:
                    continue
                metadata = _dated(metadata, epoch)
                if metadata.kind != "file":
                    writer.add(target, metadata)
                    continue
                fd = os.open(os.path.join(os.fsencode(layer), path), _SOURCE)
                try:
                    writer.add(target, metadata, fd)
                finally:
                    os.close(fd)
        writer.finish()


def write_tree(view: MergedView, destination: Path, cancel: Cancel, *, epoch: int | None = None) -> None:
    """Write the tree into a directory, which is made if it is missing; what it already holds stays or is replaced.

    Everything belongs to the caller; modes, times and links are the image's, but for the time `epoch` (s) if there is
    one. No link in `destination` is followed.
    Devices are left out for those who may not make them. Raises PybuildError.
    """
    try:
        destination.mkdir(parents=True, exist_ok=True)
        root = os.open(destination, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise PybuildError(f"output directory {destination}: {error.strerror}") from error
    try:
        _Tree(root, cancel, epoch).write(view)
    except OSError as error:
        named = isinstance(error.filename, str | bytes)  # a write names no file
        place = f"{os.fsdecode(error.filename)}: " if named else ""
        raise PybuildError(f"output directory {destination}: {place}{error.strerror}") from error
    finally:
        os.close(root)


def refuse_meetings(trees: Sequence[tuple[str, MergedView]], cancel: Cancel) -> None:
    """Raise PybuildError where two platforms have a file of one path, and no directory each."""
    found: dict[bytes, str] = {}
    for platform, view in trees:
        for path, metadata, _ in view.walk():
            cancel.check()
            if metadata.kind == "directory":
                continue
            first = found.setdefault(path, platform)
            if first != platform:
                raise PybuildError(
                    f"cannot overwrite {os.fsdecode(path)} from {first} with {platform} when split option is disabled",
                    hint="leave platform-split=false out",
                )


def remove_stale(trees: Sequence[tuple[str, MergedView]], destination: Path, cancel: Cancel) -> None:
    """Remove what a directory holds beside the trees that were written there; no link is followed.

    `trees` come with the directory of each, "" for `destination` itself. Raises PybuildError.
    """
    wanted = {os.fsencode(name) for name, _ in trees}
    for name, view in trees:
        wanted |= {b"/".join(filter(None, (os.fsencode(name), path))) for path, _, _ in view.walk()}
    try:
        for directory, names, files, fd in os.fwalk(os.fsencode(destination), topdown=False):
            place = os.path.relpath(directory, os.fsencode(destination))
            for entry in (*files, *names):
                cancel.check()
                if (entry if place == b"." else os.path.join(place, entry)) in wanted:
                    continue
                is_directory = stat.S_ISDIR(os.stat(entry, dir_fd=fd, follow_symlinks=False).st_mode)
                (os.rmdir if is_directory else os.unlink)(entry, dir_fd=fd)
    except OSError as error:
        raise PybuildError(f"output directory {destination}: {error.filename}: {error.strerror}") from error


def _dated(metadata: Metadata, epoch: int | None) -> Metadata:
    return metadata if epoch is None else metadata._replace(mtime_ns=epoch * 10**9)


class _Tree:
    """The files of one output directory; directories get modes and times last."""

    def __init__(self, root: int, cancel: Cancel, epoch: int | None) -> None:
        self._epoch = epoch
        self._root = root
        self._cancel = cancel
        self._first: dict[tuple[int, int], bytes] = {}
        self._directories: list[tuple[bytes, Metadata]] = []

    def write(self, view: MergedView) -> None:
        for path, metadata, layer in view.walk():
            self._cancel.check()
            if not path:
                continue
            parent, _, name = path.rpartition(b"/")
            fd = self._open(parent)
            try:
                self._write_one(fd, path, name, _dated(metadata, self._epoch), layer)
            finally:
                os.close(fd)
        for path, metadata in reversed(self._directories):
            fd = self._open(path)
            try:
                os.fchmod(fd, metadata.mode)
                os.utime(fd, ns=(metadata.mtime_ns, metadata.mtime_ns))
            finally:
                os.close(fd)

    def _write_one(self, fd: int, path: bytes, name: bytes, metadata: Metadata, layer: Path) -> None:
        if metadata.kind == "directory":
            self._make_directory(fd, name)
            self._directories.append((path, metadata))
            return
        self._clear(fd, name)
        if metadata.kind == "file":
            self._write_file(fd, path, name, metadata, layer)
        elif metadata.kind == "symlink":
            os.symlink(metadata.link, name, dir_fd=fd)
            os.utime(name, ns=(metadata.mtime_ns, metadata.mtime_ns), dir_fd=fd, follow_symlinks=False)
        elif metadata.kind == "fifo":
            os.mkfifo(name, metadata.mode, dir_fd=fd)
        elif metadata.kind in ("character", "block"):
            kind = stat.S_IFCHR if metadata.kind == "character" else stat.S_IFBLK
            with suppress(PermissionError):
                os.mknod(name, kind | metadata.mode, metadata.rdev, dir_fd=fd)

    def _write_file(self, fd: int, path: bytes, name: bytes, metadata: Metadata, layer: Path) -> None:
        if metadata.nlink > 1:
            first = self._first.setdefault((metadata.device, metadata.inode), path)
            if first != path:
                parent, _, source = first.rpartition(b"/")
                above = self._open(parent)
                try:
                    os.link(source, name, src_dir_fd=above, dst_dir_fd=fd, follow_symlinks=False)
                finally:
                    os.close(above)
                return
        source_fd = os.open(os.path.join(os.fsencode(layer), path), _SOURCE)
        try:
            out = os.open(name, _NEW_FILE, 0o600, dir_fd=fd)
            try:
                while chunk := os.read(source_fd, _CHUNK):
                    view = memoryview(chunk)
                    while view:
                        view = view[os.write(out, view) :]
                os.fchmod(out, metadata.mode)
                os.utime(out, ns=(metadata.mtime_ns, metadata.mtime_ns))
            finally:
                os.close(out)
        finally:
            os.close(source_fd)

    def _make_directory(self, fd: int, name: bytes) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=fd)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                os.unlink(name, dir_fd=fd)
                os.mkdir(name, 0o700, dir_fd=fd)

    def _clear(self, fd: int, name: bytes) -> None:
        try:
            os.unlink(name, dir_fd=fd)
        except FileNotFoundError:
            pass
        except IsADirectoryError:
            from shutil import rmtree  # lazy: a directory is seldom in the way

            rmtree(name, dir_fd=fd)

    def _open(self, path: bytes) -> int:
        """Open a directory of the output component by component, so that no link in it leads elsewhere."""
        fd = os.dup(self._root)
        for part in filter(None, path.split(b"/")):
            try:
                below = os.open(part, _DIRECTORY, dir_fd=fd)
            finally:
                os.close(fd)
            fd = below
        return fd
