"""A graph that was made before comes back without the parser; a damaged one is made anew."""

from __future__ import annotations

import subprocess
import sys

import pytest

from builder import graphcache
from runtime.context import Context

TEXT = "FROM scratch\nENV A=1\n"


def load(context: Context, text: str = TEXT, **arguments: str) -> list[str]:
    graph = graphcache.load_graph(
        context, text, target=None, build_args=arguments, platform="linux/amd64", host="linux/amd64"
    )
    return [node.instruction.source for node in graph.nodes]


def test_a_second_load_needs_no_parser(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    context.layout.root.mkdir()
    first = load(context)

    def refuse(_: str) -> None:
        raise AssertionError("parsed again")

    monkeypatch.setattr("grammar.parser.parse", refuse)
    assert load(context) == first
    with pytest.raises(AssertionError, match="parsed again"):
        load(context, TEXT + "ENV B=1\n")
    with pytest.raises(AssertionError, match="parsed again"):
        load(context, A="1")


def test_a_damaged_entry_is_made_anew(context: Context) -> None:
    context.layout.root.mkdir()
    first = load(context)
    for path in (context.layout.root / "graphs").iterdir():
        path.write_bytes(b"\x80\x05garbage")
    assert load(context) == first


def test_only_the_latest_are_kept(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    context.layout.root.mkdir()
    monkeypatch.setattr(graphcache, "_KEPT", 2)
    for number in range(5):
        load(context, f"FROM scratch\nENV A={number}\n")
    assert len(list((context.layout.root / "graphs").iterdir())) == 2


def test_a_root_that_cannot_be_written_only_costs_the_parse(context: Context) -> None:
    assert load(context)


def test_a_build_that_is_remembered_loads_neither_parser_nor_typer(context: Context, tmp_path: object) -> None:
    script = (
        "import sys; from builder.cli.main import run; sys.argv = sys.argv[:1] + sys.argv[2:]; run();"
        "loaded = {'lark', 'typer', 'rich', 'pyroute2', 'requests', 'subprocess', 'pathspec', 'zstandard'};"
        "print(sorted(loaded & set(sys.modules)))"
    )
    directory = context.layout.root.parent / "src"
    directory.mkdir()
    (directory / "Dockerfile").write_text("FROM scratch\nENV A=1\nCOPY Dockerfile /\nWORKDIR /w\n")
    words = [sys.executable, "-c", script, "-", "--root", str(context.layout.root), "build", "-q", str(directory)]
    subprocess.run(words, check=True, capture_output=True)
    again = subprocess.run(words, check=True, capture_output=True, text=True)
    assert again.stdout.splitlines()[-1] == "[]"
