"""What a node carries beside its words: lines, text, comment, triggers; and the document that it becomes."""

from __future__ import annotations

import pickle

from grammar.parser import parse

FILE = """\
# syntax=docker/dockerfile:1

# base is where
# all begins
FROM debian:trixie AS base
RUN --mount=type=cache,target=/x \\
    # inner
    <<A cat \\

    - <<-'B'
a
A
\tb
\tB
ONBUILD --x COPY <<C /d
c
C
CMD ["a"]
"""


def test_the_document_is_the_contracts() -> None:
    assert parse(FILE).to_dict() == {
        "directives": {"syntax": "docker/dockerfile:1", "escape": "\\", "check": None},
        "instructions": [
            {
                "keyword": "from",
                "flags": [],
                "form": "shell",
                "arguments": ["debian:trixie", "AS", "base"],
                "heredocs": [],
                "start_line": 5,
                "end_line": 5,
            },
            {
                "keyword": "run",
                "flags": ["--mount=type=cache,target=/x"],
                "form": "shell",
                "arguments": ["<<A cat     - <<-'B'"],
                "heredocs": [
                    {"delimiter": "A", "content": "a\n", "expand": True, "strip_tabs": False},
                    {"delimiter": "B", "content": "b\n", "expand": False, "strip_tabs": True},
                ],
                "start_line": 6,
                "end_line": 14,
            },
            {
                "keyword": "onbuild",
                "flags": ["--x"],
                "form": "shell",
                "arguments": [],
                "heredocs": [],
                "start_line": 15,
                "end_line": 17,
                "trigger": {
                    "keyword": "copy",
                    "flags": [],
                    "form": "shell",
                    "arguments": ["<<C", "/d"],
                    "heredocs": [{"delimiter": "C", "content": "c\n", "expand": True, "strip_tabs": False}],
                    "start_line": 15,
                    "end_line": 17,
                },
            },
            {
                "keyword": "cmd",
                "flags": [],
                "form": "exec",
                "arguments": ["a"],
                "heredocs": [],
                "start_line": 18,
                "end_line": 18,
            },
        ],
    }


def test_a_node_keeps_the_text_of_its_lines() -> None:
    run, onbuild = parse(FILE).instructions[1:3]
    assert run.source == "RUN --mount=type=cache,target=/x     <<A cat     - <<-'B'"
    assert onbuild.source == "ONBUILD --x COPY <<C /d"
    assert onbuild.trigger is not None
    assert onbuild.trigger.source == "COPY <<C /d"


def test_a_node_keeps_the_comment_above_it() -> None:
    comments = [node.comment for node in parse(FILE).instructions]
    assert comments == ["base is where\nall begins", "", "", ""]


def test_values_are_plain_strings_that_can_be_stored() -> None:
    dockerfile = parse(FILE + "ENV a=b 'c=d'\nARG x y=1\nHEALTHCHECK --y none\nFOO z\n")
    for node in dockerfile.instructions:
        for value in (node.keyword, *node.flags, *node.arguments):
            assert type(value) is str
    assert pickle.loads(pickle.dumps(dockerfile)) == dockerfile


def test_two_readings_of_one_text_are_equal() -> None:
    assert parse(FILE) == parse(FILE)


def test_a_body_that_lost_its_tabs_is_kept_as_written() -> None:
    heredoc = parse("RUN cat <<-E\n\ta\n\tE\n").instructions[0].heredocs[0]
    assert (heredoc.content, heredoc.body) == ("a\n", "\ta\n")
    plain = parse("RUN cat <<E\n\ta\nE\n").instructions[0].heredocs[0]
    assert plain.content == plain.body == "\ta\n"
