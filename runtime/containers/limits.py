"""Change the limits of a container that exists, in its record and, where it runs, in its control groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from frozen import replace
from runtime.containers.checks import check_config
from runtime.containers.documents import HostConfig
from runtime.errors import Conflict, PybuildError, UsageError

if TYPE_CHECKING:
    from runtime.containers.records import Container, Containers


def update(containers: Containers, container: Container, changes: HostConfig) -> None:
    """Set what `changes` holds. Raises UsageError, Conflict, PybuildError; then nothing is changed in the record.

    A limit of nothing, as `--memory 0`, changes nothing. The monitor of one that runs hears of another restart policy
    at once.
    """
    changes = cast(HostConfig, {name: value for name, value in changes.items() if value not in (0, "")})
    _check(containers, container, changes)
    host = cast(HostConfig, {**container.host_config, **changes})
    check_config(container.config, host)
    policy = host.get("RestartPolicy")
    if host.get("AutoRemove") and policy is not None and policy["Name"] not in ("", "no"):
        raise Conflict("Restart policy cannot be updated because AutoRemove is enabled for the container")
    limits = {name: value for name, value in changes.items() if name != "RestartPolicy"}
    if limits and containers.is_running(container):
        _apply(containers, replace(container, host_config=host))
    if host.get("PidsLimit") == -1:
        host["PidsLimit"] = 0  # as Docker records it
    containers.reconfigure(container, host)
    if "RestartPolicy" in changes and containers.is_running(container):
        _tell_policy(containers, container, host)


def _tell_policy(containers: Containers, container: Container, host: HostConfig) -> None:
    import marshal
    from contextlib import suppress

    from runtime.containers import protocol
    from runtime.containers.connection import connect
    from runtime.containers.policies import restart_policy

    sock = connect(containers, container)
    if sock is not None:
        with sock, suppress(OSError):  # one that ends at this moment is started by what is recorded
            sock.sendall(protocol.frame(protocol.RESTART, marshal.dumps(restart_policy(host))))


def _check(containers: Containers, container: Container, changes: HostConfig) -> None:
    """Raise UsageError for a change that does not go with what is set already, in Docker's words."""
    from runtime.sandbox.cgroups import counts_swap  # lazy: only for update

    old, reason = container.host_config, ""
    swap = old.get("MemorySwap", 0)
    if (
        0 <= swap < changes.get("Memory", 0)
        and "MemorySwap" not in changes
        and (swap or counts_swap(rootless=containers.store.context.rootless))
    ):
        reason = (
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"
        )
    for field, what in (("CpuQuota", "CPU Quota"), ("CpuPeriod", "CPU Period")):
        if changes.get(field) and old.get("NanoCpus"):
            reason = f"Conflicting options: {what} cannot be updated as NanoCPUs has already been set"
        if changes.get("NanoCpus") and old.get(field):
            reason = f"Conflicting options: Nano CPUs cannot be updated as {what} has already been set"
    if reason:
        raise UsageError(f"Cannot update container {container.id}: {reason}")


def _apply(containers: Containers, container: Container) -> None:
    from runtime.containers.bundle import resources_of
    from runtime.containers.cgroup import cgroup_name
    from runtime.oci.runtimespec import container_spec
    from runtime.sandbox.cgroups import change
    from runtime.sandbox.failure import LaunchFailure

    document = container_spec(args=("true",), resources=resources_of(container.host_config))
    wanted = {key: value for key, value in document["linux"]["resources"].items() if key != "devices"}
    name = cgroup_name(containers, container.id, container.host_config.get("CgroupParent", ""))
    try:
        change(name, wanted, rootless=containers.store.context.rootless)
    except LaunchFailure as failure:
        raise PybuildError(f"Cannot update container {container.name}: {failure}") from None
