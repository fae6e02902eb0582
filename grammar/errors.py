"""Say what is wrong with a Dockerfile, where, and what to do about it.

DockerfileError
└── ExpansionError      a word whose variables or quotes cannot be expanded
"""

from __future__ import annotations

_LONGEST = 500
"""Characters of a message that are kept: a word that somebody wrote may be as long as the file."""


class DockerfileError(Exception):
    """A fault in a Dockerfile, an ignore file, or a word of one.

    `line` is the number of the line, from 1, or None where only the caller knows it. `message` is never empty and
    names the offending word as it was written. `hint` says what to do next, or is None.
    """

    def __init__(self, message: str, *, line: int | None = None, hint: str | None = None) -> None:
        message = message if len(message) <= _LONGEST else message[:_LONGEST] + "…"
        super().__init__(message)
        self.message = message
        self.line = line
        self.hint = hint

    def at(self, line: int) -> DockerfileError:
        """Return this error with `line` filled in, unless it knows its line already."""
        if self.line is None:
            self.line = line
        return self

    def __str__(self) -> str:
        place = f"line {self.line}: " if self.line is not None else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{place}{self.message}{hint}"


class ExpansionError(DockerfileError):
    """A word that cannot be expanded: an open quote, bad substitution syntax, or `${NAME:?message}`."""
