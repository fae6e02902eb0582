"""Read the numbers that tar headers hold: octal, GNU's base 256, and the decimal ones of pax."""

from __future__ import annotations

import os

_SECOND = 1_000_000_000
_MAX_SECONDS = 1 << 62


def number(field: bytes) -> int:
    """Read a numeric field: octal, or base 256 where its top bit is set (GNU). Raises ValueError."""
    if field[0] & 0x80:
        bits = 8 * len(field)
        value = int.from_bytes(field, "big")
        return value - (1 << bits) if field[0] & 0x40 else value - (1 << (bits - 1))
    digits = field.lstrip(b" \0").partition(b"\0")[0].rstrip(b" ")
    if not digits:
        return 0
    if digits.strip(b"01234567"):
        raise ValueError(f"{os.fsdecode(digits)!r} is no octal number")
    return int(digits, 8)


def decimal(text: bytes) -> int:
    """Read a decimal number without a sign. Raises ValueError."""
    if not text.isdigit() or len(text) > 20:
        raise ValueError(f"{os.fsdecode(text[:40])!r} is no number")
    return int(text)


def owner(value: int) -> int:
    """Check a user or group id; 2**32 - 1 would mean "leave it" to chown. Raises ValueError."""
    if not 0 <= value < 0xFFFFFFFF:
        raise ValueError(f"id {value} is out of range")
    return value


def nanoseconds(seconds: int) -> int:
    """Turn the whole seconds of a header into nanoseconds. Raises ValueError for what no clock shows."""
    if not -_MAX_SECONDS < seconds < _MAX_SECONDS:
        raise ValueError(f"time {seconds} is out of range")
    return seconds * _SECOND


def pax_time(value: bytes) -> int:
    """Read a pax time, decimal seconds with a fraction and perhaps a sign, as nanoseconds. Raises ValueError."""
    whole, _, fraction = value.removeprefix(b"-").partition(b".")
    if fraction and not fraction.isdigit():
        raise ValueError(f"{os.fsdecode(value[:40])!r} is no time")
    total = nanoseconds(decimal(whole)) + int(fraction[:9].ljust(9, b"0"))
    return -total if value.startswith(b"-") else total
