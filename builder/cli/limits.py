"""Read the limits of steps: `--resource NAME=VALUE`, and the flags of the classic builder that say the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.cli.declare import Flag
from runtime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.cli.arguments import Arguments
    from runtime.oci.runtimespec import Resources

_PERIOD = 100_000
"""Microseconds in which `cpus` counts."""
_NAMES = (
    "memory",
    "memory-swap",
    "memory-reservation",
    "cpus",
    "cpu-shares",
    "cpu-quota",
    "cpu-period",
    "cpuset-cpus",
    "cpuset-mems",
    "pids-limit",
)
_FIELDS = {
    "memory-swap": "swap",
    "memory-reservation": "reservation",
    "pids-limit": "pids",
}

FLAGS = (
    Flag("--cgroup-parent", kind="text", metavar="PATH", help="Put the steps' control groups below this one"),
    Flag("--cpu-period", kind="text", metavar="US", help="Period of the CPU quota of each step"),
    Flag("--cpu-quota", kind="text", metavar="US", help="CPU time that each step has in a period"),
    Flag("--cpu-shares", "-c", kind="text", metavar="N", help="CPU weight of each step"),
    Flag("--cpuset-cpus", kind="text", metavar="LIST", help="Processors that each step may use, as 0-3"),
    Flag("--cpuset-mems", kind="text", metavar="LIST", help="Memory nodes that each step may use"),
    Flag("--memory", "-m", kind="text", metavar="BYTES", help="Memory limit of each step"),
    Flag("--memory-swap", kind="text", metavar="BYTES", help="Memory and swap of each step, -1 for no limit"),
    Flag("--resource", kind="texts", metavar="NAME=VALUE", help="A limit of each step, as memory=1g or cpus=2"),
)


def read_limits(args: Arguments) -> Resources | None:
    """Return the limits that were asked for, None where none was. Raises UsageError for a name or value of none."""
    wanted: dict[str, tuple[str, str]] = {}
    for word in args.texts("resource"):
        for part in word.split(","):
            name, equals, value = part.partition("=")
            if not equals or name not in _NAMES:
                raise UsageError(
                    f'invalid argument "{part}" for "--resource" flag', hint=f"write one of {', '.join(_NAMES)}"
                )
            wanted[name] = ("resource", value)
    for flag in FLAGS:
        given = args.text(flag.name) if flag.name in _NAMES else None
        if given:
            wanted[flag.name] = (flag.name, given)
    if not wanted:
        return None
    from runtime.oci.runtimespec import Resources  # only where steps have limits

    values: dict[str, int | str] = {}
    for name, (spelled, value) in wanted.items():
        try:
            _take(values, name, value)
        except (UsageError, ValueError) as error:
            reason = error.message if isinstance(error, UsageError) else f"{value!r} is no whole number"
            raise UsageError(f'invalid argument "{value}" for "--{spelled}" flag: {name}: {reason}') from None
    return Resources(**values)  # type: ignore[arg-type]  # `_take` gives each its type


def _take(values: dict[str, int | str], name: str, value: str) -> None:
    from runtime.containers import quantities

    readers: dict[str, Callable[[str], int | str]] = {
        "memory": quantities.parse_size,
        "memory-reservation": quantities.parse_size,
        "memory-swap": quantities.parse_swap,
        "cpuset-cpus": str,
        "cpuset-mems": str,
    }
    if name == "cpus":
        values["cpu_period"] = _PERIOD
        values["cpu_quota"] = quantities.parse_cpus(value) * _PERIOD // 1_000_000_000
        return
    values[_FIELDS.get(name, name.replace("-", "_"))] = readers.get(name, int)(value)
