"""`pybuild system prune` as a command: the build cache goes with the rest."""

from __future__ import annotations

import io

import pytest

from builder.cli import systemprune
from builder.cli.verbs import VERBS
from frozen import replace
from runtime.cli.arguments import read_arguments
from runtime.cli.registry import Registry
from runtime.errors import UsageError
from tests.builder.benches import Bench

DAY = 86_400 * 10**9


def prune(bench: Bench, *words: str, now: int = 5 * DAY) -> str:
    out = io.StringIO()
    context = replace(bench.context, stdout=out, stderr=io.StringIO(), environ={}, now=lambda: now)
    assert systemprune.run(read_arguments(systemprune.VERB, words), context) == 0
    return out.getvalue()


@pytest.fixture
def filled(bench: Bench) -> Bench:
    """Return a bench with an image of one step, and a step that no image has."""
    bench.write({"a": "12345", "b": "123"})
    bench.build("FROM scratch\nCOPY a /\n", names=("app",), now=DAY)
    bench.build("FROM scratch\nCOPY b /\n", now=2 * DAY, outputs=())
    return bench


def test_the_verb_is_found() -> None:
    assert Registry(VERBS).load("system prune") == (systemprune.VERB, systemprune.run)


def test_build_cache_goes_that_no_image_has(filled: Bench) -> None:
    printed = prune(filled, "-f")
    assert printed.startswith("Deleted build cache objects:\n")
    assert printed.endswith("\n\nTotal reclaimed space: 3B\n")
    assert filled.build("FROM scratch\nCOPY a /\n", outputs=()).executed == 0
    assert filled.build("FROM scratch\nCOPY b /\n", outputs=()).executed == 1


def test_all_build_cache_goes_with_all_images(filled: Bench) -> None:
    printed = prune(filled, "-af")
    assert printed.index("Deleted Images:") < printed.index("Deleted build cache objects:")
    assert filled.build("FROM scratch\nCOPY a /\n", outputs=()).executed == 1


def test_filters_hold_for_the_build_cache(filled: Bench) -> None:
    assert prune(filled, "-f", "--filter", "label=x") == "Total reclaimed space: 0B\n"
    assert prune(filled, "-f", "--filter", "until=80h") == "Total reclaimed space: 0B\n"
    assert "Deleted build cache objects:" in prune(filled, "-f", "--filter", "until=70h", "--filter", "label!=x")


def test_wrong_filters_are_refused_before_anything_goes(filled: Bench) -> None:
    with pytest.raises(UsageError, match="invalid filter 'bad'"):
        prune(filled, "-f", "--filter", "bad=1")
    with pytest.raises(UsageError, match='"until" filter is not supported with "--volumes"'):
        prune(filled, "-f", "--volumes", "--filter", "until=1h")
    assert "Deleted build cache objects:" in prune(filled, "-f")


def test_the_question_names_what_goes() -> None:
    warned = systemprune._warning(("until=24h",), everything=False, volumes=False)
    assert warned.endswith("  - unused build cache\n\n  Items to be pruned will be filtered with:\n  - until=24h\n")
    assert "  - all build cache\n" in systemprune._warning((), everything=True, volumes=True)
