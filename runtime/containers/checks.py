"""Refuse settings that no container can have, in the words of Docker's engine, before anything is made."""

from __future__ import annotations

import os
import re

from runtime.containers.documents import Config, HostConfig
from runtime.containers.namespaces import check_modes
from runtime.containers.quantities import parse_signal
from runtime.containers.security import read_security
from runtime.errors import UsageError
from runtime.oci.runtimespec import resolve_capabilities

_MOST_SHARES = 262_144
_LEAST_MEMORY = 6 << 20
_IPC_SYSCTLS = frozenset(
    "kernel.msgmax kernel.msgmnb kernel.msgmni kernel.sem kernel.shmall kernel.shmmax kernel.shmmni "
    "kernel.shm_rmid_forced kernel.domainname".split()
)
_ONLINE = {"cpus": "/sys/devices/system/cpu/online", "mems": "/sys/devices/system/node/online"}


def check_config(config: Config, host: HostConfig) -> None:
    """Raise UsageError for what no container can have."""
    if not (config.get("Entrypoint") or config.get("Cmd")):
        raise UsageError("no command specified", hint="the image has none: write one behind its name")
    directory = config.get("WorkingDir") or "/"
    if not directory.startswith("/"):
        raise UsageError(f"the working directory '{directory}' is invalid, it needs to be an absolute path")
    if config.get("StopSignal"):
        parse_signal(config["StopSignal"])
    _check_memory(host)
    _check_cpu(host)
    _check_block_io(host)
    if not -1000 <= host.get("OomScoreAdj", 0) <= 1000:
        raise UsageError(f"Invalid value {host['OomScoreAdj']}, range for oom score adj is [-1000, 1000]")
    if host.get("ShmSize", 0) < 0:
        raise UsageError("SHM size can not be less than 0")
    policy = host.get("RestartPolicy")
    if host.get("AutoRemove") and policy is not None and policy["Name"] not in ("", "no"):
        raise UsageError("conflicting options: cannot specify both --restart and --rm")
    check_modes(host)
    _check_sharing(host)
    read_security(host.get("SecurityOpt") or ())
    for name in host.get("Sysctls") or {}:
        check_sysctl(name)


def normal_capabilities(host: HostConfig) -> HostConfig:
    """Return the settings with capabilities as the engine writes them, CAP_NAME or ALL. Raises UsageError."""
    changed: dict[str, list[str]] = {}
    for field in ("CapAdd", "CapDrop"):
        words = []
        given: list[str] = host.get(field) or []  # type: ignore[assignment]  # of both fields
        for word in given:
            name = word.upper()
            name = name if name == "ALL" or name.startswith("CAP_") else f"CAP_{name}"
            try:
                resolve_capabilities(add=(name,))
            except UsageError as error:
                raise UsageError(f'invalid {field}: unknown capability: "{name}"', hint=error.hint) from None
            words.append(name)
        if words:
            changed[field] = list(dict.fromkeys(words))
    return {**host, **changed}  # type: ignore[typeddict-item]  # lists of words, as above


def check_sysctl(name: str) -> None:
    """Raise UsageError for a kernel parameter that belongs to no namespace of a container's own."""
    if not (name in _IPC_SYSCTLS or name.startswith(("net.", "fs.mqueue."))):
        raise UsageError(
            f"sysctl '{name}' is not allowed",
            hint="what belongs to namespaces: net.*, fs.mqueue.*, kernel.shm* and so on",
        )


def _check_sharing(host: HostConfig) -> None:
    """Raise UsageError where namespaces of the machine are asked for together with what is for own ones."""
    network = host.get("NetworkMode") or ""
    for name in host.get("Sysctls") or {}:
        if name.startswith("net.") and network == "host":
            raise UsageError(f'sysctl "{name}" not allowed in host network namespace')
        if name.startswith(("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")) and host.get("IpcMode") == "host":
            raise UsageError(f'sysctl "{name}" is not allowed in the hosts ipc namespace')


def _check_memory(host: HostConfig) -> None:
    memory, swap = host.get("Memory", 0), host.get("MemorySwap", 0)
    if 0 < memory < _LEAST_MEMORY:
        raise UsageError("Minimum memory limit allowed is 6MB")
    if swap > 0 and not memory:
        raise UsageError("You should always set the Memory limit when using Memoryswap limit, see usage")
    if 0 < swap < memory:
        raise UsageError("Minimum memoryswap limit should be larger than memory limit, see usage")
    if 0 < host.get("MemoryReservation", 0) < _LEAST_MEMORY:
        raise UsageError("Minimum memory reservation allowed is 6MB")
    if memory and host.get("MemoryReservation", 0) > memory:
        raise UsageError("Minimum memory limit can not be less than memory reservation limit, see usage")
    if not 0 <= host.get("MemorySwappiness", 0) <= 100:
        raise UsageError(
            f"invalid value: {host['MemorySwappiness']}. Valid memory swappiness range is 0-100", hint="-1: as it is"
        )


def _check_cpu(host: HostConfig) -> None:
    for field, word in (("CpuPeriod", "Period"), ("CpuQuota", "Quota")):
        if host.get("NanoCpus") and host.get(field):
            raise UsageError(f"Conflicting options: Nano CPUs and CPU {word} cannot both be set")
    cpus = os.cpu_count() or 1
    if not 0 <= host.get("NanoCpus", 0) <= cpus * 1_000_000_000:
        raise UsageError(f"range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available")
    period, quota = host.get("CpuPeriod", 0), host.get("CpuQuota", 0)
    if period and not 1000 <= period <= 1_000_000:
        raise UsageError("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
    if 0 < quota < 1000:
        raise UsageError("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    if host.get("CpuShares", 0) < 0:
        raise UsageError(f"invalid CPU shares ({host['CpuShares']}): value must be a positive integer")
    if host.get("CpuShares") == 1:
        raise UsageError("the minimum allowed cpu-shares is 2", hint="1024 is the share of who asks for none")
    if host.get("CpuShares", 0) > _MOST_SHARES:
        raise UsageError(f"the maximum allowed cpu-shares is {_MOST_SHARES}")
    runtime, real = host.get("CpuRealtimeRuntime", 0), host.get("CpuRealtimePeriod", 0)
    if real and runtime > real:
        raise UsageError("cpu real-time runtime cannot be higher than cpu real-time period")
    for kind, field, what in (("cpus", "CpusetCpus", "CPUs"), ("mems", "CpusetMems", "memory nodes")):
        text = str(host.get(field) or "")
        if text:
            _check_set(text, kind, what)


def _check_set(text: str, kind: str, what: str) -> None:
    wanted = _numbers(text, kind)
    try:
        with open(_ONLINE[kind], encoding="ascii") as file:
            online = file.read().strip()
    except OSError:
        return
    if not wanted <= _numbers(online, kind):
        raise UsageError(f"Requested {what} are not available - requested {text}, available: {online}")


def _numbers(text: str, kind: str) -> set[int]:
    """Read a list as `0-2,5`."""
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", part.strip(), re.ASCII)
        if match is None or int(match[1]) > int(match[2] or match[1]):
            raise UsageError(f"Invalid value {text} for cpuset {kind}: invalid format: {text}", hint="as 0-2,5")
        found.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return found


def _check_block_io(host: HostConfig) -> None:
    weights = [host.get("BlkioWeight") or 10, *(entry["Weight"] or 10 for entry in host.get("BlkioWeightDevice") or ())]
    if not all(10 <= weight <= 1000 for weight in weights):
        raise UsageError("Range of blkio weight is from 10 to 1000")
