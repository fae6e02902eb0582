"""The value of a secret is nowhere but where a step asked for it: not in output, errors, logs, results, the store."""

from __future__ import annotations

import json
import os
from base64 import b64decode
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.programs import Program

pytestmark = [pytest.mark.root, pytest.mark.userns, pytest.mark.overlay]

VALUE = "s3cr3t-value-0123456789"
SHOWS = (
    "FROM box\n"
    "RUN --network=none --mount=type=secret,id=s --mount=type=secret,id=s,env=TOKEN "
    "cat /run/secrets/s; cut -c1-7 /run/secrets/s | tr -d '\\n'; sleep 0.1; cut -c8- /run/secrets/s; echo $TOKEN >&2"
)


def words(directory: Path, dockerfile: str) -> list[str | Path]:
    (directory / "Dockerfile").write_text(dockerfile)
    (directory / "secret").write_text(VALUE)
    (directory / ".dockerignore").write_text("secret\n")
    return ["build", "-t", "shown", "--secret", f"id=s,src={directory}/secret", directory]


def holds(root: Path, text: str) -> list[Path]:
    """Return the files below `root` that hold `text`."""
    found = []
    for directory, _, names in os.walk(root):
        for path in (Path(directory, name) for name in names):
            with suppress(FileNotFoundError):  # whatever goes meanwhile
                if path.is_file() and text.encode() in path.read_bytes():
                    found.append(path)
    return found


@pytest.mark.parametrize("progress", ["plain", "rawjson"])
def test_what_a_step_prints_of_a_secret_is_replaced(box: Program, open_directory: Path, progress: str) -> None:
    result = box(*words(open_directory, SHOWS), f"--progress={progress}")
    text = result.stderr.decode()
    if progress == "rawjson":
        logs = [log for line in text.splitlines() for log in json.loads(line).get("logs", [])]
        text += "".join(b64decode(log["data"]).decode() for log in logs)
        assert len(logs) >= 1
    assert VALUE not in text
    assert "value-0123456789" not in text
    assert holds(box.root, VALUE) == []


def test_the_failure_of_a_step_quotes_its_output_without_the_secret(box: Program, open_directory: Path) -> None:
    result = box(*words(open_directory, SHOWS + "; exit 3"), "--explain", status=1)
    text = (result.stdout + result.stderr).decode()
    assert "exit code: 3" in text
    assert VALUE not in text
    assert holds(box.root, VALUE) == []


def test_a_secret_is_in_no_result_and_no_record(box: Program, open_directory: Path) -> None:
    box(*words(open_directory, SHOWS), "--metadata-file", box.home / "metadata")
    assert VALUE not in (box.home / "metadata").read_text()
    assert VALUE not in box("history", "--no-trunc", "shown").stdout.decode()
    assert VALUE not in box("inspect", "shown").stdout.decode()
    assert VALUE.encode() not in box("save", "shown").stdout


def test_a_changed_secret_runs_nothing_again(box: Program, open_directory: Path) -> None:
    first = box(*words(open_directory, SHOWS), "-q").stdout
    (open_directory / "secret").write_text("another")
    assert box(*words(open_directory, SHOWS), "-q").stdout == first


def test_the_value_from_a_variable_is_replaced_as_well(box: Program, open_directory: Path) -> None:
    (open_directory / "Dockerfile").write_text(
        "FROM box\nRUN --network=none --mount=type=secret,id=s,env=TOKEN echo $TOKEN; exit 1\n"
    )
    result = box("build", "--secret", "id=s,env=MY_TOKEN", open_directory, env={"MY_TOKEN": VALUE}, status=1)
    assert VALUE not in result.stderr.decode()
    assert holds(box.root, VALUE) == []
