"""Write values as Go's fmt package does: the history of an image holds such texts, and tools compare them.

Only the verbs that BuildKit uses there: %q of strings, lists and small integers, %v of lists, and durations.
"""

from __future__ import annotations

from collections.abc import Sequence

_SHORT = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\"}
_MICROSECOND = 1_000
_MILLISECOND = 1_000_000
_SECOND = 1_000_000_000


def quoted(text: str) -> str:
    """Give `%q` of a string: double quotes, escapes for what is not printable (Go, strconv.Quote)."""
    return '"' + "".join(_escaped(character, '"') for character in text) + '"'


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
    return "'" + _escaped(chr(number), "'") + "'"


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


def _escaped(character: str, quote: str) -> str:
    if character == quote:
        return "\\" + quote
    if character in _SHORT:
        return _SHORT[character]
    if character.isprintable():
        return character
    code = ord(character)
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
