"""Read what `-v`, `--mount` and `--tmpfs` ask for, and put a container's mounts together from all of them."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable

from frozen import Frozen
from runtime.containers.documents import Config, HostConfig, MountDocument
from runtime.errors import NotFound, PybuildError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

    Kind = Literal["bind", "volume", "tmpfs", "image"]
else:
    Kind = str

VOLUME_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
PROPAGATIONS = ("private", "rprivate", "slave", "rslave", "shared", "rshared")

_MODES = (
    frozenset(("ro", "rw")),
    frozenset(("z", "Z")),
    frozenset(("U",)),
    frozenset(("nocopy",)),
    frozenset(("cached", "delegated", "consistent")),
    frozenset(PROPAGATIONS),
)
"""The words of a mode; of each group there can be one."""
_TMPFS_SWITCHES = frozenset(
    "ro rw exec noexec suid nosuid dev nodev atime noatime diratime nodiratime relatime norelatime strictatime "
    "nostrictatime sync async dirsync".split()
)
_TMPFS_VALUES = frozenset("size mode uid gid nr_inodes nr_blocks mpol".split())
_TMPFS_DEFAULTS = ("noexec", "nosuid", "nodev")


class Mount(Frozen):
    """One mount that is wanted: `target` is an absolute, clean path in the container.

    `source` is a host path of a bind, the name of a volume (empty: anonymous) or of an image, `subpath` the part of it
    that is wanted; `mode` is what `-v` has behind the second colon; `options` are a tmpfs' mount options or a volume's
    of its driver; `create` makes a missing host directory; `copy` fills a new volume from the image. `writable_below`
    leaves what is mounted below a read-only bind as it is. `shown` is what `inspect` lists of a tmpfs.
    """

    kind: Kind
    target: str
    source: str = ""
    mode: str = ""
    read_only: bool = False
    propagation: str = ""
    recursive: bool = True
    writable_below: bool = False
    create: bool = False
    copy: bool = True
    labels: tuple[tuple[str, str], ...] = ()
    options: tuple[str, ...] = ()
    subpath: str = ""
    shown: bool = False


def parse_volume(text: str) -> Mount:
    """Read the value of `-v`: `[SOURCE:]TARGET[:MODE]`; a source that is no path is a volume's name."""
    parts = text.split(":")
    if len(parts) > 3 or "" in parts:
        fault = "too many colons" if "" not in parts else "empty section between colons" if text else "it is empty"
        raise UsageError(f"invalid volume specification: '{text}': {fault}", hint="write [SOURCE:]TARGET[:ro]")
    if len(parts) == 2 and not parts[1].startswith("/") and _is_mode(parts[1]) and parts[0].startswith("/"):
        raise UsageError(f"invalid volume specification: '{text}'", hint="a volume without a name has no mode")
    source, target, mode = ("", parts[0], "") if len(parts) == 1 else (*parts, "")[:3]
    return _volume(text, source, target, mode)


def _is_mode(text: str) -> bool:
    words = text.split(",")
    counts = [sum(word in group for word in words) for group in _MODES]
    return max(counts) <= 1 and sum(counts) == len(words)


def _volume(text: str, source: str, target: str, mode: str) -> Mount:
    words = mode.split(",") if mode else []
    if mode and not _is_mode(mode):
        raise UsageError(
            f'invalid mode: {mode} in volume specification "{text}"', hint="ro, rw, nocopy or a propagation"
        )
    propagation = [word for word in words if word in PROPAGATIONS]
    target = clean_target(target, text)
    read_only = "ro" in words
    if source.startswith("/"):
        if "nocopy" in words:
            raise UsageError(
                f"invalid volume specification: '{text}': "
                'invalid mount config for type "bind": field VolumeOptions must not be specified',
                hint="nocopy is about the first content of a volume",
            )
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
        kind="volume",
        source=source,
        target=target,
        mode=mode or ("z" if source else ""),
        read_only=read_only,
        copy="nocopy" not in words,
    )


def check_volume_name(name: str) -> None:
    """Raise UsageError for a name that a volume cannot have, as Docker words it."""
    if len(name) == 1:
        raise UsageError(
            f"create {name}: volume name is too short, names should be at least two alphanumeric characters"
        )
    if not VOLUME_NAME.fullmatch(name):
        raise UsageError(
            f'create {name}: "{name}" includes invalid characters for a local volume name, '
            'only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed',
            hint="if you intended to pass a host directory, use an absolute path",
        )


def clean_target(path: str, text: str) -> str:
    """Return the path of a mount in a container, absolute and clean. Raises UsageError; `text` is where it stands."""
    if not path.startswith("/"):
        raise UsageError(f"invalid mount path: '{path}' mount path must be absolute", hint=f"in '{text}'")
    target = posixpath.normpath(path).replace("//", "/")
    if target == "/":
        raise UsageError(f"invalid specification: destination can't be '/' in '{text}'")
    return target


def parse_tmpfs(text: str) -> tuple[str, str]:
    """Read the value of `--tmpfs`: a path and, behind a colon, mount options; returns both as text, checked."""
    path, _, options = text.partition(":")
    target = clean_target(path, text)
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
            raise UsageError(f'invalid tmpfs option "{word}"', hint="as size=64m, mode=1777, ro, exec")
    return tuple(options)


def from_document(document: MountDocument) -> Mount:
    """Turn a mount of the Engine API into one that is wanted."""
    kind = document["Type"]
    target = clean_target(document["Target"], document["Target"])
    read_only = document.get("ReadOnly", False)
    match kind:
        case "bind":
            return _bind(document, target, read_only)
        case "volume":
            return _named_volume(document, target, read_only)
        case "image":
            path = document.get("ImageOptions", {}).get("Subpath", "")
            _check_subpath(path, kind)
            return Mount(kind="image", source=document["Source"], target=target, read_only=True, subpath=path)
    tmpfs = document.get("TmpfsOptions", {})
    words = [f"size={tmpfs['SizeBytes']}"] if "SizeBytes" in tmpfs else []
    words += [f"mode={tmpfs['Mode']:o}"] if "Mode" in tmpfs else []
    words += ["ro"] if read_only else []
    return Mount(kind="tmpfs", target=target, read_only=read_only, options=_tmpfs_options(",".join(words)), shown=True)


def _bind(document: MountDocument, target: str, read_only: bool) -> Mount:
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
        writable_below=bind.get("ReadOnlyNonRecursive", False),
        create=bind.get("CreateMountpoint", False),
    )


def _named_volume(document: MountDocument, target: str, read_only: bool) -> Mount:
    volume = document.get("VolumeOptions", {})
    name, driver = document.get("Source", ""), volume.get("DriverConfig", {})
    if name:
        check_volume_name(name)
    check_driver(driver.get("Name", ""))
    path = volume.get("Subpath", "")
    _check_subpath(path, "volume")
    if path and not name:
        raise UsageError('invalid mount config for type "volume": must not set Subpath when using anonymous volumes')
    return Mount(
        kind="volume",
        source=name,
        target=target,
        mode="z",
        read_only=read_only,
        copy=not (path or volume.get("NoCopy", False)),  # a part has to be there
        labels=tuple(volume.get("Labels", {}).items()),
        options=tuple(f"{key}={value}" for key, value in driver.get("Options", {}).items()),
        subpath=path,
    )


def _check_subpath(path: str, kind: str) -> None:
    """Raise UsageError for a path that leaves the volume or the image."""
    if path.startswith("/") or posixpath.normpath(path).split("/")[0] == "..":
        raise UsageError(
            f'invalid mount config for type "{kind}": subpath must be a relative path within the {kind}', hint=path
        )


def check_driver(name: str) -> None:
    """Raise UsageError for a volume driver other than the one there is."""
    if name not in ("", "local"):
        raise UsageError(
            f'error looking up volume plugin {name}: plugin "{name}" not found', hint="volumes have the driver local"
        )


def check_source(path: str) -> None:
    """Raise NotFound where the source of a bind is not there."""
    if not os.path.lexists(path):
        raise NotFound(
            f'invalid mount config for type "bind": bind source path does not exist: {path}',
            hint="make it first; -v makes a missing directory",
        )


def make_source(path: str) -> None:
    """Make the directory that is to be bound, as `-v` does where there is none. Raises PybuildError."""
    if os.path.exists(path):
        return
    try:
        os.makedirs(path, 0o755, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise PybuildError(f"error while creating mount source path '{path}': mkdir {path}: {reason}") from None


def wanted_mounts(config: Config, host: HostConfig) -> tuple[Mount, ...]:
    """Return a container's mounts, parents before what lies below them.

    `config` holds the image's volumes already: they give way to a mount on the same path, and what came from other
    containers gives way to what was asked for. Two mounts that were asked for on one path are a UsageError.
    """
    mounts: dict[str, Mount] = {}
    asked: Iterable[Mount] = (
        *(parse_volume(text) for text in dict.fromkeys(host.get("Binds") or ())),
        *(from_document(document) for document in host.get("Mounts") or ()),
        *(
            Mount(kind="tmpfs", target=clean_target(path, path), options=_tmpfs_options(options))
            for path, options in (host.get("Tmpfs") or {}).items()
        ),
    )
    for mount in asked:
        if mount.target in mounts:
            raise UsageError(f"Duplicate mount point: {mount.target}")
        mounts[mount.target] = mount
    for fields in host.get("Inherited") or ():
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()
        }
        mount = Mount(**values)
        mounts.setdefault(mount.target, mount)
    for path in config.get("Volumes") or {}:
        target = clean_target(path, path)
        mounts.setdefault(target, Mount(kind="volume", target=target))
    return tuple(sorted(mounts.values(), key=lambda mount: mount.target.split("/")))
