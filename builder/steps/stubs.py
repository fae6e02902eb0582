"""Put the places that a sandbox mounts on below an image's tree, so that none of them is made in the layer.

A mount needs something to be mounted on: /proc, /etc/hosts, a cache's target. Made in the writable layer, these would
be left there, or at least their parents' copies. So they stand in a directory that is the lowest of all layers: seen
where the image has nothing of that name, and gone with the step. Only /dev, /proc and /sys do stay in an image that
lacks them, as BuildKit leaves them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol

KEPT = ("/dev", "/proc", "/sys")
"""Mount points that a RUN leaves behind where the image has none."""


class View(Protocol):
    """The tree that the stubs come to lie under (`MergedView`)."""

    def resolve(self, path: PurePosixPath) -> PurePosixPath:
        """Follow the links of a path inside the tree; what is missing at its end is kept."""


def make_stubs(root: Path, mounts: Sequence[Mapping[str, object]], view: View, *, own: Sequence[str] = ()) -> Path:
    """Make `root` with an empty directory or file for each destination in `mounts` (OCI runtime-spec); returns it.

    A bind of what is no directory needs a file. Destinations under other mounts are left out: those are made there.
    `own` are the destinations that the step itself asks for: what such a one lies under is not left in the image.
    """
    kept = [path for path in KEPT if not any(destination.startswith(f"{path}/") for destination in own)]
    root.mkdir(mode=0o755)
    root.chmod(0o755)
    covered: list[PurePosixPath] = []
    for mount in mounts:
        destination = PurePosixPath(str(mount["destination"]))
        if any(destination.is_relative_to(other) and destination != other for other in covered):
            continue
        covered.append(destination)
        if str(destination) in kept:
            continue
        resolved = view.resolve(destination)
        if resolved == PurePosixPath("/") or ".." in resolved.parts:
            continue
        _make(root, resolved, directory=_is_directory(mount))
    return root


def _is_directory(mount: Mapping[str, object]) -> bool:
    options = mount.get("options")
    bound = isinstance(options, (list, tuple)) and bool({"bind", "rbind"}.intersection(options))
    if not bound and mount.get("type") not in ("bind", "rbind"):
        return True
    return os.path.isdir(str(mount.get("source")))


def _make(root: Path, path: PurePosixPath, *, directory: bool) -> None:
    place = root
    *parents, name = path.parts[1:]
    for part in parents:
        place = place / part
        if not place.exists():
            place.mkdir()
            place.chmod(0o755)
    place = place / name
    if place.exists():
        return
    if directory:
        place.mkdir()
        place.chmod(0o755)
    else:
        place.touch(mode=0o644)
