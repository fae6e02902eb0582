"""`graph --affected` says what a rebuild does; `graph diff` what two files do otherwise."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest

from builder.cli import build, graph, graphdiff
from frozen import replace
from runtime.cli.arguments import read_arguments
from runtime.context import Context
from runtime.errors import NotFound, PybuildError, UsageError

CASES = {
    "one copy": ("FROM scratch\nCOPY a /\nCOPY b /\n", "a"),
    "the last copy": ("FROM scratch\nCOPY a /\nCOPY b /\n", "b"),
    "a directory": ("FROM scratch\nCOPY d /d/\nWORKDIR /w\n", "d/x"),
    "not copied": ("FROM scratch\nCOPY a /\nWORKDIR /w\n", "b"),
    "a pattern": ("FROM scratch\nCOPY *.txt /\nCOPY a /\n", "n.txt"),
    "another pattern": ("FROM scratch\nCOPY *.md /t/\nCOPY a /\n", "n.txt"),
    "all": ("FROM scratch\nWORKDIR /w\nCOPY . .\n", "d/x"),
    "excluded": ("FROM scratch\nCOPY --exclude=x d /d/\n", "d/x"),
    "a stage that reads it": ("FROM scratch AS s\nCOPY a b /\nFROM scratch\nCOPY --from=s /a /\n", "a"),
    "a stage that reads another": ("FROM scratch AS s\nCOPY a b /\nFROM scratch\nCOPY --from=s /b /\n", "a"),
    "a stage on a stage": ("FROM scratch AS s\nCOPY a /\nFROM s\nWORKDIR /w\n", "a"),
    "a directory of a stage": ("FROM scratch AS s\nCOPY d /d/\nFROM scratch\nCOPY --from=s /d/e /e\n", "d/x"),
    "deep in a stage": ("FROM scratch AS s\nCOPY d /d/\nFROM scratch\nCOPY --from=s /d/e /e\n", "d/e/y"),
    "two stages away": (
        "FROM scratch AS s\nCOPY d /d/\nFROM scratch AS t\nCOPY --from=s /d /f\nFROM scratch\nCOPY --from=t /f/x /\n",
        "d/x",
    ),
    "two stages away, another": (
        "FROM scratch AS s\nCOPY d /d/\nFROM scratch AS t\nCOPY --from=s /d /f\nFROM scratch\nCOPY --from=t /f/x /\n",
        "d/e/y",
    ),
    "linked": ("FROM scratch\nCOPY a /\nCOPY --link b /x/\nWORKDIR /w\n", "a"),
    "linked itself": ("FROM scratch\nCOPY a /\nCOPY --link b /x/\nWORKDIR /w\n", "b"),
    "with parents": ("FROM scratch AS s\nCOPY --parents d/e/y /p/\nFROM scratch\nCOPY --from=s /p/d /d\n", "d/e/y"),
    "a renamed file": ("FROM scratch AS s\nCOPY a /c\nFROM scratch\nCOPY --from=s /c /\nWORKDIR /w\n", "a"),
    "a relative destination": (
        "FROM scratch AS s\nWORKDIR /w\nCOPY d ./z\nFROM scratch\nCOPY --from=s /w/z/x /\n",
        "d/x",
    ),
    "a variable": ("FROM scratch AS s\nARG D=/q\nCOPY a $D/\nFROM scratch\nCOPY --from=s /q/a /\n", "a"),
    "an unneeded stage": ("FROM scratch AS s\nCOPY a /\nFROM scratch\nCOPY b /\n", "a"),
    "an empty base": ("FROM scratch AS s\nCOPY a /one/\nCOPY b /two/\nFROM scratch\nCOPY --from=s /two /t\n", "a"),
}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "site"
    for name in ("a", "b", "n.txt", "d/x", "d/e/y"):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text("1")
    (directory / ".dockerignore").write_text("Dockerfile\n.dockerignore\nignored\n")
    (directory / "ignored").write_text("1")
    monkeypatch.chdir(tmp_path)
    return directory


def run_build(context: Context, site: Path) -> list[int]:
    """Build, and return the lines of the steps that ran."""
    out = io.StringIO()
    shown = replace(context, stdout=out, stderr=io.StringIO(), environ={})
    assert build.run(read_arguments(build.VERB, ("-q", "--explain=json", str(site))), shown) == 0
    return [step["line"] for step in json.loads(out.getvalue())["steps"]]


def affected(context: Context, site: Path, file: str, *words: str) -> str:
    out = io.StringIO()
    shown = replace(context, stdout=out, stderr=io.StringIO(), environ={})
    assert graph.run(read_arguments(graph.VERB, ("--affected", file, *words, str(site))), shown) == 0
    return out.getvalue()


@pytest.mark.parametrize("name", CASES)
def test_what_is_said_to_run_again_is_what_a_rebuild_executes(context: Context, site: Path, name: str) -> None:
    text, file = CASES[name]
    (site / "Dockerfile").write_text(text)
    run_build(context, site)
    document = json.loads(affected(context, site, file, "--format", "json"))
    assert document["version"] == 1
    (site / file).write_text("changed")
    assert [step["line"] for step in document["steps"]] == run_build(context, site)


def test_the_text_names_the_lines_and_why(context: Context, site: Path) -> None:
    (site / "Dockerfile").write_text("FROM scratch AS s\nCOPY a /\nFROM scratch\nCOPY --from=s /a /\nWORKDIR /w\n")
    assert affected(context, site, "a") == (
        "Dockerfile:2: COPY a / (file)\nDockerfile:4: COPY --from=s /a / (stage s)\nDockerfile:5: WORKDIR /w (parent)\n"
    )


def test_a_file_that_is_not_in_the_context_is_said_to_be_missing(context: Context, site: Path) -> None:
    (site / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    for file in ("nothere", "ignored"):
        with pytest.raises(NotFound, match="is not in the build context"):
            affected(context, site, file)
    with pytest.raises(UsageError):
        affected(context, site, "a", "--format", "dot")


def diff(context: Context, *words: str) -> tuple[int, str]:
    out = io.StringIO()
    status = graphdiff.run(read_arguments(graphdiff.VERB, words), replace(context, stdout=out, environ={}))
    return status, out.getvalue()


def test_two_graphs_are_compared_by_what_they_do(context: Context, site: Path, tmp_path: Path) -> None:
    (site / "Dockerfile").write_text("FROM scratch AS s\nCOPY a /\nWORKDIR /w\nFROM scratch\nCOPY --from=s /w /w\n")
    other = tmp_path / "Other"
    shutil.copy(site / "Dockerfile", other)
    assert diff(context, str(site), str(other)) == (0, "")
    other.write_text("# comment\nFROM scratch AS s\nCOPY  b /\nWORKDIR /w\n\nFROM scratch\nCOPY --from=s /w /w\n")
    status, text = diff(context, str(site), str(other))
    assert status == 1
    assert text == ("stage s\n- 2: COPY a /\n+ 3: COPY b /\n~ 4: WORKDIR /w\nstage stage-1\n~ 7: COPY --from=s /w /w\n")
    document = json.loads(diff(context, str(site), str(other), "--format", "json")[1])
    assert (document["version"], document["equal"], len(document["changes"])) == (1, False, 4)
    with pytest.raises(NotFound):
        diff(context, "nothere", str(other))
    other.write_text("FRM x\n")
    with pytest.raises(PybuildError, match="Other:1"):
        diff(context, str(site), str(other))
