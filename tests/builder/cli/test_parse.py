"""The verb `parse`: JSON as the contract has it, a form to read, and faults with file and line."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from builder.cli import parse as verb
from runtime.cli.arguments import read_arguments
from runtime.cli.surroundings import find_layout
from runtime.context import Context
from runtime.errors import UsageError


def call(tmp_path: Path, *words: str) -> tuple[int, str, str]:
    """Run the verb; returns its status, what it printed, and its messages."""
    out, messages = io.StringIO(), io.StringIO()
    layout = find_layout(str(tmp_path), {}, rootless=True)
    context = Context(layout=layout, environ={}, rootless=True, stdout=out, stderr=messages)
    status = verb.run(read_arguments(verb.VERB, words), context)
    return status, out.getvalue(), messages.getvalue()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "Dockerfile"


def test_json_is_one_object_with_directives_and_instructions(tmp_path: Path, file: Path) -> None:
    file.write_text("# escape=`\nFROM a\n")
    status, out, messages = call(tmp_path, "--format", "json", str(file))
    assert (status, messages) == (0, "")
    document = json.loads(out)
    assert document["directives"] == {"syntax": None, "escape": "`", "check": None}
    assert document["instructions"] == [
        {
            "keyword": "from",
            "flags": [],
            "form": "shell",
            "arguments": ["a"],
            "heredocs": [],
            "start_line": 2,
            "end_line": 2,
        }
    ]


def test_text_shows_each_instruction_with_its_lines(tmp_path: Path, file: Path) -> None:
    file.write_text(
        "# escape=`\nFROM a\nENV b=1 c='2 3'\nCMD [\"d\"]\nHEALTHCHECK --e CMD []\n"
        "ONBUILD RUN --x f <<-'E' `\n  >g\n\th\n\tE\nCOPY <<E i\nE\n"
    )
    status, out, messages = call(tmp_path, str(file))
    assert (status, messages) == (0, "")
    assert out.splitlines() == [
        "# escape=`",
        "    2  FROM a",
        "    3  ENV b=1 c='2 3'",
        '    4  CMD ["d"]',
        "    5  HEALTHCHECK --e CMD []",
        "  6-9  ONBUILD RUN --x f <<-'E'   >g",
        "         <<E: 1 line, taken as it is, leading tabs cut",
        "10-11  COPY <<E i",
        "         <<E: 0 lines, variables expand",
    ]


def test_a_dash_is_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"FROM a")))
    assert call(tmp_path, "-") == (0, "1  FROM a\n", "")


def test_a_fault_prints_file_and_line_and_nothing_else(tmp_path: Path, file: Path) -> None:
    file.write_text("FROM a\nENV b=1 \\\n c\n")
    status, out, messages = call(tmp_path, "--format=json", str(file))
    assert (status, out) == (1, "")
    assert messages.startswith(f"{file}:3: ")
    assert "hint: " in messages


def test_a_fault_in_standard_input_names_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"FROM a\nRUN [1]")))
    status, out, messages = call(tmp_path, "-")
    assert (status, out) == (1, "")
    assert ":2: " in messages


def test_bytes_that_are_no_utf8_are_replaced(tmp_path: Path, file: Path) -> None:
    file.write_bytes(b"LABEL a=\xff\xe9")
    status, out, _ = call(tmp_path, "--format", "json", str(file))
    assert status == 0
    assert json.loads(out)["instructions"][0]["arguments"] == ["a", "\ufffd\ufffd"]


@pytest.mark.parametrize("words", [(), ("--format", "json")])
def test_control_characters_reach_no_terminal(tmp_path: Path, file: Path, words: tuple[str, ...]) -> None:
    file.write_text('# syntax=\x1b[31m\nRUN \x1b]0;x\x07 \u202e\x9b <<\x1bE\n\x1bE\nCMD ["\\u001b"]\n')
    status, out, _ = call(tmp_path, *words, str(file))
    assert status == 0
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(out)


def test_control_characters_of_a_faulty_file_reach_no_terminal(tmp_path: Path, file: Path) -> None:
    file.write_text("ENV a=1 \x1b[31m\n")
    status, _, messages = call(tmp_path, str(file))
    assert status == 1
    assert "\x1b" not in messages


def test_a_missing_file_is_the_systems_error(tmp_path: Path, file: Path) -> None:
    with pytest.raises(FileNotFoundError):
        call(tmp_path, str(file))


def test_other_formats_are_wrong_usage(tmp_path: Path, file: Path) -> None:
    with pytest.raises(UsageError):
        call(tmp_path, "--format", "xml", str(file))
