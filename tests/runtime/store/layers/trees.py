"""Make small trees and tars, and say what a tree holds, for the tests of layers."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runtime.store.layers.content import layer_xattrs
from runtime.store.layers.places import Lower
from runtime.store.layers.tree import read_metadata
from runtime.store.layers.unpack import LayerStats, apply_layer
from runtime.store.layers.walk import DIRECTORY_FLAGS, TreeWalk

Described = dict[bytes, tuple[object, ...]]


@contextmanager
def opened(path: Path) -> Iterator[int]:
    fd = os.open(path, DIRECTORY_FLAGS)
    try:
        yield fd
    finally:
        os.close(fd)


def describe(root: Path, *, times: bool = True) -> Described:
    """Say all that a layer keeps of each file below `root`, hard links as the first path."""
    found: Described = {}
    first: dict[int, bytes] = {}
    with opened(root) as root_fd, TreeWalk(root_fd) as walk:
        for path, dir_fd, name, _ in walk:
            metadata = read_metadata(dir_fd, name)
            content = None
            if metadata.kind == "file":
                fd = os.open(name, os.O_RDONLY, dir_fd=dir_fd)
                with os.fdopen(fd, "rb") as file:
                    content = file.read()
            group = first.setdefault(metadata.inode, path) if metadata.nlink > 1 and metadata.kind == "file" else path
            found[path] = (
                metadata.kind,
                metadata.mode,
                metadata.uid,
                metadata.gid,
                metadata.rdev,
                metadata.link,
                dict(layer_xattrs(metadata.xattrs)),
                metadata.opaque,
                metadata.mtime_ns // 1_000_000_000 if times and metadata.kind != "whiteout" else None,
                group,
                content,
            )
            if metadata.kind == "directory":
                walk.enter(name)
    return found


def entry(name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    """Describe one member; `fields` are those of TarInfo."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.size = len(data)
    info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def directory(name: str, **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, tarfile.DIRTYPE, **fields)


def symlink(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, tarfile.SYMTYPE, linkname=target)


def hard_link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, tarfile.LNKTYPE, linkname=target)


def tar_of(*entries: tuple[tarfile.TarInfo, bytes], pax: Mapping[str, str] | None = None) -> bytes:
    """Pack members as they are, in order; `pax` are records of a global header."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT, pax_headers=pax) as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data) if info.isreg() else None)
    return sink.getvalue()


def unpack(tar: bytes, root: Path, lower: Lower | None = None, *, whiteouts: bool = True) -> LayerStats:
    """Apply a layer to `root`, made if it is missing."""
    root.mkdir(exist_ok=True)
    with opened(root) as fd:
        return apply_layer(io.BytesIO(tar), fd, lower=lower, whiteouts=whiteouts)
