"""Give a container devices of the machine: nodes by path, described ones by name, and rules that let it use them."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from runtime.containers.documents import DeviceMapping, DeviceRequest, HostConfig, ThrottleDevice, WeightDevice
from runtime.errors import NotFound, UsageError
from runtime.oci import cdi

_RULE = re.compile(r"[acb] (?:\d+|\*):(?:\d+|\*) [rwm]{1,3}", re.ASCII)
_GPU_KINDS = ("nvidia.com/gpu", "amd.com/gpu", "intel.com/gpu")


def described_device(text: str) -> DeviceRequest | None:
    """Read the value of `--device` where it is the qualified name of a described device, else None."""
    if not cdi.is_qualified(text):
        return None
    return {"Driver": "cdi", "Count": 0, "DeviceIDs": [text], "Capabilities": None, "Options": None}


def parse_device(text: str) -> DeviceMapping:
    """Read the value of `--device` where it is a path: HOST[:CONTAINER][:rwm]. Raises UsageError."""
    parts = text.split(":")
    host, inside, access = parts[0], parts[0], "rwm"
    if len(parts) == 3:
        inside, access = parts[1], parts[2]
    elif len(parts) == 2:
        inside, access = (parts[0], parts[1]) if _is_access(parts[1]) else (parts[1], "rwm")
    elif len(parts) > 3:
        raise UsageError(f"invalid device specification: {text}", hint="write HOST[:CONTAINER][:rwm]")
    if not _is_access(access):
        raise UsageError(f"bad mode specified: {access}", hint=f"letters of rwm, in '{text}'")
    if not text:
        raise UsageError("bad format for path: ''", hint="write HOST[:CONTAINER][:rwm]")
    for path in (host, inside):
        if not path.startswith("/"):
            raise UsageError(f"{path} is not an absolute path", hint=f"in --device {text}")
    return {"PathOnHost": host, "PathInContainer": inside, "CgroupPermissions": access}


def _is_access(text: str) -> bool:
    return bool(text) and set(text) <= set("rwm") and len(set(text)) == len(text)


def check_rule(text: str) -> str:
    """Return the value of `--device-cgroup-rule`, as `c 1:3 rwm`. Raises UsageError."""
    if not _RULE.fullmatch(text):
        raise UsageError(f"invalid device cgroup format '{text}'", hint="as 'c 1:3 rwm', with * for any number")
    return text


def parse_gpus(text: str) -> DeviceRequest:
    """Read the value of `--gpus`: `all`, a count, or fields (count, device, driver, capabilities, options)."""
    from runtime.containers.mountfields import split_fields  # a field in quotes may hold commas there, too

    request: DeviceRequest = {"Driver": "", "Count": 0, "DeviceIDs": None, "Capabilities": [["gpu"]], "Options": {}}
    seen: set[str] = set()
    for field in split_fields(text):
        key, equals, value = field.partition("=")
        key = key if equals else "count"
        if key in seen:
            raise UsageError(f"gpu request key '{key}' can be specified only once")
        seen.add(key)
        match key:
            case "count":
                request["Count"] = _count(value if equals else field)
            case "driver":
                request["Driver"] = value
            case "device":
                request["DeviceIDs"] = value.split(",")
            case "capabilities":
                request["Capabilities"] = [[*value.split(","), "gpu"]]
            case "options":
                words = (word.partition("=") for word in value.split(","))
                request["Options"] = {name: rest for name, _, rest in words}
            case _:
                raise UsageError(f"unexpected key '{key}' in '{field}'")
    if "count" not in seen and request["DeviceIDs"] is None:
        request["Count"] = 1
    return request


def _count(text: str) -> int:
    if text == "all":
        return -1
    if not (text.isdecimal() and text.isascii()):
        raise UsageError(f'invalid count ({text}): value must be either "all" or an integer')
    return int(text)


def devices_of(host: HostConfig) -> cdi.Edits:
    """Return all that a container's devices ask for. Raises NotFound and PybuildError for one that cannot be had."""
    nodes: list[Mapping[str, Any]] = []
    rules: list[Mapping[str, Any]] = []
    for device in host.get("Devices") or ():
        for node in _nodes(device["PathOnHost"], device["PathInContainer"]):
            nodes.append(node)
            numbers = {"type": node["type"], "major": node["major"], "minor": node["minor"]}
            rules.append({"allow": True, **numbers, "access": device["CgroupPermissions"]})
    rules += (_rule(text) for text in host.get("DeviceCgroupRules") or ())
    described = _described(host.get("DeviceRequests") or ())
    return cdi.Edits(
        environment=described.environment,
        nodes=(*nodes, *described.nodes),
        rules=(*rules, *described.rules),
        mounts=described.mounts,
        groups=described.groups,
    )


def needs_rules(host: HostConfig) -> str:
    """Name the first flag that asks for less, or more, than what the owner and mode of a node give; empty for none."""
    for text in host.get("DeviceCgroupRules") or ():
        return f"--device-cgroup-rule {text}"
    for device in host.get("Devices") or ():
        if not {"r", "w"} <= set(device["CgroupPermissions"]):
            return f"--device {device['PathOnHost']}:{device['PathInContainer']}:{device['CgroupPermissions']}"
    return ""


def _nodes(source: str, target: str) -> Iterator[Mapping[str, Any]]:
    """Describe a device, or each one below a directory, links passed over."""
    path = os.path.realpath(source)
    what = f'error gathering device information while adding custom device "{source}"'
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            found = [
                node for entry in sorted(os.listdir(path)) for node in _below(f"{path}/{entry}", f"{target}/{entry}")
            ]
            if not found:
                raise NotFound(f"{what}: not a device node")
            yield from found
            return
    except OSError as error:
        raise NotFound(f"{what}: {(error.strerror or '').lower()}") from None
    node = _node(path, target, status)
    if node is None:
        raise NotFound(f"{what}: not a device node")
    yield node


def _below(path: str, target: str) -> Iterator[Mapping[str, Any]]:
    try:
        status = os.lstat(path)
        is_directory = stat.S_ISDIR(status.st_mode)
        entries = sorted(os.listdir(path)) if is_directory else []
    except OSError:  # gone meanwhile, or not to be read
        return
    if is_directory:
        if os.path.basename(path) not in ("pts", "shm", "fd", "mqueue"):
            for entry in entries:
                yield from _below(f"{path}/{entry}", f"{target}/{entry}")
        return
    node = _node(path, target, status)
    if node is not None and os.path.basename(path) != "console":
        yield node


def _node(path: str, target: str, status: os.stat_result) -> Mapping[str, Any] | None:
    kind = {stat.S_IFCHR: "c", stat.S_IFBLK: "b"}.get(stat.S_IFMT(status.st_mode))
    if kind is None:
        return None
    return {
        "path": target,
        "hostPath": path,
        "type": kind,
        "major": os.major(status.st_rdev),
        "minor": os.minor(status.st_rdev),
        "fileMode": stat.S_IMODE(status.st_mode),
        "uid": status.st_uid,
        "gid": status.st_gid,
    }


def _rule(text: str) -> Mapping[str, Any]:
    kind, numbers, access = check_rule(text).split(" ")
    major, _, minor = numbers.partition(":")
    rule: dict[str, Any] = {"allow": True, "type": kind, "access": access}
    for name, number in (("major", major), ("minor", minor)):
        if number != "*":
            rule[name] = int(number)
    return rule


def _described(requests: Sequence[DeviceRequest]) -> cdi.Edits:
    """Find the devices that are wanted by name. Raises NotFound for one that nobody describes."""
    if not requests:
        return cdi.Edits()
    known = cdi.read()
    chosen: dict[str, cdi.CdiDevice] = {}
    for request in requests:
        names = list(request["DeviceIDs"] or ()) if request["Driver"] == "cdi" else _gpus(request, known)
        missing = [name for name in names if name not in known]
        if missing:
            raise NotFound(
                f"CDI device injection failed: unresolvable CDI devices {', '.join(missing)}",
                hint=f"described are {', '.join(known)}"
                if known
                else f"no device is described in {cdi.DIRECTORIES[0]}",
            )
        chosen |= {name: known[name] for name in names}
    return cdi.together(tuple(chosen.values()))


def _gpus(request: DeviceRequest, known: Mapping[str, cdi.CdiDevice]) -> list[str]:
    """Return the described devices that a request for GPUs means."""
    for kind in _GPU_KINDS:
        own = [name.partition("=")[2] for name, device in known.items() if device.kind == kind]
        if not own:
            continue
        wanted: Sequence[str] = request["DeviceIDs"] or ()
        if not wanted:
            single = [name for name in own if name != "all"]
            count = request["Count"]
            wanted = (["all"] if "all" in own else single) if count < 0 else single[:count]
            if len(wanted) < count:
                raise NotFound(f"could not select {count} GPUs: {len(single)} are described as {kind}")
        return [f"{kind}={name}" for name in wanted]
    raise NotFound(
        f'could not select device driver "{request["Driver"]}" with capabilities: {_go(request["Capabilities"])}',
        hint=f"GPUs are found as described devices, as {_GPU_KINDS[0]}=0 in {cdi.DIRECTORIES[0]}",
    )


def _go(lists: list[list[str]] | None) -> str:
    return "[" + " ".join(f"[{' '.join(words)}]" for words in lists or ()) + "]"


def block_io(host: HostConfig) -> dict[str, Any]:
    """Return linux.resources.blockIO for the weights and rates that were asked for. Raises NotFound."""
    found: dict[str, Any] = {}
    if host.get("BlkioWeight"):
        found["weight"] = host["BlkioWeight"]
    weights: Sequence[WeightDevice] = host.get("BlkioWeightDevice") or ()
    if weights:
        found["weightDevice"] = [{**_numbers(entry["Path"]), "weight": entry["Weight"]} for entry in weights]
    rates: dict[str, Sequence[ThrottleDevice]] = {
        "throttleReadBpsDevice": host.get("BlkioDeviceReadBps") or (),
        "throttleWriteBpsDevice": host.get("BlkioDeviceWriteBps") or (),
        "throttleReadIOPSDevice": host.get("BlkioDeviceReadIOps") or (),
        "throttleWriteIOPSDevice": host.get("BlkioDeviceWriteIOps") or (),
    }
    for name, entries in rates.items():
        if entries:
            found[name] = [{**_numbers(entry["Path"]), "rate": entry["Rate"]} for entry in entries]
    return found


def _numbers(path: str) -> dict[str, int]:
    try:
        status = os.stat(path)
    except OSError as error:
        raise NotFound(f"stat {path}: {(error.strerror or '').lower()}") from None
    if not stat.S_ISBLK(status.st_mode):
        raise UsageError(f"{path} is no block device: there is no rate or weight of it")
    return {"major": os.major(status.st_rdev), "minor": os.minor(status.st_rdev)}
