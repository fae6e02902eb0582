"""Put the places that a sandbox mounts on below an image's tree, so that none of them is made in the layer.

A mount needs something to be mounted on: /proc, /etc/hosts, a cache's target. Made in the writable layer, these would
be left there, or at least their parents' copies. So they stand in a directory that is the lowest of all layers: seen
where the image has nothing of that name. Only /dev, /proc and /sys do stay in an image that lacks them, as BuildKit
leaves them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Protocol

KEPT = ("/dev", "/proc", "/sys")
"""Mount points that a RUN leaves behind where the image has none."""


class View(Protocol):
    """The tree that the stubs come to lie under (`MergedView`)."""

    def resolve(self, path: PurePosixPath) -> PurePosixPath:
        """Follow the links of a path inside the tree; what is missing at its end is kept."""


def stub_directory(
    workspace: Path, mounts: Sequence[Mapping[str, object]], view: View, *, own: Sequence[str] = ()
) -> Path:
    """Return a directory with an empty directory or file for each destination in `mounts` (OCI runtime-spec).

    A bind of what is no directory needs a file. Destinations under other mounts are left out: those are made there.
    `own` are the destinations that the step itself asks for: what such a one lies under is not left in the image.
    Steps that need the same share one, which goes with `workspace`, the process' own directory; nothing writes to it.
    """
    wanted = _wanted(mounts, view, own)
    text = "\n".join(f"{'d' if is_directory else 'f'} {path}" for path, is_directory in sorted(wanted.items()))
    root = workspace / f"stubs-{sha256(text.encode(errors='surrogateescape')).hexdigest()[:16]}"
    if not root.is_dir():
        new = workspace / f"{root.name}.{os.urandom(6).hex()}"
        _make_directory(new)
        for path, is_directory in sorted(wanted.items()):
            _make(new, path, is_directory=is_directory)
        with suppress(OSError):  # another thread was quicker: the one that is left over goes with the workspace
            new.rename(root)
    return root


def _wanted(mounts: Sequence[Mapping[str, object]], view: View, own: Sequence[str]) -> dict[PurePosixPath, bool]:
    """Return which paths are needed, links followed, and which of them are directories."""
    kept = [path for path in KEPT if not any(destination.startswith(f"{path}/") for destination in own)]
    covered: list[PurePosixPath] = []
    wanted: dict[PurePosixPath, bool] = {}
    for mount in mounts:
        destination = PurePosixPath(str(mount["destination"]))
        if any(destination.is_relative_to(other) and destination != other for other in covered):
            continue
        covered.append(destination)
        if str(destination) in kept:
            continue
        resolved = view.resolve(destination)
        if resolved != PurePosixPath("/") and ".." not in resolved.parts:
            wanted[resolved] = _is_directory(mount)
    return wanted


def _is_directory(mount: Mapping[str, object]) -> bool:
    options = mount.get("options")
    bound = isinstance(options, (list, tuple)) and bool({"bind", "rbind"}.intersection(options))
    if not bound and mount.get("type") not in ("bind", "rbind"):
        return True
    return os.path.isdir(str(mount.get("source")))


def _make(root: Path, path: PurePosixPath, *, is_directory: bool) -> None:
    place = root
    *parents, name = path.parts[1:]
    for part in parents:
        place = place / part
        _make_directory(place)
    place = place / name
    if is_directory:
        _make_directory(place)
    elif not place.exists():
        place.touch(mode=0o644)


def _make_directory(path: Path) -> None:
    """Make a directory that everybody may pass through, whatever the caller's umask is."""
    if not path.is_dir():
        path.mkdir()
        path.chmod(0o755)
