"""Read trees that files are copied from (the build context, a stage, an image), and digest what is in them.

Paths are bytes, relative to the tree's root, "/"-separated, b"" for the root itself. No answer ever leads out of the
tree: links are followed inside it, as if its root were "/".
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, Protocol

from builder.entries import Entries, Entry
from builder.statcache import digest_stream
from runtime.errors import NotFound
from runtime.oci.digests import Digest, parse_digest

if TYPE_CHECKING:
    from builder.pairwork import Pair
    from runtime.store.layers.tree import Metadata
    from runtime.store.view import MergedView

Exclude = Callable[[str], bool]
"""Tells of a path, relative to the copied directory, whether it is left out."""

GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR)
"""What an attempt to read a file says if it was deleted since it was seen, or something else took its place."""
_LINK_LIMIT = 255
_BATCH = 256


class SourceTree(Protocol):
    """A tree that can be copied from; threads may share it."""

    @property
    def title(self) -> str:
        """How a message names the tree, as `the build context`."""

    def stat(self, path: bytes) -> Metadata | None:
        """Return the metadata of `path`, None where nothing is there; no component but the last may be a link."""

    def children(self, path: bytes) -> list[bytes]:
        """Return the names in the directory `path`, in byte order."""

    def walk(self, path: bytes) -> Iterator[tuple[bytes, Metadata, bytes]]:
        """Yield `path` as b"" and all below it, relative to it, parents first, names in byte order.

        With each comes the SHA-256 (raw) of a regular file's content if it is known without reading, else b"".
        """

    def open(self, path: bytes) -> int:
        """Open a regular file for reading; the caller closes the descriptor."""

    def file_digest(self, path: bytes, size: int | None = None) -> bytes:
        """Return the SHA-256 (raw) of a regular file's content, of a growing file's first `size` bytes."""


class Plan(NamedTuple):
    """What is to be copied, in order, and the digest of it all (times left out).

    `linked` are the entries that have further names in the plan: what else their files are called is not copied.
    """

    entries: Entries
    digest: Digest
    linked: frozenset[bytes] = frozenset()

    @property
    def root(self) -> Entry:
        """The first entry: what is copied itself."""
        return next(iter(self.entries))


def plan_copy(tree: SourceTree, path: bytes, exclude: Exclude | None = None) -> Plan:
    """Walk `path` and digest it: type, mode, owner, device, attributes, link target, hard links and content of all.

    The mode of a directory that is copied is not part of it: its content is what arrives, in a directory that the
    copy makes. Nothing depends on times, inodes, or the order in which the file system lists names.
    """
    digest = sha256()
    linked: set[bytes] = set()
    entries = Entries(_planned(tree, path, exclude, digest.update, linked))
    return Plan(entries, parse_digest("sha256:" + digest.hexdigest()), frozenset(linked))


def _planned(
    tree: SourceTree, path: bytes, exclude: Exclude | None, update: Callable[[bytes], None], linked: set[bytes]
) -> Iterator[Entry]:
    """Yield the entries of a plan; give each, in bytes, to `update`, and add those with further names to `linked`."""
    seen: dict[tuple[int, int], tuple[int, bytes, bytes]] = {}
    number = 0
    for relative, metadata, content in _digested(tree, path, exclude):
        first, partner = None, -1
        if metadata.nlink > 1 and metadata.kind == "file":
            partner, first, content = seen.get((metadata.device, metadata.inode), (-1, None, content))
            if first is not None:
                linked.add(first)
            elif content := content or _digest_of(tree, join(path, relative), metadata.size):
                seen[metadata.device, metadata.inode] = number, relative, content
        if not content and metadata.kind == "file":
            if not relative:
                raise NotFound(f'"/{os.fsdecode(path)}": not found in {tree.title}')
            continue  # deleted since it was listed: as if it had not been there
        update(_line(relative, metadata, content, partner))
        yield Entry(relative, metadata, content, first)
        number += 1


def _digest_of(tree: SourceTree, path: bytes, size: int) -> bytes:
    """Digest a file that was seen to have `size` bytes; nothing where no file is any more."""
    try:
        return tree.file_digest(path, size)
    except OSError as error:
        if error.errno in GONE:
            return b""
        raise


def _digested(tree: SourceTree, path: bytes, exclude: Exclude | None) -> Iterator[tuple[bytes, Metadata, bytes]]:
    """Walk `path`, and read the files whose digests are not known, those of a batch in two threads.

    Further names of a file come without one, as does a file that is gone by then.
    """
    read: set[tuple[int, int]] = set()
    walk = tree.walk(path)
    if exclude is not None:
        walk = _kept(walk, exclude)
    with ExitStack() as stack:
        pair: Pair[tuple[bytes, int], bytes] | None = None
        while batch := list(islice(walk, _BATCH)):
            unknown: list[int] = []
            for number, (_, metadata, digest) in enumerate(batch):
                if digest or metadata.kind != "file":
                    continue
                if metadata.nlink > 1:
                    if (metadata.device, metadata.inode) in read:
                        continue
                    read.add((metadata.device, metadata.inode))
                unknown.append(number)
            if unknown and pair is None:
                from builder.pairwork import Pair  # lazy: mostly all digests are known

                pair = stack.enter_context(Pair(lambda item: _digest_of(tree, *item)))
            asked = [(join(path, batch[number][0]), batch[number][1].size) for number in unknown]
            digests = pair.map(asked) if pair else []
            for number, digest in zip(unknown, digests, strict=True):
                batch[number] = (*batch[number][:2], digest)
            yield from batch


def _kept(walk: Iterator[tuple[bytes, Metadata, bytes]], exclude: Exclude) -> Iterator[tuple[bytes, Metadata, bytes]]:
    """Leave out what is excluded; a directory comes back with what is taken back below it."""
    waiting: list[tuple[bytes, Metadata, bytes]] = []
    for entry in walk:
        relative, metadata, _ = entry
        while waiting and not relative.startswith(waiting[-1][0] + b"/"):
            waiting.pop()
        if not relative or not exclude(os.fsdecode(relative)):
            yield from waiting
            waiting.clear()
            yield entry
        elif metadata.kind == "directory":
            waiting.append(entry)


def _line(path: bytes, metadata: Metadata, content: bytes, first: int) -> bytes:
    """Put one entry into bytes that no other entry has: every field has a length or cannot hold the separator."""
    if not path and metadata.kind == "directory":
        return b"/\n"
    mode = 0 if metadata.kind == "symlink" else metadata.mode
    line = b"%d %b %b %o %d %d %d %d %d %b %b\n" % (
        len(path),
        path,
        metadata.kind.encode(),
        mode,
        metadata.uid,
        metadata.gid,
        metadata.rdev,
        first,
        len(metadata.link),
        metadata.link,
        content,
    )
    for name, value in sorted(metadata.xattrs.items()):
        raw = os.fsencode(name)
        line += b"%d %b %d %b\n" % (len(raw), raw, len(value), value)
    return line


def join(parent: bytes, name: bytes) -> bytes:
    """Join two relative paths, either of which may be empty."""
    return parent + b"/" + name if parent and name else parent or name


def clean(path: str) -> bytes:
    """Return a path that somebody wrote as a tree's: cleaned, `..` never above the root, without a leading slash."""
    parts: list[bytes] = []
    for part in os.fsencode(path).split(b"/"):
        if part == b"..":
            if parts:
                parts.pop()
        elif part not in (b"", b"."):
            parts.append(part)
    return b"/".join(parts)


def resolve(tree: SourceTree, path: bytes) -> bytes:
    """Follow every link in `path`, the last component's too, and return where it leads inside the tree.

    Raises NotFound where nothing is there, naming `path`, and for more than 255 links.
    """
    pending = [part for part in path.split(b"/") if part][::-1]
    done: list[bytes] = []
    links = 0
    while pending:
        part = pending.pop()
        if part == b"..":
            del done[-1:]
            continue
        if part == b".":
            continue
        metadata = tree.stat(b"/".join([*done, part]))
        if metadata is None:
            raise NotFound(f'"/{os.fsdecode(path)}": not found in {tree.title}')
        if metadata.kind != "symlink":
            done.append(part)
            continue
        links += 1
        if links > _LINK_LIMIT:
            raise NotFound(f'"/{os.fsdecode(path)}" in {tree.title}: too many levels of symbolic links')
        if metadata.link.startswith(b"/"):
            done = []
        pending.extend(target for target in metadata.link.split(b"/")[::-1] if target)
    return b"/".join(done)


class ImageTree:
    """The tree of a stage or an image, through its merged layers."""

    def __init__(self, view: MergedView, title: str) -> None:
        self._view = view
        self._title = title

    @property
    def title(self) -> str:
        return self._title

    def stat(self, path: bytes) -> Metadata | None:
        return self._view.entry(path)

    def children(self, path: bytes) -> list[bytes]:
        return list(self._view.names(path))

    def walk(self, path: bytes) -> Iterator[tuple[bytes, Metadata, bytes]]:
        for relative, metadata, _ in self._view.walk(path):
            yield relative, metadata, b""

    def open(self, path: bytes) -> int:
        return self._view.open_file(path)

    def file_digest(self, path: bytes, size: int | None = None) -> bytes:
        del size
        fd = self.open(path)
        try:
            return digest_stream(fd)
        finally:
            os.close(fd)
