from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import DocumentError
from runtime.oci.times import go_duration, parse_time, rfc3339


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_500_000_000, "1970-01-01T00:00:01.5Z"),
        (1_704_164_645_000_000_060, "2024-01-02T03:04:05.00000006Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
    ],
)
def test_a_time_is_written_as_go_does(nanoseconds: int, text: str) -> None:
    assert rfc3339(nanoseconds) == text
    assert parse_time(text) == nanoseconds


def test_an_offset_is_taken_into_account() -> None:
    assert parse_time("2024-01-02T03:04:05+01:30") == parse_time("2024-01-02T01:34:05Z")
    assert parse_time("2024-01-02t03:04:05-01:30") == parse_time("2024-01-02 04:34:05z")


@pytest.mark.parametrize("text", ["", "2024-01-02", "2024-13-01T00:00:00Z", "2024-01-01T00:00:00", "x" * 999])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(DocumentError, match="no RFC 3339 time"):
        parse_time(text)


@given(st.integers(0, 250_000_000_000 * 10**9))
def test_every_time_comes_back(nanoseconds: int) -> None:
    assert parse_time(rfc3339(nanoseconds % (200_000 * 365 * 86400))) == nanoseconds % (200_000 * 365 * 86400)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_500, "1.5µs"),
        (1_500_000, "1.5ms"),
        (100_000_000, "100ms"),
        (999_999_999, "999.999999ms"),
        (5_000_000_000, "5s"),
        (60_000_000_000, "1m0s"),
        (3_723_500_000_000, "1h2m3.5s"),
        (36_000_000_000_000, "10h0m0s"),
        (-1_500_000_000, "-1.5s"),
    ],
)
def test_a_duration_is_written_as_go_writes_it(nanoseconds: int, text: str) -> None:
    assert go_duration(nanoseconds) == text
