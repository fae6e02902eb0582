"""The verb `graph`: formats, the flags that choose what is shown, and faults with file and line."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from builder.cli import graph as verb
from runtime.cli.arguments import read_arguments
from runtime.cli.surroundings import find_layout
from runtime.context import Context
from runtime.errors import UsageError


def call(tmp_path: Path, *words: str, environ: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Run the verb; returns its status, what it printed, and its messages."""
    out, messages = io.StringIO(), io.StringIO()
    layout = find_layout(str(tmp_path), {}, rootless=True)
    context = Context(layout=layout, environ=environ or {}, rootless=True, stdout=out, stderr=messages)
    status = verb.run(read_arguments(verb.VERB, words), context)
    return status, out.getvalue(), messages.getvalue()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "Dockerfile").write_text("ARG V=1\nFROM a:$V AS one\nRUN x\nFROM b\nCOPY --from=one /x /\n")
    return tmp_path


@pytest.mark.parametrize("form", ["text", "json", "dot", "mermaid", "svg"])
def test_a_graph_is_printed_in_each_format(directory: Path, form: str) -> None:
    status, out, messages = call(directory, "--format", form, str(directory))
    assert (status, messages) == (0, "")
    assert "COPY --from=one /x /" in out or "#" in out


def test_json_is_one_object_with_a_version(directory: Path) -> None:
    document = json.loads(call(directory, "--format=json", str(directory))[1])
    assert document["version"] == 1
    assert {"from": "0.1", "to": "1.1", "kind": "copy", "paths": ["/x"]} in document["edges"]


def test_flags_choose_what_is_shown(directory: Path) -> None:
    words = ("--target", "one", "--build-arg", "V=2", "--format", "json", "-f", str(directory / "Dockerfile"))
    document = json.loads(call(directory, *words)[1])
    assert [stage["base"]["name"] for stage in document["stages"]] == ["a:2"]


def test_an_argument_without_a_value_takes_the_environments(directory: Path) -> None:
    words = ("--target", "one", "--build-arg", "V", "--format", "json", str(directory))
    document = json.loads(call(directory, *words, environ={"V": "3"})[1])
    assert document["stages"][0]["base"]["name"] == "a:3"
    document = json.loads(call(directory, *words)[1])
    assert document["stages"][0]["base"]["name"] == "a:1"


def test_a_file_may_come_from_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"FROM \xff\n")))
    assert call(tmp_path, "-f", "-")[0] == 0


def test_a_fault_names_file_and_line(directory: Path) -> None:
    (directory / "Dockerfile").write_text("FROM a\nRNU x\n")
    status, out, messages = call(directory, str(directory))
    assert (status, out) == (1, "")
    assert messages == f"{directory}/Dockerfile:2: unknown instruction: RNU\n  hint: did you mean RUN?\n"


def test_warnings_are_messages(directory: Path) -> None:
    status, _, messages = call(directory, "--build-arg", "X=1", str(directory))
    assert status == 0
    assert "warning: One or more build-args ['X'] were not consumed" in messages


def test_another_format_is_wrong_usage(directory: Path) -> None:
    with pytest.raises(UsageError):
        call(directory, "--format", "pdf", str(directory))
