"""`pybuild cache` as a command."""

from __future__ import annotations

import io
import json

import pytest

from builder.cli import cache
from frozen import replace
from runtime.cli.arguments import read_arguments
from runtime.cli.declare import Verb
from runtime.errors import UsageError
from tests.builder.benches import Bench

DAY = 86_400 * 10**9


def call(bench: Bench, verb: str, *words: str, now: int = 5 * DAY) -> str:
    out = io.StringIO()
    context = replace(bench.context, stdout=out, stderr=io.StringIO(), environ={}, now=lambda: now)
    declared: Verb = getattr(cache, f"VERB_{verb.upper()}")
    assert getattr(cache, f"run_{verb}")(read_arguments(declared, words), context) == 0
    return out.getvalue()


@pytest.fixture
def filled(bench: Bench) -> Bench:
    bench.write({"a": "12345", "b": "123"})
    bench.build("FROM scratch\nCOPY a /\n", now=DAY, outputs=())
    bench.build("FROM scratch\nCOPY b /\n", now=2 * DAY, outputs=())
    return bench


def test_the_list_begins_with_the_most_recently_used(filled: Bench) -> None:
    lines = call(filled, "ls").splitlines()
    assert lines[0].startswith("CACHE ID")
    assert "COPY b /" in lines[1]
    assert "regular" in lines[2]
    assert len(call(filled, "ls", "-q").split()) == 2
    assert json.loads(call(filled, "ls", "--format", "json").splitlines()[0])["Size"] == "3B"


def test_usage_adds_up(filled: Bench) -> None:
    assert "Reclaimable:\t8B" in call(filled, "du")
    assert json.loads(call(filled, "du", "--format", "json"))["total"] == 8
    assert "description:\tCOPY a /" in call(filled, "du", "--verbose", "--filter", "description=COPY a")


def test_prune_takes_what_the_filters_choose(filled: Bench) -> None:
    assert call(filled, "prune", "-f", "--filter", "type=exec.cachemount") == "Total reclaimed space: 0B\n"
    assert "Total reclaimed space: 5B" in call(filled, "prune", "-f", "--until", "80h")
    (left,) = call(filled, "ls", "-q").split()
    document = json.loads(call(filled, "prune", "-f", "--filter", f"id={left[:6]}", "--format", "json"))
    assert document == {"version": 1, "deleted": [left], "space": 3, "complete": True}


def test_prune_keeps_as_much_as_it_is_told(filled: Bench) -> None:
    call(filled, "prune", "-f", "--keep-storage", "4")
    assert "COPY b" in call(filled, "ls", "--format", "{{.Description}}")


def test_what_images_have_goes_only_when_all_is_asked_for(bench: Bench) -> None:
    bench.write({"a": "1"})
    bench.build("FROM scratch\nCOPY a /\n")
    assert "Deleted" not in call(bench, "prune", "-f")
    assert "Deleted" in call(bench, "prune", "-fa")
    assert bench.build("FROM scratch\nCOPY a /\n").executed == 1


@pytest.mark.parametrize(
    "words",
    [("--filter", "x=1"), ("--filter", "type=x"), ("--keep-storage", "x"), ("--until", "x"), ("--format", "{{.}}")],
)
def test_wrong_words_are_refused(filled: Bench, words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        call(filled, "prune", "-f", *words)
