"""Flags: their quotes, and the table of those that exist."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grammar.flags import FLAGS, KEYWORDS, clean_flag, read_flags
from grammar.parser import parse


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("--a=b", "--a=b"),
        ('--a="b c"', "--a=b c"),
        ("--a='b c'", "--a=b c"),
        ("--a=b\\ c", "--a=b c"),
        ("'--a=b'", "--a=b"),
        ('--a="b\\"c"', '--a=b"c'),
        ("--a='b\\'c'", "--a=b'c"),
        ("--a=b\\", "--a=b"),
        ('--a="b', "--a=b"),
        ("--a='\"'", '--a="'),
    ],
)
def test_quotes_and_escapes_go(written: str, expected: str) -> None:
    assert clean_flag(written) == expected


def test_the_escape_is_the_files() -> None:
    assert clean_flag('--a=b`"\\c', "`") == '--a=b"\\c'


@given(st.text(alphabet="ab=,\"'\\` "))
def test_cleaning_takes_any_text(written: str) -> None:
    assert '"' not in clean_flag(f'--x="{written}"'.replace("\\", "").replace("'", "")) or not written


def test_lists_repeat_and_others_are_read_once() -> None:
    flags = read_flags(parse("COPY --exclude=a --exclude='b c' --link --parents=FALSE --chown= a b\n").instructions[0])
    assert flags.texts("exclude") == ("a", "b c")
    assert flags.switch("link") is True
    assert flags.switch("parents") is False
    assert flags.text("chown") is None
    assert flags.text("chmod") is None
    assert flags.texts("mount") == ()


def test_the_table_knows_every_instruction_of_the_language() -> None:
    assert set(KEYWORDS) == set(
        "add arg cmd copy entrypoint env expose from healthcheck label maintainer onbuild run shell stopsignal user "
        "volume workdir".split()
    )
    assert {name for flags in FLAGS.values() for name, kind in flags.items() if kind == "texts"} == {
        "mount",
        "device",
        "exclude",
    }
