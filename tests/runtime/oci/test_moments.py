"""Times that people write."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import UsageError
from runtime.oci.moments import parse_duration, parse_moment

SECOND = 10**9
NOW = 1_717_200_000 * SECOND  # 2024-06-01T00:00:00Z


@pytest.fixture
def two_hours_east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the machine be two hours ahead of UTC."""
    monkeypatch.setenv("TZ", "XXX-2")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("30s", 30 * SECOND),
        ("1m30s", 90 * SECOND),
        ("500ms", SECOND // 2),
        ("1.5h", 5400 * SECOND),
        (".5s", SECOND // 2),
        ("-10m", -600 * SECOND),
        ("+5m", 300 * SECOND),
        ("2µs", 2000),
    ],
)
def test_durations_are_gos(text: str, nanoseconds: int) -> None:
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "5", "s", "1x", "1s ", "1d", "--1s", "1m30", "5M"])
def test_what_is_no_duration(text: str) -> None:
    assert parse_duration(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1h30m", NOW - 5400 * SECOND),
        ("-1h", NOW + 3600 * SECOND),
        ("0s", NOW),
        ("0", 0),
        ("1717200000", NOW),
        ("1717200000.5", NOW + SECOND // 2),
        ("1717200000.1234567899", NOW + 123_456_789),
        ("2024-06-01T00:00:00Z", NOW),
        ("2024-06-01T00:00:00.000000001Z", NOW + 1),
        ("2024-06-01T00:00:00.25+00:00", NOW + SECOND // 4),
        ("2024-06-01T02:00:00+02:00", NOW),
        ("2024-05-31T21:30:00-02:30", NOW),
        ("2024-06-01T00:00Z", NOW),
        ("2024-06-01T00Z", NOW),
        ("2024-06-01Z", NOW),
        ("2024-06-01+02:00", NOW - 7200 * SECOND),
        ("2024-06-01T02:00:00", NOW),
        ("2024-06-01T02:00:00.5", NOW + SECOND // 2),
        ("2024-06-01T02:00", NOW),
        ("2024-06-01T02", NOW),
        ("2024-06-01", NOW - 7200 * SECOND),
    ],
)
@pytest.mark.usefixtures("two_hours_east")
def test_a_time_is_read_in_every_form(text: str, expected: int) -> None:
    assert parse_moment(text, NOW, "since") == expected


@pytest.mark.parametrize(
    "text",
    ["", " ", "-1", "1d", "1700000000.", ".5", "1e9", "2024-13-01", "2024-02-30", "2024-06-01T24:00:00Z", "12:00", "٣"],
)
def test_what_is_no_time_is_shown_with_what_it_was_for(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_moment(text, NOW, "until")
    assert caught.value.message == f'invalid value for "until": failed to parse value as time or duration: "{text}"'


@given(st.text(alphabet="0123456789-+:.TZhms ", max_size=30))
def test_nothing_but_usage_errors_comes_of_any_text(text: str) -> None:
    try:
        assert isinstance(parse_moment(text, NOW, "since"), int)
    except UsageError:
        pass
