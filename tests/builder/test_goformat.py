"""Texts of the history are those that Go's fmt package writes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder import goformat


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("", '""'),
        ('say "x"', '"say \\"x\\""'),
        ("a\\b", '"a\\\\b"'),
        ("tab\tline\n", '"tab\\tline\\n"'),
        ("é", '"é"'),
        ("\x01\x7f", '"\\x01\\x7f"'),
        ("\u2028\U000e0001", '"\\u2028\\U000e0001"'),
        ("it's", '"it\'s"'),
    ],
)
def test_a_string_is_quoted_as_strconv_quotes_it(text: str, quoted: str) -> None:
    assert goformat.quoted(text) == quoted


@pytest.mark.parametrize(
    ("number", "text"), [(0, "'\\x00'"), (3, "'\\x03'"), (40, "'('"), (39, "'\\''"), (92, "'\\\\'"), (-1, "'\ufffd'")]
)
def test_a_number_is_quoted_as_the_character_it_is(number: int, text: str) -> None:
    assert goformat.quoted_rune(number) == text


def test_lists_have_brackets_and_blanks() -> None:
    assert goformat.quoted_list(["a", "b c"]) == '["a" "b c"]'
    assert goformat.plain_list(["a", "b c"]) == "[a b c]"
    assert goformat.quoted_list([]) == "[]"


@given(st.text())
def test_a_quoted_string_is_one_line_without_control_characters(text: str) -> None:
    assert all(character.isprintable() for character in goformat.quoted(text))
