"""Make what steps print fit to be shown: no control character reaches a terminal, no secret any reader."""

from __future__ import annotations

import re
from codecs import getincrementaldecoder
from collections.abc import Iterable, Sequence

from runtime.cli.output import printable

_SEQUENCE = re.compile(
    r"\x1b\[[0-9;:]*m"  # SGR: colours and weights
    r"|\x1b\[[0-?]*[ -/]*[@-~]"  # any other control sequence
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"  # operating system command, device control and other strings
    r"|\x1b[ -/]*[0-~]?"  # the short ones, and a lone escape
)
_SGR = re.compile(r"\x1b\[[0-9;:]*m\Z")
SGR_RESET = "\x1b[0m"
_MASK = b"*****"
_SHORTEST_SECRET = 3
"""Bytes: replacing shorter values would make any output unreadable and hide nothing."""


def clean_line(text: str, *, colours: bool) -> str:
    """Return one line without control characters; SGR sequences stay where `colours`, and are closed at its end.

    A carriage return begins the line anew, as on a terminal: what stood before it is dropped.
    """
    if text.isprintable():  # nearly every line: nothing to look for
        return text
    text = text.rstrip("\r").rpartition("\r")[2]
    kept: list[str] = []
    coloured = False
    end = 0
    for match in _SEQUENCE.finditer(text):
        kept.append(printable(text[end : match.start()]))
        if colours and _SGR.match(match[0]):
            kept.append(match[0])
            coloured = True
        end = match.end()
    kept.append(printable(text[end:]))
    return "".join(kept) + (SGR_RESET if coloured else "")


class Lines:
    """Cut a stream of bytes into lines of text; bytes that are no UTF-8 become U+FFFD.

    A line longer than `limit` characters is cut, so that no output can fill the memory.
    """

    def __init__(self, limit: int = 1 << 20) -> None:
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._limit = limit

    def feed(self, data: bytes) -> list[str]:
        """Take bytes, return the lines that are whole now."""
        *lines, self._rest = (self._rest + self._decoder.decode(data)).split("\n")
        while len(self._rest) > self._limit:
            lines.append(self._rest[: self._limit])
            self._rest = self._rest[self._limit :]
        return lines

    def finish(self) -> list[str]:
        """Return what is left at the end of the stream: no line, or one that lacks its newline."""
        rest = self._rest + self._decoder.decode(b"", final=True)
        self._rest = ""
        return [rest] if rest else []


class Redactor:
    """Replace the values of secrets in a stream of bytes, also where a value is cut between two pieces."""

    def __init__(self, values: Iterable[bytes]) -> None:
        lines = {part.strip() for value in values for part in (value, *value.splitlines())}
        wanted = sorted((line for line in lines if len(line) >= _SHORTEST_SECRET), key=lambda line: (-len(line), line))
        self._pattern = re.compile(b"|".join(re.escape(value) for value in wanted)) if wanted else None
        self._longest = max((len(value) for value in wanted), default=0)
        self._wanted = wanted
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Return what can be shown of the stream up to now; what may be the beginning of a value is kept back."""
        if self._pattern is None:
            return data
        text = self._pattern.sub(_MASK, self._held + data)
        keep = self._beginning(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def finish(self) -> bytes:
        """Return what was kept back; the stream is over."""
        held, self._held = self._held, b""
        return held

    def _beginning(self, text: bytes) -> int:
        """Count the bytes at the end of `text` with which some value begins."""
        for length in range(min(self._longest - 1, len(text)), 0, -1):
            tail = text[len(text) - length :]
            if any(value.startswith(tail) for value in self._wanted):
                return length
        return 0


def warnings_text(warnings: Sequence[str]) -> str:
    """Return what stands at the end of a build that warned: how many warnings there are, and each."""
    if not warnings:
        return ""
    count = len(warnings)
    return f"\n {count} warning{'s' if count > 1 else ''} found:\n" + "".join(f" - {text}\n" for text in warnings)
