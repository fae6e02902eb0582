"""Write values as Go's fmt package does: the history of an image holds such texts, and tools compare them.

Only the verbs that BuildKit uses there: %q of strings, lists and small integers, %v of lists, and durations.
"""

from __future__ import annotations

from collections.abc import Sequence

from grammar.quoting import escaped, quoted

__all__ = ["duration", "plain_list", "quoted", "quoted_list", "quoted_rune"]

_MICROSECOND = 1_000
_MILLISECOND = 1_000_000
_SECOND = 1_000_000_000


def quoted_list(texts: Sequence[str]) -> str:
    """Give `%q` of a slice of strings."""
    return "[" + " ".join(quoted(text) for text in texts) + "]"


def plain_list(texts: Sequence[str]) -> str:
    """Give `%v` of a slice of strings."""
    return "[" + " ".join(texts) + "]"


def quoted_rune(number: int) -> str:
    """Give `%q` of an integer: the character of that number in single quotes."""
    if not 0 <= number <= 0x10FFFF or 0xD800 <= number <= 0xDFFF:
        number = 0xFFFD
    return "'" + escaped(chr(number), "'") + "'"


def duration(nanoseconds: int) -> str:
    """Give a time.Duration's String: `1h2m3.5s`, `100ms`, `0s`."""
    if nanoseconds == 0:
        return "0s"
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    for unit, name in ((_MICROSECOND, "ns"), (_MILLISECOND, "µs"), (_SECOND, "ms")):
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
