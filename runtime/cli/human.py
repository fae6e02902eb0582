"""Write sizes and times as Docker's lists do."""

from __future__ import annotations

from runtime.errors import DocumentError
from runtime.oci.times import parse_time

_SECOND = 1_000_000_000
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")
_BINARY_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
NEVER = "N/A"


def human_size(size: float, *, digits: int = 3) -> str:
    """Write bytes with a unit of powers of 1000 and `digits` significant digits: 120MB, 4.05kB, 0B."""
    place = 0
    while size >= 1000 and place < len(_UNITS) - 1:
        size /= 1000
        place += 1
    text = f"{size:.{digits}g}".replace("1e+03", "1000") if size < 1000 else f"{size:.0f}"
    return text + _UNITS[place]


def binary_size(size: float) -> str:
    """Write bytes with a unit of powers of 1024 and four significant digits: 644KiB, 23.54GiB."""
    place = 0
    while size >= 1024 and place < len(_BINARY_UNITS) - 1:
        size /= 1024
        place += 1
    return f"{size:.4g}{_BINARY_UNITS[place]}"


def human_duration(seconds: float) -> str:
    """Write a length of time in its largest unit, roughly: About a minute, 3 weeks."""
    whole = int(seconds)
    for limit, text in (
        (1, "Less than a second"),
        (2, "1 second"),
        (_MINUTE, f"{whole} seconds"),
        (2 * _MINUTE, "About a minute"),
        (_HOUR, f"{whole // _MINUTE} minutes"),
        (_HOUR + 1800, "About an hour"),
        (2 * _DAY, f"{(whole + 1800) // _HOUR} hours"),
        (14 * _DAY, f"{whole // _DAY} days"),
        (60 * _DAY, f"{whole // (7 * _DAY)} weeks"),
        (730 * _DAY, f"{whole // (30 * _DAY)} months"),
    ):
        if whole < limit:
            return text
    return f"{whole // (365 * _DAY)} years"


def since(created: str | int | None, now: int) -> str:
    """Write how long ago a time was, RFC 3339 or nanoseconds; `now` is in nanoseconds. N/A for none or none that is."""
    moment = nanoseconds(created)
    return NEVER if moment is None else human_duration((now - moment) / _SECOND) + " ago"


def calendar_time(created: str | int | None) -> str:
    """Write a time as lists have it: 2024-01-02 03:04:05 +0000 UTC."""
    import time

    moment = nanoseconds(created)
    if moment is None:
        return NEVER
    return time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC", time.gmtime(moment // _SECOND))


def nanoseconds(created: str | int | None) -> int | None:
    """Read a time in either form; None for none, for the zero time of Go, and for what is no time."""
    if isinstance(created, str):
        try:
            moment = parse_time(created)
        except DocumentError:
            return None
        return None if created.startswith("0001-") else moment
    return created
