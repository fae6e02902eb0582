"""Write and read times as documents have them: RFC 3339 in UTC, and lengths of time as Go writes them."""

from __future__ import annotations

import calendar
import re
import time

from runtime.errors import DocumentError

_SECOND = 1_000_000_000
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,18}))?(?:([Zz])|([+-])(\d\d):(\d\d))", re.ASCII
)


def rfc3339(nanoseconds: int) -> str:
    """Write a time since the epoch as Go does: `2024-01-02T03:04:05.06Z`, no zeros at the end of the fraction."""
    seconds, fraction = divmod(nanoseconds, _SECOND)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{text}.{fraction:09d}".rstrip("0").rstrip(".") + "Z"


def go_duration(nanoseconds: int) -> str:
    """Write a length of time as Go does: `1h2m3.5s`, `100ms`, `0s`."""
    if nanoseconds == 0:
        return "0s"
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    for unit, name in ((1_000, "ns"), (1_000_000, "µs"), (_SECOND, "ms")):
        if rest < unit:
            return f"{sign}{_decimal(rest, unit // 1_000)}{name}"
    minutes, rest = divmod(rest, 60 * _SECOND)
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(rest, _SECOND)}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{text}"
    return f"{sign}{minutes}m{text}" if minutes else sign + text


def _decimal(value: int, unit: int) -> str:
    whole, fraction = divmod(value, unit)
    if not fraction:
        return str(whole)
    digits = len(str(unit)) - 1
    return f"{whole}.{fraction:0{digits}d}".rstrip("0")


def parse_time(text: str) -> int:
    """Read an RFC 3339 time with any offset as nanoseconds since the epoch; raises DocumentError."""
    found = _RFC3339.fullmatch(text)
    if found is None:
        raise DocumentError(f"{text[:80]!a} is no RFC 3339 time")
    year, month, day, hour, minute, second = (int(part) for part in found.group(1, 2, 3, 4, 5, 6))
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour <= 24 and minute <= 59 and second <= 60 and year):
        raise DocumentError(f"{text[:80]!a} is no RFC 3339 time")
    seconds = calendar.timegm((year, month, day, hour, minute, second))
    if found.group(9):
        offset = int(found.group(10)) * 3600 + int(found.group(11)) * 60
        seconds -= offset if found.group(9) == "+" else -offset
    return seconds * _SECOND + int((found.group(7) or "").ljust(9, "0")[:9])
