"""Public Dockerfiles, made nobody's, parse to what BuildKit's parser gives, and have its warnings (August 2026).

`corpus/corpus.jsonl` holds a file a line: its text and BuildKit's reading of it; `corpus/warnings.jsonl` what its
checks find. To make them again from a directory of Dockerfiles: `python -m tests.grammar.corpus.anonymise FROM TO`, and
`ls TO/* | record`, which is `corpus/record.go` (or `warnings.go`) built inside a checkout of BuildKit, in a directory
beside its `cmd`. Flags are compared without their quotes.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

import grammar
from grammar.flags import KEYWORDS, clean_flag
from grammar.graph import Base
from grammar.lint import check
from grammar.lint.stages import KnownBase
from grammar.nodes import Heredoc, Instruction
from tests.grammar.corpus.anonymise import KEPT, Disguise


def lines_of(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(__file__).parent / "corpus" / name).read_text().splitlines()]


FILES = lines_of("corpus.jsonl")
WARNINGS = {found["name"]: found for found in lines_of("warnings.jsonl")}


def brief(text: str) -> str:
    """Give a long text by its beginning, its length and its digest, as the record does."""
    if len(text) <= 32:
        return text
    return f"{text[:12]}… {len(text)} {hashlib.sha256(text.encode()).hexdigest()[:8]}"


def described(instruction: Instruction, escape: str) -> dict[str, Any]:
    """Return an instruction as the record has it: what is empty left out, here-documents at the outermost."""
    chain = [instruction]
    while chain[-1].trigger is not None:
        chain.append(chain[-1].trigger)
    described: dict[str, Any] = {}
    for part in reversed(chain):
        described = {
            "keyword": part.keyword,
            "lines": [part.start_line, part.end_line] if part is instruction else [],
            "flags": [clean_flag(flag, escape) for flag in part.flags],
            "exec": part.form == "exec",
            "arguments": [brief(word) for word in part.arguments] if part.keyword in KEYWORDS else [],
            "heredocs": [document(heredoc) for heredoc in chain[-1].heredocs] if part is instruction else [],
            "comment": brief(part.comment),
            "trigger": described,
        }
        described = {name: value for name, value in described.items() if value}
    return described


def document(heredoc: Heredoc) -> dict[str, Any]:
    return {
        "delimiter": heredoc.delimiter,
        "body": brief(heredoc.body),
        "expand": heredoc.expand,
        "strip_tabs": heredoc.strip_tabs,
    }


@pytest.mark.parametrize("file", FILES, ids=[file["name"] for file in FILES])
def test_a_public_dockerfile_has_buildkits_structure(file: dict[str, Any]) -> None:
    if file.get("fault"):
        with pytest.raises(grammar.DockerfileError):
            grammar.parse(file["text"])
        return
    dockerfile = grammar.parse(file["text"])
    directives = dockerfile.directives
    assert [described(node, directives.escape) for node in dockerfile.instructions] == file["instructions"]
    assert directives.to_dict() == {
        "syntax": file.get("syntax"),
        "escape": file["escape"],
        "check": file.get("check"),
    }
    ends_of_blanks = [node.blank_before for node in dockerfile.instructions if node.blank_before]
    assert ends_of_blanks == file.get("blank_before", [])


def an_empty_image(base: Base) -> KnownBase:
    return KnownBase(environment=(), onbuild=(), has_shell=False, platform=base.platform or "linux/amd64")


@pytest.mark.parametrize("file", FILES, ids=[file["name"] for file in FILES])
def test_a_public_dockerfile_has_buildkits_warnings(file: dict[str, Any]) -> None:
    recorded = WARNINGS[file["name"]]
    try:
        report = check(grammar.parse(file["text"]), platform="linux/amd64", find_base=an_empty_image)
        fault = report.error is not None or bool(report.violated)
    except grammar.DockerfileError:
        fault = True
    assert fault == recorded.get("fault", False)
    if not fault:
        found = sorted([finding.rule.name, finding.start_line] for finding in report.findings)
        assert found == sorted(recorded.get("warnings", []))


def test_the_corpus_is_large_and_holds_the_whole_language() -> None:
    nodes = [node for file in FILES for node in file.get("instructions", ())]
    assert len(FILES) >= 400
    assert {node["keyword"] for node in nodes} >= set(KEYWORDS)
    assert {flag.split("=")[0] for node in nodes for flag in node.get("flags", ())} >= {
        f"--{name}"
        for name in "platform mount security from chown chmod link parents exclude checksum keep-git-dir "
        "interval timeout retries start-period start-interval".split()
    }
    assert {document["expand"] for node in nodes for document in node.get("heredocs", ())} == {True, False}
    assert any("\r\n" in file["text"] for file in FILES)
    assert any(file.get("escape") == "`" for file in FILES)


def test_a_disguise_keeps_the_shape_and_no_word() -> None:
    text = (
        "# syntax=docker/dockerfile:1\n# Build the server\nARG Version=1.22\nFROM golang:${Version:-1.2} AS Builder\n"
        "RUN --mount=type=cache,id=golang,target=/root/.cache <<'EOF' sh \\\r\n  && echo \"a\\nb\"\nmake install\nEOF\n"
        'COPY --from=builder ["/out/server", "/caf\\u00e9/"]\n'
    )
    disguise = Disguise(text)
    made = disguise.apply(text)
    assert [letter.isalnum() for letter in made] == [letter.isalnum() for letter in text]
    assert not set(made.lower().split()) & {"docker", "server", "make", "install", "golang", "eof"}
    for kept in ("# syntax=", "ARG ", "FROM ", " AS ", "--mount=type=cache,id=", ",target=/", "<<'", "\\n", "\\u00e9/"):
        assert kept in made
    assert made.lower().count(disguise.apply("builder")) == 2
    assert made.count(disguise.apply("EOF")) == 2
    assert made == Disguise(text).apply(text)
    letters = [disguise.apply(letter) for letter in "bcdfghij"]
    assert len(set(letters)) == len(letters)
    assert all(disguise.apply(word) == word for word in KEPT)
