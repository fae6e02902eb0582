"""`pybuild build` as a command: where it finds its file, what it prints, how it ends."""

from __future__ import annotations

import io
import json
import os
import stat
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder.cli import build
from frozen import replace
from runtime.cli.arguments import read_arguments
from runtime.context import Context
from runtime.errors import NotFound, PybuildError, UsageError
from runtime.store import Store


@dataclass
class Command:
    """The verb on a context directory of its own."""

    context: Context
    directory: Path

    def __call__(self, *words: str) -> tuple[str, str]:
        """Run it; give what it printed on standard output and on standard error."""
        out, err = io.StringIO(), io.StringIO()
        context = replace(self.context, stdout=out, stderr=err, environ={})
        assert build.run(read_arguments(build.VERB, words), context) == 0
        return out.getvalue(), err.getvalue()


@pytest.fixture
def command(context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    directory = tmp_path / "src"
    directory.mkdir()
    monkeypatch.chdir(tmp_path)
    (directory / "Dockerfile").write_text("FROM scratch\nENV A=1\n")
    return Command(context, directory)


def test_quiet_prints_the_id_and_nothing_else(command: Command) -> None:
    out, err = command("-q", "src")
    assert out.startswith("sha256:")
    assert len(out) == 72
    assert err == ""


def test_without_quiet_the_id_is_in_the_progress(command: Command) -> None:
    out, err = command("-t", "app", "src")
    assert out == ""
    assert "writing image sha256:" in err
    assert "naming to docker.io/library/app:latest done" in err


def test_the_id_and_the_facts_go_to_files(command: Command, tmp_path: Path) -> None:
    out, _ = command("-q", "-t", "app", "--iidfile", "id", "--metadata-file", "facts", "src")
    assert (tmp_path / "id").read_text() == out.strip()
    assert json.loads((tmp_path / "facts").read_text()) == {
        "containerimage.config.digest": out.strip(),
        "containerimage.digest": out.strip(),
        "image.name": "docker.io/library/app:latest",
    }


@pytest.mark.parametrize("flag", ["--iidfile", "--metadata-file"])
@pytest.mark.parametrize("place", ["no/such/file", "src", "src/Dockerfile/x"])
def test_a_file_that_cannot_be_written_is_refused_before_the_build(command: Command, flag: str, place: str) -> None:
    with pytest.raises(PybuildError, match=f"{flag} {place} cannot be written: "):
        command("-t", "app", flag, place, "src")
    with Store.open(command.context) as store:
        assert store.images.resolve("docker.io/library/app:latest") is None


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("type=tar,dest=src", "is a directory"),
        ("type=oci,dest=no/such.tar", "its directory is not there"),
        ("type=local,dest=src/Dockerfile", "is no directory"),
        ("type=oci,tar=false,dest=src/Dockerfile", "is no directory"),
        ("type=registry", "tag is needed when pushing"),
    ],
)
def test_an_output_that_has_no_place_is_refused_before_the_build(command: Command, output: str, said: str) -> None:
    with pytest.raises(PybuildError, match=said):
        command("-o", "type=image,name=app", "-o", output, "src")
    with Store.open(command.context) as store:
        assert store.images.list() == ()


def test_what_is_no_file_is_written_to_as_it_is(command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to("file")
    command("-q", "-o", "type=tar,dest=link", "src")
    assert (tmp_path / "link").is_symlink()
    with tarfile.open(tmp_path / "file") as tar:
        assert tar.getnames() == []
    with pytest.raises(PybuildError, match="dest=/dev/full: No space left on device"):
        command("-q", "-o", "type=tar,dest=/dev/full", "src")
    command("-q", "-o", "type=tar,dest=/dev/null", "src")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_without_progress_not_even_the_id_is_shown(command: Command) -> None:
    assert command("--progress", "none", "src") == ("", "")
    assert command("--progress", "quiet", "src")[0].startswith("sha256:")


def test_an_unknown_stage_whose_cache_is_not_wanted_is_told(command: Command) -> None:
    (command.directory / "Dockerfile").write_text("FROM scratch AS base\nENV A=1\nFROM base\n")
    _, err = command("--no-cache-filter", "bas,stage-1,BASE", "src")
    said = {line.removeprefix(" - ") for line in err.splitlines() if "no such stage" in line and "WARN" not in line}
    assert said == {"--no-cache-filter bas: there is no such stage; did you mean base?"}


def test_a_build_that_fails_leaves_no_id_of_an_earlier_one(command: Command, tmp_path: Path) -> None:
    (tmp_path / "id").write_text("sha256:old")
    with pytest.raises(PybuildError):
        command("-q", "--iidfile", "id", "--target", "none", "src")
    assert not (tmp_path / "id").exists()


def test_a_file_of_another_name_is_relative_to_the_working_directory(command: Command, tmp_path: Path) -> None:
    (tmp_path / "Other").write_text("FROM scratch\nENV B=1\n")
    assert command("-q", "-f", "Other", "src")[0] != command("-q", "src")[0]
    (command.directory / "Inside").touch()
    with pytest.raises(NotFound) as caught:
        command("-f", "Inside", "src")
    assert "src/Inside" in (caught.value.hint or "")


def test_a_dockerfile_in_lower_case_is_found(command: Command) -> None:
    (command.directory / "Dockerfile").rename(command.directory / "dockerfile")
    assert command("-q", "src")[0]


def test_standard_input_is_a_dockerfile_with_or_without_a_context(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    (command.directory / "a").write_text("x")
    for words, text in ((("-f", "-", "src"), "FROM scratch\nCOPY a /\n"), (("-",), "FROM scratch\nENV C=1\n")):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        assert command("-q", *words)[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothere"], "no such directory"),
        (["src/Dockerfile"], "is not a directory"),
        (["https://x.invalid/y.git?what=1"], "unexpected query"),
        (["--build-context", "x=nothere", "src"], "failed to find local context"),
        (["--build-context", "x", "src"], "expected NAME=WHERE"),
        (["-f", "-", "-"], "can't use stdin for both"),
    ],
)
def test_a_context_that_cannot_be_used_is_wrong_usage(command: Command, words: Sequence[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        command(*words)


def test_a_missing_dockerfile_suggests_one_that_is_there(command: Command) -> None:
    (command.directory / "Dockerfile").rename(command.directory / "app.Dockerfile")
    with pytest.raises(NotFound, match="no such file or directory") as caught:
        command("src")
    assert "src/app.Dockerfile" in (caught.value.hint or "")


def test_a_fault_names_file_and_line_and_shows_it(command: Command) -> None:
    (command.directory / "Dockerfile").write_text("FROM scratch\nRUNN x\n")
    with pytest.raises(PybuildError) as caught:
        command("src")
    assert caught.value.message.startswith("Dockerfile:2: unknown instruction: RUNN")
    assert "  2 | >>> RUNN x" in caught.value.message
    assert "RUN" in (caught.value.hint or "")


def test_nothing_is_left_in_the_temporary_directory(command: Command) -> None:
    command("-q", "src")
    with pytest.raises(PybuildError):
        command("--target", "nothere", "src")
    assert os.listdir(command.context.layout.tmp) == []
