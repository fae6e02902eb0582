"""Decide which files of a build context a `.dockerignore` leaves out.

The last line that matches a path or one of its parents decides. Patterns are Docker's, which are not git's: they match
whole paths from the root of the context; `*` and `?` stop at `/`; `**` with what follows it may begin anywhere and
stand for nothing; at the end, it is all that follows.

Two engines give the same answers. Patterns with few stars become one regular expression each and one for all, which
most paths fail at once. The others, and very long paths, are matched with the positions of the path as bits of one
integer (as Parabix does), so that no pattern takes more time than its length times that of the path / 64.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from functools import cached_property, lru_cache

from grammar.errors import DockerfileError
from grammar.expansion import SPACES
from grammar.ignorepatterns import WORD, CharacterClass, Repeated, Token, Wild, alternatives, may_be_slow

_LONGEST_PATH = 4096
"""PATH_MAX of Linux: no file's path is longer, so no regular expression sees one."""

_DEEP = 16
"""From so many unknown parents on, one pass over all of them is cheaper than asking for each."""

_MANY_STARS = 2
"""With more of them a backtracking expression could take more than quadratic time."""


class IgnoreFile:
    """The patterns of one ignore file, compiled once; answers for directories are kept."""

    def __init__(self, lines: Iterable[str]) -> None:
        """Read the raw lines of the file. Raises DockerfileError, with the line's number, for a bad pattern."""
        self._patterns: list[_Pattern] = []
        self._kept: dict[str, int] = {"": 0}
        self._walked: dict[str, int] = {"": 0}
        for number, line in enumerate(lines.split("\n") if isinstance(lines, str) else lines, 1):
            text = line.removeprefix("\ufeff") if number == 1 else line
            if text.startswith("#") or not text.strip(SPACES):
                continue
            try:
                self._patterns += _read(text.strip(SPACES))
            except DockerfileError as error:
                raise error.at(number) from None

    @classmethod
    def of_patterns(cls, patterns: Iterable[str]) -> IgnoreFile:
        """Read patterns that are no lines of a file, as those of `--exclude`: `#` is itself, a leading slash stays.

        Raises DockerfileError for a bad one.
        """
        made = cls(())
        for pattern in filter(None, (pattern.strip(SPACES) for pattern in patterns)):
            made._patterns += _read_pattern(pattern)
        return made

    @cached_property
    def reincludes(self) -> bool:
        """Whether a line takes back what another leaves out."""
        return any(pattern.includes for pattern in self._patterns)

    @cached_property
    def excludes_all(self) -> bool:
        """Whether a line by itself leaves out everything in the context."""
        all_of_it = ((Wild.STAR,), (Wild.REST,), (Wild.ANYWHERE, Wild.STAR))
        return any(not pattern.includes and pattern.tokens in all_of_it for pattern in self._patterns)

    def excludes(self, path: str) -> bool:
        """Return whether `path` (`a/b`, relative to the context) is left out. The context itself never is."""
        path = posixpath.normpath(path).lstrip("/")
        if path in ("", "."):
            return False
        if len(path) > _LONGEST_PATH:
            positions = _Positions(path)
            return self._decides([pattern.matches_within(positions) for pattern in self._patterns])
        inherited = self._directory(posixpath.dirname(path))
        if not self._any_may_match(path):
            return self._verdict(inherited)
        first = inherited.bit_length()
        for number in range(len(self._patterns) - 1, first - 1, -1):
            if self._patterns[number].matches(path):
                return not self._patterns[number].includes
        return self._verdict(inherited)

    def leaves_out(self, path: str) -> bool:
        """Return whether a walk from the top leaves out `path`, as BuildKit walks: a `!` line that matches a directory
        counts for what lies below only if the directory had been left out until then. Else it is `excludes`.
        """
        if not self.reincludes:
            return self.excludes(path)
        path = posixpath.normpath(path).lstrip("/")
        return path not in ("", ".") and self._verdict(self._walked_to(path))

    def _walked_to(self, path: str) -> int:
        """Return which patterns a walk counts for `path`: bit n for the n-th."""
        missing = [path]
        while (parent := posixpath.dirname(missing[-1])) not in self._walked:
            missing.append(parent)
        found = self._walked[parent]
        for place in reversed(missing):
            if self._any_may_match(place):
                found = self._counted(place, found)
            if place != path:
                self._walked[place] = found
        return found

    def _counted(self, path: str, inherited: int) -> int:
        found = 0
        out = False
        for number, pattern in enumerate(self._patterns):
            if inherited >> number & 1 or (pattern.includes == out and pattern.matches(path)):
                found |= 1 << number
                out = not pattern.includes
        return found

    def may_reinclude_below(self, path: str) -> bool:
        """Return whether a `!` line may match something below the excluded directory `path`.

        Where it is False, a walk need not enter the directory.
        """
        path = posixpath.normpath(path).lstrip("/")
        below = _Positions("" if path in ("", ".") else path + "/")
        decided = self._directory(path).bit_length() if 0 < len(below.text) <= _LONGEST_PATH else 0
        return any(pattern.includes and pattern.may_match_below(below) for pattern in self._patterns[decided:])

    def _directory(self, path: str) -> int:
        """Return which patterns match `path` or a parent of it: bit n for the n-th."""
        found = self._kept.get(path)
        if found is not None:
            return found
        missing = [path]
        while (parent := posixpath.dirname(missing[-1])) not in self._kept:
            missing.append(parent)
        if len(missing) > _DEEP:
            positions = _Positions(path)
            found = self._kept[path] = _bits([pattern.matches_within(positions) for pattern in self._patterns])
            return found
        found = self._kept[parent]
        for directory in reversed(missing):
            if self._any_may_match(directory):
                for number, pattern in enumerate(self._patterns):
                    if pattern.matches(directory):
                        found |= 1 << number
            self._kept[directory] = found
        return found

    def _any_may_match(self, path: str) -> bool:
        return self._any.fullmatch(path) is not None or any(pattern.matches(path) for pattern in self._starry)

    @cached_property
    def _starry(self) -> list[_Pattern]:
        return [pattern for pattern in self._patterns if pattern.source is None]

    @cached_property
    def _any(self) -> re.Pattern[str]:
        expressions = [pattern.source for pattern in self._patterns if pattern.source is not None]
        return re.compile("|".join(f"(?:{expression})" for expression in expressions) or "(?!)", re.DOTALL)

    def _verdict(self, matched: int) -> bool:
        """Return what the last of the matching patterns says."""
        return matched != 0 and not self._patterns[matched.bit_length() - 1].includes

    def _decides(self, matched: list[bool]) -> bool:
        return self._verdict(_bits(matched))


class _Positions:
    """A path as the integer engine sees it; bit n of a set of positions stands before the n-th character."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.end = 1 << len(text)
        self._masks: dict[Token, int] = {}
        self.slashes = self.mask("/")
        self.others = self.end - 1 ^ self.slashes

    @cached_property
    def boundaries(self) -> int:
        """The positions at which a word begins or ends."""
        inside = self.mask(WORD)
        return inside ^ inside << 1

    def mask(self, wanted: Token) -> int:
        """Return the positions before a character that is, or is in, `wanted`."""
        mask = self._masks.get(wanted)
        if mask is None:
            assert isinstance(wanted, str | CharacterClass)
            bits = ("1" if character in wanted else "0" for character in reversed(self.text))
            mask = self._masks[wanted] = int("0" + "".join(bits), 2)
        return mask

    def step(self, token: Token, reached: int) -> int:
        """Return the positions that `token` leads to from those in `reached`."""
        if isinstance(token, str | CharacterClass):
            return (reached & self.mask(token)) << 1
        if token is Wild.ONE:
            return (reached & self.others) << 1
        if token is Wild.STAR:
            return _run(reached, self.others)
        if isinstance(token, Repeated):
            return self._repeat(token, reached)
        lowest = (reached & -reached).bit_length() - 1
        if lowest < 0:
            return 0
        if token is Wild.REST:
            return (self.end << 1) - (1 << lowest)
        if token is Wild.START:
            return reached & 1
        if token is Wild.END:
            return reached & self.end
        if token is Wild.BOUNDARY:
            return reached & self.boundaries
        if token is Wild.NO_BOUNDARY:
            return reached & ~self.boundaries
        return reached | self.slashes >> lowest << lowest + 1

    def _repeat(self, repeated: Repeated, reached: int) -> int:
        for _ in range(repeated.least):
            reached = self.step(repeated.token, reached) if reached else 0
        if repeated.most is None:
            return _run(reached, self.others if repeated.token is Wild.ONE else self.mask(repeated.token))
        found = further = reached
        for _ in range(repeated.most - repeated.least):
            further = self.step(repeated.token, further) if further else 0
            found |= further
        return found


def _run(reached: int, wanted: int) -> int:
    """Return the positions that any number of wanted characters leads to: a carry runs through all that adjoin."""
    return ((reached & wanted) + wanted ^ wanted) | reached


@lru_cache(maxsize=1)
def _positions(path: str) -> _Positions:
    """Return the positions of a path, kept while one pattern after the other asks for them."""
    return _Positions(path)


class _Pattern:
    """One line, or one of the alternatives of a line: its tokens, and whether it begins with `!`."""

    def __init__(self, *, tokens: tuple[Token, ...], includes: bool) -> None:
        self.tokens = tokens
        self.includes = includes

    @cached_property
    def source(self) -> str | None:
        """Return the pattern as the text of a regular expression, or None if that could take long to match."""
        if may_be_slow(self.tokens, _MANY_STARS):
            return None
        return "".join(_as_expression(token) for token in self.tokens)

    @cached_property
    def _expression(self) -> re.Pattern[str] | None:
        return None if self.source is None else re.compile(self.source, re.DOTALL)

    def matches(self, path: str) -> bool:
        """Return whether the whole of `path` matches; parents do not count."""
        if self._expression is not None:
            return self._expression.fullmatch(path) is not None
        positions = _positions(path)
        return bool(self._reached(positions) & positions.end)

    def matches_within(self, positions: _Positions) -> bool:
        """Return whether the path or one of its parents matches."""
        return bool(self._reached(positions) & (positions.slashes | positions.end) & ~1)

    def may_match_below(self, below: _Positions) -> bool:
        """Return whether something can match that begins with the text of `below` and is longer."""
        reached = 1
        for token in self.tokens:
            if reached & below.end:
                return True
            reached = below.step(token, reached)
            if token is Wild.REST and reached:
                return True
        return False

    def _reached(self, positions: _Positions) -> int:
        reached = 1
        for token in self.tokens:
            reached = positions.step(token, reached)
            if not reached:
                break
        return reached


def _bits(matched: list[bool]) -> int:
    """Return the number whose bit n is `matched[n]`."""
    return int("".join("1" if hit else "0" for hit in reversed(matched)) or "0", 2)


def _as_expression(token: Token) -> str:
    if isinstance(token, str):
        return re.escape(token)
    if isinstance(token, CharacterClass):
        ranges = "".join(f"{re.escape(low)}-{re.escape(high)}" for low, high in token.ranges)
        return f"[{'^' if token.negated else ''}{ranges}]"
    if isinstance(token, Repeated):
        most = "" if token.most is None else token.most
        return f"(?:{_as_expression(token.token)}){{{token.least},{most}}}"
    return _EXPRESSIONS[token]


_EXPRESSIONS = {
    Wild.ONE: "[^/]",
    Wild.STAR: "[^/]*",
    Wild.ANYWHERE: "(?:.*/)?",
    Wild.REST: ".*",
    Wild.START: r"\A",
    Wild.END: r"\Z",
    Wild.BOUNDARY: r"(?a:\b)",
    Wild.NO_BOUNDARY: r"(?a:\B)",
}


def _read(line: str) -> list[_Pattern]:
    """Read one line, blanks round it gone: what it may be. Raises DockerfileError without a line for a bad pattern."""
    includes = line.startswith("!")
    text = line[1:].strip(SPACES) if includes else line
    cleaned = posixpath.normpath(text)
    if cleaned.startswith("/"):
        cleaned = cleaned.lstrip("/") or "/"
    cleaned = posixpath.normpath(cleaned.rstrip(SPACES) if includes else cleaned.strip(SPACES))
    if not includes and cleaned.startswith("!"):  # `/!name`: the slash goes before the ! is looked for
        includes, text = True, cleaned[1:]
        cleaned = text
    if includes and (not text or cleaned == "/"):
        raise DockerfileError(f'illegal exclusion pattern: "{line}"', hint="write a path or pattern behind the !")
    return [_Pattern(tokens=tokens, includes=includes) for tokens in alternatives(cleaned, line)]


def _read_pattern(text: str) -> list[_Pattern]:
    """Read one pattern, blanks round it gone. Raises DockerfileError without a line for a bad one."""
    cleaned = posixpath.normpath(text)
    includes = cleaned.startswith("!")
    if cleaned == "!":
        raise DockerfileError(f'illegal exclusion pattern: "{text}"', hint="write a path or pattern behind the !")
    return [_Pattern(tokens=tokens, includes=includes) for tokens in alternatives(cleaned[includes:], text)]
