"""Say what to write into which file of a control group for each limit of linux.resources, on either version.

OCI runtime-spec, config-linux.md § Memory, CPU, Block IO, PIDs. Standard library alone; nothing is written here.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Setting:
    """One limit that was asked for: `what` for messages, and what to write where on either version.

    `v2` is None for what the second version has not got.
    """

    def __init__(self, what: str, controller: str, v1: list[tuple[str, str]], v2: list[tuple[str, str]] | None) -> None:
        self.what = what
        self.controller = controller
        self.v1 = v1
        self.v2 = v2


def settings_of(resources: dict[str, Any]) -> list[Setting]:
    """List what linux.resources asks for, in an order in which it can be set."""
    found = _memory(resources.get("memory") or {}) + _cpu(resources.get("cpu") or {})
    limit = (resources.get("pids") or {}).get("limit")
    if limit:
        pair = [("pids.max", str(limit) if limit > 0 else "max")]
        found.append(Setting(f"pids limit of {limit}", "pids", pair, pair))
    return found + _block_io(resources.get("blockIO") or {})


def _memory(memory: dict[str, Any]) -> list[Setting]:
    found = []
    limit, swap, reservation = memory.get("limit"), memory.get("swap"), memory.get("reservation")
    if limit:
        v2 = [("memory.max", str(limit) if limit > 0 else "max")]
        found.append(Setting(f"memory limit of {limit}", "memory", [("memory.limit_in_bytes", str(limit))], v2))
    if swap:
        # version 1 counts memory and swap together, version 2 swap alone
        v2 = [("memory.swap.max", "max" if swap < 0 else str(max(0, swap - (limit or 0))))]
        found.append(Setting(f"swap limit of {swap}", "memory", [("memory.memsw.limit_in_bytes", str(swap))], v2))
    if reservation:
        v1, v2 = [("memory.soft_limit_in_bytes", str(reservation))], [("memory.low", str(reservation))]
        found.append(Setting(f"memory reservation of {reservation}", "memory", v1, v2))
    swappiness = memory.get("swappiness")
    if swappiness is not None:
        v1 = [("memory.swappiness", str(swappiness))]
        found.append(Setting(f"swappiness of {swappiness}", "memory", v1, None))
    if memory.get("disableOOMKiller"):
        found.append(Setting("a switched off out-of-memory killer", "memory", [("memory.oom_control", "1")], None))
    return found


def _cpu(cpu: dict[str, Any]) -> list[Setting]:
    found = []
    if cpu.get("shares"):
        shares = cpu["shares"]
        weight = [("cpu.weight", str(_shares_to_weight(shares)))]
        found.append(Setting(f"cpu shares of {shares}", "cpu", [("cpu.shares", str(shares))], weight))
    if cpu.get("quota") or cpu.get("period"):
        quota, period = cpu.get("quota") or -1, cpu.get("period") or 100000
        v1 = [("cpu.cfs_period_us", str(period)), ("cpu.cfs_quota_us", str(quota))]
        v2 = [("cpu.max", f"{'max' if quota < 0 else quota} {period}")]
        found.append(Setting(f"cpu quota of {quota} in {period}", "cpu", v1, v2))
    for key, file in (("realtimePeriod", "cpu.rt_period_us"), ("realtimeRuntime", "cpu.rt_runtime_us")):
        if cpu.get(key):
            found.append(Setting(f"real-time cpu limit of {cpu[key]}", "cpu", [(file, str(cpu[key]))], None))
    for key in ("cpus", "mems"):
        if cpu.get(key):
            pair = [(f"cpuset.{key}", str(cpu[key]))]
            found.append(Setting(f"cpuset {key} of {cpu[key]}", "cpuset", pair, pair))
    return found


def _shares_to_weight(shares: int) -> int:
    """Convert cpu.shares (2 to 262144) to cpu.weight (1 to 10000), linearly, as runc and crun long did."""
    shares = min(max(shares, 2), 262144)
    return 1 + ((shares - 2) * 9999) // 262142


def _block_io(blkio: dict[str, Any]) -> list[Setting]:
    found = []
    if blkio.get("weight"):
        weight = blkio["weight"]
        v1, v2 = [("blkio.bfq.weight", str(weight))], [("io.weight", str(_io_weight(weight)))]
        found.append(Setting(f"block io weight of {weight}", "blkio", v1, v2))
    for entry in blkio.get("weightDevice") or ():
        device, weight = f"{entry['major']}:{entry['minor']}", entry["weight"]
        v1, v2 = [("blkio.bfq.weight_device", f"{device} {weight}")], [("io.weight", f"{device} {_io_weight(weight)}")]
        found.append(Setting(f"block io weight of {weight} for {device}", "blkio", v1, v2))
    for key, (v1_file, v2_word) in _THROTTLES.items():
        for entry in blkio.get(key) or ():
            device, rate = f"{entry['major']}:{entry['minor']}", entry["rate"]
            v1, v2 = [(v1_file, f"{device} {rate}")], [("io.max", f"{device} {v2_word}={rate}")]
            found.append(Setting(f"limit of {v2_word} {rate} for device {device}", "blkio", v1, v2))
    return found


_THROTTLES = {
    "throttleReadBpsDevice": ("blkio.throttle.read_bps_device", "rbps"),
    "throttleWriteBpsDevice": ("blkio.throttle.write_bps_device", "wbps"),
    "throttleReadIOPSDevice": ("blkio.throttle.read_iops_device", "riops"),
    "throttleWriteIOPSDevice": ("blkio.throttle.write_iops_device", "wiops"),
}


def _io_weight(weight: int) -> int:
    """Convert a weight of version 1, 10 to 1000, to one of version 2, 1 to 10000."""
    return 1 + (weight - 10) * 9999 // 990
