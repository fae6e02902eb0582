"""`pybuild cache export` and `cache import` as commands."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from builder.cli import cachetransfer
from frozen import replace
from runtime.cli.arguments import read_arguments
from runtime.cli.declare import Verb
from runtime.errors import NotFound, UsageError
from tests.builder.benches import Bench


def call(bench: Bench, verb: str, *words: str) -> str:
    out = io.StringIO()
    context = replace(bench.context, stdout=out, stderr=io.StringIO(), environ={})
    declared: Verb = getattr(cachetransfer, f"VERB_{verb.upper()}")
    assert getattr(cachetransfer, f"run_{verb}")(read_arguments(declared, words), context) == 0
    return out.getvalue()


@pytest.mark.parametrize("prefix", ["", "oci:"])
def test_a_cache_goes_to_a_directory_and_comes_back(bench: Bench, tmp_path: Path, prefix: str) -> None:
    bench.write({"a": "1" * 10_000})
    text = "FROM scratch\nCOPY a /\nWORKDIR /w\n"
    first = bench.build(text)
    place = f"{prefix}{tmp_path}/cache"
    assert "2 steps" in call(bench, "export", place)
    again = json.loads(call(bench, "export", place, "--format", "json"))
    assert again["written"] == 0
    assert again["records"] == 2
    layout = replace(bench.context.layout, root=tmp_path / "other", run=tmp_path / "run2")
    other = Bench(context=replace(bench.context, layout=layout), directory=bench.directory)
    assert json.loads(call(other, "import", place, "--format", "json")) == {
        "version": 1,
        "records": 2,
        "mounts": 0,
        "problems": [],
    }
    second = other.build(text)
    assert (second.executed, second.id) == (0, first.id)


def test_what_is_not_there_is_said(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no cache at"):
        call(bench, "import", str(tmp_path / "nowhere"))
    for words in (("export", "x", "--compression", "lz4"), ("export", "x", "--format", "table"), ("export", "oci:")):
        with pytest.raises(UsageError):
            call(bench, *words)
