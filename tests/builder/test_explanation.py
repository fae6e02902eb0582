"""What `build --explain` says, each case with one thing changed between two builds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from builder.explanation import Cause, Explained, to_document, to_text
from builder.options import BuildOptions
from tests.builder.benches import Bench

TEXT = "FROM scratch\nCOPY src /src/\nWORKDIR /w\n"
Change = Callable[[Path], object]


@dataclass
class Case:
    """A change, and the first cause that it leads to."""

    change: Change
    kind: str
    said: str
    text: str = TEXT
    after: str | None = None
    arguments: Mapping[str, str] = field(default_factory=dict)
    arguments_after: Mapping[str, str] | None = None
    options_after: Mapping[str, object] = field(default_factory=dict)


def nothing(_: Path) -> None:
    """Change no file."""


def join(path: Path, other: Path) -> None:
    """Make of a file one more name of another."""
    path.unlink()
    path.hardlink_to(other)


def swap(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


CASES = {
    "content": Case(lambda d: (d / "src/a").write_text("2"), "file", "src/a: content"),
    "mode": Case(lambda d: (d / "src/a").chmod(0o755), "file", "src/a: mode (644 became 755)"),
    "mode of a directory": Case(lambda d: (d / "src/sub").chmod(0o700), "file", "src/sub: mode (755 became 700)"),
    "added": Case(lambda d: (d / "src/new").write_text(""), "file", "src/new: added"),
    "added directory": Case(lambda d: (d / "src/dir").mkdir(), "file", "src/dir: added"),
    "removed": Case(lambda d: (d / "src/a").unlink(), "file", "src/a: removed"),
    "renamed in case": Case(lambda d: (d / "src/a").rename(d / "src/A"), "file", "src/A: added"),
    "link target": Case(lambda d: swap(d / "src/link", "b"), "file", "src/link: link target (a became b)"),
    "kind": Case(lambda d: swap(d / "src/a", "b"), "file", "src/a: kind (file became symlink)"),
    "hard link": Case(lambda d: join(d / "src/b", d / "src/a"), "file", "src/b: hard link (none became src/a)"),
    "file by a pattern": Case(
        lambda d: (d / "x2.txt").write_text("2"), "file", "x2.txt: added", text="FROM scratch\nCOPY *.txt /\n"
    ),
    "ignore file": Case(lambda d: (d / ".dockerignore").write_text("src/sub\n"), "file", "src/sub: removed"),
    "argument": Case(
        nothing,
        "argument",
        "build argument X: '1' became '2'",
        text="FROM scratch\nARG X\nWORKDIR /$X\nWORKDIR /w\n",
        arguments={"X": "1"},
        arguments_after={"X": "2"},
    ),
    "destination": Case(nothing, "option", "destination: '/src/' became '/dst/'", after=TEXT.replace("/src/", "/dst/")),
    "owner": Case(nothing, "option", "owner is new", after=TEXT.replace("COPY", "COPY --chown=5:6")),
    "permissions": Case(nothing, "option", "mode is new: '700'", after=TEXT.replace("COPY", "COPY --chmod=700")),
    "here-document": Case(
        nothing,
        "source",
        "files[0].digest",
        text="FROM scratch\nCOPY <<a /\n1\na\n",
        after="FROM scratch\nCOPY <<a /\n2\na\n",
    ),
    "step before": Case(
        lambda d: (d / "x1.txt").write_text("2"),
        "file",
        "x1.txt: content",
        text="FROM scratch\nCOPY x1.txt /\nCOPY src /src/\n",
    ),
    "epoch": Case(
        nothing,
        "option",
        "SOURCE_DATE_EPOCH is new: '5'",
        text="FROM scratch\nWORKDIR /made\n",
        options_after={"epoch": 5},
    ),
    "no cache": Case(nothing, "asked", "nothing is taken from the cache", options_after={"no_cache": True}),
    "new step": Case(nothing, "new", "it has not run before", after="FROM scratch AS other\nWORKDIR /never\n"),
    "file of another stage": Case(
        lambda d: (d / "src/a").write_text("2"),
        "file",
        "one:/src/a: content",
        text="FROM scratch AS one\nCOPY src /src/\nFROM scratch\nCOPY --from=one /src/a /\n",
    ),
}


def prepare(bench: Bench) -> None:
    bench.write({"src/a": "1", "src/b": "1", "src/sub/c": "1", "x1.txt": "1"})
    (bench.directory / "src/sub").chmod(0o755)
    (bench.directory / "src/a").chmod(0o644)
    (bench.directory / "src/link").symlink_to("a")


@pytest.mark.parametrize("name", CASES)
def test_the_cause_of_a_miss_is_named(bench: Bench, name: str) -> None:
    case = CASES[name]
    prepare(bench)
    bench.build(case.text, build_args=case.arguments)
    case.change(bench.directory)
    again = bench.build(
        case.after or case.text,
        build_args=case.arguments_after or case.arguments,
        options=BuildOptions(explain=True, **case.options_after),  # type: ignore[arg-type]
    )
    causes = [cause for step in again.explained for cause in step.causes]
    assert any(cause.kind == case.kind and cause.text.startswith(case.said) for cause in causes), causes


def test_a_step_after_the_changed_one_names_it_with_its_line(bench: Bench) -> None:
    prepare(bench)
    bench.build(TEXT)
    (bench.directory / "src/a").write_text("2")
    _, after = bench.build(TEXT, options=BuildOptions(explain=True)).explained
    assert after.line == 3
    assert after.causes[0].kind == "parent"
    assert after.causes[0].text == "the step before it, line 2, has another result: COPY src /src/"


def test_another_base_is_named_with_both_ids(bench: Bench) -> None:
    bench.write({"a": "1"})
    first = bench.build("FROM scratch\nCOPY a /\n", names=("base",))
    bench.build("FROM base\nWORKDIR /w\n")
    bench.write({"a": "2"})
    second = bench.build("FROM scratch\nCOPY a /\n", names=("base",))
    (step,) = bench.build("FROM base\nWORKDIR /w\n", options=BuildOptions(explain=True)).explained
    assert step.causes[0].kind == "base"
    assert step.causes[0].text == f"base image base: {first.id} became {second.id}"


def test_the_latest_use_counts_and_not_the_latest_run(bench: Bench) -> None:
    prepare(bench)
    for content in ("1", "2", "1"):
        (bench.directory / "src/a").write_text(content)
        bench.build(TEXT)
    (bench.directory / "src/b").write_text("2")
    step, _ = bench.build(TEXT, options=BuildOptions(explain=True)).explained
    assert [cause.name for cause in step.causes] == ["src/b"]


def test_a_build_that_remembers_everything_explains_nothing(bench: Bench) -> None:
    prepare(bench)
    bench.build(TEXT)
    assert bench.build(TEXT, options=BuildOptions(explain=True)).explained == ()


def test_the_text_shows_lines_and_at_most_ten_causes() -> None:
    causes = tuple(Cause(kind="file", text=f"f{number}: added") for number in range(12))
    step = Explained(stage="s", line=3, name="COPY . /", reason="it is not as it was", causes=causes)
    text = to_text((step,), "Dockerfile", 0)
    assert text.splitlines()[0] == "Dockerfile:3: COPY . /"
    assert text.splitlines()[-1] == "  and 3 more"
    assert len(text.splitlines()) == 11
    document = to_document((step,), 1, "sha256:1")
    assert document["version"] == 1
    assert document["cached"] == 1
    assert len(document["steps"][0]["causes"]) == 12
