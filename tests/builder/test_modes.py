"""--chmod means what chmod(1) means."""

from __future__ import annotations

import re

import pytest

from builder.modes import parse_mode
from runtime.errors import UsageError


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        ("755", 0o644, 0o755),
        ("0600", 0o4755, 0o600),
        ("0", 0o777, 0),
        ("4711", 0o644, 0o4711),
        ("+x", 0o644, 0o755),
        ("+w", 0o644, 0o666),
        ("g+w,o-r", 0o644, 0o660),
        ("u+s,+t", 0o644, 0o5644),
        ("u=g", 0o644, 0o444),
        ("=r", 0o755, 0o444),
        ("a+x,g=u", 0o644, 0o775),
        ("go=", 0o4755, 0o4700),
        ("u=rwX,go=rX", 0o640, 0o644),
        ("u=rwX,go=rX", 0o4755, 0o755),
        ("u=rwx,g=rx,o=", 0, 0o750),
    ],
)
def test_a_mode_changes_a_file(text: str, before: int, after: int) -> None:
    assert oct(parse_mode(text).apply(before, directory=False)) == oct(after)


def test_a_capital_x_counts_for_directories_and_for_what_is_executable() -> None:
    mode = parse_mode("a=rX")
    assert mode.apply(0o600, directory=True) == 0o555
    assert mode.apply(0o600, directory=False) == 0o444
    assert mode.apply(0o700, directory=False) == 0o555


@pytest.mark.parametrize("text", ["9", "77777", "abc", "", "u", "u+q", "755x", "-1", "0o755", "u=rw,", "u=gx"])
def test_what_is_no_mode_is_shown_as_written(text: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"invalid chmod parameter: '{text}'")):
        parse_mode(text)
