"""Choose the devices that `RUN --device` names; whether a step may have them, BuildKit's entitlements say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import PybuildError
from runtime.oci import cdi

if TYPE_CHECKING:
    from grammar.instructions import Device

ENTITLEMENT = "device"

_PREFIX = "org.mobyproject.buildkit.device."
_TRUE = ("1", "t", "T", "TRUE", "true", "True")


def choose(
    wanted: Sequence[Device], allow: frozenset[str], *, directories: Sequence[Path] = cdi.DIRECTORIES
) -> cdi.Edits:
    """Return what the devices that a step names ask for; one that is not there counts only if it is required.

    Raises PybuildError for that, for one that is not allowed, and for a description that cannot be followed.
    """
    known = cdi.read(directories)
    chosen: dict[str, cdi.CdiDevice] = {}
    for device in wanted:
        found = _named(device.name, known)
        if not found and device.required:
            raise PybuildError(
                f'required device "{device.name}" is not registered',
                hint=f"described are {', '.join(known)}" if known else f"no device is described in {directories[0]}",
            )
        chosen |= {one.name: one for one in found}
    for one in chosen.values():
        if not _allowed(one, allow):
            raise PybuildError(
                f"granting entitlement device {one.name} is not allowed by build configuration",
                hint=f"allow it with --allow {ENTITLEMENT}={one.name}",
            )
    return cdi.together(tuple(chosen.values()))


def _allowed(device: cdi.CdiDevice, allow: frozenset[str]) -> bool:
    """Tell whether steps may have it: it says so itself, or `--allow device` does, for all or by name or kind."""
    granted = {ENTITLEMENT, f"{ENTITLEMENT}={device.name}", f"{ENTITLEMENT}={device.kind}"}
    return bool(granted & allow) or device.annotations.get(f"{_PREFIX}autoallow") in _TRUE


def _named(name: str, known: Mapping[str, cdi.CdiDevice]) -> list[cdi.CdiDevice]:
    """Return the devices that `name` means: one, `vendor/class=*`, the first of `vendor/class`, or those of a class."""
    kind, _, own = name.partition("=")
    of_kind = [device for device in known.values() if device.kind == kind] if "/" in kind else []
    found = {"": of_kind[:1], "*": of_kind}.get(own, [device for device in of_kind if device.name == name])
    return found or [device for device in known.values() if device.annotations.get(f"{_PREFIX}class") == name]
