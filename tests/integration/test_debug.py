"""A failed step is kept and opened again, with all that it had; what a build printed is on disk in full."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.integration.programs import Program
from tests.integration.steps import build

pytestmark = [pytest.mark.root, pytest.mark.userns, pytest.mark.overlay]

FAILING = (
    "FROM box AS one\nARG A=5\nENV B=7\nWORKDIR /w\n"
    "RUN --network=none --mount=type=bind,target=/ctx --mount=type=cache,target=/c --mount=type=secret,id=s "
    "echo half > /half; echo c > /c/f; exit 3\n"
)


@pytest.fixture
def failing(box: Program) -> Program:
    site = box.directory("site", {"Dockerfile": FAILING, "page": "one\n", "secret": "hidden\n"})
    said = box("build", "--on-failure", "keep", "--secret", f"id=s,src={site}/secret", site, status=1).stderr.decode()
    assert "pybuild debug" in said
    (site / "page").write_text("changed since\n")
    return box


def debug(box: Program, command: str, *words: str | Path, status: int = 0) -> str:
    return box("debug", "-c", command, *words, status=status).stdout.decode()


def test_the_sandbox_is_as_it_was(failing: Program) -> None:
    text = debug(failing, "pwd; cat /half /c/f /ctx/page; echo $A $B; test -e /run/secrets/s || echo none")
    assert text == "/w\nhalf\nc\none\n5 7\nnone\n"
    secret = failing.home / "site" / "secret"
    assert debug(failing, "cat /run/secrets/s", "--secret", f"id=s,src={secret}") == "hidden\n"


def test_what_is_changed_there_stays_and_the_status_is_the_commands(failing: Program) -> None:
    debug(failing, "echo new > /more; exit 9", status=9)
    assert debug(failing, "cat /more") == "new\n"


def test_kept_steps_are_listed_chosen_and_deleted(failing: Program) -> None:
    (identifier,) = failing.text("debug", "ls", "-q").split()
    row = json.loads(failing.text("debug", "ls", "--format", "json"))
    assert (row["ID"], row["Stage"], row["Line"], row["ExitCode"]) == (identifier, "one", "5", "3")
    assert debug(failing, "cat /half", identifier[:5], "one") == "half\n"
    assert debug(failing, "cat /half", identifier, "5") == "half\n"
    assert "No such kept step" in failing("debug", "-c", "true", identifier, "two", status=1).stderr.decode()
    failing("cache", "prune", "-fa")
    failing("image", "prune", "-fa")
    assert debug(failing, "cat /half") == "half\n", "what it stands on is pinned"
    assert failing.text("debug", "rm", identifier) == identifier
    assert "no failed step is kept" in failing("debug", status=1).stderr.decode()


def test_without_the_flag_nothing_is_kept_and_the_log_is_named(box: Program) -> None:
    text = "FROM box\nRUN --network=none i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); done; exit 1\n"
    site = box.directory("site", {"Dockerfile": text})
    said = box("build", site, status=1).stderr.decode()
    path = Path(said.rpartition("printed is in ")[2].strip())
    log = path.read_text()
    assert all(f" line {number}\n" in log for number in (0, 150, 299))
    assert box.text("debug", "ls", "-q") == ""
    assert path.stat().st_mode & 0o077 == 0 or path.parent.stat().st_mode & 0o077 == 0


def test_a_shell_needs_a_terminal(box: Program) -> None:
    site = box.directory("site", {"Dockerfile": FAILING})
    assert "needs a terminal" in box("build", "--on-failure", "shell", site, status=2).stderr.decode()


def test_a_command_is_explained_by_argument_environment_and_mounted_file(box: Program) -> None:
    text = (
        "FROM box\nARG A=1\nENV E=1\nRUN --network=none true $A\n"
        "RUN --network=none --mount=type=bind,target=/ctx cat /ctx/page\n"
    )
    site = box.directory("site", {"Dockerfile": text, "page": "one\n"})
    build(box, site)

    def causes(*words: str) -> list[tuple[str, str]]:
        document = json.loads(box.text("build", "-q", "--explain=json", *words, site))
        assert document["version"] == 1
        return [(cause["kind"], cause["name"]) for step in document["steps"] for cause in step["causes"]]

    assert causes("--build-arg", "A=2")[0] == ("argument", "A")
    (site / "page").write_text("two\n")
    assert causes("--build-arg", "A=2") == [("file", "page")]
    (site / "Dockerfile").write_text(text.replace("E=1", "E=2"))
    assert causes("--build-arg", "A=2")[0] == ("environment", "E")
    os.unlink(site / "page")
    (site / "Dockerfile").write_text(text.replace("true $A", "false"))
    failed = box("build", "--explain", site, status=1)
    assert b"Dockerfile:4: RUN --network=none false\n" in failed.stdout
    assert b"  command: 'true $A' became 'false'\n" in failed.stdout
