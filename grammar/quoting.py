"""Quote a text as Go's `%q` does: messages and an image's history have such texts, and tools compare them."""

from __future__ import annotations

_SHORT = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\"}


def quoted(text: str) -> str:
    """Give `%q` of a string: double quotes, escapes for what is not printable (Go, strconv.Quote)."""
    return '"' + "".join(escaped(character, '"') for character in text) + '"'


def escaped(character: str, quote: str) -> str:
    """Give one character as it stands between two `quote`."""
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
