"""`pybuild verify` builds an image again and compares."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from builder.cli import build, verify
from builder.records import Records
from frozen import replace
from runtime.cli.arguments import read_arguments
from runtime.context import Context
from runtime.errors import NotFound
from runtime.store import Store

DAY = 86_400 * 10**9


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "site"
    directory.mkdir()
    (directory / "a").write_text("1")
    (directory / "Dockerfile").write_text("FROM scratch\nARG X=0\nCOPY a /\nWORKDIR /w$X\nLABEL l=1\n")
    monkeypatch.chdir(tmp_path)
    return directory


def run_build(context: Context, *words: str, now: int = DAY, environ: dict[str, str] | None = None) -> None:
    shown = replace(context, stdout=io.StringIO(), stderr=io.StringIO(), environ=environ or {}, now=lambda: now)
    assert build.run(read_arguments(build.VERB, ("-q", "-t", "app", *words)), shown) == 0


def run_verify(context: Context, *words: str, now: int = 2 * DAY) -> tuple[int, dict[str, object]]:
    out = io.StringIO()
    shown = replace(context, stdout=out, stderr=io.StringIO(), environ={}, now=lambda: now)
    status = verify.run(read_arguments(verify.VERB, ("--format", "json", *words)), shown)
    return status, json.loads(out.getvalue())


def test_with_an_epoch_an_image_is_the_same_bit_for_bit(context: Context, site: Path) -> None:
    run_build(context, "--build-arg", "X=5", "--label", "m=2", "site", environ={"SOURCE_DATE_EPOCH": "1000"})
    status, found = run_verify(context, "app")
    assert (status, found["exact"]) == (0, True)


def test_without_one_times_do_not_count(context: Context, site: Path) -> None:
    run_build(context, "site")
    status, found = run_verify(context, "app")
    assert (status, found["same"], found["exact"]) == (0, True, False)


@pytest.mark.parametrize(
    ("change", "path", "said"),
    [
        (lambda site: (site / "a").write_text("2"), "/a", "content"),
        (lambda site: (site / "a").chmod(0o777), "/a", "mode: 644 became 777"),
        (lambda site: (site / "Dockerfile").write_text("FROM scratch\nCOPY a /b\n"), "/a", "removed"),
    ],
)
def test_the_first_file_that_differs_is_named(context: Context, site: Path, change, path: str, said: str) -> None:  # type: ignore[no-untyped-def]
    (site / "a").chmod(0o644)
    run_build(context, "site")
    change(site)
    status, found = run_verify(context, "app")
    assert (status, found["same"], found["path"], found["changes"]) == (1, False, path, [said])


def test_a_configuration_that_differs_is_named(context: Context, site: Path) -> None:
    run_build(context, "site")
    text = (site / "Dockerfile").read_text()
    (site / "Dockerfile").write_text(text.replace("l=1", "l=2"))
    status, found = run_verify(context, "app")
    assert (status, found["path"]) == (1, None)
    assert "config.Labels.l" in str(found["fields"])


def test_nothing_of_it_enters_the_cache(context: Context, site: Path) -> None:
    run_build(context, "site")
    with Store.open(context) as store:
        before = Records(store).everything()
    (site / "a").write_text("2")
    run_verify(context, "app")
    with Store.open(context) as store:
        assert Records(store).everything() == before


def test_what_was_not_built_here_needs_a_path(context: Context, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"FROM scratch\nENV A=1\n")))
    run_build(context, "-f", "-", "site")
    with pytest.raises(NotFound, match="was not built here"):
        run_verify(context, "app")
    with pytest.raises(NotFound, match="No such image"):
        run_verify(context, "nothere")
