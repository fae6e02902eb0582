r"""Expand the variables of a word and remove its quotes and escapes, as a Dockerfile's words expand.

One scanner with a stack of its own: nesting costs memory, never recursion, and every character is read once. The
default of `${name:-default}` and the like is expanded whether it is needed or not, so a fault in it always shows.

============================= ==========================================================================
`$name`, `${name}`            the value, or nothing; a name is letters, digits and `_` of any script, a
                              number (`$12`), or one of `@ * # ? - $ !`
`${n-w}` `${n:-w}`            the value, or `w` if unset (`:` here and below: or empty)
`${n+w}` `${n:+w}`            `w`, or nothing if unset
`${n?w}` `${n:?w}`            the value, or the error `w` if unset
`${n#p}` `${n##p}`            the value without the shortest, longest beginning that `p` matches
`${n%p}` `${n%%p}`            the same at the end
`${n/p/r}` `${n//p/r}`        the value with the first, with every match of `p` replaced by `r`
============================= ==========================================================================
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from grammar import globs
from grammar.errors import ExpansionError

SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
"""What separates words after expansion: the characters of the Unicode property White_Space."""

_SPECIAL_PARAMETERS = frozenset("@*#?-$!")
_SHOWN = 120
"""How many characters of a faulty word an error shows."""


def expand(word: str, env: Mapping[str, str], escape: str = "\\") -> str:
    """Return `word` with variables replaced, quotes removed and escapes taken back; it stays one word.

    `escape` is the escape character of the file. Raises ExpansionError without a line.
    """
    return _Scanner(word, env, escape, quotes=True).run().text()


def expand_words(word: str, env: Mapping[str, str], escape: str = "\\") -> list[str]:
    """Return the words into which `word` falls after expansion.

    Blanks written outside quotes split, and so do those of a variable outside quotes; empty words disappear, also
    those that were quoted. Of a word with an operand (`80${x:-90}`) only what follows its last `${name` is left, as in
    BuildKit. Raises ExpansionError without a line.
    """
    return _Scanner(word, env, escape, quotes=True).run().words()


def expand_heredoc(body: str, env: Mapping[str, str]) -> str:
    r"""Return a here-document's `body` expanded: quotes are text, and the escape is a backslash in every file.

    Raises ExpansionError without a line.
    """
    return _Scanner(body, env, "\\", quotes=False).run().text()


def closes_all(line: str) -> bool:
    r"""Tell whether `line` reads as words of a shell whose variables have no values: what holds here-documents must.

    Beside what expands, any operator passes after a colon (`${n:0:2}`), but for `#` and `%`. The escape is a backslash.
    """
    try:
        _Reader(line, {}, "\\", quotes=True).run()
    except ExpansionError:
        return False
    return True


class _Frame:
    """A stretch of text being collected: the whole word, a double-quoted part, or an operand of `${…}`.

    `stop` ends it (empty: the end of the word does). In a `raw` frame escapes keep their escape character, because a
    pattern reads them again. `name` and `operator` belong to the substitution it is an operand of; for `/` the operand
    before it is kept in `pattern`. `parts` are pieces of text, each with whether blanks in it separate words; None:
    what the word has so far is lost to `words`.
    """

    __slots__ = ("name", "operator", "parts", "pattern", "quoted", "raw", "stop")

    def __init__(
        self,
        *,
        stop: str = "",
        raw: bool = False,
        quoted: bool = False,
        name: str = "",
        operator: str = "",
        pattern: str | None = None,
    ) -> None:
        self.stop = stop
        self.raw = raw
        self.quoted = quoted
        self.name = name
        self.operator = operator
        self.pattern = pattern
        self.parts: list[tuple[str, bool | None]] = []

    def text(self) -> str:
        return "".join([part for part, _ in self.parts])

    def words(self) -> list[str]:
        words: list[str] = []
        current: list[str] = []
        for part, splits in self.parts:
            if splits is None:
                current = []
                continue
            if not splits:
                current.append(part)
                continue
            for index, piece in enumerate(_spaces().split(part)):
                if index:
                    words.append("".join(current))
                    current = []
                current.append(piece)
        words.append("".join(current))
        return [word for word in words if word]


class _Scanner:
    """Read one word from left to right; the frame on top of `stack` collects what is read."""

    def __init__(self, word: str, env: Mapping[str, str], escape: str, *, quotes: bool) -> None:
        self.word = word
        self.env = env
        self.escape = escape
        self.quotes = quotes
        self.position = 0
        self.stack = [_Frame()]
        self.plain = _plain(escape)

    def run(self) -> _Frame:
        """Return the outermost frame once the word is read."""
        word = self.word
        while self.position < len(word):
            frame = self.stack[-1]
            end = self.plain.match(word, self.position).end()  # type: ignore[union-attr]
            if end > self.position:
                frame.parts.append((word[self.position : end], not frame.quoted))
                self.position = end
                continue
            character = word[self.position]
            self.position += 1
            if character == frame.stop:
                self.close(frame)
            elif character == "$":
                self.dollar()
            elif character == self.escape:
                self.escaped(frame)
            elif frame.quoted:
                frame.parts.append((character, False))
            else:
                self.unquoted(frame, character)
        if len(self.stack) > 1:
            raise self.unfinished(self.stack[-1])
        return self.stack[0]

    def unquoted(self, frame: _Frame, character: str) -> None:
        """Read what is special outside double quotes only: quotes, and the `<<` of a here-document's marker."""
        if character == "'" and self.quotes:
            end = self.word.find("'", self.position)
            if end < 0:
                raise self.fault("unexpected end of statement while looking for matching single-quote", _CLOSE_QUOTE)
            frame.parts.append((self.word[self.position : end], False))
            self.position = end + 1
        elif character == '"' and self.quotes:
            self.stack.append(_Frame(stop='"', raw=frame.raw, quoted=True))
        elif character == "<" and self.word.startswith("<", self.position):
            # the blanks between `<<` and the delimiter belong to the marker's word
            begin = self.position - 1
            self.position += 1
            while self.word[self.position : self.position + 1] in (" ", "\t", "\r"):
                self.position += 1
            frame.parts.append((self.word[begin : self.position], False))
        else:
            frame.parts.append((character, True))

    def escaped(self, frame: _Frame) -> None:
        """Take the character after an escape as it is; at the end of the word the escape vanishes."""
        following = self.word[self.position : self.position + 1]
        if frame.quoted and following not in ('"', "$", self.escape):
            frame.parts.append((self.escape * (2 if frame.raw else 1), False))
            return
        if frame.raw:
            frame.parts.append((self.escape, False))
        if following:
            frame.parts.append((following, False))
            self.position += 1

    def dollar(self) -> None:
        """Read what follows a `$`: a name, or `{name…` up to its operand, which becomes a frame."""
        if self.word[self.position : self.position + 1] != "{":
            name = self.name()
            self.deliver(self.env.get(name) or "" if name else "$")
            return
        self.position += 1
        following = self.word[self.position : self.position + 1]
        if not following:
            raise self.fault("syntax error: missing '}'", _CLOSE_BRACE)
        if following in "{}:":
            raise self.fault("syntax error: bad substitution", _SUBSTITUTIONS)
        name = self.name()
        operator = self.word[self.position : self.position + 1]
        if not operator:
            raise self.fault("syntax error: missing '}'", _CLOSE_BRACE)
        self.position += 1
        if operator == "}":
            self.deliver(self.env.get(name) or "")
            return
        if operator == ":":
            operator += self.word[self.position : self.position + 1]
            self.position += 1
        if not self.knows(operator):
            raise self.fault(f"unsupported modifier ({operator}) in substitution", _SUBSTITUTIONS)
        if operator == "/" and self.word.startswith("/", self.position):
            operator = "//"
            self.position += 1
        # BuildKit collects the words of an operand where it collected those around it: `80${x:-90}` is the word 90
        self.stack[0].parts.append(("", None))
        self.stack.append(
            _Frame(stop="/" if operator[0] == "/" else "}", raw=operator[0] in "#%/", name=name, operator=operator)
        )

    def knows(self, operator: str) -> bool:
        return operator in _OPERATORS

    def name(self) -> str:
        """Read a variable's name, which may be empty."""
        word, begin = self.word, self.position
        first = word[begin : begin + 1]
        end = begin
        if first.isdecimal():
            while word[end : end + 1].isdecimal():
                end += 1
        elif first in _SPECIAL_PARAMETERS:
            end += 1
        else:
            while (character := word[end : end + 1]) and (
                character.isalpha() or character.isdecimal() or character == "_"
            ):
                end += 1
        self.position = end
        return word[begin:end]

    def close(self, frame: _Frame) -> None:
        """End the frame on top, whose stop was just read, and hand its text to where it belongs."""
        self.stack.pop()
        text = frame.text()
        if not frame.operator:
            self.stack[-1].parts.append((text, False))
        elif frame.operator[0] == "/" and frame.pattern is None:
            self.stack.append(_Frame(stop="}", raw=True, name=frame.name, operator=frame.operator, pattern=text))
        else:
            self.deliver(self.substitute(frame, text))

    def deliver(self, value: str) -> None:
        """Add a substitution's value to the frame on top; its blanks separate words unless it stands in quotes."""
        frame = self.stack[-1]
        frame.parts.append((value, not frame.quoted))

    def substitute(self, frame: _Frame, operand: str) -> str:
        """Return the value of `${name operator operand}`."""
        value = self.env.get(frame.name)
        operator = frame.operator
        if operator[0] in "#%/":
            return self.edited(frame, operand, value or "")
        usable = value is not None and (value != "" or operator[0] != ":")
        if operator[-1] == "+":
            return operand if usable else ""
        if usable:
            return value or ""
        if operator[-1] == "-":
            return operand
        reason = operand or f"is not allowed to be {'unset' if value is None else 'empty'}"
        raise self.fault(f"{frame.name}: {reason}", f"give {frame.name} a value, with ARG, ENV or --build-arg")

    def edited(self, frame: _Frame, operand: str, value: str) -> str:
        """Return `value` with a part cut off or replaced."""
        try:
            if frame.pattern is not None:
                return globs.replace(frame.pattern, value, operand, everywhere=frame.operator == "//")
            longest = operand.startswith(frame.operator)
            cut = globs.cut_prefix if frame.operator == "#" else globs.cut_suffix
            return cut(operand[1:] if longest else operand, value, longest=longest)
        except ExpansionError as error:
            raise self.fault(error.message, error.hint) from None

    def unfinished(self, frame: _Frame) -> ExpansionError:
        """Return the error for a word that ends within `frame`."""
        if frame.quoted:
            return self.fault("unexpected end of statement while looking for matching double-quote", _CLOSE_QUOTE)
        if frame.stop == "/":
            return self.fault("syntax error: missing '/' in ${}", "write ${name/pattern/text}, also with an empty text")
        return self.fault("syntax error: missing '}'", _CLOSE_BRACE)

    def fault(self, reason: str, hint: str | None) -> ExpansionError:
        word = self.word if len(self.word) <= _SHOWN else self.word[:_SHOWN] + "…"
        return ExpansionError(f'failed to process "{word}": {reason}', hint=hint)


class _Reader(_Scanner):
    """Read a line for its faults, not for what it expands to."""

    def knows(self, operator: str) -> bool:
        return operator in _OPERATORS or (operator[0] == ":" and operator not in (":#", ":%"))

    def substitute(self, frame: _Frame, operand: str) -> str:
        del frame, operand
        return ""  # what it would be does not count, and would grow with each level


_OPERATORS = frozenset(("-", ":-", "+", ":+", "?", ":?", "#", "%", "/"))
_SUBSTITUTIONS = (
    "known are ${name}, ${name:-word}, ${name:+word}, ${name:?message} (also without the colon), "
    "${name#pattern}, ${name%pattern}, ${name/pattern/text}"
)
_CLOSE_BRACE = "close it, or write \\$ for a dollar sign"
_CLOSE_QUOTE = "close the quote, or escape it"


@lru_cache(maxsize=8)
def _plain(escape: str) -> re.Pattern[str]:
    """Return what matches a run of characters that nothing treats specially."""
    return re.compile(rf"""[^$<'"}}/{re.escape(escape)}]*""")


@lru_cache(maxsize=1)
def _spaces() -> re.Pattern[str]:
    return re.compile(f"[{SPACES}]+")
