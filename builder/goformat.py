"""Write values as Go's fmt package does: the history of an image holds such texts, and tools compare them.

Only the verbs that BuildKit uses there: %q of strings, lists and small integers, and %v of lists.
"""

from __future__ import annotations

from collections.abc import Sequence

from grammar.quoting import escaped, quoted

__all__ = ["plain_list", "quoted", "quoted_list", "quoted_rune"]


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
