"""Find devices of the machine by name, as the Container Device Interface describes them (specification 0.6 ff.).

A description is a JSON or YAML file in one of two directories. What it may ask for and is done: variables, device
nodes, mounts, groups. Hooks are programs of the host that take part in making a container: a device with one is
refused, as it is with whatever else it asks for that is not known here.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from frozen import Frozen, field
from runtime.errors import PybuildError

DIRECTORIES = (Path("/etc/cdi"), Path("/var/run/cdi"))
"""Where descriptions lie; of two with one name the later directory's wins."""

_LARGEST = 16 << 20
_KNOWN = ("additionalGids", "deviceNodes", "env", "mounts")
_QUALIFIED = re.compile(r"[a-zA-Z][\w.-]*/[a-zA-Z][\w.-]*=[\w.:-]+", re.ASCII)


def is_qualified(name: str) -> bool:
    """Tell whether this is written as the full name of a device, `vendor/class=name`, and not as a path."""
    return _QUALIFIED.fullmatch(name) is not None


class Edits(Frozen):
    """What devices ask for: parts of an OCI runtime-spec document, all empty for nothing."""

    environment: tuple[tuple[str, str], ...] = ()
    nodes: tuple[Mapping[str, Any], ...] = ()
    rules: tuple[Mapping[str, Any], ...] = ()
    mounts: tuple[Mapping[str, object], ...] = ()
    groups: tuple[int, ...] = ()


class CdiDevice(Frozen):
    """One device; `name` is `vendor/class=name`, `edits` the texts of what it asks for, its description's first."""

    name: str
    path: Path
    annotations: Mapping[str, str]
    edits: tuple[Mapping[str, Any], ...] = field(default_factory=tuple)

    @property
    def kind(self) -> str:
        return self.name.partition("=")[0]


def read(directories: Sequence[Path] = DIRECTORIES) -> dict[str, CdiDevice]:
    """Return the devices that are described, by name. Raises PybuildError for a file that is no description."""
    found: dict[str, CdiDevice] = {}
    for directory in directories:
        for path in sorted(directory.iterdir()) if directory.is_dir() else ():
            if path.suffix not in _READERS:
                continue
            found |= {device.name: device for device in _devices(path)}
    return dict(sorted(found.items()))


def _devices(path: Path) -> Iterator[CdiDevice]:
    try:
        with path.open("rb") as file:
            document = _READERS[path.suffix](file.read(_LARGEST))
        kind, annotations = str(document["kind"]), dict(document.get("annotations") or {})
        for entry in document["devices"]:
            yield CdiDevice(
                name=f"{kind}={entry['name']}",
                path=path,
                annotations={**annotations, **(entry.get("annotations") or {})},
                edits=(document.get("containerEdits") or {}, entry.get("containerEdits") or {}),
            )
    except FileNotFoundError:
        return  # it was there a moment ago
    except ModuleNotFoundError as error:
        raise PybuildError(
            f"{path} is YAML, which needs the Python package pyyaml", hint="install it: pip install 'pybuild[all]'"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise PybuildError(f"{path} is no description of devices: {' '.join(str(error).split())}") from error


def _read_yaml(data: bytes) -> Any:
    """Read YAML, of which nothing but plain values is taken. Raises ValueError; ModuleNotFoundError without pyyaml."""
    import yaml  # lazy: 30 ms, and an extra

    try:
        return yaml.safe_load(data)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


_READERS: Mapping[str, Callable[[bytes], Any]] = {".json": json.loads, ".yaml": _read_yaml, ".yml": _read_yaml}
"""How the files are read whose names end so; others are none."""


def together(devices: Sequence[CdiDevice]) -> Edits:
    """Put together what devices ask for. Raises PybuildError for one that cannot be had here."""
    environment: list[tuple[str, str]] = []
    nodes: list[Mapping[str, Any]] = []
    rules: list[Mapping[str, Any]] = []
    mounts: list[Mapping[str, object]] = []
    groups: list[int] = []
    for device in devices:
        for edits in device.edits:
            try:
                unknown = sorted(name for name, value in edits.items() if value and name not in _KNOWN)
                if unknown:
                    what = "a hook" if unknown == ["hooks"] else ", ".join(unknown)
                    raise PybuildError(
                        f"device {device.name} needs {what}, which is not supported", hint=f"see {device.path}"
                    )
                pairs = (entry.partition("=") for entry in edits.get("env") or ())
                environment += ((name, value) for name, _, value in pairs)
                for node in edits.get("deviceNodes") or ():
                    made, rule = _node(node)
                    nodes.append(made)
                    rules.append(rule)
                mounts += (_mount(mount) for mount in edits.get("mounts") or ())
                groups += (int(group) for group in edits.get("additionalGids") or ())
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                raise PybuildError(f"device {device.name} cannot be had: {error}", hint=f"see {device.path}") from error
    return Edits(
        environment=tuple(environment),
        nodes=tuple(nodes),
        rules=tuple(rules),
        mounts=tuple(mounts),
        groups=tuple(groups),
    )


def _node(node: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return a node and the rule that lets it be used; what the description leaves out is as it is on the host."""
    status = os.stat(str(node.get("hostPath") or node["path"]))
    kind = str(node.get("type") or ("b" if stat.S_ISBLK(status.st_mode) else "c"))
    numbers = {
        "major": int(node.get("major") or os.major(status.st_rdev)),
        "minor": int(node.get("minor") or os.minor(status.st_rdev)),
    }
    made = {
        "path": str(node["path"]),
        "hostPath": str(node.get("hostPath") or node["path"]),
        "type": kind,
        **numbers,
        "fileMode": int(node.get("fileMode") or stat.S_IMODE(status.st_mode)),
        "uid": int(node.get("uid") or status.st_uid),
        "gid": int(node.get("gid") or status.st_gid),
    }
    return made, {"allow": True, "type": kind, **numbers, "access": str(node.get("permissions") or "rwm")}


def _mount(mount: Mapping[str, Any]) -> Mapping[str, object]:
    options = [str(option) for option in mount.get("options") or ()]
    if not {"bind", "rbind"} & set(options):
        options.append("rbind")
    source, destination = str(mount["hostPath"]), str(mount["containerPath"])
    os.stat(source)
    return {"destination": destination, "type": "bind", "source": source, "options": options}
