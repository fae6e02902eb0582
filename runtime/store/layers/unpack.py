"""Unpack a layer tar into an upperdir, in overlayfs' own form (OCI image-spec, layer.md § Applying Changesets).

Whiteouts become character devices 0:0, opaque marks an attribute. The archive is hostile: nothing outside of the
upperdir is touched, whatever names, links and order it has.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from frozen import Frozen
from runtime.errors import LayerError
from runtime.oci.digests import DiffID
from runtime.store.layers import reader
from runtime.store.layers.places import Lower, Places, clean
from runtime.store.layers.reader import Member, Source, TarReader
from runtime.store.layers.tree import (
    Kind,
    Metadata,
    is_whiteout,
    make_node,
    make_whiteout,
    may_carry,
    write_metadata,
    write_open,
)
from runtime.store.layers.writer import OPAQUE_MARK, WHITEOUT_PREFIX, StreamDigest
from runtime.store.trees import remove_tree

CHUNK = 1 << 20
_MAX_PATH = 4096
"""Bytes of a member's name: PATH_MAX."""
_META_PREFIX = b".wh..wh."
"""Bookkeeping of aufs, which old layers still have; it is left out."""
_KINDS: dict[bytes, Kind] = {
    reader.FILE: "file",
    reader.SYMLINK: "symlink",
    reader.CHARACTER: "character",
    reader.BLOCK_DEVICE: "block",
    reader.DIRECTORY: "directory",
    reader.FIFO: "fifo",
}
_OF_THE_ENTRY = frozenset({errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ERANGE, errno.E2BIG})
"""What the kernel says of a name, or of an attribute's name or size, that no file system has."""
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class LayerStats(Frozen):
    """What was unpacked.

    `diff_id` and `tar_size` (bytes) are of the whole stream, `size` counts bytes of file content. `dropped_xattrs` are
    names of attributes that the file system or the user namespace refused. `contents` has the sha256 (32 bytes) of
    each regular file by path; paths of entries that a later one replaced may be in it, too. `root`: whether the archive
    said what its root is like.
    """

    diff_id: DiffID
    tar_size: int
    entries: int
    size: int
    dropped_xattrs: tuple[str, ...]
    contents: dict[bytes, bytes]
    root: bool


class Turn:
    """The right to deal with small files, which one thread of a process has at a time; a context manager.

    A thread that does it all in Python gains nothing from another one beside it: both would wait for the interpreter
    at each system call. What is large is read, decompressed and written `aside`, meanwhile another thread has the turn.
    """

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._aside = 0

    def __enter__(self) -> Turn:
        self._lock.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Let others have the turn during the block; within itself it does nothing."""
        self._aside += 1
        if self._aside == 1:
            self._lock.release()
        try:
            yield
        finally:
            self._aside -= 1
            if not self._aside:
                self._lock.acquire()


class _Aside:
    """A stream that is read aside."""

    def __init__(self, stream: Source, turn: Turn) -> None:
        self._stream = stream
        self._turn = turn

    def read(self, size: int, /) -> bytes:
        with self._turn.aside():
            return self._stream.read(size)


def apply_layer(
    stream: Source,
    root_fd: int,
    *,
    turn: Turn | None = None,
    lower: Lower | None = None,
    whiteouts: bool = True,
    follow_lower: bool = False,
    algorithm: str = "sha256",
) -> LayerStats:
    """Unpack one layer below the open directory `root_fd`, which is an upperdir on top of `lower`.

    `stream` is the uncompressed tar, read to its end and not closed. Entries are applied in order; later ones win. A
    hard link to a file that only `lower` has copies it up first. `root_fd` itself changes only if the archive has an
    entry for the root. Without `whiteouts` (an archive that is no layer) `.wh.` names are ordinary; with
    `follow_lower` it is unpacked as into the merged tree, through symlinks of `lower`. `algorithm` is that of the diff
    ID, `sha256` or `sha512`. `turn` is held by the caller where other threads unpack as well.

    Raises LayerError(entry) for an entry that would leave `root_fd` or cannot be read, and OSError as the file system
    gives it; what was unpacked until then stays and is the caller's to drop.
    """
    with StreamDigest(algorithm) as digest, Places(root_fd, lower, follow_lower=follow_lower) as places:
        places.times[b""] = os.fstat(root_fd).st_mtime_ns
        turn = turn or Turn(_held())
        tar = TarReader(_Aside(stream, turn), digest)
        unpacker = _Unpacker(places, lower, turn, whiteouts=whiteouts)
        for member in tar:
            try:
                unpacker.add(member, tar)
            except OSError as error:
                if error.errno not in _OF_THE_ENTRY:
                    error.add_note(f"unpacking {member.shown!r}")
                    raise
                raise LayerError(
                    f"{member.shown!r} cannot be unpacked: {error.strerror}", entry=member.shown
                ) from error
        places.set_times()
        return LayerStats(
            diff_id=digest.diff_id(),
            tar_size=tar.size,
            entries=unpacker.entries,
            size=unpacker.size,
            dropped_xattrs=tuple(sorted(unpacker.dropped)),
            contents=unpacker.contents,
            root=unpacker.root,
        )


class _Unpacker:
    """Applies members one by one; `contents` and the counts grow with them."""

    def __init__(self, places: Places, lower: Lower | None, turn: Turn, *, whiteouts: bool) -> None:
        self.entries = 0
        self.size = 0
        self.dropped: set[str] = set()
        self.contents: dict[bytes, bytes] = {}
        self.root = False
        self._places = places
        self._lower = lower
        self._turn = turn
        self._whiteouts = whiteouts

    def add(self, member: Member, tar: TarReader) -> None:
        """Put one member into the tree."""
        self.entries += 1
        parts = clean(member.name) if len(member.name) <= _MAX_PATH else None
        if parts is None or b"\0" in member.name:
            raise LayerError(f"{member.shown[:200]!r} leads out of the root or is too long", entry=member.shown)
        if not parts:
            self._add_root(member)
            return
        name = parts[-1]
        if self._whiteouts and b".wh." in member.name:
            if any(part.startswith(_META_PREFIX) for part in parts) and name != OPAQUE_MARK:
                return
            if any(part.startswith(WHITEOUT_PREFIX) for part in parts[:-1]):
                raise LayerError(f"{member.shown!r} lies in a deleted file", entry=member.shown)
        parent, fd = self._places.parent(b"/".join(parts[:-1]))
        if self._whiteouts and name.startswith(WHITEOUT_PREFIX):
            self._add_whiteout(member, parent, fd, name)
            return
        path = b"%b/%b" % (parent, name) if parent else name
        if member.typeflag == reader.LINK:
            self._add_link(member, path, name)
        elif member.typeflag == reader.FILE:
            self._add_file(member, path, fd, name, tar)
        elif member.typeflag == reader.DIRECTORY:
            self._add_directory(member, path, fd, name)
        else:
            self._add_node(member, path, fd, name)

    def _add_root(self, member: Member) -> None:
        if member.typeflag != reader.DIRECTORY:
            if self._whiteouts:
                raise LayerError("the root of a layer can only be a directory", entry=member.shown)
            return  # in an archive Docker passes it over
        self.root = True
        metadata = _metadata(member)
        self.dropped.update(write_open(self._places.root_fd, metadata, times=False))
        self._places.times[b""] = metadata.mtime_ns

    def _add_file(self, member: Member, path: bytes, parent_fd: int, name: bytes, tar: TarReader) -> None:
        try:
            fd = os.open(name, _CREATE, 0o600, dir_fd=parent_fd)
        except FileExistsError:
            self._clear(path, parent_fd, name)
            fd = os.open(name, _CREATE, 0o600, dir_fd=parent_fd)
        try:
            if member.extents is not None:
                self.contents[path] = _write_sparse(fd, member, tar.data())
            elif (whole := tar.whole()) is not None:
                self.contents[path] = _write_whole(fd, whole)
            else:
                with self._turn.aside():
                    self.contents[path] = _write(fd, tar.data())
            dropped = write_open(fd, _metadata(member))
        finally:
            os.close(fd)
        if dropped:
            self.dropped.update(dropped)
        self.size += member.size

    def _add_directory(self, member: Member, path: bytes, parent_fd: int, name: bytes) -> None:
        metadata = _metadata(member)
        status = _status(parent_fd, name)
        if status is not None and stat.S_ISDIR(status.st_mode):
            self.dropped.update(write_metadata(parent_fd, name, metadata, times=False))
            self._places.times[path] = metadata.mtime_ns
            return
        opaque = status is not None and is_whiteout(parent_fd, name, status)
        if status is not None:
            self._clear(path, parent_fd, name)
        self.dropped.update(self._places.make(path, parent_fd, name, metadata))
        if opaque:
            self._places.hide(path, parent_fd, name)

    def _add_node(self, member: Member, path: bytes, parent_fd: int, name: bytes) -> None:
        metadata = _metadata(member)
        if metadata.kind == "symlink" and (not metadata.link or b"\0" in metadata.link):
            raise LayerError(f"{member.shown!r} is a symlink to nothing", entry=member.shown)
        if metadata.kind == "character" and metadata.rdev == 0:
            # What a tar of somebody's upperdir has for a deleted file; the kernel would see it so anyway.
            self._whiteout(path, parent_fd, name)
            return
        try:
            make_node(parent_fd, name, metadata)
        except FileExistsError:
            self._clear(path, parent_fd, name)
            make_node(parent_fd, name, metadata)
        self.dropped.update(write_metadata(parent_fd, name, metadata))

    def _add_whiteout(self, member: Member, parent: bytes, parent_fd: int, name: bytes) -> None:
        if name == OPAQUE_MARK:
            self._places.hide(parent, parent_fd, b".")
            return
        hidden = name[len(WHITEOUT_PREFIX) :]
        if hidden in {b"", b".", b".."}:
            raise LayerError(f"{member.shown!r} deletes no file of its directory", entry=member.shown)
        self._whiteout(b"%b/%b" % (parent, hidden) if parent else hidden, parent_fd, hidden)

    def _whiteout(self, path: bytes, parent_fd: int, name: bytes) -> None:
        """Hide what lower layers have at `path`; what this layer has there stays (layer.md § Whiteouts)."""
        status = _status(parent_fd, name)
        if status is None:
            if self._places.below(path) is not None:
                make_whiteout(parent_fd, name)
        elif stat.S_ISDIR(status.st_mode):
            self._places.hide(path, parent_fd, name)

    def _add_link(self, member: Member, path: bytes, name: bytes) -> None:
        parts = clean(member.link) if len(member.link) <= _MAX_PATH and b"\0" not in member.link else None
        if not parts:
            raise LayerError(f"{member.shown!r} is a hard link out of the root", entry=member.shown)
        target = self._link_target(member, b"/".join(parts[:-1]), parts[-1])
        if target == path:
            return
        directory, _, link = target.rpartition(b"/")
        target_fd = os.dup(self._places.directory(directory))
        try:
            parent_fd = self._places.directory(path.rpartition(b"/")[0])
            try:
                os.link(link, name, src_dir_fd=target_fd, dst_dir_fd=parent_fd, follow_symlinks=False)
            except FileExistsError:
                if target.startswith(path + b"/"):
                    raise self._no_file(member) from None  # what it names goes with the directory that it replaces
                self._clear(path, parent_fd, name)
                os.link(link, name, src_dir_fd=target_fd, dst_dir_fd=parent_fd, follow_symlinks=False)
        finally:
            os.close(target_fd)
        content = self.contents.get(target)
        if content is not None:
            self.contents[path] = content

    def _link_target(self, member: Member, directory: bytes, name: bytes) -> bytes:
        """Give the real path of what a hard link names, copied up from the lower layers if need be."""
        real = self._places.real(directory)
        path = b"%b/%b" % (real, name) if real else name
        fd = self._places.existing(real)
        status = _status(fd, name) if fd is not None else None
        if fd is not None and status is not None:
            if not stat.S_ISDIR(status.st_mode) and not is_whiteout(fd, name, status):
                return path
        else:
            below = self._places.below(path)
            if below is not None and below.kind not in {"directory", "socket"}:
                self._copy_up(path, self._places.parent(real)[1], name, below)
                return path
        raise self._no_file(member)

    @staticmethod
    def _no_file(member: Member) -> LayerError:
        shown = os.fsdecode(member.link)
        return LayerError(f"{member.shown!r} is a hard link to {shown!r}, which is no file", entry=member.shown)

    def _copy_up(self, path: bytes, parent_fd: int, name: bytes, metadata: Metadata) -> None:
        if metadata.kind != "file":
            make_node(parent_fd, name, metadata)
            write_metadata(parent_fd, name, metadata)
            return
        if self._lower is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        source = self._lower.open_file(path)
        try:
            fd = os.open(name, _CREATE, 0o600, dir_fd=parent_fd)
            try:
                self.contents[path] = _write(fd, _pieces(source))
                write_open(fd, metadata)
            finally:
                os.close(fd)
        finally:
            os.close(source)

    def _clear(self, path: bytes, parent_fd: int, name: bytes) -> None:
        """Take away what an earlier entry put at `path`."""
        status = _status(parent_fd, name)
        if status is None:
            return
        if stat.S_ISDIR(status.st_mode):
            remove_tree(f"/proc/self/fd/{parent_fd}/{os.fsdecode(name)}")
            self._places.removed(path)
        else:
            os.unlink(name, dir_fd=parent_fd)
            if stat.S_ISLNK(status.st_mode):
                self._places.removed(path)


def _held() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


def _metadata(member: Member) -> Metadata:
    xattrs = member.xattrs
    if xattrs:
        xattrs = {name: value for name, value in xattrs.items() if may_carry(name)}
    return Metadata(
        _KINDS[member.typeflag],
        member.mode,
        member.uid,
        member.gid,
        member.rdev,
        member.size,
        member.mtime_ns,
        link=member.link if member.typeflag == reader.SYMLINK else b"",
        xattrs=xattrs,
    )


def _status(parent_fd: int, name: bytes) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _pieces(fd: int) -> Iterator[memoryview]:
    while piece := os.read(fd, CHUNK):
        yield memoryview(piece)


def _write_whole(fd: int, data: memoryview) -> bytes:
    """Write a small file and give its sha256."""
    digest = hashlib.sha256(data).digest()
    while data:
        data = data[os.write(fd, data) :]
    return digest


def _write(fd: int, data: Iterator[memoryview]) -> bytes:
    """Write all pieces and give their sha256."""
    sha256 = hashlib.sha256()
    for piece in data:
        sha256.update(piece)
        while piece:
            piece = piece[os.write(fd, piece) :]
    return sha256.digest()


def _write_sparse(fd: int, member: Member, data: Iterator[memoryview]) -> bytes:
    """Write the data of a sparse file to its places; the sha256 is of the file with its holes as zeros."""
    sha256 = hashlib.sha256()
    zeros = memoryview(bytes(CHUNK))
    os.ftruncate(fd, member.size)
    position = 0
    rest = memoryview(b"")
    for offset, length in [*(member.extents or ()), (member.size, 0)]:
        while position < offset:
            hole = zeros[: offset - position]
            sha256.update(hole)
            position += len(hole)
        end = offset + length
        while position < end:
            if not rest:
                rest = next(data)
            piece = rest[: end - position]
            written = os.pwrite(fd, piece, position)
            sha256.update(piece[:written])
            rest = rest[written:]
            position += written
    return sha256.digest()
