"""The command is found as Docker finds it, and failures cross from the child whole."""

from __future__ import annotations

from errno import EACCES, ENOENT, ENOEXEC
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.sandbox.failure import LaunchFailure, decode, encode, not_started
from runtime.sandbox.program import environment_of, exec_failure, find_program


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    (tmp_path / "second/tool").write_text("#!/bin/sh\n")
    (tmp_path / "second/tool").chmod(0o755)
    (tmp_path / "first/data").write_text("")
    (tmp_path / "first/tool").mkdir()
    return tmp_path


def test_the_first_executable_file_on_the_path_is_taken(programs: Path) -> None:
    path = f"PATH={programs}/none:{programs}/first:{programs}/second"
    assert find_program("tool", [path]) == f"{programs}/second/tool"


def test_relative_and_empty_entries_of_the_path_are_passed_over(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(programs / "second")
    with pytest.raises(LaunchFailure) as caught:
        find_program("tool", ["PATH=:.:second"])
    assert caught.value.exit_code == 127


def test_a_name_with_a_slash_is_a_path(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(programs)
    assert find_program("second/tool", []) == "second/tool"


@pytest.mark.parametrize(("name", "code"), [("first/data", 126), ("first", 126), ("none", 127), ("first/data/x", 126)])
def test_what_cannot_be_executed_has_its_status(programs: Path, name: str, code: int) -> None:
    with pytest.raises(LaunchFailure) as caught:
        find_program(f"{programs}/{name}", [])
    assert caught.value.exit_code == code


def test_the_answers_of_execve_are_explained() -> None:
    assert (exec_failure("x", ENOENT).exit_code, exec_failure("x", ENOEXEC).exit_code) == (127, 126)
    assert exec_failure("x", EACCES).exit_code == 126


def test_the_last_of_two_variables_counts_and_others_stay_in_order() -> None:
    assert environment_of(["A=1", "B=x=y", "A=2", "C", "=d"]) == {"A": "2", "B": "x=y"}


@given(st.text(), st.integers(0, 200), st.text(), st.sampled_from([125, 126, 127]), st.text())
def test_a_failure_crosses_as_it_is(step: str, errno: int, path: str, code: int, text: str) -> None:
    def clean(value: str) -> str:
        return value.encode("utf-8", "replace").decode().replace("\0", "?")

    failure = LaunchFailure(clean(step), errno, clean(path), code, clean(text))
    crossed = decode(encode(failure))
    assert (crossed.step, crossed.errno, crossed.path) == (failure.step, errno, failure.path)
    assert (crossed.exit_code, str(crossed)) == (code, str(failure))


def test_the_message_names_the_program() -> None:
    assert str(not_started("tool", ENOENT)) == 'exec: "tool": no such file or directory'
