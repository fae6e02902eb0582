"""Read the flags that limit what a container may use of the machine: `run`, `create` and `update` share them."""

from __future__ import annotations

from collections.abc import Callable

from runtime.cli.arguments import Arguments
from runtime.containers.documents import HostConfig, ThrottleDevice, WeightDevice
from runtime.containers.quantities import parse_cpus, parse_size, parse_swap
from runtime.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    _T = TypeVar("_T")

_SIZES = {"memory": "Memory", "memory-reservation": "MemoryReservation"}
_SHORT = {"memory": "-m, ", "cpu-shares": "-c, "}
_NUMBERS = {
    "cpu-period": "CpuPeriod",
    "cpu-quota": "CpuQuota",
    "cpu-shares": "CpuShares",
    "pids-limit": "PidsLimit",
    "cpu-rt-period": "CpuRealtimePeriod",
    "cpu-rt-runtime": "CpuRealtimeRuntime",
}
_RATES = {
    "device-read-bps": "BlkioDeviceReadBps",
    "device-write-bps": "BlkioDeviceWriteBps",
    "device-read-iops": "BlkioDeviceReadIOps",
    "device-write-iops": "BlkioDeviceWriteIOps",
}


def flagged(flag: str, text: str, parse: Callable[[str], _T]) -> _T:
    """Parse a flag's value; an error names the flag as Docker does."""
    try:
        return parse(text)
    except UsageError as error:
        raise UsageError(f'invalid argument "{text}" for "{flag}" flag: {error.message}', hint=error.hint) from None


def read_limits(args: Arguments) -> HostConfig:
    """Return the limits that `run`, `create` and `update` know. Raises UsageError with the flag and the word."""
    host: HostConfig = {}
    for flag, field in _SIZES.items():
        text = args.text(flag)
        if text is not None:
            name = f"{_SHORT.get(flag, '')}--{flag}"
            host[field] = flagged(name, text, parse_size)  # type: ignore[literal-required]
    swap, cpus = args.text("memory-swap"), args.text("cpus")
    if swap is not None:
        host["MemorySwap"] = flagged("--memory-swap", swap, parse_swap)
    if cpus is not None:
        host["NanoCpus"] = flagged("--cpus", cpus, parse_cpus)
    for flag, field in _NUMBERS.items():
        number = args.integer(flag)
        if number is not None:
            host[field] = number  # type: ignore[literal-required]
    for flag, field in (("cpuset-cpus", "CpusetCpus"), ("cpuset-mems", "CpusetMems")):
        text = args.text(flag)
        if text:
            host[field] = text  # type: ignore[literal-required]
    weight = args.text("blkio-weight")
    if weight is not None:
        host["BlkioWeight"] = flagged("--blkio-weight", weight, _weight)
    return host


def read_further_limits(args: Arguments) -> HostConfig:
    """Return the limits that only a new container can be given. Raises UsageError."""
    host: HostConfig = {}
    weights = args.texts("blkio-weight-device")
    if weights:
        host["BlkioWeightDevice"] = [flagged("--blkio-weight-device", text, _weight_device) for text in weights]
    for flag, field in _RATES.items():
        texts = args.texts(flag)
        if texts:
            parse = _bytes_rate if flag.endswith("bps") else _count_rate
            host[field] = [flagged(f"--{flag}", text, parse) for text in texts]  # type: ignore[literal-required]
    swappiness = args.integer("memory-swappiness")
    if swappiness is not None and swappiness != -1:
        host["MemorySwappiness"] = swappiness
    if args.switch("oom-kill-disable"):
        host["OomKillDisable"] = True
    return host


def _weight(text: str) -> int:
    if not (text.isdecimal() and text.isascii() and int(text) < 65536):
        raise UsageError(
            f'parsing "{text}": a whole number up to 65535', hint="a weight from 10 to 1000, or 0 for none"
        )
    return int(text)


def _split(text: str) -> tuple[str, str]:
    path, colon, value = text.partition(":")
    if not colon or not path or not value:
        raise UsageError(f"bad format: {text}", hint="write DEVICE:VALUE, as /dev/sda:1mb")
    if not path.startswith("/dev/"):
        raise UsageError(f"bad format for device path: {text}", hint="a path below /dev")
    return path, value


def _weight_device(text: str) -> WeightDevice:
    path, value = _split(text)
    if not (value.isdecimal() and (int(value) == 0 or 10 <= int(value) <= 1000)):
        raise UsageError(f"invalid weight for device: {text}", hint="10 to 1000, or 0 for none")
    return {"Path": path, "Weight": int(value)}


def _bytes_rate(text: str) -> ThrottleDevice:
    path, value = _split(text)
    try:
        return {"Path": path, "Rate": parse_size(value)}
    except UsageError:
        raise UsageError(
            f"invalid rate for device: {text}. The correct format is <device-path>:<number>[<unit>]. "
            "Number must be a positive integer. Unit is optional and can be kb, mb, or gb"
        ) from None


def _count_rate(text: str) -> ThrottleDevice:
    path, value = _split(text)
    if not (value.isdecimal() and value.isascii()):
        raise UsageError(
            f"invalid rate for device: {text}. The correct format is <device-path>:<number>. "
            "Number must be a positive integer"
        )
    return {"Path": path, "Rate": int(value)}
