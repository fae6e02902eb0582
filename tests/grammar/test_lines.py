"""Logical lines: what is joined, what is dropped, and where every character came from."""

from __future__ import annotations

import pytest

from grammar.errors import DockerfileError
from grammar.lines import LineReader, LogicalLine


def read(text: str) -> list[LogicalLine]:
    reader = LineReader(text)
    lines: list[LogicalLine] = []
    while (line := reader.next_line()) is not None:
        lines.append(line)
    return lines


def texts(text: str) -> list[str]:
    return [line.text for line in read(text)]


def spans(text: str) -> list[tuple[int, int]]:
    return [(line.start_line, line.end_line) for line in read(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\ufeffFROM a", ["FROM a"]),
        ("FROM a\r\nRUN b\r\n", ["FROM a", "RUN b"]),
        ("FROM a\r\r\nRUN b", ["FROM a", "RUN b"]),
        ("  \t\v\f\u00a0FROM a\u2003 \n", ["FROM a"]),
        ("\n \n\u3000\nFROM a", ["FROM a"]),
        ("FROM a\rRUN b", ["FROM a\rRUN b"]),
        ("# c\n\t# c\n\u00a0# c\nFROM a # c", ["FROM a # c"]),
        ("RUN a \\\nb", ["RUN a b"]),
        ("RUN a \\ \t \r\n  b", ["RUN a   b"]),
        ("RUN a\\\v\nFOO", ["RUN a\\", "FOO"]),
        ("RUN ab\\\ncd", ["RUN abcd"]),
        ("R\\\nU\\\nN a", ["RUN a"]),
        ("RUN a \\\n# c \\\n\n\t\n   # c\n b", ["RUN a  b"]),
        ("RUN a\\\\\nFOO", ["RUN a\\\\", "FOO"]),
        ("RUN a\\\\\\\nFOO", ["RUN a\\\\\\", "FOO"]),
        ("\\\nRUN a", ["RUN a"]),
        ("\\\n  \\ \n  RUN a", ["RUN a"]),
        ("RUN a \\", ["RUN a"]),
        ("RUN a \\\n", ["RUN a"]),
        ('RUN "a\nb"', ['RUN "a', 'b"']),
        ("RUN a\\\n#b\nc", ["RUN ac"]),
        ("\\\n\n# c\n", [""]),
        ("", []),
        ("\n\n", []),
    ],
)
def test_lines_are_joined_and_comments_dropped(text: str, expected: list[str]) -> None:
    assert texts(text) == expected


def test_the_backtick_continues_a_line_where_a_directive_says_so() -> None:
    assert texts("# escape=`\nRUN a `\nb\\\nc``\nd") == ["RUN a b\\", "c``", "d"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM a\n\nRUN b", [(1, 1), (3, 3)]),
        ("\n# c\nRUN a \\\n# c\n\nb\nRUN c", [(3, 6), (7, 7)]),
        ("RUN a \\\n\n# c\n", [(1, 3)]),
        ("\\\nRUN a\n", [(1, 2)]),
        ("RUN a \\", [(1, 1)]),
    ],
)
def test_a_logical_line_knows_its_first_and_last_line(text: str, expected: list[tuple[int, int]]) -> None:
    assert spans(text) == expected


def test_every_character_knows_the_line_it_was_written_in() -> None:
    (line,) = read("\\\n  \\\n  RUN ab\\\n# c\n\n c \\\n\\\nd")
    assert line.text == "RUN ab c d"
    assert [line.line_at(offset) for offset in range(len(line.text))] == [3] * 6 + [6] * 3 + [8]


def test_comments_directly_above_belong_to_the_line() -> None:
    lines = read("# old\n#\n# what it is\n#   for  \nFROM a\nRUN b \\\n# inner\nc\n# last\n")
    assert [line.comment for line in lines] == ["what it is\nfor", ""]


def test_a_blank_before_a_comment_is_what_is_cut_off() -> None:
    (line,) = read("# x is\n  # for\n #\nFROM a\n")
    assert line.comment == "x is\n# for\n#"


def test_a_directive_is_no_comment_of_the_first_line() -> None:
    (line,) = read("# syntax=x\n# a stage\nFROM a")
    assert line.comment == "a stage"


@pytest.mark.parametrize(
    ("text", "syntax", "escape", "check"),
    [
        ("FROM a", None, "\\", None),
        ("# syntax=docker/dockerfile:1\n# escape=`\n# check=skip=all", "docker/dockerfile:1", "`", "skip=all"),
        ("\ufeff#SYNTAX\t= \t a b  \r\n \t#   EsCaPe=` ", "a b", "`", None),
        ("#\u00a0escape=`", None, "`", None),
        ("\n# escape=`", None, "\\", None),
        ("# c\n# escape=`", None, "\\", None),
        ("# foo=bar\n# escape=`", None, "\\", None),
        ("FROM a\n# escape=`", None, "\\", None),
        ("# syntax=\n# escape=`", None, "\\", None),
        ("#!/usr/bin/env x\n# escape=`", None, "\\", None),
        ("#!/usr/bin/env x\n# syntax=a\n# check=skip=all", "a", "\\", "skip=all"),
        (" # escape=`\n# syntax=a", None, "`", None),
        ("# syntax=a\n # check=error=true\n# escape=`", "a", "`", None),
        ("// escape=`", None, "\\", None),
        ("# es cape=`", None, "\\", None),
        ("# escape=\\", None, "\\", None),
    ],
)
def test_directives_stand_at_the_top(text: str, syntax: str | None, escape: str, check: str | None) -> None:
    directives = LineReader(text).directives
    assert (directives.syntax, directives.escape, directives.check) == (syntax, escape, check)


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("# syntax=a\n# Syntax=b", 2, "syntax"),
        ("# escape=`\n# check=x\n# escape=`", 3, "escape"),
        ("# check=a\n# check=a", 2, "check"),
        ("# escape=/", 1, "/"),
        ("# escape=``", 1, "``"),
        ("# escape=  ", 1, "escape"),
    ],
)
def test_a_fault_in_a_directive_names_its_line(text: str, line: int, word: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        LineReader(text)
    assert caught.value.line == line
    assert word in caught.value.message
    assert caught.value.hint


def test_a_body_is_read_raw_up_to_its_delimiter() -> None:
    reader = LineReader("RUN <<E\n# a \\\r\n\n E\n\tE\nE\r\nRUN b")
    reader.next_line()
    assert reader.read_body("E", strip_tabs=False) == "# a \\\r\n\n E\n\tE\n"
    assert reader.number == 6
    line = reader.next_line()
    assert line is not None
    assert line.text == "RUN b"


def test_tabs_may_stand_before_a_delimiter() -> None:
    reader = LineReader("\t\ta\n \tb\n\t\n\tE\n")
    assert reader.read_body("E", strip_tabs=True) == "\t\ta\n \tb\n\t\n"


def test_a_body_without_its_delimiter_is_none() -> None:
    assert LineReader("a\nE ").read_body("E", strip_tabs=False) is None
    assert LineReader("").read_body("E", strip_tabs=True) is None
