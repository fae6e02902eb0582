"""Find the word that somebody meant: the nearest of those that exist."""

from __future__ import annotations

from collections.abc import Iterable

_LONGEST = 64
"""Words longer than this are no typing mistakes, and comparing them would take quadratic time."""


def nearest(word: str, existing: Iterable[str], *, farthest: int = 2) -> str | None:
    """Return the word of `existing` that differs from `word` by the fewest edits, at most `farthest`.

    An edit inserts, drops or replaces a character, or swaps two neighbours. Case does not count. The first of equals
    wins. A word shorter than three characters is only near to what differs by one edit.
    """
    if not word or len(word) > _LONGEST:
        return None
    best: str | None = None
    allowed = farthest if len(word) > 2 else 1
    wanted = word.lower()
    for candidate in existing:
        if abs(len(candidate) - len(word)) > allowed:
            continue
        distance = edits(wanted, candidate.lower())
        if distance <= allowed:
            best, allowed = candidate, distance - 1
    return best


def did_you_mean(word: str, existing: Iterable[str]) -> str | None:
    """Return the hint `did you mean …?` for the nearest of `existing`, or None if none is near."""
    found = nearest(word, existing)
    return None if found is None else f"did you mean {found}?"


def edits(left: str, right: str, *, swaps: bool = True) -> int:
    """Return how many edits apart two words are (optimal string alignment; Levenshtein without `swaps`)."""
    before: list[int] = []
    previous = list(range(len(right) + 1))
    for row, character in enumerate(left, 1):
        current = [row]
        for column, other in enumerate(right, 1):
            cost = min(
                previous[column] + 1,
                current[column - 1] + 1,
                previous[column - 1] + (character != other),
            )
            if swaps and row > 1 and column > 1 and character == right[column - 2] and left[row - 2] == other:
                cost = min(cost, before[column - 2] + 1)
            current.append(cost)
        before, previous = previous, current
    return previous[-1]
