"""Recognise local archives that ADD unpacks, by what they contain and not by name, and unpack them into a layer."""

from __future__ import annotations

import os
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from builder.entries import Entries
from builder.interfaces import SourceChanged
from builder.layering import LayerTree, Style
from builder.trees import ImageTree, Plan, SourceTree, clean, plan_copy
from frozen import replace
from runtime.errors import PybuildError
from runtime.store.compression import decompressed, detect
from runtime.store.layers.unpack import apply_layer

if TYPE_CHECKING:
    from builder.interfaces import Given

_BLOCK = 512
_CHECKSUM = slice(148, 156)


def open_archive(tree: SourceTree, path: bytes) -> str | None:
    """Return the compression of the tar at `path` ("none" for none), or None where the file is no tar."""
    with _open(tree, path) as stream:
        return archive_kind(stream, os.fsdecode(path))


def archive_kind(stream: BinaryIO, name: str) -> str | None:
    """Return the compression of the tar that `stream` begins with, or None where it is no tar; reads from it."""
    start = stream.read(_BLOCK)
    stream.seek(0)
    kind = detect(start)
    try:
        plain = decompressed(stream, name, garbage=True)
        block = b""
        while len(block) < _BLOCK and (more := plain.read(_BLOCK - len(block))):
            block += more
    except (PybuildError, OSError, EOFError):
        return None
    return kind if _is_header(block) else None


def unpack_archive(
    given: Given, tree: SourceTree, plan: Plan, path: bytes, layer: LayerTree, target: bytes, style: Style
) -> None:
    """Unpack the archive at `path` of `tree` into the directory `target` of `layer`.

    It is unpacked into an empty tree first: its links lead where they lead inside the archive, never into the image.
    The owner that `style` says is that of what the archive names; directories that it only implies are root's.
    Raises LayerError for an archive that cannot be read, and SourceChanged where it is not what was planned.
    """
    with tempfile.TemporaryDirectory(dir=given.store.workspace(), prefix="archive-") as name:
        directory = Path(name, "tree")
        directory.mkdir(mode=0o755)
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with _open(tree, path) as stream:
                apply_layer(decompressed(stream, os.fsdecode(path), garbage=True), fd, whiteouts=False)
        finally:
            os.close(fd)
        if tree.file_digest(path, plan.root.metadata.size) != plan.root.digest:
            raise SourceChanged(os.fsdecode(path))
        from runtime.store.view import MergedView  # lazy: only where an archive is unpacked

        unpacked = ImageTree(MergedView((directory,)), os.fsdecode(path))
        arrived = _without_root_time(plan_copy(unpacked, b""), layer, target)
        if style.owner is not None:
            arrived = _owned(arrived, _names(tree, path), style.owner)
            style = replace(style, owner=None)
        layer.add(unpacked, b"", arrived, target, style)


def _names(tree: SourceTree, path: bytes) -> set[bytes]:
    """Return what an archive names, as paths of a tree."""
    with (
        _open(tree, path) as stream,
        tarfile.open(
            fileobj=decompressed(stream, os.fsdecode(path), garbage=True), mode="r|", errors="surrogateescape"
        ) as tar,
    ):
        return {clean(member.name) for member in tar}


def _owned(plan: Plan, names: set[bytes], owner: tuple[int, int]) -> Plan:
    uid, gid = owner
    entries = (
        entry._replace(metadata=entry.metadata._replace(uid=uid, gid=gid)) if entry.path in names else entry
        for entry in plan.entries
    )
    return plan._replace(entries=Entries(entries))


def _without_root_time(plan: Plan, layer: LayerTree, target: bytes) -> Plan:
    """Keep the destination's own time: an archive's entry for its root says nothing about it."""
    known = layer.look_up(target)
    if known is None:
        return plan
    kept = plan.root._replace(metadata=plan.root.metadata._replace(mtime_ns=known.mtime_ns))
    return plan._replace(entries=Entries(entry if entry.path else kept for entry in plan.entries))


def _open(tree: SourceTree, path: bytes) -> BinaryIO:
    return os.fdopen(tree.open(path), "rb")


def _is_header(block: bytes) -> bool:
    """Tell whether a block is a tar header: it has a checksum, which is right (POSIX.1-1988, ustar)."""
    if len(block) < _BLOCK:
        return False
    try:
        wanted = int(block[_CHECKSUM].strip(b" \0") or b"x", 8)
    except ValueError:
        return False
    blanked = block[: _CHECKSUM.start] + b" " * 8 + block[_CHECKSUM.stop :]
    return wanted in (sum(blanked), sum(byte - 256 if byte > 127 else byte for byte in blanked))
