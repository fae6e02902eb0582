"""Read the fields of `RUN --mount` and `RUN --device`.

Fields are `key=value` or a bare word, separated by commas. Their values expand, but for `from`: which stages a build
needs must not depend on a stage's variables.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import Any, cast, get_args

from grammar.errors import DockerfileError
from grammar.instructions import Device, Mount, MountType, Sharing
from grammar.nearest import did_you_mean
from grammar.values import boolean, fields, number, size

_TYPES: tuple[str, ...] = get_args(MountType)
_SHARINGS: tuple[str, ...] = get_args(Sharing)
_ALIASES = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly", "rw": "readwrite"}
_KEYS = (
    *("type", "from", "source", "target", "readonly", "readwrite", "id", "sharing", "required", "size"),
    *("mode", "uid", "gid", "env", *_ALIASES),
)
_SWITCHES = ("readonly", "readwrite", "required")
_ONLY_FOR: dict[str, tuple[str, ...]] = {
    "required": ("secret", "ssh"),
    "size": ("tmpfs",),
    "sharing": ("cache",),
    "mode": ("secret", "ssh", "cache"),
    "uid": ("secret", "ssh", "cache"),
    "gid": ("secret", "ssh", "cache"),
    "from": ("bind", "cache", "tmpfs", "ssh"),
}
"""Keys that only some types have; the other keys are read for every type."""


def mount_source(written: str) -> str | None:
    """Return the stage, context or image that a mount names with `from`, before anything expands.

    Raises DockerfileError without a line if it holds a variable, or if the fields cannot be told apart.
    """
    source = None
    if not written:
        raise DockerfileError(
            "invalid field '' must be a key=value pair", hint="write --mount=type=cache,target=/path or the like"
        )
    for field in fields(written):
        key, equals, value = field.partition("=")
        if key.lower() != "from" or not equals:
            continue
        if 0 <= value.find("$") < len(value) - 1:
            raise DockerfileError(
                f"'from' doesn't support variable expansion, define alias stage instead: {field}",
                hint="write `FROM image:$TAG AS name` at the top with a global ARG, and from=name here",
            )
        source = value
    return source or None


def mount_kind(written: str) -> str:
    """Return the type that a mount's fields name before anything expands."""
    kinds = [field.partition("=")[2].lower() for field in fields(written) if field.lower().startswith("type=")]
    return kinds[-1] if kinds else "bind"


def read_mount(written: str, expand: Callable[[str], str]) -> Mount:
    """Return one mount; raises DockerfileError without a line."""
    given: dict[str, str | bool] = {}
    for field in fields(written):
        key, equals, value = field.partition("=")
        key = _ALIASES.get(key.lower(), key.lower())
        if key not in _KEYS:
            raise DockerfileError(
                f"unexpected key '{key}' in '{field}'"
                if equals
                else f"invalid field '{field}' must be a key=value pair",
                hint=did_you_mean(key, _KEYS) or f"keys are {', '.join(_KEYS)}",
            )
        if not equals:
            if key not in _SWITCHES:
                raise DockerfileError(f"invalid field '{field}' must be a key=value pair", hint=f"write {key}=VALUE")
            given[key] = True
        elif key in _SWITCHES:
            given[key] = boolean(key, expand(value))
        else:
            given[key] = value if key == "from" else expand(value)
        if key.startswith("read"):  # of `ro` and `rw` the later one counts
            given["read_only"] = bool(given.pop(key)) == (key == "readonly")
    return _mount(written, given)


def read_device(written: str) -> Device:
    """Return one device, `NAME`, `name=NAME`, with `required`; raises DockerfileError without a line."""
    name = ""
    required = False
    for field in fields(written):
        key, equals, value = field.partition("=")
        if key.lower() == "required":
            required = boolean("required", value) if equals else True
        elif key.lower() == "name" and equals:
            if name:
                raise DockerfileError(f"device name already set to {name}")
            name = value
        elif not name:
            name = field
        else:
            hint = did_you_mean(key, ("name", "required"))
            raise DockerfileError(f"unexpected key '{key}' in '{field}'", hint=hint)
    return Device(name=name, required=required)


def _mount(written: str, given: dict[str, Any]) -> Mount:
    """Check what the fields say together, and fill in what follows from it."""
    kind = str(given.get("type", "bind")).lower()
    if kind not in _TYPES:
        raise DockerfileError(
            f'unsupported mount type "{given["type"]}"',
            hint=did_you_mean(kind, _TYPES) or f"types are {', '.join(_TYPES)}",
        )
    for key, kinds in _ONLY_FOR.items():
        if given.get(key) and kind not in kinds:
            raise DockerfileError(
                f'{key} not allowed for "{kind}" type mounts: {written}',
                hint=f"{key} goes with type={' or type='.join(kinds)}",
            )
    sharing = str(given.get("sharing") or "shared").lower()
    if sharing not in _SHARINGS:
        raise DockerfileError(
            f'unsupported sharing value "{given["sharing"]}"',
            hint=did_you_mean(sharing, _SHARINGS) or f"it may be {', '.join(_SHARINGS)}",
        )
    target = given.get("target", "")
    return Mount(
        type=cast(MountType, kind),
        from_=given.get("from") or None,
        source=given.get("source", ""),
        target=_secret_target(given) if kind == "secret" else target,
        read_only=given.get("read_only", kind not in ("cache", "tmpfs")),
        id=_identifier(kind, given),
        sharing=cast(Sharing, sharing),
        required=given.get("required", False),
        size=size("size", given["size"]) if "size" in given else None,
        mode=number("mode", given["mode"], base=8) if "mode" in given else None,
        uid=number("uid", given["uid"]) if "uid" in given else None,
        gid=number("gid", given["gid"]) if "gid" in given else None,
        env=given.get("env"),
    )


def _identifier(kind: str, given: dict[str, Any]) -> str:
    """Return the id, or what stands for it: a cache's target, a secret's source or file name, ssh's `default`."""
    identifier = str(given.get("id", ""))
    source, target = given.get("source", ""), given.get("target", "")
    if kind == "secret":
        if source and identifier:
            raise DockerfileError("both source and id can't be set", hint="they mean the same: drop one of them")
        identifier = identifier or source or posixpath.basename(target)
        if not identifier:
            raise DockerfileError(
                "invalid secret mount. one of source, target required", hint="write --mount=type=secret,id=NAME"
            )
    elif not identifier and kind == "cache":
        identifier = posixpath.normpath(target)
    elif not identifier and kind == "ssh":
        identifier = "default"
    return identifier


def _secret_target(given: dict[str, Any]) -> str:
    """Return the file a secret is put in: none if it only becomes a variable."""
    target = str(given.get("target", ""))
    if target or "env" in given:
        return target
    return "/run/secrets/" + posixpath.basename(_identifier("secret", given))
