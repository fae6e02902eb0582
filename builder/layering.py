"""Write files into a layer: an upperdir over the tree that it will be seen on top of.

What is already there, in the layer or below it, decides what a copy does; it is looked up in the merged view, without
a mount. Directories that a copy only passes through are taken over with the metadata that they have below.

Where an earlier layer of the same instruction is at hand, only what is not as it was there is written: directories are
made once something goes into them, and the new layer stands on the earlier one.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from builder.earlier import EarlierLayer, NotAbove, is_same
from builder.filemaker import FileMaker, write_all
from builder.interfaces import SourceChanged
from builder.modes import ModeChange
from builder.trees import GONE, Plan, SourceTree, join, plan_copy
from frozen import Frozen
from runtime.errors import PybuildError
from runtime.oci.digests import Digest
from runtime.store.layers.tree import Metadata, make_node, read_metadata, write_metadata, write_open
from runtime.store.layers.writer import LayerWriter

if TYPE_CHECKING:
    from builder.sharedlinks import SharedLinks
    from runtime.context import Cancel
    from runtime.store.layers.writer import LayerDigests
    from runtime.store.view import MergedView

_CHUNK = 1 << 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Style(Frozen):
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
        return Metadata("directory", 0o755 if octal is None else octal & 0o777, uid, gid, mtime_ns=self.created_ns)


class _Directory:
    """A directory of the layer; `fresh` where nothing lies below it, `metadata` is set when all is written.

    `made` once it is in the upperdir; `earlier` is what it is in the layer that this one stands on.
    """

    __slots__ = ("earlier", "fresh", "made", "metadata", "taped")

    def __init__(self, metadata: Metadata, *, fresh: bool, made: bool = False) -> None:
        self.metadata = metadata
        self.fresh = fresh
        self.made = made
        self.taped = False
        self.earlier: Metadata | None = None


class LayerTree:
    """One layer being written; made by `open_layer`, which sets the directories' times when it closes.

    `digests` are the layer's, known once it is closed, where everything was written in the order of its tar and
    nothing was taken away again: the bytes were digested on their way. Else they are None, and it has to be read.
    With an `earlier` layer they always are, or NotAbove is raised. `shared` counts the bytes of files that are the
    earlier layer's, None where nothing is.
    """

    def __init__(
        self,
        upper: int,
        view: MergedView | None,
        tape: LayerWriter,
        maker: FileMaker,
        *,
        earlier: EarlierLayer | None = None,
        cancel: Cancel | None = None,
    ) -> None:
        self.digests: LayerDigests | None = None
        self.shared: int | None = None
        self._upper = upper
        self._view = view
        self._earlier = earlier
        self._cancel = cancel
        self._directories: dict[bytes, _Directory] = {}
        self._held: tuple[bytes, int] | None = None
        self._copies = 0
        self._maker = maker
        self._tape: LayerWriter | None = tape
        self._taped: list[bytes] = []
        self._untaped: list[bytes] = []

    def look_up(self, path: bytes) -> Metadata | None:
        """Return what is at `path` now, in the layer or below it; parents must be directories."""
        known = self._directories.get(path)
        if known is not None:
            return known.metadata
        parent, _, name = path.rpartition(b"/")
        directory = self._directories.get(parent)
        if directory is not None:
            if directory.made:
                self._maker.wait()
                with suppress(FileNotFoundError):
                    return read_metadata(self._open(parent), name)
            if directory.fresh:
                return None
        return None if self._view is None else self._view.entry(path)

    def make_directory(self, path: bytes, style: Style) -> bool:
        """Have the directory `path` in the layer, and its parents; tell whether it did not exist before.

        Raises PybuildError where a component is something else.
        """
        if path in self._directories:
            return False
        parent = path.rpartition(b"/")[0]
        if path:
            self.make_directory(parent, style)
        below = self._below(path)
        if below is not None and below.kind != "directory":
            raise PybuildError(
                f"cannot make directory /{os.fsdecode(path)}: it is a {below.kind} already",
                hint="name another destination, or remove it in a step before",
            )
        metadata = below if below is not None else self._inherit(parent, style)
        fresh = below is None
        if path:
            self._untaped.append(path)
        else:
            fresh = self._view is None
        self._directories[path] = _Directory(metadata, fresh=fresh, made=not path)
        return below is None

    def add(
        self,
        tree: SourceTree,
        base: bytes,
        plan: Plan,
        destination: bytes,
        style: Style,
        *,
        links: SharedLinks | None = None,
    ) -> None:
        """Copy what was planned from `base` of `tree` to the path `destination`: a directory's content, or one file.

        With `links` hard links reach into other copies, those that were made with the same `links`.

        Raises SourceChanged where a file is no longer what the plan says, and PybuildError where something in the way
        is of another kind.
        """
        numbers: dict[bytes, int] = {}
        self._copies += 1
        for number, entry in enumerate(plan.entries):
            if self._cancel is not None:
                self._cancel.check()
            target = join(destination, entry.path)
            metadata = entry.metadata
            if metadata.kind == "directory":
                if entry.path:
                    self.add_directory(target, metadata, style)
                else:
                    self._dress(target, self._directories[target].metadata._replace(mtime_ns=metadata.mtime_ns))
                continue
            if metadata.kind == "character" and metadata.rdev == 0:
                continue  # so overlayfs writes down what is deleted: no layer can have one as a file
            # Hard links are those of this copy alone, whatever else the source's inode is known by.
            several = entry.first is not None or entry.path in plan.linked
            inode = numbers.setdefault(entry.first or entry.path, number) if several else number
            first, device = None if entry.first is None else join(destination, entry.first), self._copies
            if links is not None and links.knows(metadata):
                several = True
                first, device, inode = links.place(metadata, target, device, number)
            nlink = metadata.nlink if several else 1
            metadata = style.dress(metadata)._replace(device=-device, inode=inode, nlink=nlink)
            if first is not None:
                self._add_link(first, target, metadata, style)
            else:
                self._add_file(tree, join(base, entry.path), metadata, entry.digest, target, style)

    def add_inline(self, destination: bytes, content: bytes, style: Style) -> None:
        """Write a file whose content stands in the Dockerfile."""
        self._copies += 1
        self._clear(destination, style)
        metadata = style.dress(Metadata("file", 0o644, 0, 0, size=len(content), mtime_ns=style.created_ns))
        digest = sha256(content).digest()
        if self._taken(destination, metadata, digest):
            return
        self._make_file(destination, metadata, content, digest)

    def finish(self) -> None:
        """Give every directory its metadata, times last: what was written into one has changed them."""
        self._tape_directories()
        self._maker.wait()
        if self._maker.incomplete:
            self._stop_tape()
        if self._earlier is not None:
            self._earlier.end()
        for path, directory in self._directories.items():
            if directory.earlier is None or not is_same(directory.earlier, directory.metadata):
                self._make(path)
        for path, directory in sorted(self._directories.items(), reverse=True):
            if directory.made and write_open(self._open(path), directory.metadata):
                self._stop_tape()
        if self._tape is not None:
            self.digests = self._tape.finish()

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
        if target in self._directories:
            self._dress(target, metadata)
            return
        found = self._in_the_way(target)
        if found is not None and found.kind != "directory":
            if not style.replace:
                raise PybuildError(
                    f"cannot copy to non-directory: /{os.fsdecode(target)} is a {found.kind}",
                    hint="name another destination, or remove it in a step before",
                )
            self._remove(target)
        self._directories[target] = _Directory(metadata, fresh=found is None or found.kind != "directory")
        self._untaped.append(target)

    def _dress(self, path: bytes, metadata: Metadata) -> None:
        """Give a directory that is in the layer other metadata."""
        directory = self._directories[path]
        if directory.taped and directory.metadata != metadata:
            self._stop_tape()
        directory.metadata = metadata

    def _add_link(self, first: bytes, target: bytes, metadata: Metadata, style: Style) -> None:
        self._clear(target, style)
        if self._taken(target, metadata, b""):
            return
        source_parent, _, source_name = first.rpartition(b"/")
        parent, _, name = target.rpartition(b"/")
        held = os.dup(self._open(source_parent))
        try:
            os.link(source_name, name, src_dir_fd=held, dst_dir_fd=self._open(parent), follow_symlinks=False)
        finally:
            os.close(held)
        self._put_on_tape(target, metadata)

    def _add_file(
        self, tree: SourceTree, source: bytes, metadata: Metadata, digest: bytes, target: bytes, style: Style
    ) -> None:
        self._clear(target, style)
        if self._taken(target, metadata, digest):
            return
        if metadata.kind == "file" and metadata.size <= _CHUNK and metadata.nlink == 1:
            self._make_file(target, metadata, _content(tree, source, metadata.size, digest), digest)
            return
        parent, _, name = target.rpartition(b"/")
        directory = self._open(parent)
        if metadata.kind != "file":
            make_node(directory, name, metadata)
            if write_metadata(directory, name, metadata):
                self._stop_tape()
            self._put_on_tape(target, metadata)
            return
        out = os.open(name, _NEW_FILE, 0o600, dir_fd=directory)
        try:
            self._put_on_tape(target, metadata, copied(tree, source, out, metadata.size, digest, self._cancel), digest)
            if write_open(out, metadata):
                self._stop_tape()
        finally:
            os.close(out)

    def _make_file(self, target: bytes, metadata: Metadata, content: bytes, digest: bytes) -> None:
        """Write a small file with one name."""
        self._make(target.rpartition(b"/")[0])
        self._put_on_tape(target, metadata, [content], digest)
        self._maker.put(target, metadata, content)

    def _taken(self, path: bytes, metadata: Metadata, digest: bytes) -> bool:
        """Put an entry, no directory, on the tape from the earlier layer if it is the very same there."""
        if self._earlier is None:
            return False
        self._tape_directories()
        pieces = self._earlier.take(path, metadata, digest)
        if pieces is None:
            return False
        self._put_on_tape(path, metadata, pieces, digest)
        self.shared = (self.shared or 0) + metadata.size
        return True

    def _put_on_tape(self, path: bytes, metadata: Metadata, pieces: Iterable[bytes] = (), digest: bytes = b"") -> None:
        """Digest an entry as part of the layer, if it comes in the order of the layer's tar; `pieces` are used up."""
        self._tape_directories()
        if self._in_order(path) and self._tape is not None:
            self._tape.add(path, metadata, pieces=pieces, digest=digest)
        else:
            deque(pieces, maxlen=0)

    def _tape_directories(self) -> None:
        for path in self._untaped:
            if self._in_order(path) and self._tape is not None:
                directory = self._directories[path]
                directory.taped = True
                self._tape.add(path, directory.metadata)
                if self._earlier is not None:
                    directory.earlier = self._earlier.directory(path)
        self._untaped.clear()

    def _in_order(self, path: bytes) -> bool:
        """Tell whether `path` comes after all before it: by components, in byte order. If not, the tape ends."""
        parts = path.split(b"/")
        if parts <= self._taped:
            self._stop_tape()
        self._taped = parts
        return self._tape is not None

    def _stop_tape(self) -> None:
        """Give up digesting on the way, and with it standing on an earlier layer."""
        self._tape = None
        if self._earlier is not None:
            raise NotAbove

    def _in_the_way(self, target: bytes) -> Metadata | None:
        """Return what something new at `target` meets, in the layer or below it."""
        if self._tape is None or target in self._directories or target.split(b"/") <= self._taped:
            return self.look_up(target)
        # All that is in the layer comes before it.
        fresh = self._directories[target.rpartition(b"/")[0]].fresh
        return None if fresh or self._view is None else self._view.entry(target)

    def _clear(self, target: bytes, style: Style) -> None:
        """Make room for something that is no directory."""
        found = self._in_the_way(target)
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
        parent, _, name = target.rpartition(b"/")
        if not self._directories[parent].made:
            return
        self._maker.wait()
        with suppress(FileNotFoundError):  # it lies in a layer below: the new file hides it
            os.unlink(name, dir_fd=self._open(parent))
            self._stop_tape()

    def _remove(self, target: bytes) -> None:
        """Take a file or a tree that this layer wrote away again."""
        from runtime.store.trees import remove_tree  # lazy: only where an archive overwrites itself

        parent, _, name = target.rpartition(b"/")
        self._stop_tape()
        self._maker.wait()
        if target not in self._directories:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self._open(parent))
            return
        self.close()
        for path in [path for path in self._directories if path == target or path.startswith(target + b"/")]:
            del self._directories[path]
        remove_tree(os.path.join(f"/proc/self/fd/{self._upper}", os.fsdecode(target)))

    def _make(self, path: bytes) -> None:
        """Have a directory in the upperdir, and those above it."""
        missing = []
        while not self._directories[path].made:
            missing.append(path)
            path = path.rpartition(b"/")[0]
        for path in reversed(missing):
            os.mkdir(path, 0o700, dir_fd=self._upper)
            self._directories[path].made = True

    def _open(self, path: bytes) -> int:
        """Return a descriptor of a directory of the layer, made if it was not; the last one asked for stays open."""
        if self._held is not None and self._held[0] == path:
            return self._held[1]
        self._make(path)
        # Every component was made by this object and is a directory; nothing else writes here.
        fd = os.open(path or b".", _DIRECTORY, dir_fd=self._upper)
        if self._held is not None:
            os.close(self._held[1])
        self._held = (path, fd)
        return fd


@contextmanager
def open_layer(
    upper: Path, view: MergedView | None, *, earlier: Sequence[Path] = (), cancel: Cancel | None = None
) -> Iterator[LayerTree]:
    """Open the empty directory `upper` as a layer over `view` (None: over nothing).

    With `earlier`, the directories of a layer, only what that one lacks is written, so that the new layer is one on top
    of the other; raises NotAbove where that cannot be. Copying raises Cancelled when `cancel` is set.
    """
    with ExitStack() as stack:
        fd = os.open(upper, _DIRECTORY)
        stack.callback(os.close, fd)
        old = stack.enter_context(EarlierLayer(earlier)) if earlier else None
        tape, maker = stack.enter_context(LayerWriter()), stack.enter_context(FileMaker(fd))
        layer = LayerTree(fd, view, tape, maker, earlier=old, cancel=cancel)
        stack.callback(layer.close)
        yield layer
        layer.finish()


def copy_out(tree: SourceTree, path: bytes, workspace: Path) -> tuple[Path, Digest]:
    """Copy a file or tree into a new entry of `workspace`: a snapshot that its owner can no longer change.

    Returns the copy and its digest; what changes while it is copied is planned and copied anew, three times at most.
    """
    for attempt in range(3):
        if attempt:
            from builder.heldtree import HeldTree  # lazy: where somebody writes to a context

            held = workspace / f"held-{os.urandom(6).hex()}"
            held.mkdir(mode=0o700)
            tree = HeldTree(tree, held, None)
        plan = plan_copy(tree, path)
        directory = plan.root.metadata.kind == "directory"
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


def _content(tree: SourceTree, source: bytes, size: int, digest: bytes) -> bytes:
    """Read a small regular file, which may have grown.

    Raises SourceChanged where it does not begin with `size` bytes of this SHA-256 (raw).
    """
    fd = _open_source(tree, source)
    try:
        data = os.read(fd, size)
        while len(data) < size and (more := os.read(fd, size - len(data))):
            data += more
    except IsADirectoryError as error:
        raise SourceChanged(os.fsdecode(source)) from error
    finally:
        os.close(fd)
    if len(data) != size or sha256(data).digest() != digest:
        raise SourceChanged(os.fsdecode(source))
    return data


def _open_source(tree: SourceTree, source: bytes) -> int:
    try:
        return tree.open(source)
    except OSError as error:
        if error.errno not in GONE:
            raise
        raise SourceChanged(os.fsdecode(source)) from error


def copied(
    tree: SourceTree, source: bytes, out: int, size: int, digest: bytes, cancel: Cancel | None = None
) -> Iterator[bytes]:
    """Copy a regular file, which may have grown, to the descriptor `out` and yield its bytes as they are written.

    Raises SourceChanged where it does not begin with `size` bytes of the SHA-256 `digest` (raw).
    """
    fd = _open_source(tree, source)
    found = sha256()
    left = size
    try:
        while chunk := os.read(fd, min(left, _CHUNK)):
            left -= len(chunk)
            if cancel is not None:
                cancel.check()
            found.update(chunk)
            write_all(out, chunk)
            yield chunk
    except IsADirectoryError as error:
        raise SourceChanged(os.fsdecode(source)) from error
    finally:
        os.close(fd)
    if left or found.digest() != digest:
        raise SourceChanged(os.fsdecode(source))
