from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.containers.quantities import (
    parse_cpus,
    parse_signal,
    parse_size,
    parse_swap,
    parse_ulimit,
)
from runtime.errors import UsageError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1024", 1024),
        ("512b", 512),
        ("512m", 512 << 20),
        ("1G", 1 << 30),
        ("64KiB", 64 << 10),
        ("64kb", 64 << 10),
        ("1.5g", 3 << 29),
        ("2t", 2 << 40),
        ("4 MB", 4 << 20),
    ],
)
def test_a_size_has_units_of_1024(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "m", "12x", "-1", "1..5", "0x10", "1e3", "１２"])
def test_a_wrong_size_is_named(text: str) -> None:
    with pytest.raises(UsageError, match="invalid size"):
        parse_size(text)


def test_swap_may_be_without_limit() -> None:
    assert parse_swap("-1") == -1
    assert parse_swap("1g") == 1 << 30


@pytest.mark.parametrize(
    ("text", "nano"), [("1", 10**9), ("0.5", 5 * 10**8), ("1.001", 1_001_000_000), ("3/2", 15 * 10**8)]
)
def test_cpus_are_exact(text: str, nano: int) -> None:
    assert parse_cpus(text) == nano


@pytest.mark.parametrize("text", ["", "x", "1/0", "-1", "0.0000000001"])
def test_wrong_cpus_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_cpus(text)


def test_an_ulimit_with_one_number_is_soft_and_hard() -> None:
    assert parse_ulimit("nofile=1024") == {"Name": "nofile", "Soft": 1024, "Hard": 1024}
    assert parse_ulimit("core=0:-1") == {"Name": "core", "Soft": 0, "Hard": -1}
    assert parse_ulimit("core=-1") == {"Name": "core", "Soft": -1, "Hard": -1}


@pytest.mark.parametrize(
    "text", ["nofile", "nofile=", "nofile=a", "nofile=2:1", "nofile=-1:5", "bogus=1", "nofile=1:2:3"]
)
def test_a_wrong_ulimit_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_ulimit(text)


@pytest.mark.parametrize("text", ["SIGTERM", "term", "TERM", "15", "sigterm"])
def test_a_signal_has_many_spellings(text: str) -> None:
    assert parse_signal(text) == signal.SIGTERM


def test_real_time_signals_count_from_either_end() -> None:
    assert parse_signal("RTMIN+3") == signal.SIGRTMIN + 3
    assert parse_signal("SIGRTMAX-1") == signal.SIGRTMAX - 1


@given(st.text())
def test_no_text_but_a_signal_is_one(text: str) -> None:
    try:
        assert 1 <= parse_signal(text) <= signal.SIGRTMAX
    except UsageError:
        pass


@given(st.text(max_size=12))
def test_parsers_raise_nothing_but_usage_errors(text: str) -> None:
    for parse in (parse_size, parse_cpus, parse_ulimit, parse_swap):
        try:
            parse(text)
        except UsageError:
            pass
