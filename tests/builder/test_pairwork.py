"""Two threads share a list of calls and give the answers in its order."""

from __future__ import annotations

import threading

import pytest

from builder.pairwork import Pair


@pytest.mark.parametrize("count", [0, 1, 2, 1000])
def test_answers_come_in_the_order_of_the_items(count: int) -> None:
    def double(number: int) -> int:
        return number * 2

    with Pair(double) as pair:
        for _ in range(3):
            assert pair.map(list(range(count))) == [2 * number for number in range(count)]


def test_two_calls_are_at_work_at_once() -> None:
    both = threading.Barrier(2, timeout=60)

    def meet(_: str) -> int:
        return both.wait()

    with Pair(meet) as pair:
        assert sorted(pair.map(["a", "b"])) == [0, 1]


def test_what_fails_is_told_wherever_it_failed() -> None:
    both = threading.Barrier(2, timeout=60)

    def fail(word: str) -> str:
        both.wait()
        if word == "b":
            raise LookupError(word)
        return word

    with Pair(fail) as pair:
        with pytest.raises(LookupError, match="b"):
            pair.map(["a", "b"])
        with pytest.raises(LookupError, match="b"):
            pair.map(["b", "a"])
        assert pair.map(["a", "c"]) == ["a", "c"]
