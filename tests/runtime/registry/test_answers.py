"""What servers say in headers and URLs: read, or refused, whatever it is."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import RegistryError
from runtime.registry.answers import duration, retry_after
from runtime.registry.paging import next_link
from runtime.registry.urls import add_query, origin_of, resolve

BASE = "https://registry.example/v2/app/blobs/uploads/1"
NOW = 1_700_000_000 * 10**9


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/v2/x?y=1", "https://registry.example/v2/x?y=1"),
        ("2", "https://registry.example/v2/app/blobs/uploads/2"),
        ("https://other.example/x", "https://other.example/x"),
        ("http://registry.example/x", "https://registry.example/x"),
        ("http://other.example/x", "http://other.example/x"),
        ("//other.example/x", "https://other.example/x"),
    ],
)
def test_a_location_is_made_whole(target: str, expected: str) -> None:
    assert resolve(BASE, target) == expected


@pytest.mark.parametrize(
    "target",
    ["https://user:sesame@storage.example/x", "ftp://storage.example/x?sesame", "https://storage.example:0/?sesame"],
)
def test_a_location_that_is_refused_is_told_without_what_is_secret_in_it(target: str) -> None:
    with pytest.raises(RegistryError, match=r"storage\.example") as caught:
        resolve(BASE, target)
    assert "sesame" not in caught.value.message


@given(st.text())
def test_any_location_is_resolved_or_refused(target: str) -> None:
    with suppress(RegistryError):
        url = resolve(BASE, target)
        assert url.startswith(("http://", "https://"))
        assert not any(c <= " " for c in url)
        origin_of(url)


@given(st.text())
def test_any_link_header_is_read(header: str) -> None:
    next_link(header)


@given(st.text())
def test_any_retry_after_is_read(text: str) -> None:
    wait = retry_after({"Retry-After": text}, NOW)
    assert wait is None or wait >= 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [("30", 30), ("0", 0), ("1700000060", 60), ("Tue, 14 Nov 2023 22:14:20 GMT", 60), ("soon", None), ("-5", None)],
)
def test_retry_after_is_seconds_or_a_time(text: str, expected: float | None) -> None:
    assert retry_after({"Retry-After": text}, NOW) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.2, "1 seconds"), (61, "61 seconds"), (300, "5 minutes"), (21600, "6 hours")]
)
def test_durations_are_said_in_words(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


def test_a_query_is_added_to_one_that_is_there() -> None:
    assert add_query("https://r/x", "a=1") == "https://r/x?a=1"
    assert add_query("https://r/x?s=2", "a=1") == "https://r/x?s=2&a=1"
