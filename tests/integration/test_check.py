"""Checks: the verb, the flags of build, and warnings in builds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.programs import Program

pytestmark = [pytest.mark.root, pytest.mark.userns, pytest.mark.overlay]

WARNS = "FROM box\nCMD x\n"
ADVISES = 'FROM box\nRUN apt-get install x\nCMD ["x"]\n'


def written(directory: Path, text: str) -> Path:
    (directory / "Dockerfile").write_text(text)
    return directory


def test_a_warning_fails_the_check_and_advice_does_not(box: Program, open_directory: Path) -> None:
    clean = box("check", written(open_directory, ADVISES))
    text = clean.stdout.decode()
    assert text.startswith("Check complete, no warnings found.\n")
    assert "ADVICE: InstallMayAsk\napt-get install may ask, and the step then fails\nhint: add -y\n" in text
    assert b"ADVICE" not in box("check", "--advice=false", open_directory).stdout
    text = box("check", written(open_directory, WARNS), status=1).stdout.decode()
    assert text.startswith("Check complete, 1 warning has been found!\n\nWARNING: JSONArgsRecommended\n")
    assert f"{open_directory}/Dockerfile:2\n" in text


def test_the_check_in_json_is_one_document_with_a_version(box: Program, open_directory: Path) -> None:
    document = json.loads(box("check", "--format", "json", written(open_directory, WARNS), status=1).stdout)
    assert document["version"] == 1
    assert [warning["ruleName"] for warning in document["warnings"]] == ["JSONArgsRecommended"]
    assert [advice["ruleName"] for advice in document["advice"]] == ["BaseNotPinned"]


def test_a_file_can_be_named_or_come_on_standard_input(box: Program, open_directory: Path) -> None:
    path = open_directory / "other"
    path.write_text(WARNS)
    assert b"JSONArgsRecommended" in box("check", path, status=1).stdout
    assert b"JSONArgsRecommended" in box("check", "-f", "-", open_directory, input=WARNS.encode(), status=1).stdout


@pytest.mark.parametrize("words", [("--check",), ("--call=check",), ("--call", "lint"), ("--call=check,format=text",)])
def test_build_checks_without_building(box: Program, open_directory: Path, words: tuple[str, ...]) -> None:
    result = box("build", *words, "-t", "never", written(open_directory, WARNS), status=1)
    assert result.stdout.startswith(b"Check complete, 1 warning")
    assert b"hint" not in result.stdout
    assert b"never" not in box("images").stdout
    assert box("build", "--call=check,ignorestatus", open_directory).stdout == result.stdout


def test_a_base_that_is_not_here_is_told_and_the_rest_checked(box: Program, open_directory: Path) -> None:
    text = "FROM localhost:1/gone:1\nLABEL a=$UNKNOWN\nCMD x\n"
    result = box("check", written(open_directory, text), status=1)
    assert b"localhost:1/gone:1: what depends on this base is not checked" in result.stderr
    assert b"1 warning" in result.stdout


@pytest.mark.parametrize("call", ["nonsense", "check,format=xml", "outline,foo"])
def test_a_question_that_nobody_knows_is_wrong_usage(box: Program, open_directory: Path, call: str) -> None:
    result = box("build", f"--call={call}", written(open_directory, WARNS), status=2)
    assert f'invalid argument "{call}" for "--call" flag' in result.stderr.decode()


def test_a_build_warns_at_its_end_and_succeeds(box: Program, open_directory: Path) -> None:
    text = "FROM box\nRUN --network=none true\nCMD x\nLABEL a=$VER\n"
    result = box("build", "--progress=plain", written(open_directory, text))
    assert result.stderr.decode().endswith(
        "\n 2 warnings found:\n"
        " - JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS "
        "signals (line 3)\n"
        " - UndefinedVar: Usage of undefined variable '$VER' (line 4)\n"
    )
    assert result.stderr.decode().count("found:") == 1
    assert box("build", "-q", open_directory).stderr == b""


def test_a_build_ends_before_its_first_step_where_findings_are_errors(box: Program, open_directory: Path) -> None:
    text = "# check=error=true\nFROM box\nRUN --network=none echo ran\nCMD x\n"
    result = box("build", written(open_directory, text), status=1)
    assert b"pybuild: lint violation found for rules: JSONArgsRecommended" in result.stderr
    assert b"ran\n" not in result.stderr
    box("build", "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=skip=all", open_directory)
    wrong = box("build", "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=foo", open_directory, status=1)
    assert b'failed to parse build-arg:BUILDKIT_DOCKERFILE_CHECK: invalid check option "foo"' in wrong.stderr
