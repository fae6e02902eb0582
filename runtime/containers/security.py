"""Read what `--security-opt` asks for; what cannot be in force on this machine is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable

from frozen import Frozen
from runtime.errors import DocumentError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.context import Context

_TRUE, _FALSE = ("1", "t", "T", "true", "TRUE", "True"), ("0", "f", "F", "false", "FALSE", "False")
_LARGEST = 1 << 20
"""Bytes that a profile may have."""

_APPARMOR = "/sys/module/apparmor/parameters/enabled"


class Security(Frozen):
    """What was asked for: `seccomp` is empty for the default profile, "unconfined", or a profile's JSON text."""

    no_new_privileges: bool = False
    seccomp: str = ""
    apparmor: str = ""
    writable_groups: bool = False


def read_security(options: Iterable[str]) -> Security:
    """Read the values as the Engine API holds them, where a profile is its text. Raises UsageError."""
    found: dict[str, str | bool] = {}
    for option in options:
        key, separator, value = option.partition("=")
        if not separator:
            key, separator, value = option.partition(":")
        match key, value:
            case ("no-new-privileges" | "writable-cgroups") as name, ("" | _) as word:
                if word not in (*_TRUE, *_FALSE) and (word or separator or name != "no-new-privileges"):
                    raise UsageError(f'invalid --security-opt 2: "{option}"', hint="true or false")
                found[{"no-new-privileges": "no_new_privileges"}.get(name, "writable_groups")] = word not in _FALSE
            case "seccomp", "builtin" | "default":
                found["seccomp"] = ""
            case "seccomp", profile:
                found["seccomp"] = profile
            case "apparmor", profile:
                found["apparmor"] = _apparmor(profile, option)
            case "label", "disable":
                pass  # no label is set for a container in any case
            case "label", _:
                raise UsageError(
                    f"--security-opt {option} cannot be had: containers get no SELinux label",
                    hint="label=disable is what is in force",
                )
            case _:
                number = 2 if separator else 1
                raise UsageError(f'invalid --security-opt {number}: "{option}"', hint="seccomp, no-new-privileges, …")
    return Security(**found)  # type: ignore[arg-type]  # by the names above


def _apparmor(profile: str, option: str) -> str:
    if profile == "unconfined":
        return ""  # no profile is set for a container in any case
    try:
        with open(_APPARMOR, encoding="ascii") as file:
            enabled = file.read().startswith("Y")
    except OSError:
        enabled = False
    if not enabled:
        raise UsageError(f"--security-opt {option} cannot be had: this machine has no AppArmor")
    return profile


def embed_profiles(options: Iterable[str]) -> tuple[list[str], bool]:
    """Turn what was typed into what the Engine API holds: files of profiles become their text.

    Also says whether `systempaths=unconfined` was among them, which is no option there. Raises UsageError.
    """
    kept: list[str] = []
    unconfined = False
    for option in options:
        key, separator, value = option.partition("=")
        if not separator:
            key, separator, value = option.partition(":")
        if not separator and key != "no-new-privileges":
            raise UsageError(f'Invalid --security-opt: "{option}"', hint="write NAME=VALUE")
        if key == "seccomp" and value not in ("unconfined", "builtin", "default"):
            option = f"seccomp={_profile(value)}"
        if (key, value) == ("systempaths", "unconfined"):
            unconfined = True
        else:
            kept.append(option)
    return kept, unconfined


def _profile(path: str) -> str:
    from runtime.oci.fields import decode_object  # lazy: only for profiles of the user's own

    try:
        with open(path, "rb") as file:
            return json.dumps(
                decode_object(file.read(_LARGEST + 1), f"seccomp profile {path}", limit=_LARGEST), separators=(",", ":")
            )
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise UsageError(f"opening seccomp profile ({path}) failed: open {path}: {reason}") from None
    except DocumentError as error:
        raise UsageError(f"opening seccomp profile ({path}) failed: {error.message}") from None


def filter_of(context: Context, security: Security, capabilities: Collection[str], *, privileged: bool) -> str | None:
    """Return the path of a container's system call filter, None for none. Raises UsageError and SandboxError.

    A privileged container has only one that it asked for.
    """
    if security.seccomp == "unconfined" or (privileged and not security.seccomp):
        return None
    if security.seccomp:
        from runtime.sandbox.customprofile import compiled_from  # lazy: only for profiles of the user's own

        return os.fspath(compiled_from(context, security.seccomp, capabilities))
    from runtime.sandbox.seccomp import compiled  # lazy: 3 ms

    return os.fspath(compiled(context, capabilities))
