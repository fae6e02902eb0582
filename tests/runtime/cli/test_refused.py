from __future__ import annotations

import pytest

from runtime.cli.refused import refusal
from runtime.cli.registry import Registry
from runtime.cli.verbs import VERBS


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["swarm", "init"], "one machine"),
        (["swarm"], "one machine"),
        (["volume", "update", "x"], "can only update cluster volumes"),
        (["buildx", "create"], "one builder"),
        (["builder", "use", "x"], "one builder"),
        (["context", "use", "x"], "no engine"),
        (["buildx", "bake"], "not have it yet"),
        (["compose", "up", "-d"], "not have it yet"),
        (["manifest", "inspect", "x"], "building for several platforms"),
    ],
)
def test_a_verb_of_dockers_that_has_no_meaning_is_refused_with_its_reason(words: list[str], reason: str) -> None:
    refused = refusal(words)
    assert refused is not None
    assert reason in refused[0]
    assert refused[1]
    assert Registry(VERBS).find(words) is None


@pytest.mark.parametrize("words", [["volume", "nonsense"], ["build"], ["nonsense"], ["context"]])
def test_other_words_are_not_refused_here(words: list[str]) -> None:
    assert refusal(words) is None
