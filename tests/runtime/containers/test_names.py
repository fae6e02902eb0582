from __future__ import annotations

import random

import pytest

from runtime.containers.names import ADJECTIVES, NOUNS, check_name, random_name
from runtime.errors import UsageError


@pytest.mark.parametrize("name", ["web", "web_1.a-b", "/web", "0x"])
def test_a_good_name_is_kept_without_its_slash(name: str) -> None:
    assert check_name(name) == name.removeprefix("/")


@pytest.mark.parametrize("name", ["", "-x", "a b", "a/b", "ü1", "x", ".x"])
def test_a_wrong_name_is_refused_in_dockers_words(name: str) -> None:
    with pytest.raises(UsageError, match="Invalid container name"):
        check_name(name)


def _token(seed: int):  # type: ignore[no-untyped-def]
    source = random.Random(seed)
    return lambda digits: f"{source.getrandbits(4 * digits):0{digits}x}"


def test_a_random_name_is_an_adjective_and_a_noun() -> None:
    adjective, _, noun = random_name(_token(1), lambda _name: False).partition("_")
    assert adjective in ADJECTIVES
    assert noun in NOUNS


def test_a_taken_name_is_not_given_again() -> None:
    taken: set[str] = set()
    for seed in range(2000):
        name = random_name(_token(seed % 7), taken.__contains__)
        assert name not in taken
        assert check_name(name) == name
        taken.add(name)
