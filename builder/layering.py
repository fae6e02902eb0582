"""Write files into a layer: an upperdir over the tree that it will be seen on top of.

What is already there, in the layer or below it, decides what a copy does; it is looked up in the merged view, without
a mount. Directories that a copy only passes through are taken over with the metadata that they have below.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from builder.interfaces import SourceChanged
from builder.modes import ModeChange
from builder.trees import Entry, Plan, SourceTree, join, plan_copy
from runtime.errors import PybuildError
from runtime.oci.digests import Digest
from runtime.store.layers.tree import Metadata, make_node, read_metadata, write_metadata, write_open

if TYPE_CHECKING:
    from runtime.store.view import MergedView

_CHUNK = 1 << 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How files arrive: `owner` (uid, gid) and `mode` override theirs; `created_ns` is the time of what has none.

    `replace` lets a file take the place of a directory and the reverse, as unpacking an archive does; a copy refuses.
    """

    owner: tuple[int, int] | None = None
    mode: ModeChange | None = None
    created_ns: int = 0
    replace: bool = False

    def dress(self, metadata: Metadata) -> Metadata:
        """Return what a copied file's metadata becomes."""
        uid, gid = self.owner or (metadata.uid, metadata.gid)
        mode = metadata.mode
        if self.mode is not None and metadata.kind != "symlink":
            mode = self.mode.apply(mode, directory=metadata.kind == "directory")
        return metadata._replace(uid=uid, gid=gid, mode=mode)

    def new_directory(self) -> Metadata:
        """Return the metadata of a directory that is made because something goes into it."""
        uid, gid = self.owner or (0, 0)
        octal = self.mode.octal if self.mode is not None else None
        return Metadata("directory", 0o755 if octal is None else octal, uid, gid, mtime_ns=self.created_ns)


@dataclass(slots=True)
class _Directory:
    """A directory of the layer; `fresh` where nothing lies below it, `metadata` is set when all is written."""

    metadata: Metadata
    fresh: bool


class LayerTree:
    """One layer being written; made by `open_layer`, which sets the directories' times when it closes."""

    def __init__(self, upper: int, view: MergedView | None) -> None:
        self._upper = upper
        self._view = view
        self._directories: dict[bytes, _Directory] = {}
        self._held: tuple[bytes, int] | None = None

    def look_up(self, path: bytes) -> Metadata | None:
        """Return what is at `path` now, in the layer or below it; parents must be directories."""
        known = self._directories.get(path)
        if known is not None:
            return known.metadata
        parent, _, name = path.rpartition(b"/")
        directory = self._directories.get(parent)
        if directory is not None:
            try:
                return read_metadata(self._open(parent), name)
            except FileNotFoundError:
                if directory.fresh:
                    return None
        return None if self._view is None else self._view.entry(path)

    def make_directory(self, path: bytes, style: Style) -> bool:
        """Have the directory `path` in the layer, and its parents; tell whether it did not exist before.

        Raises PybuildError where a component is something else.
        """
        if path in self._directories:
            return False
        parent, _, name = path.rpartition(b"/")
        if path:
            self.make_directory(parent, style)
        below = self._below(path)
        if below is not None and below.kind != "directory":
            raise PybuildError(
                f"cannot make directory /{os.fsdecode(path)}: it is a {below.kind} already",
                hint="name another destination, or remove it in a step before",
            )
        metadata = below if below is not None else self._inherit(parent, style)
        if path:
            os.mkdir(name, 0o700, dir_fd=self._open(parent))
        self._directories[path] = _Directory(metadata, fresh=below is None)
        return below is None

    def add(self, tree: SourceTree, base: bytes, plan: Plan, destination: bytes, style: Style) -> None:
        """Copy what was planned from `base` of `tree` to the path `destination`: a directory's content, or one file.

        Raises SourceChanged where a file is no longer what the plan says, and PybuildError where something in the way
        is of another kind.
        """
        placed: list[bytes] = []
        for entry in plan.entries:
            target = join(destination, entry.path)
            placed.append(target)
            if not entry.path and entry.metadata.kind == "directory":
                self._directories[target].metadata = self._directories[target].metadata._replace(
                    mtime_ns=entry.metadata.mtime_ns
                )
            elif entry.metadata.kind == "directory":
                self.add_directory(target, entry.metadata, style)
            elif entry.first >= 0:
                self._add_link(placed[entry.first], target, style)
            else:
                self._add_file(tree, join(base, entry.path), entry, target, style)

    def add_inline(self, destination: bytes, content: bytes, style: Style) -> None:
        """Write a file whose content stands in the Dockerfile."""
        self._clear(destination, style)
        parent, _, name = destination.rpartition(b"/")
        metadata = style.dress(Metadata("file", 0o644, 0, 0, mtime_ns=style.created_ns))
        fd = os.open(name, _NEW_FILE, 0o600, dir_fd=self._open(parent))
        try:
            _write(fd, content)
            write_open(fd, metadata)
        finally:
            os.close(fd)

    def finish(self) -> None:
        """Give every directory its metadata, times last: what was written into one has changed them."""
        for path, directory in sorted(self._directories.items(), reverse=True):
            write_open(self._open(path), directory.metadata)

    def close(self) -> None:
        """Close what is open."""
        if self._held is not None:
            os.close(self._held[1])
            self._held = None

    def _below(self, path: bytes) -> Metadata | None:
        """Return what the lower layers have at `path`."""
        parent = path.rpartition(b"/")[0]
        directory = self._directories.get(parent)
        if self._view is None or (path and directory is not None and directory.fresh):
            return Metadata("directory", 0o755, 0, 0) if not path else None
        return self._view.entry(path)

    def _inherit(self, parent: bytes, style: Style) -> Metadata:
        """Return a new directory's metadata; below a set-group-ID directory it has the group and the bit (mkdir(2))."""
        metadata = style.new_directory()
        above = self._directories[parent].metadata
        if above.mode & 0o2000:
            gid = metadata.gid if style.owner is not None else above.gid
            metadata = metadata._replace(mode=metadata.mode | 0o2000, gid=gid)
        return metadata

    def add_directory(self, target: bytes, metadata: Metadata, style: Style) -> None:
        """Copy a directory itself, without its content, to `target`, whose parent is in the layer; it may exist."""
        metadata = style.dress(metadata)
        known = self._directories.get(target)
        if known is not None:
            known.metadata = metadata
            return
        found = self.look_up(target)
        if found is not None and found.kind != "directory":
            if not style.replace:
                raise PybuildError(
                    f"cannot copy to non-directory: /{os.fsdecode(target)} is a {found.kind}",
                    hint="name another destination, or remove it in a step before",
                )
            self._remove(target)
        parent, _, name = target.rpartition(b"/")
        os.mkdir(name, 0o700, dir_fd=self._open(parent))
        self._directories[target] = _Directory(metadata, fresh=found is None)

    def _add_link(self, first: bytes, target: bytes, style: Style) -> None:
        self._clear(target, style)
        source_parent, _, source_name = first.rpartition(b"/")
        parent, _, name = target.rpartition(b"/")
        held = os.dup(self._open(source_parent))
        try:
            os.link(source_name, name, src_dir_fd=held, dst_dir_fd=self._open(parent), follow_symlinks=False)
        finally:
            os.close(held)

    def _add_file(self, tree: SourceTree, source: bytes, entry: Entry, target: bytes, style: Style) -> None:
        self._clear(target, style)
        parent, _, name = target.rpartition(b"/")
        metadata = style.dress(entry.metadata)
        directory = self._open(parent)
        if metadata.kind != "file":
            make_node(directory, name, metadata)
            write_metadata(directory, name, metadata)
            return
        out = os.open(name, _NEW_FILE, 0o600, dir_fd=directory)
        try:
            if copy_file(tree, source, out) != entry.digest:
                raise SourceChanged(os.fsdecode(source))
            write_open(out, metadata)
        finally:
            os.close(out)

    def _clear(self, target: bytes, style: Style) -> None:
        """Make room for something that is no directory."""
        parent, _, name = target.rpartition(b"/")
        directory = self._directories[parent]
        found = self.look_up(target)
        if found is None:
            return
        if found.kind == "directory" and not style.replace:
            raise PybuildError(
                f"cannot replace directory /{os.fsdecode(target)} with a file",
                hint="name another destination, or remove the directory in a step before",
            )
        if target in self._directories:
            self._remove(target)
            return
        try:
            os.unlink(name, dir_fd=self._open(parent))
        except FileNotFoundError:
            # It lies in a layer below: the new file hides it.
            directory.fresh = False

    def _remove(self, target: bytes) -> None:
        """Take a file or a tree that this layer wrote away again."""
        from runtime.store.trees import remove_tree  # lazy: only where an archive overwrites itself

        parent, _, name = target.rpartition(b"/")
        fd = self._open(parent)
        if target not in self._directories:
            try:
                os.unlink(name, dir_fd=fd)
            except FileNotFoundError:
                pass
            return
        self.close()
        for path in [path for path in self._directories if path == target or path.startswith(target + b"/")]:
            del self._directories[path]
        remove_tree(os.path.join(f"/proc/self/fd/{self._upper}", os.fsdecode(target)))

    def _open(self, path: bytes) -> int:
        """Return a descriptor of a directory of the layer; the last one asked for stays open."""
        if self._held is not None and self._held[0] == path:
            return self._held[1]
        # Every component was made by this object and is a directory; nothing else writes here.
        fd = os.open(path or b".", _DIRECTORY, dir_fd=self._upper)
        if self._held is not None:
            os.close(self._held[1])
        self._held = (path, fd)
        return fd


@contextmanager
def open_layer(upper: Path, view: MergedView | None) -> Iterator[LayerTree]:
    """Open the empty directory `upper` as a layer over `view` (None: over nothing)."""
    fd = os.open(upper, _DIRECTORY)
    layer = LayerTree(fd, view)
    try:
        yield layer
        layer.finish()
    finally:
        layer.close()
        os.close(fd)


def copy_out(tree: SourceTree, path: bytes, workspace: Path) -> tuple[Path, Digest]:
    """Copy a file or tree into a new entry of `workspace`: a snapshot that its owner can no longer change.

    Returns the copy and its digest; what changes while it is copied is planned and copied anew, three times at most.
    """
    for attempt in range(3):
        plan = plan_copy(tree, path)
        directory = plan.entries[0].metadata.kind == "directory"
        target = workspace / f"context-{os.urandom(6).hex()}"
        target.mkdir(mode=0o700)
        style = Style()
        try:
            with open_layer(target, None) as layer:
                layer.make_directory(b"", style)
                layer.add(tree, path, plan, b"" if directory else b"file", style)
        except SourceChanged as error:
            if attempt == 2:
                raise PybuildError(f"{error.path} changed while it was being read") from error
            continue
        return (target if directory else target / "file"), plan.digest
    raise AssertionError("unreachable")


def copy_file(tree: SourceTree, source: bytes, out: int) -> bytes:
    """Copy a regular file's content to the descriptor `out`; returns the SHA-256 (raw) of what was copied."""
    try:
        fd = tree.open(source)
    except FileNotFoundError as error:
        raise SourceChanged(os.fsdecode(source)) from error
    digest = sha256()
    try:
        while chunk := os.read(fd, _CHUNK):
            digest.update(chunk)
            _write(out, chunk)
    finally:
        os.close(fd)
    return digest.digest()


def _write(fd: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
