"""Read the quantities of a command line as Docker does: sizes, CPUs, limits, signals.

Every function raises UsageError with the offending word; the caller names the flag.
"""

from __future__ import annotations

import re
import signal

from frozen import TypedDict
from runtime.errors import UsageError

_SIZE = r"(-?\d+(?:\.\d*)?|\.\d+) ?([kKmMgGtTpP]?)(?:[iI]?[bB])?"
"""Patterns are compiled where they are asked for: together they would take a millisecond of every command."""
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}

ULIMITS = frozenset(
    "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split()
)


class Ulimit(TypedDict):
    """One resource limit as the Engine API writes it; -1 is unlimited."""

    Name: str
    Soft: int
    Hard: int


def parse_size(text: str, *, base: int = 1024) -> int:
    """Return bytes for `512m`, `1.5g`, `64KiB`, `1048576`: units are powers of `base`."""
    match = re.fullmatch(_SIZE, text, re.ASCII)
    if match is None or match[1].startswith("-"):
        raise UsageError(f"invalid size: '{text}'", hint="write a number with b, k, m, g or t behind it, as 512m")
    amount = float(match[1]) if "." in match[1] else int(match[1])
    return int(amount * base ** _POWERS[match[2].lower()])


def parse_swap(text: str) -> int:
    """Return bytes as `parse_size`; `-1` stands for no limit."""
    return -1 if text == "-1" else parse_size(text)


def parse_cpus(text: str) -> int:
    """Return billionths of a CPU for `1.5` or `3/2`, exactly."""
    from fractions import Fraction  # lazy: 8 ms

    try:
        nano = Fraction(text) * 1_000_000_000
    except (ValueError, ZeroDivisionError):
        raise UsageError(f"failed to parse {text} as a rational number") from None
    if nano.denominator != 1:
        raise UsageError("value is too precise", hint="nine digits behind the point are the most")
    if nano < 0:
        raise UsageError(f"{text} CPUs cannot be had")
    return int(nano)


def parse_ulimit(text: str) -> Ulimit:
    """Read `NAME=SOFT[:HARD]`; one number is both, -1 is unlimited."""
    name, equals, values = text.partition("=")
    if not equals:
        raise UsageError(f"invalid ulimit argument: {text}", hint="write NAME=SOFT[:HARD], as nofile=1024:4096")
    if name not in ULIMITS:
        raise UsageError(f"invalid ulimit type: {name}", hint=f"there are: {', '.join(sorted(ULIMITS))}")
    parts = values.split(":")
    try:
        numbers = [int(part) for part in parts]
    except ValueError:
        raise UsageError(f"invalid ulimit value in {text}: whole numbers only") from None
    if len(numbers) > 2 or min(numbers) < -1:
        raise UsageError(
            f"too many limit value arguments - {values}" if len(numbers) > 2 else f"invalid ulimit: {text}"
        )
    soft, hard = numbers[0], numbers[-1]
    if hard != -1 and (soft > hard or soft == -1):
        raise UsageError(f"ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}")
    return {"Name": name, "Hard": hard, "Soft": soft}


def parse_signal(text: str) -> int:
    """Return a signal's number for `SIGTERM`, `term`, `15`, `RTMIN+3`."""
    if text.isdecimal() and text.isascii():
        number = int(text)
        if 1 <= number <= signal.SIGRTMAX:
            return number
        raise UsageError(f"invalid signal: {text}")
    name = text.upper().removeprefix("SIG")
    match = re.fullmatch(r"(RTMIN|RTMAX)(?:([+-])(\d{1,2}))?", name, re.ASCII) if name.startswith("RT") else None
    if match is not None:
        base = signal.SIGRTMIN if match[1] == "RTMIN" else signal.SIGRTMAX
        number = base + int((match[2] or "+") + (match[3] or "0"))
        if signal.SIGRTMIN <= number <= signal.SIGRTMAX:
            return number
        raise UsageError(f"invalid signal: {text}")
    try:
        return int(signal.Signals["SIG" + name])
    except KeyError:
        raise UsageError(f"invalid signal: {text}", hint="write a name as SIGTERM or a number") from None
