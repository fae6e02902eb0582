"""Describe a container as an OCI runtime-spec document, with Docker's defaults for whatever is not said."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

from frozen import Frozen
from runtime.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SPEC_VERSION = "1.2.1"
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# <linux/capability.h>, in the order of their numbers
CAPABILITIES = tuple(
    "CAP_" + name
    for name in (
        "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
        "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT "
        "SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL "
        "SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
    ).split()
)
DEFAULT_CAPABILITIES = tuple(
    name
    for name in CAPABILITIES
    if name.removeprefix("CAP_")
    in {
        "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "NET_BIND_SERVICE",
        "NET_RAW", "SYS_CHROOT", "MKNOD", "AUDIT_WRITE", "SETFCAP",
    }
)  # fmt: skip
"""What Docker leaves to a container's root."""

MASKED_PATHS = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_DEVICES = ((1, 5), (1, 3), (1, 9), (1, 8), (1, 7), (5, 0), (5, 1), (5, 2))
_PTS_MAJOR = 136
_NOT_DEVICES = ("/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/fd", "/dev/console", "/dev/ptmx", "/dev/tty")
_RLIMITS = frozenset(
    "as core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split()
)
_NAMESPACES = {"pid": "pid", "ipc": "ipc", "uts": "uts", "cgroup": "cgroup", "user": "user"}
_NONE: Mapping[str, str] = MappingProxyType({})


class User(Frozen):
    """Who the command runs as; `groups` are the additional ones (the main one need not be repeated)."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()


class Resources(Frozen):
    """Limits that were asked for; None is: not asked, leave it. Sizes in bytes, times in microseconds.

    `swap` is memory plus swap as in Docker's --memory-swap, -1 unlimited. `pids` -1 is unlimited. `block_io` is the
    linux.resources.blockIO of the document.
    """

    memory: int | None = None
    swap: int | None = None
    reservation: int | None = None
    cpu_shares: int | None = None
    cpu_quota: int | None = None
    cpu_period: int | None = None
    cpuset_cpus: str | None = None
    cpuset_mems: str | None = None
    pids: int | None = None
    swappiness: int | None = None
    without_oom_killer: bool | None = None
    realtime_runtime: int | None = None
    realtime_period: int | None = None
    block_io: Mapping[str, Any] | None = None


ROOT = User()
UNLIMITED = Resources()


def resolve_capabilities(
    *, add: Iterable[str] = (), drop: Iterable[str] = (), privileged: bool = False
) -> tuple[str, ...]:
    """Apply --cap-add and --cap-drop to Docker's default set: names with or without CAP_, any case, or ALL.

    As there, ALL in `add` with names in `drop` is all but those, ALL in `drop` with names in `add` these alone, and a
    name in both is added. Returns names in the kernel's order. Raises UsageError for a name that no kernel knows.
    """
    if privileged:
        return CAPABILITIES
    added, dropped = [_capability(name) for name in add], [_capability(name) for name in drop]
    base = set(DEFAULT_CAPABILITIES)
    if "ALL" in added:
        base = set(CAPABILITIES) - set(dropped)
    elif "ALL" in dropped:
        base = set(added)
    else:
        base = base - set(dropped) | set(added)
    return tuple(name for name in CAPABILITIES if name in base)


def _capability(word: str) -> str:
    name = word.upper()
    if name == "ALL":
        return name
    name = name if name.startswith("CAP_") else "CAP_" + name
    if name not in CAPABILITIES:
        raise UsageError(f"invalid capability: {word!r}", hint=_nearest(name))
    return name


def _nearest(name: str) -> str | None:
    from difflib import get_close_matches  # lazy: 4 ms

    near = get_close_matches(name, CAPABILITIES, 1)
    return f"did you mean {near[0]}?" if near else "see capabilities(7) for the names"


def bind(source: str, destination: str, *, readonly: bool = False, options: Iterable[str] = ()) -> dict[str, object]:
    """Describe a recursive private bind of host path `source`; a read-only one is so in all that lies below it."""
    words = ["rbind", *(["ro", "rro"] if readonly else ["rw"]), *options]
    if not any(word.lstrip("r") in ("private", "slave", "shared") for word in options):
        words.append("rprivate")
    return {"destination": destination, "type": "bind", "source": source, "options": words}


def tmpfs(destination: str, *, size: int | None = None, options: Iterable[str] = ()) -> dict[str, object]:
    """Describe a tmpfs as `--tmpfs` and `RUN --mount=type=tmpfs` have it (noexec nosuid nodev); `size` in bytes.

    Without a mode it has that of the directory it covers, 1777 where there is none. Words of `options` come later and
    so win, "exec" over "noexec", "size=1m" over `size`.
    """
    given = list(options)
    words = ["noexec", "nosuid", "nodev"]
    if size is not None and not any(word.startswith("size=") for word in given):
        words.append(f"size={size}")
    return {"destination": destination, "type": "tmpfs", "source": "tmpfs", "options": words + given}


def layers(
    rootfs: Mapping[str, object], destination: str, *, subpath: str = "/", options: Iterable[str] = ()
) -> dict[str, object]:
    """Describe a stack of layers mounted in the container: our own mount type, for `--mount=type=bind,from=STAGE`.

    `rootfs` is as in a launcher's request (without an upperdir it is read-only); `subpath` is resolved inside it.
    """
    return {
        "destination": destination,
        "type": "layers",
        "source": "layers",
        "rootfs": dict(rootfs),
        "subpath": subpath,
        "options": list(options),
    }


def container_spec(  # noqa: PLR0913  a document has as many fields
    *,
    args: Sequence[str],
    env: Sequence[str] = (),
    cwd: str = "/",
    user: User = ROOT,
    hostname: str = "",
    domainname: str = "",
    terminal: bool = False,
    readonly: bool = False,
    mounts: Sequence[Mapping[str, object]] = (),
    capabilities: Sequence[str] = DEFAULT_CAPABILITIES,
    privileged: bool = False,
    no_new_privileges: bool = False,
    rootless: bool = False,
    network: str = "private",
    namespaces: Mapping[str, str] = _NONE,
    resources: Resources = UNLIMITED,
    rlimits: Sequence[tuple[str, int, int]] = (),
    shm_size: int = 64 << 20,
    sysctl: Mapping[str, str] = _NONE,
    oom_score_adj: int | None = None,
    umask: int | None = None,
    without: Collection[str] = (),
    all_paths: bool = False,
    writable_groups: bool = False,
) -> dict[str, Any]:
    """Give the document. `env` is used exactly as given ("NAME=VALUE"); nothing is added.

    `mounts` come after the default ones (bind(), tmpfs(), layers() make them), parents before what lies below them; one
    at a default destination replaces it, and what `without` names is left out. `all_paths` neither hides nor locks
    anything of /proc and /sys, `writable_groups` lets the container change its control groups. `capabilities` are the
    bounding, permitted and effective set (see resolve_capabilities). `network` is "private" (a new namespace), "host",
    or the path of a namespace. `namespaces` maps "pid", "ipc", "uts", "cgroup" to "private" (the default), "host" or a
    path; "user" is "host" by default.
    `rlimits` are (name as "nofile" or "RLIMIT_NOFILE", soft, hard), -1 unlimited. `rootless` leaves out what a user
    namespace cannot do. Raises UsageError for names that do not exist.
    """
    account: dict[str, Any] = {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.groups)}
    if umask is not None:
        account["umask"] = umask
    caps = list(capabilities)
    process: dict[str, Any] = {
        "terminal": terminal,
        "user": account,
        "args": list(args),
        "env": list(env),
        "cwd": cwd,
        "capabilities": {"bounding": caps, "effective": caps, "permitted": caps},
        "noNewPrivileges": no_new_privileges,
    }
    if rlimits:
        process["rlimits"] = [_rlimit(*limit) for limit in rlimits]
    if oom_score_adj is not None:
        process["oomScoreAdj"] = oom_score_adj
    spaces = _namespaces(network, namespaces)
    own = {entry["type"] for entry in spaces if "path" not in entry}
    linux: dict[str, Any] = {
        "namespaces": spaces,
        "resources": _resources(resources, privileged),
        "sysctl": {**(_network_sysctls(rootless) if "network" in own else {}), **sysctl},
    }
    if privileged:
        linux["devices"] = host_devices()
    elif not all_paths:
        linux |= {"maskedPaths": list(MASKED_PATHS), "readonlyPaths": list(READONLY_PATHS)}
    document: dict[str, Any] = {
        "ociVersion": SPEC_VERSION,
        "process": process,
        "root": {"path": "rootfs", "readonly": readonly},
        "mounts": _mounts(mounts, shm_size, privileged, without, writable_groups=writable_groups or privileged),
        "linux": linux,
    }
    if hostname:
        document["hostname"] = hostname
    if domainname:
        document["domainname"] = domainname
    return document


def _rlimit(name: str, soft: int, hard: int) -> dict[str, object]:
    short = name.lower().removeprefix("rlimit_")
    if short not in _RLIMITS:
        raise UsageError(f"invalid ulimit type: {name}", hint="one of " + ", ".join(sorted(_RLIMITS)))
    unlimited = 0xFFFFFFFFFFFFFFFF
    return {
        "type": "RLIMIT_" + short.upper(),
        "soft": unlimited if soft == -1 else soft,
        "hard": unlimited if hard == -1 else hard,
    }


def _namespaces(network: str, modes: Mapping[str, str]) -> list[dict[str, str]]:
    for kind in modes:
        if kind not in _NAMESPACES:
            raise UsageError(f"unknown namespace {kind!r}")
    found = [{"type": "mount"}]
    wanted = {"pid": "private", "ipc": "private", "uts": "private", "cgroup": "private", "user": "host"}
    for kind, mode in ({"network": network} | wanted | dict(modes)).items():
        if mode == "private":
            found.append({"type": kind})
        elif mode != "host":
            found.append({"type": kind, "path": mode})
    return found


def _network_sysctls(rootless: bool) -> dict[str, str]:
    """Let everybody bind low ports and, where all groups exist, send echo requests, as Docker does."""
    found = {"net.ipv4.ip_unprivileged_port_start": "0"}
    if not rootless:
        found["net.ipv4.ping_group_range"] = "0 2147483647"
    return found


def _resources(asked: Resources, privileged: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"devices": _device_rules(privileged)}
    groups: dict[str, dict[str, Any]] = {
        "memory": {
            "limit": asked.memory,
            "swap": asked.swap,
            "reservation": asked.reservation,
            "swappiness": asked.swappiness,
            "disableOOMKiller": asked.without_oom_killer,
        },
        "cpu": {
            "shares": asked.cpu_shares,
            "quota": asked.cpu_quota,
            "period": asked.cpu_period,
            "cpus": asked.cpuset_cpus,
            "mems": asked.cpuset_mems,
            "realtimeRuntime": asked.realtime_runtime,
            "realtimePeriod": asked.realtime_period,
        },
        "pids": {"limit": asked.pids},
        "blockIO": dict(asked.block_io or {}),
    }
    for name, values in groups.items():
        given = {key: value for key, value in values.items() if value is not None}
        if given:
            found[name] = given
    return found


def _device_rules(privileged: bool) -> list[dict[str, Any]]:
    """Allow all, or: make any node, use the standard devices and the container's own terminals (as runc does)."""
    if privileged:
        return [{"allow": True, "access": "rwm"}]
    rules: list[dict[str, Any]] = [{"allow": False, "access": "rwm"}]
    rules += [{"allow": True, "type": kind, "access": "m"} for kind in "cb"]
    rules += [
        {"allow": True, "type": "c", "major": major, "minor": minor, "access": "rwm"} for major, minor in _DEVICES
    ]
    rules.append({"allow": True, "type": "c", "major": _PTS_MAJOR, "access": "rwm"})
    return rules


def host_devices(directory: str = "/dev") -> list[dict[str, Any]]:
    """List the device nodes of the machine as linux.devices, for a privileged container; terminals are left out."""
    found: list[dict[str, Any]] = []
    for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
        if entry.is_dir(follow_symlinks=False):
            if entry.path not in _NOT_DEVICES:
                found += host_devices(entry.path)
            continue
        status = entry.stat(follow_symlinks=False)
        kind = {stat.S_IFCHR: "c", stat.S_IFBLK: "b"}.get(stat.S_IFMT(status.st_mode))
        if kind and entry.path not in _NOT_DEVICES:
            numbers = {"major": os.major(status.st_rdev), "minor": os.minor(status.st_rdev)}
            owner = {"fileMode": stat.S_IMODE(status.st_mode), "uid": status.st_uid, "gid": status.st_gid}
            found.append({"path": entry.path, "type": kind, **numbers, **owner})
    return found


def _mounts(
    extra: Sequence[Mapping[str, object]],
    shm_size: int,
    privileged: bool,
    without: Collection[str],
    *,
    writable_groups: bool,
) -> list[dict[str, object]]:
    lock = ["rw" if privileged else "ro"]
    safe = ["nosuid", "noexec", "nodev"]
    pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
    system: dict[str, object] = {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*safe, *lock]}
    group: dict[str, object] = {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"}
    group["options"] = [*safe, "rw" if writable_groups else "ro"]
    default: list[dict[str, object]] = [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": safe},
        {
            "destination": "/dev",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
        },
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": pts},
        system,
        group,
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": safe},
        {
            "destination": "/dev/shm",
            "type": "tmpfs",
            "source": "shm",
            "options": [*safe, "mode=1777", f"size={shm_size}"],
        },
    ]
    given = [dict(mount) for mount in extra]
    taken = {_normal(mount["destination"]) for mount in given} | {_normal(path) for path in without}
    kept = [mount for mount in default if _normal(mount["destination"]) not in taken]
    return kept + sorted(given, key=lambda mount: _normal(mount["destination"]).count("/"))


def _normal(path: object) -> str:
    """Give the path without empty or dot components, "/" as the empty text."""
    return "".join(["/" + part for part in str(path).split("/") if part not in ("", ".")])
