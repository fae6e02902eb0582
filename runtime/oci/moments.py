"""Read the times that people write: how long something is, and when it is (RFC 3339 or its beginning, or how long ago).

The forms are those of Docker's command line (`--since`, `--until`, `--filter until=`) and of Go's durations.
"""

from __future__ import annotations

import re
import time
from calendar import monthrange, timegm

from runtime.errors import UsageError

_SECOND = 1_000_000_000
_UNITS = {
    "ns": 1,
    "us": 1000,
    "µs": 1000,  # the micro sign
    "μs": 1000,  # the Greek letter
    "ms": 1_000_000,
    "s": _SECOND,
    "m": 60 * _SECOND,
    "h": 3600 * _SECOND,
}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_MOMENT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:T(\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d{1,18}))?)?)?)?(?:(Z)|([+-])(\d\d):(\d\d))?", re.ASCII
)


def parse_duration(text: str) -> int | None:
    """Read a length of time as Go writes it (1h30m, 1.5s, -10m) in nanoseconds; None for what is none."""
    digits = text.removeprefix("+") if text.startswith("+") else text.removeprefix("-")
    if digits == "0":
        return 0
    parts = _PART.findall(digits)
    if not parts or sum(len(number) + len(unit) for number, unit in parts) != len(digits):
        return None
    length = int(sum(float(number) * _UNITS[unit] for number, unit in parts))
    return -length if text.startswith("-") else length


def parse_moment(text: str, now: int, what: str) -> int:
    """Return nanoseconds since the epoch; `now` is where lengths of time count back from, `what` the flag or filter.

    A time without a zone is one of this machine. Raises UsageError.
    """
    length = None if text == "0" else parse_duration(text)
    if length is not None:
        return now - length
    if re.fullmatch(r"\d{1,18}(\.\d+)?", text, re.ASCII):
        seconds, _, fraction = text.partition(".")
        return int(seconds) * _SECOND + int(fraction.ljust(9, "0")[:9])
    found = _MOMENT.fullmatch(text)
    try:
        if found is not None:
            return _nanoseconds(found)
    except (ValueError, OverflowError):
        pass  # a month, day, hour or zone that does not exist
    raise UsageError(
        f'invalid value for "{what}": failed to parse value as time or duration: "{text}"',
        hint="as 2024-01-02T03:04:05Z, 1700000000 or 10m",
    )


def _nanoseconds(found: re.Match[str]) -> int:
    """Give the time that a match of _MOMENT means. Raises ValueError and OverflowError where there is none."""
    year, month, day, hour, minute, second = (int(part or 0) for part in found.group(1, 2, 3, 4, 5, 6))
    if not (year and hour <= 23 and minute <= 59 and second <= 59 and 1 <= day <= monthrange(year, month)[1]):
        raise ValueError(found.string)
    if found[8] or found[9]:
        seconds = timegm((year, month, day, hour, minute, second))
        offset = int(found[10] or 0) * 3600 + int(found[11] or 0) * 60
        seconds -= -offset if found[9] == "-" else offset
    else:
        seconds = int(time.mktime((year, month, day, hour, minute, second, 0, 0, -1)))
    return seconds * _SECOND + int((found[7] or "").ljust(9, "0")[:9])
