"""pybuild finds in a Dockerfile what BuildKit finds: rules, sentences and lines.

Where a docker with BuildKit answers, it checks the same file now; elsewhere its answers are those recorded in
`checked.json` (written by running this file's tests with `--record`).
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.differential.cases import BASE, Case
from tests.integration.differential.lint_cases import CHECKS
from tests.integration.differential.test_differential import Docker, docker, make_context, program
from tests.integration.programs import Program

__all__ = ["docker", "program"]

CHECKED = Path(__file__).with_name("checked.json")


def compared(document: dict[str, Any]) -> dict[str, Any]:
    """Keep what two builders must agree on; the order of findings is not part of it."""
    fault = document.get("buildError")
    lines = [extent["start"]["line"] for extent in (fault or {}).get("location", {}).get("ranges", [])]
    return {
        "warnings": sorted(
            [warning["ruleName"], warning["description"], warning["detail"], _lines(warning["location"])]
            for warning in document["warnings"] or []
        ),
        "fault": None if fault is None else lines,
    }


def _lines(location: dict[str, Any]) -> list[list[int]]:
    return [[extent["start"]["line"], extent["end"]["line"]] for extent in location["ranges"]]


@pytest.mark.root
@pytest.mark.parametrize("case", CHECKS, ids=lambda case: case.name)
def test_a_check_finds_what_buildkit_finds(
    case: Case,
    program: Program,
    docker: Docker | None,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    missing: Callable[[str], None],
) -> None:
    context = make_context(tmp_path, case)
    checked: dict[str, Any] = json.loads(CHECKED.read_text()) if CHECKED.exists() else {}
    words = ("build", "--call=check,format=json", *case.words)
    if docker is not None:
        command = [*docker.words, "buildx", *words, docker.prefix + str(context)]
        answer = subprocess.run(command, capture_output=True, check=False, timeout=300)
        theirs = {**compared(json.loads(answer.stdout)), "status": answer.returncode}
        if request.config.getoption("--record"):
            checked[case.name] = theirs
            CHECKED.write_text(json.dumps(checked, indent=1, sort_keys=True) + "\n")
    elif case.name in checked:
        theirs = checked[case.name]
    else:
        missing("a docker with BuildKit, or a recorded answer")
    result = program(*words, context, status=None)
    assert {**compared(json.loads(result.stdout)), "status": result.returncode} == theirs


OFFERS = """\
# check=skip=all
# V the version
ARG V=1
ARG UNUSED=x
# one is the first
FROM BASE AS one
# A is an argument
ARG A=a$V V
RUN --mount=type=secret,id=s --mount=type=ssh,id=key true
FROM --platform=$BUILDPLATFORM BASE AS Two
COPY --from=one /etc /x
ARG TARGETARCH
ARG B
RUN --mount=type=secret,id=s,required true
RUN --mount=type=secret,id=t true
"""
"""A secret a line: BuildKit puts them in the order of their lines, and in any order within one."""


@pytest.mark.root
@pytest.mark.parametrize("call", ["outline", "outline,format=json", "targets", "targets,format=json"])
@pytest.mark.parametrize("target", ["one", "two"])
def test_questions_are_answered_as_buildkit_does(
    call: str,
    target: str,
    program: Program,
    docker: Docker | None,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    missing: Callable[[str], None],
) -> None:
    (tmp_path / "Dockerfile").write_text(OFFERS.replace("BASE", BASE))
    checked: dict[str, Any] = json.loads(CHECKED.read_text()) if CHECKED.exists() else {}
    words = ("build", f"--call={call}", "--target", target, "--build-arg", "B=2")
    if docker is not None:
        theirs = docker("buildx", *words, docker.prefix + str(tmp_path)).decode()
        if request.config.getoption("--record"):
            checked[f"{call} {target}"] = theirs
            CHECKED.write_text(json.dumps(checked, indent=1, sort_keys=True) + "\n")
    elif f"{call} {target}" in checked:
        theirs = checked[f"{call} {target}"]
    else:
        missing("a docker with BuildKit, or a recorded answer")
    assert program(*words, tmp_path).stdout.decode() == theirs
