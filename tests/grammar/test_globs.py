"""Patterns of `${name#…}` and `${name/…}`, against a matcher that tries everything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grammar.globs import ANY, Glob, cut_prefix, cut_suffix, parse_glob, replace

PATTERN = st.text(alphabet="ab?*", max_size=7)
VALUE = st.text(alphabet="abc", max_size=10)


def _ends(glob: Glob, value: str, begin: int) -> list[int]:
    """Return all places where a match that begins at `begin` may end."""
    places = {begin}
    for number, segment in enumerate(glob):
        if number:
            places = {end for place in places for end in range(place, len(value) + 1)}
        for wanted in segment:
            places = {place + 1 for place in places if place < len(value) and wanted in (ANY, value[place])}
    return sorted(places)


@given(PATTERN, VALUE)
def test_the_shortest_and_the_longest_beginning_are_cut(pattern: str, value: str) -> None:
    glob = parse_glob(pattern)
    ends = _ends(glob, value, 0)
    assert cut_prefix(pattern, value, longest=False) == (value[ends[0] :] if ends else value)
    assert cut_prefix(pattern, value, longest=True) == (value[ends[-1] :] if ends else value)


@given(PATTERN, VALUE)
def test_the_shortest_and_the_longest_end_are_cut(pattern: str, value: str) -> None:
    glob = parse_glob(pattern)
    begins = [begin for begin in range(len(value) + 1) if len(value) in _ends(glob, value, begin)]
    assert cut_suffix(pattern, value, longest=False) == (value[: begins[-1]] if begins else value)
    assert cut_suffix(pattern, value, longest=True) == (value[: begins[0]] if begins else value)


@given(PATTERN, VALUE)
def test_the_leftmost_longest_match_is_replaced(pattern: str, value: str) -> None:
    glob = parse_glob(pattern)
    matches = ((begin, _ends(glob, value, begin)) for begin in range(len(value) + 1))
    begin, ends = next(((begin, ends) for begin, ends in matches if ends), (0, []))
    expected = value[:begin] + "-" + value[ends[-1] :] if ends else value
    assert replace(pattern, value, "-", everywhere=False) == expected


@given(st.text(alphabet="ab", min_size=1, max_size=3), VALUE, st.text(alphabet="ab-", max_size=3))
def test_a_literal_is_replaced_everywhere(pattern: str, value: str, replacement: str) -> None:
    assert replace(pattern, value, replacement, everywhere=True) == value.replace(pattern, replacement)


@pytest.mark.parametrize(
    ("pattern", "replacement", "expected"),
    [
        ("b", "[$0]", "a[b]c[b]"),
        ("b", "${0}$$", "ab$cb$"),
        ("b", "$1x-$00", "a-c-"),
        ("b", "$-${", "a$-${c$-${"),
    ],
)
def test_a_replacement_everywhere_may_name_what_was_matched(pattern: str, replacement: str, expected: str) -> None:
    assert replace(pattern, "abcb", replacement, everywhere=True) == expected


def test_one_replacement_is_taken_as_it_is() -> None:
    assert replace("b", "abcb", "$0$$", everywhere=False) == "a$0$$cb"


def test_wildcards_match_no_line_break() -> None:
    value = "a1\nb2\nc3"
    assert cut_prefix("*", value, longest=True) == "\nb2\nc3"
    assert cut_prefix("a?b", value, longest=True) == value
    assert cut_suffix("*", value, longest=True) == "a1\nb2\n"
    assert replace("*", value, "x", everywhere=True) == "x\nx\nx"
    assert replace("b*", value, "x", everywhere=False) == "a1\nx\nc3"
    assert replace("\n", value, "", everywhere=True) == "a1b2c3"


def test_an_escape_at_the_end_of_a_suffix_is_read_from_behind() -> None:
    assert cut_suffix("/\\", "a/", longest=False) == "a"
