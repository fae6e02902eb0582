"""Read one pattern of an ignore file: what it may match, as tokens.

A pattern with anything special in it is for Docker the source of a regular expression (moby's patternmatcher; the
expression is Go's, RE2): `*` becomes `[^/]*`, `?` `[^/]`, `**/` `(.*/)?`, most signs get a backslash, and all else
stays as it is, also between brackets. So `\\d` is a digit and `[[:alpha:]]` a letter, `|` parts alternatives, `{2}`
repeats, and `a[*]` is the class `[[^/]` any number of times, and a `]`. Here the same expression is made, and read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import Enum
from functools import lru_cache
from typing import TypeAlias

from frozen import Frozen
from grammar.errors import DockerfileError

_MOST_REPEATS = 1000
"""Of one thing: Go's limit."""

_LARGEST = 3_300_000
"""Go's limit for an expression with its repeats written out, roughly."""

_LAST = "\U0010ffff"


class Wild(Enum):
    """What a pattern has besides characters and classes."""

    ONE = "?"
    STAR = "*"
    ANYWHERE = "**/"
    """Nothing, or anything that ends with a slash."""
    REST = "**"
    """Anything at all."""
    START = "^"
    """Where the path begins, as in a regular expression."""
    END = "\\z"
    """Where the path ends."""
    OR = "|"
    """Between alternatives, as in a regular expression; it is gone once they are apart."""
    BOUNDARY = "\\b"
    """The beginning or the end of a word, as in a regular expression."""
    NO_BOUNDARY = "\\B"


class CharacterClass(Frozen, kw_only=False):
    """`[a-z]`, `[^abc]`: ranges of characters, both ends included."""

    negated: bool
    ranges: tuple[tuple[str, str], ...]

    def __contains__(self, character: str) -> bool:
        return any(low <= character <= high for low, high in self.ranges) != self.negated


class Repeated(Frozen, kw_only=False):
    """A character, a class or a `?`, so many times; without `most`, any number of times from `least`."""

    token: str | CharacterClass | Wild
    least: int
    most: int | None


Token: TypeAlias = str | Wild | CharacterClass | Repeated
_Ranges: TypeAlias = tuple[tuple[str, str], ...]

_NO_SLASH = CharacterClass(True, (("/", "/"),))
_PLACES = (Wild.START, Wild.END, Wild.BOUNDARY, Wild.NO_BOUNDARY)
_DIGITS = (("0", "9"),)
_WORD = (*_DIGITS, ("A", "Z"), ("_", "_"), ("a", "z"))
_BLANKS = (("\t", "\n"), ("\f", "\r"), (" ", " "))
_NAMED: Mapping[str, _Ranges] = {
    "alnum": (*_DIGITS, ("A", "Z"), ("a", "z")),
    "alpha": (("A", "Z"), ("a", "z")),
    "ascii": (("\0", "\x7f"),),
    "blank": (("\t", "\t"), (" ", " ")),
    "cntrl": (("\0", "\x1f"), ("\x7f", "\x7f")),
    "digit": _DIGITS,
    "graph": (("!", "~"),),
    "lower": (("a", "z"),),
    "print": ((" ", "~"),),
    "punct": (("!", "/"), (":", "@"), ("[", "`"), ("{", "~")),
    "space": (("\t", "\r"), (" ", " ")),
    "upper": (("A", "Z"),),
    "word": _WORD,
    "xdigit": (*_DIGITS, ("A", "F"), ("a", "f")),
}


def _others(ranges: _Ranges) -> _Ranges:
    """Return the ranges of all characters that are in none of `ranges`, which are in order."""
    found: list[tuple[str, str]] = []
    begin = 0
    for low, high in (*ranges, ("\U0010ffff", "\U0010ffff")):
        if begin < ord(low):
            found.append((chr(begin), chr(ord(low) - 1)))
        begin = ord(high) + 1
    return (*found, (_LAST, _LAST))


_LETTERS: Mapping[str, str] = dict(zip("aftnrv", "\a\f\t\n\r\v", strict=True))
_SETS: Mapping[str, _Ranges] = {
    "d": _DIGITS,
    "w": _WORD,
    "s": _BLANKS,
    "D": _others(_DIGITS),
    "W": _others(_WORD),
    "S": _others(_BLANKS),
}
_SIGNS: Mapping[str, Wild] = {"|": Wild.OR, "^": Wild.START, "$": Wild.END}
_ASSERTED: Mapping[str, Wild] = {"A": Wild.START, "z": Wild.END, "b": Wild.BOUNDARY, "B": Wild.NO_BOUNDARY}
WORD = CharacterClass(False, _WORD)

_SPECIAL = re.compile(r"[*?\\\[\]]")
_TIMES = re.compile(r"\{(0|[1-9][0-9]{0,7})(?:(,)(0|[1-9][0-9]{0,7})?)?\}")
_NUMBER = re.compile(r"0[0-7]{0,2}|[1-7][0-7]{1,2}|x[0-9A-Fa-f]{2}|x\{[0-9A-Fa-f]+\}")


@lru_cache(maxsize=1024)
def alternatives(pattern: str, line: str) -> tuple[tuple[Token, ...], ...]:
    """Return what `pattern` may be, each once: one thing, unless it is a regular expression with a `|`.

    As only the first of those is held to the beginning of the path and only the last to its end, `*.log|*.tmp` is all
    that begins with `*.log` or ends with `*.tmp`. Raises DockerfileError, with `line` in its message, for a bad one.
    """
    anywhere = pattern.startswith("**")
    core = pattern[2:] if anywhere else pattern.removesuffix("**")
    if _SPECIAL.search(core):
        return _of_expression(pattern, line)
    if not anywhere:
        return ((*core, *((Wild.REST,) * (core != pattern))),)
    return ((Wild.ANYWHERE, *core[1:]),) if core.startswith("/") else ((Wild.REST, *core),)


def _of_expression(pattern: str, line: str) -> tuple[tuple[Token, ...], ...]:
    _check(pattern, line)
    tokens = _Expression(_expression_of(pattern.removeprefix("\ufeff")), line).tokens()
    found: list[list[Token]] = [[]]
    for token in tokens:
        if token is Wild.OR:
            found[-1].append(Wild.REST)
            found.append([Wild.REST])
        else:
            found[-1].append(token)
    found[0] = found[0][1:] if found[0][:1] == [Wild.START] else [Wild.REST, *found[0]]
    found[-1] = found[-1][:-1] if found[-1][-1:] == [Wild.END] else [*found[-1], Wild.REST]
    return tuple(dict.fromkeys(map(tuple, found)))


def _check(pattern: str, line: str) -> None:
    """Hold `pattern` to what Go's filepath.Match wants of brackets and backslashes when asked about the name `.`.

    It looks no further than at the first part that does not match; a part ends before a star.
    """
    position = 0
    while position < len(pattern):
        starred = pattern[position] == "*"
        while pattern.startswith("*", position):
            position += 1
        part: list[Token] = []
        while position < len(pattern) and pattern[position] != "*":
            element, position = _element(pattern, position, line)
            part.append(element)
        dot = len(part) == 1 and (part[0] in (".", "?") or (isinstance(part[0], CharacterClass) and "." in part[0]))
        if starred or not dot:
            return


def _element(pattern: str, position: int, line: str) -> tuple[Token, int]:
    """Read a character or a class; return it and the place behind it."""
    character = pattern[position]
    position += 1
    if character == "\\":
        return _escaped(pattern, position, line)
    if character != "[":
        return character, position
    negated = pattern.startswith("^", position)
    position += negated
    ranges: list[tuple[str, str]] = []
    while not (ranges and pattern.startswith("]", position)):
        low, position = _member(pattern, position, line)
        high = low
        if pattern.startswith("-", position):
            high, position = _member(pattern, position + 1, line)
        ranges.append((low, high))
    return CharacterClass(negated, tuple(ranges)), position + 1


def _member(pattern: str, position: int, line: str) -> tuple[str, int]:
    """Read one character of a class; `-` and `]` need a backslash."""
    character = pattern[position : position + 1]
    if character in ("", "-", "]"):
        raise _bad(line, "close the bracket; - and ] in it need a backslash")
    return _escaped(pattern, position + 1, line) if character == "\\" else (character, position + 1)


def _escaped(pattern: str, position: int, line: str) -> tuple[str, int]:
    if position >= len(pattern):
        raise _bad(line, "a backslash needs a character behind it")
    return pattern[position], position + 1


def _expression_of(pattern: str) -> str:
    """Return the source of the regular expression, as Docker writes it."""

    def written(found: re.Match[str]) -> str:
        text = found[0]
        if text.startswith("**"):
            return ".*" if found.end() == len(pattern) else "(.*/)?"
        return {"*": "[^/]*", "?": "[^/]"}.get(text) or (text if len(text) > 1 else "\\" + text)

    return "^" + re.sub(r"(?s)\*\*/?|[*?]|\\.|[.+()$]", written, pattern) + "$"


class _Expression:
    """A regular expression of Go's as `_expression_of` writes it, being read."""

    def __init__(self, text: str, line: str) -> None:
        self._text = text
        self._line = line
        self._at = 0
        self._found: list[Token] = []
        self._repeats = False
        self._size = len(text)

    def tokens(self) -> list[Token]:
        while self._at < len(self._text):
            repeats, self._repeats = self._repeats, False
            if self._took("(.*/)?"):
                self._found.append(Wild.ANYWHERE)
                self._repeats = True
            elif self._took(".*"):
                self._found.append(Wild.REST)
            elif self._took("["):
                self._found.append(self._class())
            elif self._took("\\"):
                self._escape()
            elif self._took("*"):
                self._repeat(0, None, stacked=repeats)
            elif times := _TIMES.match(self._text, self._at):
                self._at = times.end()
                least = int(times[1])
                most = least if not times[2] else int(times[3]) if times[3] else None
                self._repeat(least, most, stacked=repeats)
            else:
                self._found.append(_SIGNS.get(self._next()) or self._text[self._at - 1])
        return [Wild.ONE if token == _NO_SLASH else token for token in self._found]

    def _took(self, text: str) -> bool:
        taken = self._text.startswith(text, self._at)
        self._at += len(text) * taken
        return taken

    def _next(self) -> str:
        self._at += 1
        return self._text[self._at - 1]

    def _repeat(self, least: int, most: int | None, *, stacked: bool) -> None:
        """Let what was read last be there so many times."""
        token = self._found.pop() if self._found else Wild.OR
        if stacked or token is Wild.OR or isinstance(token, Repeated):
            raise _bad(self._line, "there is nothing to repeat; a { without repeating needs a backslash")
        if max(least, most or 0) > _MOST_REPEATS or (most is not None and most < least):
            raise _bad(self._line, f"from 0 to {_MOST_REPEATS} times, the lower number first")
        self._size += most or least
        if self._size > _LARGEST:
            raise _bad(self._line, "it repeats too much")
        self._repeats = True
        if token in _PLACES:
            self._found += [token] * (least > 0)
        elif token == _NO_SLASH and (least, most) == (0, None):
            self._found.append(Wild.STAR)
        else:
            assert not isinstance(token, Repeated)
            self._found.append(Repeated(token, least, most))

    def _escape(self) -> None:
        """Read what stands behind a backslash, outside of brackets."""
        letter = self._text[self._at : self._at + 1]
        if letter in _ASSERTED:
            self._at += 1
            self._found.append(_ASSERTED[letter])
        elif letter in _SETS:
            self._at += 1
            self._found.append(CharacterClass(False, _SETS[letter]))
        elif letter == "Q":
            end = self._text.find("\\E", self._at)
            self._found += self._text[self._at + 1 : end if end >= 0 else None]
            self._at = end + 2 if end >= 0 else len(self._text)
        else:
            self._found.append(self._escaped())

    def _escaped(self) -> str:
        """Read an escape that stands for one character."""
        number = _NUMBER.match(self._text, self._at)
        if number is not None:
            self._at = number.end()
            digits = number[0]
            code = int(digits[1:].strip("{}"), 16) if digits[0] == "x" else int(digits, 8)
            if code <= ord(_LAST):
                return chr(code)
        character = self._next()
        if character in _LETTERS:
            return _LETTERS[character]
        if not character.isascii() or character.isalnum():
            raise _bad(self._line, f"\\{character} means nothing; between directories stands a /")
        return character

    def _class(self) -> CharacterClass:
        """Read a class from behind its bracket."""
        negated = self._took("^")
        ranges: list[tuple[str, str]] = []
        first = True
        while first or not self._took("]"):
            first = False
            if self._at >= len(self._text):
                raise _bad(self._line, "close the bracket")
            ranges += self._named() or self._set() or (self._range(),)
        return CharacterClass(negated, tuple(ranges))

    def _named(self) -> _Ranges:
        """Read `[:name:]`; nothing if none is there."""
        end = self._text.find(":]", self._at) if self._text.startswith("[:", self._at) else -1
        if end < 0:
            return ()
        name = self._text[self._at + 2 : end]
        ranges = _NAMED.get(name.removeprefix("^"))
        if ranges is None:
            raise _bad(self._line, f"there is no class [:{name}:]")
        self._at = end + 2
        return _others(ranges) if name.startswith("^") else ranges

    def _set(self) -> _Ranges:
        """Read `\\d` and its like; nothing if none is there."""
        letter = self._text[self._at + 1 : self._at + 2] if self._text.startswith("\\", self._at) else ""
        self._at += 2 * (letter in _SETS)
        return _SETS.get(letter, ())

    def _range(self) -> tuple[str, str]:
        low = high = self._member()
        if self._text.startswith("-", self._at) and self._text[self._at + 1 : self._at + 2] not in ("", "]"):
            self._at += 1
            high = self._member()
        if high < low:
            raise _bad(self._line, f"the range {low}-{high} is the wrong way round")
        return low, high

    def _member(self) -> str:
        return self._escaped() if self._took("\\") else self._next()


def _bad(line: str, hint: str) -> DockerfileError:
    return DockerfileError(f"syntax error in pattern: {line}", hint=hint)


def may_be_slow(tokens: Iterable[Token], limit: int) -> bool:
    """Tell whether a backtracking expression could take too long: more than `limit` parts are of any length."""
    loose = sum(
        token in (Wild.STAR, Wild.ANYWHERE, Wild.REST) or (isinstance(token, Repeated) and token.least != token.most)
        for token in tokens
    )
    return loose > limit
