"""Digest what a layer holds apart from when: its entries in the order of its tar, whiteouts included, times excluded.

Two results with one content digest are the same to everything that runs on them. The encoding of an entry is
unambiguous: every part of variable length has its length before it.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Mapping, Sequence

from runtime.oci.digests import Digest
from runtime.store.layers.tree import CAPABILITY, Metadata, read_metadata
from runtime.store.layers.walk import FILE_FLAGS, TreeWalk

_TAGS = {
    "file": b"f",
    "directory": b"d",
    "symlink": b"l",
    "character": b"c",
    "block": b"b",
    "fifo": b"p",
    "whiteout": b"w",
}
_FORM = b"pybuild layer content 1\n"
CHECK_SIZE = 4


def layer_xattrs(xattrs: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """Give the extended attributes that a layer keeps: file capabilities, as Docker's builder has it (seen in 28.5)."""
    value = xattrs.get(CAPABILITY)
    return {} if value is None else {CAPABILITY: value}


def encode_entry(path: bytes, metadata: Metadata, content: bytes, first: bytes | None) -> bytes:
    """Encode one entry of a layer for a digest.

    `path` is relative to the layer's root. `content` is the sha256 (32 bytes) of a regular file's bytes, empty for
    others. `first` is the earlier path of the same file within the layer, if this is a further hard link.
    """
    if first is not None:
        return b"h%d:%b%d:%b" % (len(path), path, len(first), first)
    kind = metadata.kind
    tag = b"o" if metadata.opaque else _TAGS[kind]
    if kind == "whiteout":
        return b"w%d:%b" % (len(path), path)
    head = b"%b%d:%b%o,%d,%d" % (tag, len(path), path, metadata.mode, metadata.uid, metadata.gid)
    attributes = b""
    for name, value in sorted(layer_xattrs(metadata.xattrs).items()) if metadata.xattrs else ():
        attributes += b"x%d:%b%d:%b" % (len(name), name.encode(), len(value), value)
    if kind == "file":
        return b"%b,%d:%b%b;" % (head, metadata.size, content, attributes)
    if kind == "symlink":
        return b"%b,%d:%b%b;" % (head, len(metadata.link), metadata.link, attributes)
    if kind in {"character", "block"}:
        return b"%b,%d,%d:%b;" % (head, os.major(metadata.rdev), os.minor(metadata.rdev), attributes)
    return b"%b:%b;" % (head, attributes)


class ContentDigest:
    """Take the entries of one layer in order; `digest` is over them all, `checks` has four bytes for each.

    A check covers the mtime (whole seconds) as well. It does not prove anything; it names the entry at which two
    readings of one layer part.
    """

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256(_FORM)
        self._checks = bytearray()

    def add(self, path: bytes, metadata: Metadata, *, content: bytes = b"", first: bytes | None = None) -> None:
        """Count one more entry; the parameters are those of `encode_entry`."""
        entry = encode_entry(path, metadata, content, first)
        self._sha256.update(entry)
        mtime = 0 if metadata.kind == "whiteout" else metadata.mtime_ns // 1_000_000_000
        self._checks += zlib.crc32(b"%b %d" % (entry, mtime)).to_bytes(CHECK_SIZE, "big")

    def digest(self) -> Digest:
        """Give the content digest of the entries so far."""
        return Digest("sha256:" + self._sha256.hexdigest())

    def checks(self) -> bytes:
        """Give the checks of the entries so far, four bytes each."""
        return bytes(self._checks)


def digest_tree(roots: Sequence[int], content_of: Callable[[bytes, int, bytes], bytes]) -> ContentDigest:
    """Digest a layer on disk, the open directories `roots` on top of each other, without making its tar.

    `content_of(path, dir_fd, name)` gives the sha256 (32 bytes) of a regular file, as `read_content` does.
    """
    content = ContentDigest()
    first_names: dict[tuple[int, int], bytes] = {}
    with TreeWalk(*roots) as walk:
        for path, dir_fd, name, _ in walk:
            metadata = read_metadata(dir_fd, name)
            if metadata.kind == "socket":
                continue
            first = None
            if metadata.nlink > 1 and metadata.kind not in {"directory", "whiteout"}:
                first = first_names.setdefault((metadata.device, metadata.inode), path)
            if first is not None and first is not path:
                content.add(path, metadata, first=first)
            elif metadata.kind == "file":
                content.add(path, metadata, content=content_of(path, dir_fd, name))
            else:
                content.add(path, metadata)
            if metadata.kind == "directory":
                walk.enter(name)
    return content


def read_content(path: bytes, dir_fd: int, name: bytes) -> bytes:
    """Give the sha256 (32 bytes) of the regular file `name` in `dir_fd`; `path` is not looked at."""
    del path
    fd = os.open(name, FILE_FLAGS, dir_fd=dir_fd)
    with os.fdopen(fd, "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").digest()


def entry_at(roots: Sequence[int], index: int) -> bytes | None:
    """Give the path of the entry that `ContentDigest` counts as number `index`, None if there are fewer."""
    with TreeWalk(*roots) as walk:
        for path, dir_fd, name, is_file in walk:
            kind = "file" if is_file else read_metadata(dir_fd, name).kind
            if kind == "socket":
                continue
            if index == 0:
                return path
            index -= 1
            if kind == "directory":
                walk.enter(name)
    return None
