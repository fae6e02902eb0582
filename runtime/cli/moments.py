"""Read the times of `--since` and `--until`: RFC 3339 or the beginning of it, seconds since the epoch, a time ago."""

from __future__ import annotations

import re
import time

from runtime.errors import DocumentError, UsageError
from runtime.oci.times import parse_time

_SECOND = 1_000_000_000
_UNITS = {"ns": 1, "us": 1000, "µs": 1000, "ms": 1_000_000, "s": _SECOND, "m": 60 * _SECOND, "h": 3600 * _SECOND}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_LOCAL = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H", "%Y-%m-%d")


def parse_duration(text: str) -> int | None:
    """Read a length of time as Go writes it (1h30m, 1.5s) in nanoseconds; None for what is none."""
    if text == "0":
        return 0
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return int(sum(float(number) * _UNITS[unit] for number, unit in parts))


def parse_moment(text: str, now: int, flag: str) -> int:
    """Return nanoseconds since the epoch; `now` is where lengths of time count back from. Raises UsageError."""
    length = parse_duration(text.removeprefix("-"))
    if length is not None and text != "0":
        return now + length if text.startswith("-") else now - length
    if re.fullmatch(r"\d+(\.\d{1,9})?", text):
        seconds, _, fraction = text.partition(".")
        return int(seconds) * _SECOND + int(fraction.ljust(9, "0") or "0")
    try:
        return parse_time(text)
    except DocumentError:
        pass
    utc = text.endswith("Z")
    for form in _LOCAL:
        try:
            moment = time.strptime(text.removesuffix("Z"), form)
        except ValueError:
            continue
        import calendar

        return int(calendar.timegm(moment) if utc else time.mktime(moment)) * _SECOND
    raise UsageError(
        f'invalid value for "{flag}": failed to parse value as time or duration: "{text}"',
        hint="as 2024-01-02T03:04:05Z, 1700000000 or 10m",
    )
