"""Split a Dockerfile into logical lines, the pieces that the grammar reads one by one.

One pass over the physical lines: byte order mark, directives, comments, blank lines, continuations; and, when the
reader of a logical line finds here-document markers in it, their bodies.
"""

from __future__ import annotations

import re
from bisect import bisect_right

from frozen import Frozen
from grammar.errors import DockerfileError
from grammar.nodes import Directives

SPACES = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""What is cut off around a whole line: the blanks and the other characters that Unicode calls white space."""

ESCAPES = ("\\", "`")

_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)[\t\n\f\r ]*=")
_DIRECTIVE_NAMES = ("syntax", "escape", "check")


class LogicalLine(Frozen):
    """The lines of one instruction as one text, spaces around it cut off.

    `end_line` is the last physical line read: continued lines, comments and blank lines between them included.
    `comment` holds the comment lines above, without `#` (but not if blanks stand before it), joined by line breaks; an
    empty one cuts off those before it.
    """

    text: str
    start_line: int
    end_line: int
    comment: str
    offsets: tuple[int, ...]
    """Where in `text` each physical line that gave characters begins, ascending; the first may be negative."""
    numbers: tuple[int, ...]
    """The numbers of those lines."""
    blank: bool = False
    """Whether it goes on after an empty line."""
    tail: str = ""
    """The spaces cut off at the end."""

    def line_at(self, offset: int) -> int:
        """Return the number of the physical line that the character at `offset` of `text` was written in."""
        return self.numbers[max(bisect_right(self.offsets, offset) - 1, 0)]


class LineReader:
    """Read the logical lines of one Dockerfile from its top to its end.

    The directives are read at once; a fault in them raises DockerfileError. `number` is that of the last physical
    line read, 0 before the first.
    """

    def __init__(self, text: str) -> None:
        self._lines = text.removeprefix("\ufeff").split("\n")
        if not self._lines[-1]:
            self._lines.pop()
        self.number = 0
        self.directives = self._read_directives()

    def _read_directives(self) -> Directives:
        values: dict[str, str] = {}
        while self.number < len(self._lines):
            line = self._lines[self.number].rstrip("\r").lstrip(SPACES)
            name, value = _directive(line)
            if not value:
                break
            self.number += 1
            if name in values:
                raise DockerfileError(
                    f"the directive {name} is given twice: {line}",
                    line=self.number,
                    hint=f"keep one line '# {name}={values[name]}' at the top",
                )
            if name == "escape" and value not in ESCAPES:
                raise DockerfileError(
                    f"the escape character cannot be {value}", line=self.number, hint="it is either \\ or `"
                )
            values[name] = value
        apart = self._directives_apart()
        return Directives(syntax=apart.get("syntax"), escape=values.get("escape", ESCAPES[0]), check=apart.get("check"))

    def _directives_apart(self) -> dict[str, str]:
        """Return what `syntax` and `check` are read from: after a shebang, too, but not with blanks before the `#`.

        BuildKit looks for these two before it reads the file, and for `escape` while it does.
        """
        values: dict[str, str] = {}
        first = 1 if self._lines and self._lines[0].startswith("#!") else 0
        for line in self._lines[first:]:
            name, value = _directive(line)
            if not value or name in values:
                break
            values[name] = value
        return values

    def next_line(self) -> LogicalLine | None:
        """Return the next logical line, or None at the end. Its text is empty if only continuations were there."""
        comments: list[str] = []
        while self.number < len(self._lines):
            written = self._lines[self.number]
            line = written.rstrip("\r").lstrip(SPACES)
            self.number += 1
            if line.startswith("#"):
                comment = written[1:].strip(SPACES)  # as BuildKit: the first character goes, be it a blank
                if comment:
                    comments.append(comment)
                else:
                    comments.clear()
            elif line:
                return self._continue(line, "\n".join(comments))
        return None

    def _continue(self, line: str, comment: str) -> LogicalLine:
        """Join `line`, the one at `number`, and all that it goes on into."""
        start_line = self.number
        line, continued = self._without_escape(line)
        pieces, offsets, numbers, length = [line], [0], [start_line], len(line)
        blank = False
        while continued and self.number < len(self._lines):
            line = self._lines[self.number].rstrip("\r")
            self.number += 1
            content = line.lstrip(SPACES)
            if not content or content.startswith("#"):
                blank = blank or not content
                continue
            line, continued = self._without_escape(line)
            pieces.append(line)
            offsets.append(length)
            numbers.append(self.number)
            length += len(line)
        joined = "".join(pieces)
        text = joined.lstrip(SPACES)
        cut = len(joined) - len(text)
        bare = text.rstrip(SPACES)
        return LogicalLine(
            text=bare,
            tail=text[len(bare) :],
            start_line=start_line,
            end_line=self.number,
            comment=comment,
            offsets=tuple(offset - cut for offset in offsets),
            numbers=tuple(numbers),
            blank=blank,
        )

    def _without_escape(self, line: str) -> tuple[str, bool]:
        """Return `line` without the escape character that continues it, and whether there was one."""
        escape = self.directives.escape
        body = line.rstrip(" \t")
        if body.endswith(escape) and not body.endswith(escape * 2):
            return body[:-1], True
        return line, False

    def read_body(self, delimiter: str, *, strip_tabs: bool) -> str | None:
        """Read a here-document up to the line that is its `delimiter`, or return None if none is.

        The lines stay as they are, CR included; with `strip_tabs` tabs may stand before the delimiter.
        """
        first = self.number
        while self.number < len(self._lines):
            line = self._lines[self.number].rstrip("\r")
            self.number += 1
            if (line.lstrip("\t") if strip_tabs else line) == delimiter:
                return "".join(f"{line}\n" for line in self._lines[first : self.number - 1])
        return None

    def lookalike(self, delimiter: str, *, after: int) -> int | None:
        """Return the number of the first line after line `after` that is `delimiter` but for spaces around it."""
        for number, line in enumerate(self._lines[after:], after + 1):
            if line.strip(SPACES) == delimiter:
                return number
        return None


def _directive(line: str) -> tuple[str, str]:
    """Return name and value of a directive, an empty value for any other line; one of blanks alone is a blank."""
    match = _DIRECTIVE.match(line)
    if match is None or match[1].lower() not in _DIRECTIVE_NAMES:
        return "", ""
    rest = line[match.end() :]
    return match[1].lower(), rest.strip("\t\n\f\r ") or rest[-1:]
