"""Durations, sizes, ports, modes and lists of fields; and the nearest word."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grammar.errors import DockerfileError
from grammar.nearest import did_you_mean, nearest
from grammar.values import duration, fields, mode, number, port_list, port_range, size


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("1ns", 1),
        ("1.5us", 1500),
        ("2µs", 2000),
        ("1h2m3s", 3_723_000_000_000),
        (".5s", 500_000_000),
        ("1.s", 1_000_000_000),
        ("-2ms", -2_000_000),
        ("+1m", 60_000_000_000),
        ("2562047h47m16.854775807s", (1 << 63) - 1),
    ],
)
def test_a_duration_is_counted_in_nanoseconds(text: str, expected: int) -> None:
    assert duration(text) == expected


@pytest.mark.parametrize("text", ["", "1", ".", "s", "1 s", "1S", "1d", "--1s", "1e3s", "9999999h", "1s1", "٣s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(DockerfileError):
        duration(text)


@pytest.mark.parametrize(
    ("text", "expected"), [("1", 1), ("1k", 1024), ("2 KB", 2048), ("1.5m", 3 << 19), ("1GiB", 1 << 30), ("3B", 3)]
)
def test_a_size_is_counted_in_bytes(text: str, expected: int) -> None:
    assert size("size", text) == expected


def test_modes_are_octal_or_symbolic() -> None:
    assert number("mode", "0644", base=8) == 0o644
    for text in ("0", "7777", "u+x", "a=rX,go-w", "+t", "g=u"):
        assert mode(text) == text
    for text in ("", "8", "10000", "u", "u+x,", "rw", "-1"):
        with pytest.raises(DockerfileError):
            mode(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [""]),
        ("a", ["a"]),
        ("a,b", ["a", "b"]),
        ("a,", ["a", ""]),
        ('"a,b",c', ["a,b", "c"]),
        ('"a""b"', ['a"b']),
        (" a ,b", [" a ", "b"]),
    ],
)
def test_fields_are_separated_by_commas(text: str, expected: list[str]) -> None:
    assert fields(text) == expected


@pytest.mark.parametrize("text", ['a"b', '"a', '"a"b'])
def test_a_quote_has_to_enclose_a_field(text: str) -> None:
    with pytest.raises(DockerfileError):
        fields(text)


RANGE = st.tuples(st.integers(0, 40), st.integers(0, 40), st.sampled_from(("tcp", "udp")))


@given(st.lists(RANGE))
def test_ports_are_listed_as_often_as_they_are_named_in_the_order_of_their_ranges(
    ranges: list[tuple[int, int, str]],
) -> None:
    ordered = [(min(begin, end), max(begin, end), protocol) for begin, end, protocol in ranges]
    every = [f"{port}/{protocol}" for begin, end, protocol in ordered for port in range(begin, end + 1)]
    assert list(port_list(ordered)) == every


def test_of_very_many_ports_each_is_listed_once() -> None:
    assert len(port_list([(0, 65535, "tcp")] * 10_000 + [(1, 2, "udp")])) < 6 * 65536


@given(st.text(alphabet="0189-:/tcpudx[]."))
def test_no_word_for_a_port_raises_anything_else(word: str) -> None:
    try:
        begin, end, protocol = port_range(word)
    except DockerfileError:
        return
    assert 0 <= begin <= end <= 65535
    assert protocol in ("tcp", "udp", "sctp")


@pytest.mark.parametrize(
    ("word", "expected"),
    [("RNU", "RUN"), ("cpoy", "COPY"), ("EXPOS", "EXPOSE"), ("xyzzy", None), ("", None), ("RUN" * 100, None)],
)
def test_the_nearest_word_is_found(word: str, expected: str | None) -> None:
    assert nearest(word, ["COPY", "RUN", "EXPOSE"]) == expected
    assert did_you_mean(word, ["COPY", "RUN", "EXPOSE"]) == (expected and f"did you mean {expected}?")
