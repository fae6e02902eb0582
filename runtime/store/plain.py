"""Make layers without overlayfs, where the store's file system cannot hold an upperdir: on overlayfs itself, as in a
container, or where mounting is not allowed.

A sandbox then gets a directory with a whole copy of the tree. What it changed is found by comparing it to a manifest
taken before, and moved into the form of an upperdir, so that all else in the store stays the same.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from runtime.store.layers.tree import (
    Metadata,
    make_node,
    make_whiteout,
    read_metadata,
    write_metadata,
    write_open,
)
from runtime.store.layers.walk import DIRECTORY_FLAGS, TreeWalk
from runtime.store.trees import remove_tree
from runtime.store.view import MergedView

_CHUNK = 1 << 24
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class _Mark(NamedTuple):
    """What shows that a file is as it was: any change to it sets ctime anew, and any other file is another inode."""

    inode: int
    ctime_ns: int
    size: int
    is_directory: bool


class PlainTree:
    """A directory with a whole tree, and the manifest of how it was: path -> mark."""

    def __init__(self, path: Path, lowerdirs: Sequence[Path], manifest: Mapping[bytes, _Mark]) -> None:
        self.path = path
        self._lowerdirs = lowerdirs
        self._manifest = manifest

    @classmethod
    def copied(cls, lowerdirs: Sequence[Path], path: Path) -> PlainTree:
        """Copy the merged tree of `lowerdirs` (topmost first) to the new directory `path`, and note how it is."""
        path.mkdir(mode=0o700)
        root_fd = os.open(path, DIRECTORY_FLAGS)
        try:
            with MergedView(lowerdirs) as view:
                copy_tree(view, root_fd)
            manifest: dict[bytes, _Mark] = {}
            with TreeWalk(root_fd) as walk:
                for name, dir_fd, last, _ in walk:
                    manifest[name] = mark = _mark(dir_fd, last)
                    if mark.is_directory:
                        walk.enter(last)
        finally:
            os.close(root_fd)
        return cls(path, lowerdirs, manifest)

    def collect(self, upper: Path) -> None:
        """Move what changed into the upperdir `upper`, mark what was deleted there, and drop the rest of the tree."""
        with _Collector(self.path, upper, self._manifest) as collector:
            collector.run()
        remove_tree(self.path)


def copy_tree(view: MergedView, root_fd: int) -> None:
    """Copy a whole tree into the empty directory `root_fd`: content, metadata, hard links.

    Reflinks where the file system can. Raises OSError as the file system gives it.
    """
    first_names: dict[tuple[int, int], bytes] = {}
    directories: list[tuple[bytes, Metadata]] = []
    for path, metadata, _ in view.walk():
        if metadata.kind == "directory":
            if path:
                os.mkdir(path, 0o700, dir_fd=root_fd)
            directories.append((path, metadata))
            continue
        first = None
        if metadata.nlink > 1:
            first = first_names.setdefault((metadata.device, metadata.inode), path)
        if first is not None and first is not path:
            os.link(first, path, src_dir_fd=root_fd, dst_dir_fd=root_fd, follow_symlinks=False)
        elif metadata.kind == "file":
            _copy_file(view.open_file(path), root_fd, path, metadata)
        else:
            make_node(root_fd, path, metadata)
            write_metadata(root_fd, path, metadata)
    for path, metadata in reversed(directories):  # children first, so that nothing changes a time again
        write_metadata(root_fd, path or b".", metadata)


def _copy_file(source: int, root_fd: int, path: bytes, metadata: Metadata) -> None:
    try:
        fd = os.open(path, _CREATE, 0o600, dir_fd=root_fd)
        try:
            while os.copy_file_range(source, fd, _CHUNK):
                pass
            write_open(fd, metadata)
        finally:
            os.close(fd)
    finally:
        os.close(source)


class _Collector:
    """Compares a tree to its manifest and builds the upperdir."""

    def __init__(self, tree: Path, upper: Path, manifest: Mapping[bytes, _Mark]) -> None:
        self._manifest = manifest
        self._root = os.open(tree, DIRECTORY_FLAGS)
        self._upper = os.open(upper, DIRECTORY_FLAGS)
        self._made: set[bytes] = {b""}
        self._directories: list[tuple[bytes, Metadata]] = []

    def __enter__(self) -> _Collector:
        return self

    def __exit__(self, *exc: object) -> None:
        os.close(self._root)
        os.close(self._upper)

    def run(self) -> None:
        """Build the whole upperdir; the tree is in pieces afterwards."""
        present: dict[bytes, bool] = {b"": True}
        changed: list[tuple[bytes, bool]] = []
        with TreeWalk(self._root) as walk:
            for path, dir_fd, name, _ in walk:
                mark = _mark(dir_fd, name)
                present[path] = mark.is_directory
                before = self._manifest.get(path)
                if before != mark:
                    changed.append((path, mark.is_directory))
                if mark.is_directory:
                    walk.enter(name)
        for path, is_directory in changed:
            self._make_parents(path)
            if is_directory:
                self._make_directory(path)
            else:
                os.rename(path, path, src_dir_fd=self._root, dst_dir_fd=self._upper)
        for path in sorted(self._manifest):
            if path not in present and present.get(path.rpartition(b"/")[0]):
                self._make_parents(path)
                make_whiteout(self._upper, path)
        for path, metadata in reversed(self._directories):
            write_metadata(self._upper, path, metadata)

    def _make_parents(self, path: bytes) -> None:
        position = path.find(b"/")
        while position >= 0:
            self._make_directory(path[:position])
            position = path.find(b"/", position + 1)

    def _make_directory(self, path: bytes) -> None:
        if path in self._made:
            return
        self._made.add(path)
        self._directories.append((path, read_metadata(self._root, path)))
        os.mkdir(path, 0o700, dir_fd=self._upper)


def _mark(dir_fd: int, name: bytes) -> _Mark:
    status = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    return _Mark(status.st_ino, status.st_ctime_ns, status.st_size, stat.S_ISDIR(status.st_mode))


def overlay_works(workspace: Path) -> bool | None:
    """Try a mount with an upperdir in a new directory of `workspace`, in a process and mount namespace of its own.

    None where that could not be found out: the trial was interrupted, or there was no process to be had, or no space.
    """
    import subprocess  # lazy: 10 ms, once a boot
    import sys

    from runtime.store import overlayprobe

    directory = workspace / "overlay-probe"
    with suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", overlayprobe.__file__, os.fspath(directory)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    else:
        return {overlayprobe.WORKS: True, overlayprobe.REFUSED: False}.get(done.returncode)
    finally:
        remove_tree(directory)
