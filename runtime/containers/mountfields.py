"""Read what `--mount` asks for: fields `KEY=VALUE` between commas, as the Engine API's mount documents."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from runtime.containers.documents import MountDocument
from runtime.containers.mounts import PROPAGATIONS, clean_target
from runtime.containers.quantities import parse_size
from runtime.errors import UsageError

_KINDS = ("bind", "volume", "tmpfs", "image")
_RECURSIVE = ("enabled", "disabled", "writable", "readonly")


def split_fields(text: str) -> list[str]:
    """Split a `--mount` value at its commas; a field in double quotes may hold commas (RFC 4180)."""
    if '"' not in text:
        return text.split(",")
    import csv  # lazy: 5 ms

    try:
        return next(csv.reader([text], strict=True))
    except (csv.Error, StopIteration):
        raise UsageError(f"invalid mount '{text}': quotes do not match") from None


_ORDER = (
    *("Type", "Source", "Target", "ReadOnly", "Consistency"),
    *("BindOptions", "VolumeOptions", "ImageOptions", "TmpfsOptions"),
    *("Propagation", "NonRecursive", "CreateMountpoint", "ReadOnlyNonRecursive", "ReadOnlyForceRecursive"),
    *("NoCopy", "Labels", "Subpath", "DriverConfig", "SizeBytes", "Mode"),
)
"""The fields of a mount and of its options as `inspect` shows them, in Docker's order."""


def parse_mount(text: str) -> MountDocument:
    """Read the value of `--mount`; the type is `volume` where none is given. Raises UsageError."""
    document: MountDocument = {"Type": "volume"}
    for field in split_fields(text):
        key, equals, value = field.partition("=")
        key = key.lower()
        if not _field(document, key, value if equals else None, text):
            raise UsageError(f"unexpected key '{key}' in '{field}'", hint="see docs/run-flags.md for the keys")
    _check(document, text)
    if "VolumeOptions" in document:
        options = document["VolumeOptions"]
        driver = options.setdefault("DriverConfig", {})
        if "Labels" in options:
            options["Labels"] = dict(sorted(options["Labels"].items()))
        if "Options" in driver:
            driver["Options"] = dict(sorted(driver["Options"].items()))
    if document.get("BindOptions") == {}:
        del document["BindOptions"]
    return {  # type: ignore[return-value]  # the same document, in order
        key: _ordered(value) if isinstance(value, dict) else value for key, value in _ordered(document).items()
    }


def _ordered(fields: Mapping[str, object]) -> dict[str, object]:
    return {key: fields[key] for key in _ORDER if key in fields}


def _check(document: MountDocument, text: str) -> None:
    """Raise UsageError for fields that do not go together."""
    kind = document["Type"]
    if not kind:
        raise UsageError("type is required", hint=f"there are {', '.join(_KINDS)}")
    for name in _KINDS:
        if name != kind and f"{name.capitalize()}Options" in document:
            raise UsageError(f"cannot mix '{name}-*' options with mount type '{kind}'")
    if not document.get("Target"):
        raise UsageError("target is required", hint=f"in '{text}'")
    what = f'invalid mount config for type "{kind}"'
    if kind not in _KINDS:
        raise UsageError(f"{what}: mount type unknown", hint=f"there are {', '.join(_KINDS)}")
    if kind in ("bind", "image") and not document.get("Source"):
        raise UsageError(f"{what}: field Source must not be empty", hint=f"in '{text}'")
    if kind == "tmpfs" and document.get("Source"):
        raise UsageError(f"{what}: field Source must not be specified", hint=f"in '{text}'")
    bind, read_only = document.get("BindOptions", {}), document.get("ReadOnly", False)
    if bind.get("ReadOnlyNonRecursive") and not read_only:
        raise UsageError("option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction")
    if bind.get("ReadOnlyForceRecursive"):
        if not read_only:
            raise UsageError("option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction")
        if bind.get("Propagation") != "rprivate":
            raise UsageError(
                "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction"
            )


def _field(document: MountDocument, key: str, value: str | None, text: str) -> bool:
    """Put one field into `document`; says whether the key is known."""
    match key:
        case "readonly" | "ro":
            document["ReadOnly"] = _boolean(key, value)
            return True
        case "volume-nocopy":
            document.setdefault("VolumeOptions", {})["NoCopy"] = _boolean(key, value)
            return True
        case "bind-nonrecursive":
            document.setdefault("BindOptions", {})["NonRecursive"] = _boolean(key, value)
            return True
    if value is None:
        raise UsageError(f"invalid field '{key}' must be a key=value pair", hint=f"in '{text}'")
    put = _FIELDS.get(key)
    if put is None:
        return False
    put(document, value)
    return True


def _type(document: MountDocument, value: str) -> None:
    document["Type"] = value.lower()


def _source(document: MountDocument, value: str) -> None:
    document["Source"] = value


def _target(document: MountDocument, value: str) -> None:
    document["Target"] = clean_target(value, value)


def _consistency(document: MountDocument, value: str) -> None:
    """Note what speaks about file sharing with virtual machines, which is not done here."""
    if value not in ("default", "consistent", "cached", "delegated"):
        raise UsageError(f"invalid consistency: {value}")
    document["Consistency"] = value


def _propagation(document: MountDocument, value: str) -> None:
    if value not in PROPAGATIONS:
        raise UsageError(
            f'invalid mount config for type "bind": invalid propagation mode: {value}',
            hint=f"there are: {', '.join(PROPAGATIONS)}",
        )
    document.setdefault("BindOptions", {})["Propagation"] = value


def _recursive(document: MountDocument, value: str) -> None:
    if value not in _RECURSIVE:
        raise UsageError(
            f'invalid value for bind-recursive: {value} (must be "enabled", "disabled", "writable", or "readonly")'
        )
    options = document.setdefault("BindOptions", {})
    if value == "disabled":
        options["NonRecursive"] = True
    elif value == "writable":
        options["ReadOnlyNonRecursive"] = True
    elif value == "readonly":
        options["ReadOnlyForceRecursive"] = True


def _volume_label(document: MountDocument, value: str) -> None:
    name, _, content = value.partition("=")
    document.setdefault("VolumeOptions", {}).setdefault("Labels", {})[name] = content


def _volume_driver(document: MountDocument, value: str) -> None:
    document.setdefault("VolumeOptions", {}).setdefault("DriverConfig", {})["Name"] = value


def _volume_option(document: MountDocument, value: str) -> None:
    name, _, content = value.partition("=")
    driver = document.setdefault("VolumeOptions", {}).setdefault("DriverConfig", {})
    driver.setdefault("Options", {})[name] = content


def _volume_subpath(document: MountDocument, value: str) -> None:
    document.setdefault("VolumeOptions", {})["Subpath"] = value


def _image_subpath(document: MountDocument, value: str) -> None:
    document.setdefault("ImageOptions", {})["Subpath"] = value


def _tmpfs_size(document: MountDocument, value: str) -> None:
    try:
        size = parse_size(value)
    except UsageError as error:
        raise UsageError(f"invalid value for tmpfs-size: {value}", hint=error.hint) from None
    document.setdefault("TmpfsOptions", {})["SizeBytes"] = size


def _tmpfs_mode(document: MountDocument, value: str) -> None:
    try:
        mode = int(value, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o7777:
        raise UsageError(f"invalid value for tmpfs-mode: {value}", hint="write permission bits in octal, as 1777")
    document.setdefault("TmpfsOptions", {})["Mode"] = mode


_FIELDS: dict[str, Callable[[MountDocument, str], None]] = {
    "type": _type,
    "source": _source,
    "src": _source,
    "target": _target,
    "dst": _target,
    "destination": _target,
    "consistency": _consistency,
    "bind-propagation": _propagation,
    "bind-recursive": _recursive,
    "volume-label": _volume_label,
    "volume-driver": _volume_driver,
    "volume-opt": _volume_option,
    "volume-subpath": _volume_subpath,
    "image-subpath": _image_subpath,
    "tmpfs-size": _tmpfs_size,
    "tmpfs-mode": _tmpfs_mode,
}


def _boolean(key: str, value: str | None) -> bool:
    if value is None or value in ("1", "true", "True", "TRUE"):
        return True
    if value in ("0", "false", "False", "FALSE"):
        return False
    raise UsageError(f"invalid value for {key}: {value}")
