"""Keep which files a step read, compactly, so that a later build can name the one that is not as it was.

A list is written once, when the step ran, beside its record; a build that remembers everything never reads or makes
one. Each entry is four fields, separated by NUL: path, facts (kind, mode, owner, device, size, short digests of
content and attributes), link target, and the path of the entry that it is a hard link to.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import NamedTuple

from builder.entries import Entry
from builder.trees import Plan, join
from frozen import Frozen

_SHORT = 12
"""Hex digits kept of a digest: only equality with one other value counts, and nobody's safety hangs on it."""
_CHANGES = ("kind", "content", "mode", "owner", "link target", "hard link", "device", "attributes")


class ReadFiles(NamedTuple):
    """What a step read from one tree: `title` names it ("" for the build context), `base` is where the plan begins."""

    title: str
    base: bytes
    plan: Plan


class FileChange(Frozen):
    """One path that is not as it was: `changes` are words of "added", "removed", or those of what differs."""

    path: str
    changes: tuple[str, ...]
    before: str | None = None
    after: str | None = None

    def __str__(self) -> str:
        text = f"{self.path}: {', '.join(self.changes)}"
        return text if self.before is None else f"{text} ({self.before} became {self.after})"


class _Facts(NamedTuple):
    kind: str
    mode: str
    owner: str
    device: str
    content: str
    attributes: str
    link: str
    first: str


def pack(read: Iterable[ReadFiles]) -> bytes:
    """Write down all files of a step's plans."""
    compressor = zlib.compressobj(1)
    packed = bytearray()
    separator = b""
    for title, base, plan in read:
        prefix = os.fsencode(f"{title}:/") if title else b""
        for entry in plan.entries:
            packed += compressor.compress(separator + _packed(prefix, base, entry))
            separator = b"\0"
    return bytes(packed + compressor.flush())


def _packed(prefix: bytes, base: bytes, entry: Entry) -> bytes:
    metadata = entry.metadata
    # The mode of the root of what is copied does not arrive anywhere, and is no part of any key.
    mode = 0 if metadata.kind == "symlink" or (not entry.path and metadata.kind == "directory") else metadata.mode
    return b"%b%b\0%b %o %d:%d %d %b %b\0%b\0%b" % (
        prefix,
        join(base, entry.path),
        metadata.kind.encode(),
        mode,
        metadata.uid,
        metadata.gid,
        metadata.rdev,
        entry.digest[: _SHORT // 2].hex().encode() or b"-",
        _short(repr(sorted(metadata.xattrs.items())).encode()) if metadata.xattrs else b"-",
        metadata.link,
        b"" if entry.first is None else prefix + join(base, entry.first),
    )


def changes(before: bytes, after: bytes) -> Iterator[FileChange]:
    """Compare two lists; gives what differs, in the order of paths. Damaged lists give nothing."""
    earlier, now = _unpack(before), _unpack(after)
    for path in sorted(earlier.keys() | now.keys()):
        old, new = earlier.get(path), now.get(path)
        if old == new:
            continue
        shown = os.fsdecode(path) or "."
        if old is None:
            yield FileChange(path=shown, changes=("added",))
        elif new is None:
            yield FileChange(path=shown, changes=("removed",))
        else:
            yield _compared(shown, old, new)


def _compared(path: str, old: _Facts, new: _Facts) -> FileChange:
    if old.kind != new.kind:
        return FileChange(path=path, changes=("kind",), before=old.kind, after=new.kind)
    pairs = {
        "content": (old.content, new.content),
        "mode": (old.mode, new.mode),
        "owner": (old.owner, new.owner),
        "link target": (old.link, new.link),
        "hard link": (old.first or "none", new.first or "none"),
        "device": (old.device, new.device),
        "attributes": (old.attributes, new.attributes),
    }
    found = tuple(name for name in _CHANGES if name in pairs and pairs[name][0] != pairs[name][1])
    values = pairs[found[0]] if len(found) == 1 and found[0] not in ("content", "attributes", "device") else None
    return FileChange(
        path=path,
        changes=found,
        before=None if values is None else values[0],
        after=None if values is None else values[1],
    )


def _unpack(data: bytes) -> dict[bytes, _Facts]:
    try:
        fields = zlib.decompress(data).split(b"\0")
    except zlib.error:
        return {}
    found: dict[bytes, _Facts] = {}
    for index in range(0, len(fields) - 3, 4):
        kind, mode, owner, device, content, attributes = fields[index + 1].decode().split(" ")
        found[fields[index]] = _Facts(
            kind,
            mode,
            owner,
            device,
            content,
            attributes,
            os.fsdecode(fields[index + 2]),
            os.fsdecode(fields[index + 3]),
        )
    return found


def _short(data: bytes) -> bytes:
    return blake2b(data, digest_size=_SHORT // 2).hexdigest().encode()
