"""Find the mounts that a container takes over from others (`--volumes-from`), when it is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frozen import replace
from runtime.containers.mounts import Mount, wanted_mounts
from runtime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runtime.containers.records import Container, Containers

_MODES = frozenset(("ro", "rw", "z", "Z"))
_FIELDS = (
    "kind source target mode read_only propagation recursive writable_below create copy options subpath shown"
).split()


def inherited_mounts(containers: Containers, wanted: Iterable[str]) -> list[dict[str, object]]:
    """Return the mounts of the containers named in `wanted`, `NAME[:MODE]` each, as fields of `Mount`; later ones win.

    Raises NotFound for a container, UsageError for a mode that there is not.
    """
    found: dict[str, dict[str, object]] = {}
    for text in wanted:
        name, _, mode = text.partition(":")
        words = mode.split(",") if mode else []
        if not set(words) <= _MODES or {"ro", "rw"} <= set(words):
            raise UsageError(f"invalid mode: {mode}", hint=f"in --volumes-from {text}: ro or rw")
        if not name:
            raise UsageError(f"invalid volumes-from: '{text}'", hint="write NAME[:ro]")
        for mount in _mounts(containers.find(name)):
            taken = replace(mount, read_only=mount.read_only or "ro" in words, mode="")
            found[mount.target] = {field: getattr(taken, field) for field in _FIELDS}
    return list(found.values())


def _mounts(other: Container) -> list[Mount]:
    """Return what another container has, its volumes by name; a `--tmpfs` is its own affair."""
    names = {point.get("Destination"): point.get("Name", "") for point in other.mounts}
    return [
        replace(mount, source=names.get(mount.target, mount.source), copy=False) if mount.kind == "volume" else mount
        for mount in wanted_mounts(other.config, other.host_config)
        if mount.kind != "tmpfs" or mount.shown
    ]
