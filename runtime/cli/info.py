"""`pybuild info`: say what there is in the root directory, and what this machine gives to containers."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.context import Context
from runtime.version import VERSION

if TYPE_CHECKING:
    from runtime.store import Store

VERB = Verb(
    name="info",
    summary="Show what there is, and what this machine gives to containers",
    needs_store=True,
    words=(0, 0),
    flags=(Flag("--format", "-f", kind="text", metavar="FORMAT", help="'json' or a Go template"),),
)

_EXPECTED_ABSENT = frozenset(("CpuCfsPeriod", "CpuCfsQuota", "CPUShares", "OomKillDisable"))
_LIMITS = {
    "MemoryLimit": "memory",
    "SwapLimit": "memory",
    "CpuCfsPeriod": "cpu",
    "CpuCfsQuota": "cpu",
    "CPUShares": "cpu",
    "CPUSet": "cpuset",
    "PidsLimit": "pids",
    "OomKillDisable": "memory",
}


def run(args: Arguments, context: Context) -> int:
    """Print it: the Engine API's fields as far as they mean something here."""
    from runtime.cli.templates import render, to_json
    from runtime.store import Store

    with Store.open(context) as store:
        facts = {**_counts(store), **_storage(store), **_machine(), **_groups(context), **_engine(context)}
    facts["SecurityOptions"] = ["name=seccomp,profile=builtin", *(["name=rootless"] if context.rootless else ())]
    form = args.text("format")
    if form == "json":
        context.stdout.write(to_json(facts) + "\n")
    elif form:
        context.stdout.write(render(form, facts) + "\n")
    else:
        context.stdout.write(_as_text(facts))
    return 0


def _counts(store: Store) -> dict[str, object]:
    from runtime.containers.records import Containers

    containers = Containers(store)
    states = Counter(containers.state(container) for container in containers.list())
    running, paused = states["running"] + states["restarting"], states["paused"]
    return {
        "Containers": states.total(),
        "ContainersRunning": running,
        "ContainersPaused": paused,
        "ContainersStopped": states.total() - running - paused,
        "Images": len(store.images.list()),
    }


def _storage(store: Store) -> dict[str, object]:
    from runtime.store.placement import file_system_of

    root = store.layout.root
    status = [["Backing Filesystem", file_system_of(root)], ["userxattr", str(store.context.rootless).lower()]]
    return {
        "ServerVersion": VERSION,
        "Driver": "overlay2" if store.snapshots.overlay else "vfs",
        "DriverStatus": status,
        "DockerRootDir": str(root),
        "LoggingDriver": "json-file",
        "Plugins": {
            "Volume": ["local"],
            "Network": ["bridge", "host", "null"],
            "Authorization": None,
            "Log": ["json-file", "local", "none"],
        },
        "Rootless": store.context.rootless,
        "LiveRestoreEnabled": True,
    }


def _machine() -> dict[str, object]:
    machine = os.uname()
    release = _os_release()
    return {
        "Name": machine.nodename,
        "KernelVersion": machine.release,
        "OperatingSystem": release.get("PRETTY_NAME", machine.sysname),
        "OSVersion": release.get("VERSION_ID", ""),
        "OSType": machine.sysname.lower(),
        "Architecture": machine.machine,
        "NCPU": len(os.sched_getaffinity(0)),
        "MemTotal": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
    }


def _engine(context: Context) -> dict[str, object]:
    """Return what Docker's engine says of itself, as it is here, where there is none."""
    from runtime.oci.times import rfc3339

    forwards = _first_line("/proc/sys/net/ipv4/ip_forward") == "1"
    proxies = {field: context.environ.get(name, "") for field, name in _PROXIES.items()}
    return {
        "IPv4Forwarding": forwards,
        "Debug": False,
        "SystemTime": rfc3339(context.now()),
        "IndexServerAddress": "https://index.docker.io/v1/",
        **proxies,
        "Labels": [],
        "ExperimentalBuild": False,
        "Runtimes": {"pybuild": {"path": "pybuild"}},
        "DefaultRuntime": "pybuild",
        "Swarm": {"NodeID": "", "LocalNodeState": "inactive", "ControlAvailable": False},
        "Isolation": "",
        "InitBinary": "pybuild",
    }


_PROXIES = {"HttpProxy": "http_proxy", "HttpsProxy": "https_proxy", "NoProxy": "no_proxy"}


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.readline().strip()
    except OSError:
        return ""


def _os_release() -> dict[str, str]:
    import shlex  # lazy: only for this verb

    for path in ("/etc/os-release", "/usr/lib/os-release"):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                return dict(word.split("=", 1) for word in shlex.split(file.read(), comments=True) if "=" in word)
        except (OSError, ValueError):
            continue
    return {}


def _groups(context: Context) -> dict[str, object]:
    from runtime.sandbox.cgroups import hierarchies

    usable = [group for group in hierarchies(own=context.rootless) if os.access(group.directory, os.W_OK)]
    controllers = {name for group in usable for name in group.controllers}
    version = "2" if all(group.version == 2 for group in usable) else "1"
    limits = {name: controller in controllers for name, controller in _LIMITS.items()}
    limits["OomKillDisable"] &= version == "1"
    return {"CgroupDriver": "cgroupfs" if usable else "none", "CgroupVersion": version, **limits}


def _as_text(facts: dict[str, object]) -> str:
    plugins = facts["Plugins"]
    status = facts["DriverStatus"]
    assert isinstance(plugins, dict)
    assert isinstance(status, list)
    memory = facts["MemTotal"]
    assert isinstance(memory, int)
    lines = [
        f"Containers: {facts['Containers']}",
        f" Running: {facts['ContainersRunning']}",
        f" Paused: {facts['ContainersPaused']}",
        f" Stopped: {facts['ContainersStopped']}",
        f"Images: {facts['Images']}",
        f"Server Version: {facts['ServerVersion']}",
        f"Storage Driver: {facts['Driver']}",
        *(f" {name}: {value}" for name, value in status),
        f"Logging Driver: {facts['LoggingDriver']}",
        f"Cgroup Driver: {facts['CgroupDriver']}",
        f"Cgroup Version: {facts['CgroupVersion']}",
        "Plugins:",
        *(f" {kind}: {' '.join(plugins[kind])}" for kind in ("Volume", "Network", "Log")),
        f"Default Runtime: {facts['DefaultRuntime']}",
        "Security Options:",
        "  seccomp",
        "   Profile: builtin",
        *(["  rootless"] if facts["Rootless"] else ()),
        f"Kernel Version: {facts['KernelVersion']}",
        f"Operating System: {facts['OperatingSystem']}",
        f"OSType: {facts['OSType']}",
        f"Architecture: {facts['Architecture']}",
        f"CPUs: {facts['NCPU']}",
        f"Total Memory: {memory / (1 << 30):.4g}GiB",
        f"Name: {facts['Name']}",
        f"Docker Root Dir: {facts['DockerRootDir']}",
        *(f"WARNING: No {name} support" for name in _LIMITS if not facts[name] and name not in _EXPECTED_ABSENT),
    ]
    return "\n".join(lines) + "\n"
