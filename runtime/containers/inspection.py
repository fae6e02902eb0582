"""Build the documents that `inspect` shows of containers: the Engine API's, in its shape (version 1.51)."""

from __future__ import annotations

import fcntl
import json
import os

from runtime.containers.condition import read_condition
from runtime.containers.namespaces import owner_of
from runtime.errors import NotFound
from runtime.oci.runtimespec import MASKED_PATHS, READONLY_PATHS
from runtime.oci.shortsha import hex_sha256
from runtime.oci.times import rfc3339

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from runtime.containers.records import Container, Containers
    from runtime.network.settings import EndpointSettings
    from runtime.store import Store

NEVER = "0001-01-01T00:00:00Z"

_HOST_DEFAULTS: dict[str, object] = {
    "Binds": None,
    "ContainerIDFile": "",
    "LogConfig": {"Type": "json-file", "Config": {}},
    "NetworkMode": "bridge",
    "PortBindings": {},
    "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
    "AutoRemove": False,
    "VolumeDriver": "",
    "VolumesFrom": None,
    "ConsoleSize": [0, 0],
    "CapAdd": None,
    "CapDrop": None,
    "CgroupnsMode": "private",
    "Dns": [],
    "DnsOptions": [],
    "DnsSearch": [],
    "ExtraHosts": None,
    "GroupAdd": None,
    "IpcMode": "private",
    "Cgroup": "",
    "Links": None,
    "OomScoreAdj": 0,
    "PidMode": "",
    "Privileged": False,
    "PublishAllPorts": False,
    "ReadonlyRootfs": False,
    "SecurityOpt": None,
    "UTSMode": "",
    "UsernsMode": "",
    "ShmSize": 64 << 20,
    "Runtime": "pybuild",
    "Isolation": "",
    "CpuShares": 0,
    "Memory": 0,
    "NanoCpus": 0,
    "CgroupParent": "",
    "BlkioWeight": 0,
    "BlkioWeightDevice": [],
    "BlkioDeviceReadBps": [],
    "BlkioDeviceWriteBps": [],
    "BlkioDeviceReadIOps": [],
    "BlkioDeviceWriteIOps": [],
    "CpuPeriod": 0,
    "CpuQuota": 0,
    "CpuRealtimePeriod": 0,
    "CpuRealtimeRuntime": 0,
    "CpusetCpus": "",
    "CpusetMems": "",
    "Devices": [],
    "DeviceCgroupRules": None,
    "DeviceRequests": None,
    "MemoryReservation": 0,
    "MemorySwap": 0,
    "MemorySwappiness": None,
    "OomKillDisable": False,
    "PidsLimit": None,
    "Ulimits": [],
    "CpuCount": 0,
    "CpuPercent": 0,
    "IOMaximumIOps": 0,
    "IOMaximumBandwidth": 0,
    "MaskedPaths": list(MASKED_PATHS),
    "ReadonlyPaths": list(READONLY_PATHS),
}
_NULL_WHERE_EMPTY = frozenset(
    "Binds CapAdd CapDrop DeviceCgroupRules DeviceRequests ExtraHosts GroupAdd SecurityOpt VolumesFrom".split()
)
_LEFT_OUT_WHERE_EMPTY = frozenset("Annotations Mounts Sysctls Tmpfs".split())


def find_container(store: Store, text: str, sizes: bool) -> dict[str, object] | None:
    """Give ContainerInspect of the container that `text` names. Raises Conflict where several begin so."""
    from runtime.containers.records import Containers

    containers = Containers(store)
    try:
        container = containers.find(text)
    except NotFound:
        return None
    return inspect(containers, container, sizes=sizes)


def inspect(containers: Containers, container: Container, *, sizes: bool = False) -> dict[str, object]:
    """Return the whole document; `sizes` adds SizeRw and SizeRootFs, in bytes."""
    directory = containers.directory(container.id)
    image = containers.store.images.get(container.image)  # type: ignore[arg-type]  # a digest, as create wrote it
    condition = read_condition(directory)
    files = containers.directory(owner_of(containers, container).id) / "files"
    driver = (container.host_config.get("LogConfig") or {}).get("Type", "json-file")
    document: dict[str, object] = {
        "Id": container.id,
        "Created": rfc3339(container.created),
        "Path": container.path,
        "Args": list(container.args),
        "State": _state(containers, container),
        "Image": container.image,
        "ResolvConfPath": str(files / "resolv.conf"),
        "HostnamePath": str(files / "hostname"),
        "HostsPath": str(files / "hosts"),
        "LogPath": str(directory / "log") if driver == "json-file" else "",
        "Name": f"/{container.name}",
        "RestartCount": condition.restarts,
        "Driver": "overlay2" if containers.store.snapshots.overlay else "vfs",
        "Platform": image.config.os,
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": _apparmor(container),
        "ExecIDs": exec_ids(containers.directory(container.id)),
        "HostConfig": _host_config(containers, container),
        "GraphDriver": _graph_driver(containers, container),
        "Mounts": [{key: value for key, value in point.items() if key != "ImageID"} for point in container.mounts],
        "Config": _config(container),
        "NetworkSettings": _network(containers, container),
    }
    if sizes:
        own, whole = size_of(containers, container)
        document |= {"SizeRw": own, "SizeRootFs": whole}
    return document


def size_of(containers: Containers, container: Container) -> tuple[int, int]:
    """Return the bytes in a container's own layer, and those together with its image's."""
    image = containers.store.images.get(container.image)  # type: ignore[arg-type]  # as above
    own = own_size(containers, container)
    return own, own + image.size


def own_size(containers: Containers, container: Container) -> int:
    """Return the bytes in a container's own layer; of a whole copy, those above the size of its image."""
    directory = containers.directory(container.id)
    if (directory / "rootfs").is_dir():
        image = containers.store.images.get(container.image)  # type: ignore[arg-type]  # as above
        return max(0, _bytes_below(directory / "rootfs") - image.size)
    upper = directory / "upper"
    link = upper / "etc/mtab"  # which a container gets when it is made, and does not count with Docker
    made = len("/proc/mounts") if link.is_symlink() and os.readlink(link) == "/proc/mounts" else 0
    return _bytes_below(upper) - made


def bindings(container: Container) -> dict[str, list[dict[str, str]]]:
    """Return the published ports of a running container: `80/tcp` to where each is to be had (HostIp, HostPort)."""
    ports = container.network.get("ports")
    return ports if isinstance(ports, dict) else {}


def all_ports(container: Container) -> dict[str, list[dict[str, str]] | None]:
    """Return the exposed ports of a running container to where each is published, None for nowhere.

    Where it has no way out, nothing is exposed.
    """
    from runtime.network.ways import way_out

    last = container.network.get("networks")
    if container.network.get("mode") not in ("pasta", "slirp4netns") and not way_out(dict(last or {})):  # type: ignore[call-overload]  # as the start writes it
        return {}
    return {**dict.fromkeys(container.config.get("ExposedPorts") or ()), **bindings(container)}


def _bytes_below(top: Path) -> int:
    total = 0
    seen: set[tuple[int, int]] = set()
    for base, _, names in os.walk(top):
        for name in names:
            status = os.lstat(os.path.join(base, name))
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                total += status.st_size
    return total


def _state(containers: Containers, container: Container) -> dict[str, object]:
    state = containers.state(container)
    directory = containers.directory(container.id)
    condition = read_condition(directory)
    document: dict[str, object] = {
        "Status": state,
        "Running": state in ("running", "paused", "restarting"),
        "Paused": state == "paused",
        "Restarting": state == "restarting",
        "OOMKilled": container.oom_killed,
        "Dead": False,
        "Pid": container.pid if state in ("running", "paused") else 0,
        "ExitCode": container.exit_code,
        "Error": container.error,
        "StartedAt": rfc3339(container.started) if container.started else NEVER,
        "FinishedAt": rfc3339(container.finished) if container.finished else NEVER,
    }
    if condition.health:
        document["Health"] = {
            "Status": condition.health_in(state),
            "FailingStreak": condition.failing,
            "Log": health_log(directory),
        }
    return document


def exec_ids(directory: Path) -> list[str] | None:
    """Return the ids of the further commands that run in a container, None for none."""
    try:
        names = sorted(os.listdir(directory / "execs"))
    except OSError:
        return None
    return [name for name in names if _is_held(directory / "execs" / name)] or None


def _is_held(mark: Path) -> bool:
    try:
        with open(mark, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def health_log(directory: Path) -> list[dict[str, object]]:
    """Return the last results of a container's health check, the oldest first."""
    try:
        with open(directory / "health", encoding="utf-8", errors="replace") as file:
            return [json.loads(line) for line in file]
    except (OSError, ValueError):
        return []


def _host_config(containers: Containers, container: Container) -> dict[str, object]:
    asked: dict[str, object] = dict(container.host_config)
    if asked.get("Links"):
        from runtime.containers import links  # lazy: hardly anybody links containers any more

        asked["Links"] = links.shown(containers, container)
    for name in ("Inherited", "Networks"):  # this program's own
        asked.pop(name, None)
    for name in _NULL_WHERE_EMPTY:
        if not asked.get(name):
            asked.pop(name, None)
    for name in _LEFT_OUT_WHERE_EMPTY:
        if not asked.get(name):
            asked.pop(name, None)
    if not asked.get("IpcMode"):
        asked["IpcMode"] = "private"
    if "MaskedPaths" in asked:  # of --security-opt systempaths=unconfined, which is no option of the list
        asked.setdefault("SecurityOpt", [])
    if asked.get("Privileged"):
        asked |= {"MaskedPaths": None, "ReadonlyPaths": None}
    if asked.get("Privileged") or "host" in (asked.get("PidMode"), asked.get("IpcMode")):
        options = container.host_config.get("SecurityOpt") or []
        if not any(option.startswith("label") for option in options):
            asked["SecurityOpt"] = [*options, "label=disable"]
    if asked.get("PidsLimit") == -1:
        asked["PidsLimit"] = None
    return {**_HOST_DEFAULTS, **asked}


def _apparmor(container: Container) -> str:
    options = container.host_config.get("SecurityOpt") or ()
    return next((text[9:] for text in options if text.startswith(("apparmor=", "apparmor:"))), "")


_SWITCHES = ("AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce")
_CONFIG_DEFAULTS: dict[str, object] = {
    **dict.fromkeys(("Hostname", "Domainname", "User", "WorkingDir"), ""),
    **dict.fromkeys(_SWITCHES, False),
    **dict.fromkeys(("Cmd", "Entrypoint"), None),
    "Labels": {},
}
"""Fields that every container shows; what made it without flags may have left them out."""


def _config(container: Container) -> dict[str, object]:
    config: dict[str, object] = {**_CONFIG_DEFAULTS, **container.config, "OnBuild": None}
    for name in ("ExposedPorts", "Healthcheck", "StopSignal", "StopTimeout"):
        if not config.get(name) and config.get(name) != 0:
            config.pop(name, None)
    for name in ("Env", "Volumes"):
        config[name] = config.get(name) or None
    host = container.host_config
    mode = host.get("NetworkMode") or "bridge"
    address = (host.get("Networks") or {}).get(mode, {}).get("MacAddress")
    if address and mode not in ("host", "none"):
        config["MacAddress"] = address
    return config


def _graph_driver(containers: Containers, container: Container) -> dict[str, object]:
    directory = containers.directory(container.id)
    image = containers.store.images.get(container.image)  # type: ignore[arg-type]  # as above
    if not containers.store.snapshots.overlay or image.chain_id is None:
        return {"Name": "vfs", "Data": {"ID": container.id}}
    try:
        lower = containers.store.snapshots.stack(image.chain_id)
    except NotFound:
        lower = ()
    data = {
        "ID": container.id,
        "LowerDir": ":".join(map(str, lower)),
        "UpperDir": str(directory / "upper"),
        "WorkDir": str(directory / "work"),
    }
    return {"Name": "overlay2", "Data": data}


def _network(containers: Containers, container: Container) -> dict[str, object]:
    running = containers.state(container) in ("running", "paused")
    mode = container.host_config.get("NetworkMode") or "bridge"
    shared = mode.startswith("container:")
    networks = _endpoints(containers, container, running)
    endpoint = networks.get("bridge", _NO_ENDPOINT)  # the plain fields are of the time when there was no other
    return {
        "Bridge": "",
        "SandboxID": hex_sha256(f"{container.id}:network".encode()) if running and not shared else "",
        "SandboxKey": f"/proc/{container.pid}/ns/net" if running and not shared else "",
        "Ports": all_ports(container) if running else {},
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        "EndpointID": endpoint["EndpointID"],
        **{
            name: endpoint[name]
            for name in (
                "Gateway GlobalIPv6Address GlobalIPv6PrefixLen IPAddress IPPrefixLen IPv6Gateway MacAddress"
            ).split()
        },
        "Networks": networks,
    }


_NO_ENDPOINT: dict[str, object] = {
    "IPAMConfig": None,
    "Links": None,
    "Aliases": None,
    "MacAddress": "",
    "DriverOpts": None,
    "GwPriority": 0,
    "NetworkID": "",
    "EndpointID": "",
    "Gateway": "",
    "IPAddress": "",
    "IPPrefixLen": 0,
    "IPv6Gateway": "",
    "GlobalIPv6Address": "",
    "GlobalIPv6PrefixLen": 0,
    "DNSNames": None,
}


def _asked_addresses(wishes: EndpointSettings) -> dict[str, object] | None:
    names: dict[str, object] = {
        "IPv4Address": wishes.get("IPAddress"),
        "IPv6Address": wishes.get("IPv6Address"),
        "LinkLocalIPs": wishes.get("LinkLocalIPs"),
    }
    return {name: address for name, address in names.items() if address} or ({} if wishes.get("Connected") else None)


def _endpoints(containers: Containers, container: Container, running: bool) -> dict[str, dict[str, object]]:
    """Describe the networks of a container: what it has of them while it runs, and what it asked for.

    Of one that has ended the networks' ids are still known, and how it was called there.
    """
    from runtime.containers.membership import endpoint_id, endpoints_of, predefined_id
    from runtime.containers.records import network_names
    from runtime.network.plan import MODES

    host = container.host_config
    mode = host.get("NetworkMode") or "bridge"
    if mode.startswith("container:"):
        return {}
    asked = host.get("Networks") or {}
    last = endpoints_of(container)
    documents = {}
    for name in dict.fromkeys((*network_names(container), *(last if running else ()))):
        wishes, facts = asked.get(name, {}), last.get(name, {})
        predefined = name in MODES
        number = str(facts.get("id") or (predefined_id(containers.store, name) if predefined else ""))
        named = not predefined and (facts or wishes.get("Connected"))
        documents[name] = {
            **_NO_ENDPOINT,
            "IPAMConfig": _asked_addresses(wishes),
            "Links": wishes.get("Links") or None,
            "DriverOpts": wishes.get("DriverOpts") or ({} if wishes.get("Connected") else None),
            "GwPriority": wishes.get("GwPriority", 0),
            "Aliases": wishes.get("Aliases") or ([] if wishes.get("Connected") else None),
            "MacAddress": wishes.get("MacAddress", "") if running or not container.started else "",
            "NetworkID": number if container.started else "",
            "DNSNames": _dns_names(container, wishes) if named else None,
        }
        if not running:
            continue
        if predefined and not facts and name != "bridge":
            documents[name]["EndpointID"] = endpoint_id(container.id, number)
        if facts:
            documents[name] |= {
                "MacAddress": facts["mac"],
                "EndpointID": endpoint_id(container.id, number),
                "Gateway": facts["gateway"],
                "IPAddress": facts["address"],
                "IPPrefixLen": facts["prefix"],
                "IPv6Gateway": facts.get("gateway6", ""),
                "GlobalIPv6Address": facts.get("address6", ""),
                "GlobalIPv6PrefixLen": facts.get("prefix6", 0),
            }
    return documents


def _dns_names(container: Container, wishes: EndpointSettings) -> list[str]:
    """Return what a container is called on a user's network."""
    names = (container.name, *(wishes.get("Aliases") or ()), container.short_id, container.config.get("Hostname", ""))
    return [name for name in dict.fromkeys(names) if name]
