"""Cut and replace by the patterns of `${name#pattern}`, `${name%pattern}` and `${name/pattern/text}`.

A pattern knows `*` (any characters) and `?` (one character), neither of which is a line break; all else is itself,
brackets too. It is kept as the segments between its stars. Matching takes the first place where each segment fits, so
that no pattern makes the time grow faster than text times segment / 64 (wildcards inside a segment are matched
bit-parallel), whatever the nesting of stars.
"""

from __future__ import annotations

import re

from grammar.errors import ExpansionError

ANY = None
"""What stands for `?` in a segment."""

Segment = tuple["str | None", ...]
Glob = tuple[Segment, ...]


def parse_glob(pattern: str) -> Glob:
    r"""Split `pattern` at its stars; `\*`, `\?` and `\\` are literal, `\}` and `\/` lose the backslash.

    Raises ExpansionError for any other escape.
    """
    segments: list[Segment] = []
    current: list[str | None] = []
    characters = iter(pattern)
    for character in characters:
        if character == "*":
            segments.append(tuple(current))
            current = []
        elif character == "?":
            current.append(ANY)
        elif character == "\\":
            escaped = next(characters, "")
            if not escaped or escaped not in "*?\\}/":
                raise ExpansionError(
                    f"invalid pattern ({pattern}) in substitution: invalid escape '\\{escaped}'",
                    hint=r"only \*, \?, \\, \} and \/ may be escaped in a pattern",
                )
            current.append(escaped)
        else:
            current.append(character)
    segments.append(tuple(current))
    return tuple(segments)


def cut_prefix(pattern: str, value: str, *, longest: bool) -> str:
    """Return `value` without the shortest (or longest) beginning that `pattern` matches."""
    glob = parse_glob(pattern)
    line = value if _has_line_break(glob) else value.partition("\n")[0]
    end = _match_at(glob, line, 0, longest=longest)
    return value if end < 0 else value[end:]


def cut_suffix(pattern: str, value: str, *, longest: bool) -> str:
    """Return `value` without the shortest (or longest) end that `pattern` matches."""
    return cut_prefix(_mirrored(pattern), value[::-1], longest=longest)[::-1]


def replace(pattern: str, value: str, replacement: str, *, everywhere: bool) -> str:
    """Return `value` with the first match (the longest there), or all that do not overlap, replaced.

    An empty match counts, but not right behind the match before it. Where all are replaced, `$0` and `${0}` in the
    replacement are what was matched, `$$` is a dollar sign, and other names are nothing.
    """
    glob = parse_glob(pattern)
    if _has_line_break(glob):
        return _replaced(glob, value, replacement, everywhere=everywhere)[0]
    lines = value.split("\n")
    for number, line in enumerate(lines):
        lines[number], found = _replaced(glob, line, replacement, everywhere=everywhere)
        if found and not everywhere:
            break
    return "\n".join(lines)


def _has_line_break(glob: Glob) -> bool:
    return any("\n" in segment for segment in glob)


def _mirrored(pattern: str) -> str:
    """Return the pattern that matches backwards: an escape stays before what it escapes, a last one goes first."""
    pieces = re.findall(r"\\.|.", pattern, re.DOTALL)
    return "".join(reversed(pieces))


def _replaced(glob: Glob, value: str, replacement: str, *, everywhere: bool) -> tuple[str, bool]:
    output: list[str] = []
    copied = start = 0
    previous_end = -1
    while start <= len(value):
        begin, end = _search(glob, value, start)
        if begin < 0:
            break
        if begin < end or begin != previous_end:
            text = _filled(replacement, value[begin:end]) if everywhere and "$" in replacement else replacement
            output += (value[copied:begin], text)
            copied = previous_end = end
            if not everywhere:
                break
        start = end if end > begin else end + 1
    output.append(value[copied:])
    return "".join(output), previous_end >= 0


def _filled(template: str, matched: str) -> str:
    """Fill in a replacement as Go's regexp package does (Regexp.Expand); the pattern has no groups but the whole."""

    def fill(reference: re.Match[str]) -> str:
        name = reference[1] or reference[2]
        return "$" if name is None else matched if name == "0" else ""

    return re.sub(r"\$(?:\$|(\w+)|\{(\w+)\})", fill, template)


def _search(glob: Glob, value: str, start: int) -> tuple[int, int]:
    """Return begin and end of the leftmost, longest match at or after `start`, or (-1, -1).

    Only the first place of the first segment needs to be looked at: if what follows does not fit behind it, it fits
    behind no later one.
    """
    begin = _find(glob[0], value, start)
    end = _match_at(glob, value, begin, longest=True) if begin >= 0 else -1
    return (begin, end) if end >= 0 else (-1, -1)


def _match_at(glob: Glob, value: str, begin: int, *, longest: bool) -> int:
    """Return where the match that begins at `begin` ends, or -1."""
    first, *others = glob
    if not _fits(first, value, begin):
        return -1
    position = begin + len(first)
    if not others:
        return position
    *middle, last = others
    for segment in middle:
        found = _find(segment, value, position)
        if found < 0:
            return -1
        position = found + len(segment)
    found = _find_last(last, value, position) if longest else _find(last, value, position)
    return -1 if found < 0 else found + len(last)


def _fits(segment: Segment, value: str, position: int) -> bool:
    if position + len(segment) > len(value):
        return False
    return all(wanted is ANY or wanted == value[index] for index, wanted in enumerate(segment, position))


def _find(segment: Segment, value: str, start: int) -> int:
    """Return the first place at or after `start` where `segment` fits, or -1."""
    literal = "".join(character for character in segment if character is not ANY)
    if len(literal) == len(segment):
        return value.find(literal, start)
    if not literal:
        return start if start + len(segment) <= len(value) else -1
    return _shift_and(segment, value, start)


def _find_last(segment: Segment, value: str, start: int) -> int:
    """Return the last place at or after `start` where `segment` fits, or -1.

    The mirrored text is searched forwards, because `str.rfind` can take quadratic time.
    """
    found = _find(segment[::-1], value[start:][::-1], 0)
    return -1 if found < 0 else len(value) - found - len(segment)


def _shift_and(segment: Segment, value: str, start: int) -> int:
    """Find `segment` with one integer whose bit n says: the last n + 1 characters fit (Baeza-Yates, Gonnet 1992)."""
    wild = 0
    masks: dict[str, int] = {}
    for index, wanted in enumerate(segment):
        if wanted is ANY:
            wild |= 1 << index
        else:
            masks[wanted] = masks.get(wanted, 0) | 1 << index
    complete = 1 << (len(segment) - 1)
    state = 0
    for index in range(start, len(value)):
        state = (state << 1 | 1) & (masks.get(value[index], 0) | wild)
        if state & complete:
            return index + 1 - len(segment)
    return -1
