"""Decide which namespaces a container has of its own, and which it shares with the machine or another container."""

from __future__ import annotations

import os
from collections.abc import Mapping

from frozen import Frozen
from runtime.containers.documents import HostConfig
from runtime.errors import Conflict, UsageError
from runtime.oci.runtimespec import bind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.containers.records import Container, Containers

_OTHER = "container:"
_MODES = {
    "PidMode": ("", "host", _OTHER),
    "IpcMode": ("", "none", "private", "shareable", "host", _OTHER),
    "UTSMode": ("", "host"),
    "UsernsMode": ("", "host"),
    "CgroupnsMode": ("", "private", "host"),
}
_REFUSALS = {
    "PidMode": "--pid: invalid PID mode",
    "UTSMode": "--uts: invalid UTS mode",
    "UsernsMode": "--userns: invalid USER mode",
    "CgroupnsMode": "--cgroupns: invalid CGROUP mode",
}
_SHARED = ("PidMode", "IpcMode", "NetworkMode")


class Spaces(Frozen):
    """What a container's namespaces are to be, for `container_spec`; `without` are default mounts it does not get."""

    modes: Mapping[str, str]
    mounts: tuple[Mapping[str, object], ...]
    without: tuple[str, ...]


def check_modes(host: HostConfig) -> None:
    """Raise UsageError for a mode that there is not, in Docker's words."""
    for field, known in _MODES.items():
        mode = str(host.get(field) or "")
        if mode in known and mode != _OTHER:
            continue
        if _OTHER in known and mode.startswith(_OTHER) and mode != _OTHER:
            continue
        names = ", ".join(f"{word}NAME" if word == _OTHER else word for word in known if word)
        raise UsageError(_REFUSALS.get(field, f"invalid IPC mode: {mode}"), hint=f"there are: {names}; not {mode!r}")


def resolved(containers: Containers, host: HostConfig) -> HostConfig:
    """Return the settings with the containers that they name by `container:NAME` as ids. Raises NotFound."""
    named = {field: str(host.get(field) or "") for field in _SHARED if str(host.get(field) or "").startswith(_OTHER)}
    if not named:
        return host
    ids = {field: _OTHER + containers.find(mode.removeprefix(_OTHER)).id for field, mode in named.items()}
    return {**host, **ids}  # type: ignore[typeddict-item]  # fields of words


def spaces_of(containers: Containers, host: HostConfig) -> Spaces:
    """Return what a container that starts now is to have. Raises NotFound, Conflict for another that cannot share."""
    modes = {
        kind: "host"
        for kind, field in (("pid", "PidMode"), ("ipc", "IpcMode"), ("uts", "UTSMode"), ("cgroup", "CgroupnsMode"))
        if host.get(field) == "host"
    }
    mounts: list[Mapping[str, object]] = []
    pid, ipc = host.get("PidMode") or "", host.get("IpcMode") or ""
    if pid.startswith(_OTHER):
        modes["pid"] = f"/proc/{_running(containers, pid, 'PID').pid}/ns/pid"
    if ipc.startswith(_OTHER):
        other = _running(containers, ipc, "IPC")
        if other.host_config.get("IpcMode") != "shareable":
            raise Conflict(
                f"failed to join IPC namespace: container {other.id}: non-shareable IPC",
                hint=f"make {other.name} with --ipc shareable",
            )
        modes["ipc"] = f"/proc/{other.pid}/ns/ipc"
        mounts.append(
            {
                "destination": "/dev/shm",
                "type": "foreign",
                "source": "/dev/shm",
                "namespace": f"/proc/{other.pid}/ns/mnt",
                "options": ["nosuid", "noexec", "nodev"],
            }
        )
    if ipc == "host":
        mounts.append(bind("/dev/shm", "/dev/shm"))
    without = ["/dev/shm"] if ipc == "none" else []
    if ipc == "host" and not os.path.isdir("/dev/mqueue") and containers.store.context.rootless:
        without.append("/dev/mqueue")  # the machine's queues can be bound there and not mounted, and it shows none
    return Spaces(modes=modes, mounts=tuple(mounts), without=tuple(without))


def owner_of(containers: Containers, container: Container) -> Container:
    """Return whose hosts, hostname and resolv.conf a container has: of the one whose network it shares.

    That one may share another's in turn.
    """
    while (mode := container.host_config.get("NetworkMode") or "").startswith(_OTHER):
        other = containers.get(mode.removeprefix(_OTHER))
        if other is None:
            break
        container = other
    return container


def _running(containers: Containers, mode: str, kind: str) -> Container:
    other = containers.find(mode.removeprefix(_OTHER))
    if not containers.is_running(other):
        raise Conflict(
            f"failed to join {kind} namespace: container {other.id} is not running", hint=f"pybuild start {other.name}"
        )
    if containers.store.context.rootless:
        _check_users(other, kind)
    return other


def _check_users(other: Container, kind: str) -> None:
    """Refuse to share where the other container was started in a user namespace that this process is not in."""
    if os.readlink(f"/proc/{other.pid}/ns/user") != os.readlink("/proc/self/ns/user"):
        raise Conflict(
            f"failed to join {kind} namespace: container {other.id} is in another user namespace",
            hint=f"start {other.name} again while this one runs, or start both as root",
        )
