"""Read `--chmod`: an octal number, or the symbolic form that chmod(1) has."""

from __future__ import annotations

import re

from frozen import Frozen
from runtime.errors import UsageError

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)")
_ACTION = re.compile(r"([-+=])([ugo](?![rwxXst])|[rwxXst]*)")
_OCTAL = re.compile(r"[0-7]+")
_SHIFTS = {"u": 6, "g": 3, "o": 0}
_MAX = 0o7777


class ModeChange(Frozen):
    """A parsed `--chmod`: `octal` is the mode itself, else `clauses` are (who, operator, permissions) in order."""

    text: str
    octal: int | None = None
    clauses: tuple[tuple[str, str, str], ...] = ()

    def apply(self, mode: int, *, directory: bool) -> int:
        """Return what a file with `mode` (0oNNNN) gets."""
        if self.octal is not None:
            return self.octal
        for who, operator, permissions in self.clauses:
            mode = _change(mode, who, operator, permissions, directory=directory)
        return mode


def parse_mode(text: str) -> ModeChange:
    """Parse the value of `--chmod`; raises UsageError with the value as written."""
    if _OCTAL.fullmatch(text) and int(text, 8) <= _MAX:
        return ModeChange(text=text, octal=int(text, 8))
    clauses: list[tuple[str, str, str]] = []
    for clause in text.split(","):
        match = _CLAUSE.fullmatch(clause)
        if match is None:
            raise UsageError(
                f"invalid chmod parameter: '{text}'",
                hint="write an octal number from 0 to 07777, or a symbolic mode such as u=rwX,go=rX",
            )
        who = "ugo" if not match[1] or "a" in match[1] else match[1]
        clauses.extend((who, action[1], action[2]) for action in _ACTION.finditer(match[2]))
    return ModeChange(text=text, clauses=tuple(clauses))


def _change(mode: int, who: str, operator: str, permissions: str, *, directory: bool) -> int:
    bits = _bits(mode, who, permissions, directory=directory)
    if operator == "+":
        return mode | bits
    if operator == "-":
        return mode & ~bits
    covered = 0
    for person in who:
        covered |= 0o7 << _SHIFTS[person]
    if "u" in who:
        covered |= 0o4000
    if "g" in who:
        covered |= 0o2000
    return mode & ~covered | bits


def _bits(mode: int, who: str, permissions: str, *, directory: bool) -> int:
    """Return the bits that `permissions` stand for, for everybody in `who`."""
    if permissions in _SHIFTS and permissions:
        triple, special = mode >> _SHIFTS[permissions] & 0o7, 0
    else:
        triple = special = 0
        for letter in permissions:
            if letter == "s":
                special |= (0o4000 if "u" in who else 0) | (0o2000 if "g" in who else 0)
            elif letter == "t":
                special |= 0o1000
            elif letter == "X":
                triple |= 1 if directory or mode & 0o111 else 0
            else:
                triple |= {"r": 4, "w": 2, "x": 1}[letter]
    bits = special
    for person in who:
        bits |= triple << _SHIFTS[person]
    return bits
