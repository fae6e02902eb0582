"""Read what `-v`, `--mount` and `--tmpfs` ask for, and put a container's mounts together from all of them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from typing import Literal

from frozen import Frozen
from runtime.containers.documents import Config, HostConfig, MountDocument
from runtime.containers.quantities import parse_size
from runtime.errors import UsageError

Kind = Literal["bind", "volume", "tmpfs"]

VOLUME_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
PROPAGATIONS = ("private", "rprivate", "slave", "rslave", "shared", "rshared")

_MODES = {"ro", "rw", "z", "Z", "U", "nocopy", "cached", "delegated", "consistent", *PROPAGATIONS}
_TMPFS_SWITCHES = frozenset(
    "ro rw exec noexec suid nosuid dev nodev atime noatime diratime nodiratime relatime norelatime strictatime "
    "nostrictatime sync async dirsync".split()
)
_TMPFS_VALUES = frozenset("size mode uid gid nr_inodes nr_blocks mpol".split())
_TMPFS_DEFAULTS = ("noexec", "nosuid", "nodev")


class Mount(Frozen):
    """One mount that is wanted: `target` is an absolute, clean path in the container.

    `source` is a host path of a bind, the name of a volume (empty: anonymous); `mode` is what `-v` has behind the
    second colon; `options` are a tmpfs' mount options; `create` makes a missing host directory; `copy` fills a new
    volume from the image.
    """

    kind: Kind
    target: str
    source: str = ""
    mode: str = ""
    read_only: bool = False
    propagation: str = ""
    recursive: bool = True
    create: bool = False
    copy: bool = True
    labels: tuple[tuple[str, str], ...] = ()
    options: tuple[str, ...] = ()


def parse_volume(text: str) -> Mount:
    """Read the value of `-v`: `[SOURCE:]TARGET[:MODE]`; a source that is no path is a volume's name."""
    parts = text.split(":")
    if len(parts) > 3 or "" in parts:
        raise UsageError(f"invalid volume specification: '{text}'", hint="write [SOURCE:]TARGET[:ro]")
    if len(parts) == 2 and not parts[1].startswith("/") and _is_mode(parts[1]) and parts[0].startswith("/"):
        return _volume(text, "", parts[0], parts[1])
    source, target, mode = ("", parts[0], "") if len(parts) == 1 else (*parts, "")[:3]
    return _volume(text, source, target, mode)


def _is_mode(text: str) -> bool:
    return all(word in _MODES for word in text.split(","))


def _volume(text: str, source: str, target: str, mode: str) -> Mount:
    words = mode.split(",") if mode else []
    unknown = [word for word in words if word not in _MODES]
    if unknown or ("ro" in words and "rw" in words):
        raise UsageError(
            f'invalid mode: {mode} in volume specification "{text}"', hint="ro, rw, nocopy or a propagation"
        )
    propagation = [word for word in words if word in PROPAGATIONS]
    if len(propagation) > 1:
        raise UsageError(f'invalid mode: {mode} in volume specification "{text}": more than one propagation')
    target = _target(target, text)
    read_only = "ro" in words
    if source.startswith("/"):
        return Mount(
            kind="bind",
            source=posixpath.normpath(source),
            target=target,
            mode=mode,
            read_only=read_only,
            propagation=propagation[0] if propagation else "",
            create=True,
        )
    if propagation:
        raise UsageError(f'invalid mode: {mode} in volume specification "{text}": a volume has no propagation')
    if source:
        check_volume_name(source)
    return Mount(
        kind="volume", source=source, target=target, mode=mode, read_only=read_only, copy="nocopy" not in words
    )


def check_volume_name(name: str) -> None:
    """Raise UsageError for a name that a volume cannot have, as Docker words it."""
    if not VOLUME_NAME.fullmatch(name):
        raise UsageError(
            f'create {name}: "{name}" includes invalid characters for a local volume name, '
            'only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed',
            hint="if you intended to pass a host directory, use an absolute path",
        )


def _target(path: str, text: str) -> str:
    if not path.startswith("/"):
        raise UsageError(f"invalid mount path: '{path}' mount path must be absolute", hint=f"in '{text}'")
    target = posixpath.normpath(path).replace("//", "/")
    if target == "/":
        raise UsageError(f"invalid specification: destination can't be '/' in '{text}'")
    return target


def split_fields(text: str) -> list[str]:
    """Split a `--mount` value at its commas; a field in double quotes may hold commas (RFC 4180)."""
    if '"' not in text:
        return text.split(",")
    import csv  # lazy: 5 ms

    try:
        return next(csv.reader([text], strict=True))
    except (csv.Error, StopIteration):
        raise UsageError(f"invalid mount '{text}': quotes do not match") from None


def parse_mount(text: str) -> MountDocument:
    """Read the value of `--mount`: fields `KEY=VALUE` between commas; the type is `volume` where none is given."""
    document: MountDocument = {"Type": "volume"}
    for field in split_fields(text):
        key, equals, value = field.partition("=")
        key = key.strip().lower()
        if not _field(document, key, value if equals else None, text):
            raise UsageError(f"unexpected key '{key}' in '{field}'", hint="see 'pybuild run --help'")
    kind = document["Type"]
    if kind not in ("bind", "volume", "tmpfs"):
        hint = "there are bind, volume and tmpfs"
        raise UsageError(f"mount type {kind!r} cannot be had" if kind else "invalid mount: no type", hint=hint)
    for name in ("bind", "volume", "tmpfs"):
        if name != kind and f"{name.capitalize()}Options" in document:
            raise UsageError(f"cannot mix '{name}-*' options with mount type '{kind}'")
    if not document.get("Target"):
        raise UsageError(f"invalid mount '{text}': target is required")
    if kind == "bind" and not document.get("Source"):
        raise UsageError(f"invalid mount config for type \"bind\": field Source must not be empty in '{text}'")
    if kind == "tmpfs" and document.get("Source"):
        raise UsageError(f"invalid mount config for type \"tmpfs\": field Source must not be specified in '{text}'")
    return document


def _field(document: MountDocument, key: str, value: str | None, text: str) -> bool:
    """Put one field into `document`; says whether the key is known."""
    if key in ("readonly", "ro"):
        document["ReadOnly"] = _boolean(key, value)
        return True
    if key in ("volume-nocopy", "bind-nonrecursive"):
        if key == "volume-nocopy":
            document.setdefault("VolumeOptions", {})["NoCopy"] = _boolean(key, value)
        else:
            document.setdefault("BindOptions", {})["NonRecursive"] = _boolean(key, value)
        return True
    if value is None:
        raise UsageError(f"invalid field '{key}' must be a key=value pair", hint=f"in '{text}'")
    match key:
        case "type":
            document["Type"] = value.lower()
        case "source" | "src":
            document["Source"] = value
        case "target" | "dst" | "destination":
            document["Target"] = _target(value, text)
        case "bind-propagation":
            if value not in PROPAGATIONS:
                raise UsageError(f"invalid propagation: {value}", hint=f"there are: {', '.join(PROPAGATIONS)}")
            document.setdefault("BindOptions", {})["Propagation"] = value
        case "bind-recursive" if value in ("enabled", "disabled"):
            document.setdefault("BindOptions", {})["NonRecursive"] = value == "disabled"
        case "volume-label":
            name, _, content = value.partition("=")
            document.setdefault("VolumeOptions", {}).setdefault("Labels", {})[name] = content
        case "tmpfs-size":
            document.setdefault("TmpfsOptions", {})["SizeBytes"] = parse_size(value)
        case "tmpfs-mode":
            document.setdefault("TmpfsOptions", {})["Mode"] = _octal(value)
        case "consistency" if value in ("default", "consistent", "cached", "delegated"):
            pass  # it speaks about file sharing with virtual machines, which is not done here
        case _:
            return False
    return True


def _boolean(key: str, value: str | None) -> bool:
    if value is None or value in ("1", "true", "True", "TRUE"):
        return True
    if value in ("0", "false", "False", "FALSE"):
        return False
    raise UsageError(f"invalid value for {key}: {value}")


def _octal(text: str) -> int:
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o7777:
        raise UsageError(f"invalid value for tmpfs-mode: {text}", hint="write permission bits in octal, as 1777")
    return mode


def parse_tmpfs(text: str) -> tuple[str, str]:
    """Read the value of `--tmpfs`: a path and, behind a colon, mount options; returns both as text, checked."""
    path, _, options = text.partition(":")
    target = _target(path, text)
    _tmpfs_options(options)
    return target, options


def _tmpfs_options(text: str) -> tuple[str, ...]:
    options = list(_TMPFS_DEFAULTS)
    for word in filter(None, text.split(",")):
        key, equals, value = word.partition("=")
        if (key in _TMPFS_VALUES and value) or (not equals and key in _TMPFS_SWITCHES):
            opposite = key[2:] if key.startswith("no") else "no" + key
            options = [option for option in options if option not in (key, opposite)]
            options.append(word)
        else:
            raise UsageError(f'invalid tmpfs option ["{word}"]', hint="as size=64m, mode=1777, ro, exec")
    return tuple(options)


def from_document(document: MountDocument) -> Mount:
    """Turn a mount of the Engine API into one that is wanted."""
    kind = document["Type"]
    target = _target(document["Target"], document["Target"])
    read_only = document.get("ReadOnly", False)
    if kind == "bind":
        bind = document.get("BindOptions", {})
        source = document["Source"]
        if not source.startswith("/"):
            raise UsageError(
                f"invalid mount config for type \"bind\": invalid mount path: '{source}' mount path must be absolute"
            )
        return Mount(
            kind="bind",
            source=posixpath.normpath(source),
            target=target,
            read_only=read_only,
            propagation=bind.get("Propagation", ""),
            recursive=not bind.get("NonRecursive", False),
            create=bind.get("CreateMountpoint", False),
        )
    if kind == "volume":
        volume = document.get("VolumeOptions", {})
        name = document.get("Source", "")
        if name:
            check_volume_name(name)
        return Mount(
            kind="volume",
            source=name,
            target=target,
            read_only=read_only,
            copy=not volume.get("NoCopy", False),
            labels=tuple(volume.get("Labels", {}).items()),
        )
    tmpfs = document.get("TmpfsOptions", {})
    words = [f"size={tmpfs['SizeBytes']}"] if "SizeBytes" in tmpfs else []
    words += [f"mode={tmpfs['Mode']:o}"] if "Mode" in tmpfs else []
    words += ["ro"] if read_only else []
    return Mount(kind="tmpfs", target=target, read_only=read_only, options=_tmpfs_options(",".join(words)))


def wanted_mounts(config: Config, host: HostConfig) -> tuple[Mount, ...]:
    """Return a container's mounts, parents before what lies below them.

    `config` holds the image's volumes already: they give way to a mount on the same path. Two mounts that were asked
    for on one path are a UsageError.
    """
    mounts: dict[str, Mount] = {}
    asked: Iterable[Mount] = (
        *(parse_volume(text) for text in host.get("Binds") or ()),
        *(from_document(document) for document in host.get("Mounts") or ()),
        *(
            Mount(kind="tmpfs", target=_target(path, path), options=_tmpfs_options(options))
            for path, options in (host.get("Tmpfs") or {}).items()
        ),
    )
    for mount in asked:
        if mount.target in mounts:
            raise UsageError(f"Duplicate mount point: {mount.target}")
        mounts[mount.target] = mount
    for path in config.get("Volumes") or {}:
        target = _target(path, path)
        mounts.setdefault(target, Mount(kind="volume", target=target))
    return tuple(sorted(mounts.values(), key=lambda mount: mount.target.split("/")))
