"""What holds for every text: no other exception, and what may be written differently means the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from grammar.errors import DockerfileError
from grammar.nodes import Dockerfile, Instruction
from grammar.parser import parse

KEYWORDS = (
    "FROM RUN COPY ADD ENV LABEL ARG CMD ENTRYPOINT SHELL VOLUME WORKDIR USER EXPOSE HEALTHCHECK ONBUILD FOO".split()
)
PIECES = [
    *"ab= \"'\\`\t\n#-[],$<:{}",
    *(
        "\\\n",
        "\r\n",
        "`\n",
        "# c\n",
        "# escape=`\n",
        "# syntax=x\n",
        "--x=",
        "--",
        '["a"]',
        "[1]",
        "null",
        "NONE",
        "CMD ",
    ),
    *(
        "<<E",
        "<<-E",
        "<<'E F'",
        "\nE\n",
        "\n\tE\n",
        "\x00",
        "\v",
        "\f",
        "\r",
        "\u00a0",
        "\u2003",
        "é",
        "\ud800",
        "\ufeff",
    ),
    *(f"\n{keyword} " for keyword in KEYWORDS),
]
soup = st.lists(st.sampled_from(PIECES), max_size=24).map("".join)
plain_words = st.lists(
    st.sampled_from(
        ["a", "b=1", '"c d"=2', "--x", "'e f'", "$g", "h\\ i", '["j"]', "[k", "#", "l\\\\", "\u2003", "  "]
    ),
    min_size=1,
    max_size=6,
).map(" ".join)
plain_line = st.builds("{} {}".format, st.sampled_from(KEYWORDS), plain_words)


def without_lines(dockerfile: Dockerfile) -> list[dict[str, Any]]:
    def strip(document: dict[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in document.items() if not name.endswith("_line")}
        if "trigger" in kept:
            kept["trigger"] = strip(kept["trigger"])
        return kept

    return [strip(node.to_dict()) for node in dockerfile.instructions]


def outcome(text: str) -> list[dict[str, Any]] | None:
    """Return what `text` means, or None if it has a fault."""
    try:
        return without_lines(parse(text))
    except DockerfileError:
        return None


@given(st.text(st.characters(exclude_categories=()), max_size=60) | soup)
@example("ENV \u2003:1")
@example("RUN <<\\")
@example("\\")
@example("ENV '")
@example('HEALTHCHECK [\ud800"')
def test_a_text_is_read_or_refused_with_a_line(text: str) -> None:
    count = text.count("\n") + 1
    try:
        spans = [(node.start_line, node.end_line) for node in parse(text).instructions]
    except DockerfileError as error:
        spans = [(error.line or 0, count)]
    last = 0
    for start, end in spans:
        assert last < start <= end <= count
        last = end


@given(soup)
def test_crlf_means_what_lf_means(text: str) -> None:
    text = text.replace("\r", "").replace("<", "")
    assert outcome(text.replace("\n", "\r\n")) == outcome(text)


@given(soup, st.data())
def test_comments_and_blank_lines_between_lines_mean_nothing(text: str, data: st.DataObject) -> None:
    lines = ["FROM a", *text.replace("<", "").split("\n")]
    place = data.draw(st.integers(1, len(lines)))
    extra = data.draw(st.sampled_from(["# c", "\t# c \\", "", " \u2003"]))
    assert outcome("\n".join([*lines[:place], extra, *lines[place:]])) == outcome("\n".join(lines))


@given(plain_line, st.data())
def test_a_line_may_be_cut_anywhere(line: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(1, len(line) - 1))
    head, tail = line[:place], line[place:]
    assume(not head.endswith("\\"))
    assume(tail.strip() and not tail.lstrip().startswith("#"))
    assert outcome(f"{head}\\\n{tail}") == outcome(line)


@given(soup)
def test_what_was_read_can_be_written_and_read_again(text: str) -> None:
    # Spaces after an escape character keep it from continuing the line, and are gone from the text of the line.
    text = text.translate(dict.fromkeys(map(ord, "\r\v\f\u00a0\u2003")))
    try:
        dockerfile = parse(text)
    except DockerfileError:
        return
    assert without_lines(parse(written(dockerfile))) == without_lines(dockerfile)


def written(dockerfile: Dockerfile) -> str:
    lines = [f"# escape={dockerfile.directives.escape}\n"]
    for node in dockerfile.instructions:
        lines.append(f"{node.source}\n")
        innermost: Instruction = node
        while innermost.trigger is not None:
            innermost = innermost.trigger
        lines.extend(f"{heredoc.content}{heredoc.delimiter}\n" for heredoc in innermost.heredocs)
    return "".join(lines)


@pytest.mark.parametrize("escape", ["\\", "`"])
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), min_size=1, max_size=4))
def test_an_array_of_strings_is_read_back(escape: str, strings: list[str]) -> None:
    (node,) = parse(f"# escape={escape}\nCMD {json.dumps(strings)}").instructions
    assert (node.form, list(node.arguments)) == ("exec", strings)
