"""Write and read times as documents have them: RFC 3339 in UTC, with the fraction that is needed."""

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
