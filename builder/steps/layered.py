"""Mount a part of a stack of layers: a directory or file of another stage in a step's sandbox."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from runtime.store.layers.tree import Metadata, read_metadata


def layered_mount(
    stack: Sequence[Path],
    source: PurePosixPath,
    target: str,
    place: Path,
    *,
    writable: bool,
    rootless: bool,
) -> Mapping[str, object]:
    """Describe the mount on `target` of `source`, absolute and free of links, of the tree `stack` (topmost first).

    Layers are never written: what a step writes goes to `place`, a path that does not exist yet, and with it.
    """
    lowerdirs, kind = _parts(stack, source)
    place.mkdir(mode=0o700)
    if kind == "file":
        path = lowerdirs[0]
        if writable:
            path = _private_copy(path, place / "file")
        return _bind(path, target, writable=writable)
    if len(lowerdirs) == 1 and not writable:
        return _bind(lowerdirs[0], target, writable=False)
    empty = place / "empty"
    empty.mkdir()
    options = [f"lowerdir+={path}" for path in (*lowerdirs, empty)]
    if writable:
        for name in ("upper", "work"):
            (place / name).mkdir()
        options += [f"upperdir={place / 'upper'}", f"workdir={place / 'work'}"]
    if rootless:
        options.append("userxattr")
    options += ["redirect_dir=nofollow", "metacopy=off", "index=off", "nfs_export=off", *([] if writable else ["ro"])]
    return {"destination": target, "type": "overlay", "source": "overlay", "options": options}


def _bind(path: Path, target: str, *, writable: bool) -> Mapping[str, object]:
    from runtime.oci.runtimespec import bind

    return bind(os.fspath(path), target, readonly=not writable)


def _parts(stack: Sequence[Path], source: PurePosixPath) -> tuple[list[Path], str]:
    """Find which layers show something at `source`: all down to the first that hides what is below it."""
    found: list[Path] = []
    for layer in stack:
        metadata, hides = _look(layer, source)
        if metadata is not None and metadata.kind == "directory":
            found.append(layer / source.relative_to("/"))
        elif metadata is not None and metadata.kind != "whiteout" and not found:
            return [layer / source.relative_to("/")], "file"
        if hides:
            break
    return found, "directory"


def _look(layer: Path, source: PurePosixPath) -> tuple[Metadata | None, bool]:
    """Return what one layer has at `source`, and whether it hides what lower layers have there."""
    flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(layer, flags)
    metadata: Metadata | None = None
    hides = False
    try:
        metadata = read_metadata(fd, b".")
        for part in source.parts[1:]:
            try:
                metadata = read_metadata(fd, os.fsencode(part))
            except FileNotFoundError:
                return None, hides
            hides = hides or metadata.opaque or metadata.kind != "directory"
            if metadata.kind != "directory":
                return metadata if part == source.name else None, True
            below = os.open(part, flags, dir_fd=fd)
            os.close(fd)
            fd = below
        return metadata, hides
    finally:
        os.close(fd)


def _private_copy(path: Path, destination: Path) -> Path:
    import shutil

    shutil.copy2(path, destination, follow_symlinks=False)
    status = os.stat(path, follow_symlinks=False)
    os.chown(destination, status.st_uid, status.st_gid, follow_symlinks=False)
    return destination
