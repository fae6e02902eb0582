"""Write to the user's terminal: errors as one message with a hint, and nothing raw that others chose."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO


_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}
_ESCAPES.update({code: f"\\u{code:04x}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))})
"""Control characters, C0 and C1, and the bidirectional overrides that make text read as what it is not."""


def printable(text: str) -> str:
    """Return `text` with every control character but newline and tab shown as an escape."""
    return text.translate(_ESCAPES)


def one_line(text: str) -> str:
    """Return `text` as a cell of a table: control characters, newlines and tabs included, shown as escapes."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


_ESCAPED = {"\\": "\\\\", '"': '\\"', "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r"}
_ESCAPED |= {"\t": "\\t", "\v": "\\v"}


def quoted(text: str) -> str:
    """Return text in double quotes as Go's `%q` does; bytes that are no text as they were written."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return '"' + "".join(_ESCAPED.get(sign) or (sign if sign.isprintable() else _number(sign)) for sign in text) + '"'


def _number(sign: str) -> str:
    code = ord(sign)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was no text
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def complain(stream: TextIO, message: str, hint: str | None = None) -> None:
    """Print one error message and what to do about it."""
    stream.write(f"pybuild: {printable(message)}\n")
    if hint:
        stream.write(f"  hint: {printable(hint)}\n")
    stream.flush()
