"""Nothing that a step prints moves a cursor or shows a secret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.progress.sanitise import Lines, Redactor, clean_line


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("plain", "plain"),
        ("a\tb", "a\tb"),
        ("old\rnew", "new"),
        ("done\r", "done"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[Hx", "x"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x07", "link"),
        ("\x1bPq#0\x1b\\x", "x"),
        ("\x9b2Jx", "\\x9b2Jx"),
        ("a\x1b", "a"),
        ("\u202etxt", "\\u202etxt"),
    ],
)
def test_a_line_without_colours_has_no_control_characters(line: str, shown: str) -> None:
    assert clean_line(line, colours=False) == shown


def test_colours_pass_where_they_may_and_end_with_the_line() -> None:
    assert clean_line("\x1b[1;31mred\x1b[K", colours=True) == "\x1b[1;31mred\x1b[0m"


@given(st.text())
def test_whatever_is_printed_only_colours_are_left(text: str) -> None:
    for line in text.split("\n"):
        cleaned = clean_line(line, colours=False)
        assert not any(ord(character) < 0x20 and character != "\t" for character in cleaned)


@given(st.lists(st.binary(max_size=20)))
def test_lines_are_the_same_however_the_bytes_are_cut(pieces: list[bytes]) -> None:
    whole = Lines()
    expected = [*whole.feed(b"".join(pieces)), *whole.finish()]
    cut = Lines()
    found = [line for piece in pieces for line in cut.feed(piece)]
    assert [*found, *cut.finish()] == expected


def test_a_line_without_an_end_is_cut_before_it_fills_the_memory() -> None:
    lines = Lines(limit=10)
    assert lines.feed(b"x" * 25) == ["x" * 10, "x" * 10]
    assert lines.finish() == ["x" * 5]


@given(st.binary(min_size=1, max_size=40), st.integers(min_value=1, max_value=7))
def test_a_secret_is_replaced_however_it_is_cut(padding: bytes, size: int) -> None:
    secret = b"s3cr3t-value"
    stream = padding + secret + padding + secret
    redactor = Redactor([secret])
    shown = b"".join(redactor.feed(stream[index : index + size]) for index in range(0, len(stream), size))
    shown += redactor.finish()
    assert secret not in shown
    assert shown.count(b"*****") >= 2


def test_each_line_of_a_secret_is_one() -> None:
    redactor = Redactor([b"first line\nsecond line\n"])
    assert redactor.feed(b"x second line y.") + redactor.finish() == b"x ***** y."


def test_values_too_short_to_hide_are_left_alone() -> None:
    redactor = Redactor([b"", b"a", b"ab"])
    assert redactor.feed(b"abc") == b"abc"
