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


def complain(stream: TextIO, message: str, hint: str | None = None) -> None:
    """Print one error message and what to do about it."""
    stream.write(f"pybuild: {printable(message)}\n")
    if hint:
        stream.write(f"  hint: {printable(hint)}\n")
    stream.flush()
