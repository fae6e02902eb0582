"""What `parse` refuses: the line, the word as it was written, and what to do."""

from __future__ import annotations

import pytest

from grammar.errors import DockerfileError
from grammar.parser import MAX_TRIGGERS, parse

FAULTS = [
    # no instruction
    ("", 1, "no instruction"),
    ("\n \n\t\n", 3, "no instruction"),
    ("# c\n# d\n", 2, "no instruction"),
    ("# syntax=a\n# escape=`", 2, "no instruction"),
    ("\ufeff", 1, "no instruction"),
    ("FROM a\n\\\n\n# c\n", 2, "\\"),
    # directives
    ("# syntax=a\n# syntax=b\nFROM a", 2, "syntax"),
    ("# escape=x\nFROM a", 1, "x"),
    # ENV and LABEL
    ("FROM a\nENV b", 2, "ENV b"),
    ("FROM a\nLABEL 'b'", 2, "LABEL 'b'"),
    ("ENV a\u00a0b", 1, "a\u00a0b"),
    ("ENV a=1 b", 1, "can't find = in b"),
    ("ENV a=1 # comment", 1, "#"),
    ("LABEL a=1 'b c' d=2", 1, "'b"),
    ("ENV a=1 \\\n\n# c\n  b=2 \\\n  c d", 5, "in c"),
    ("ENV a=1 \\\n  b\\\nc", 2, "in bc"),
    ("ONBUILD ENV a=1 b", 1, "in b"),
    ("FROM a\nONBUILD LABEL b", 2, "LABEL b"),
    # arrays
    ("FROM a\nRUN [1]", 2, "1"),
    ("CMD [null]", 1, "null"),
    ('CMD ["a", true]', 1, "true"),
    ('ENTRYPOINT ["a", ["b"]]', 1, "ENTRYPOINT"),
    ("SHELL [{}]", 1, "SHELL"),
    ('COPY ["a", {"b": [1, {}]}, "c"]', 1, "COPY"),
    ("ADD [-1.5e+10]", 1, "-1.5e+10"),
    ("VOLUME [0]", 1, "0"),
    ("HEALTHCHECK --interval=1s CMD [1]", 1, "HEALTHCHECK"),
    ("FROM a\nONBUILD RUN [1]", 2, "RUN [1]"),
    ("RUN --x \\\n [1]", 2, "[1]"),
    # here-documents
    ("FROM a\nRUN <<E\na\n", 2, "<<E"),
    ("FROM a\nRUN <<E\na\nE ", 2, "<<E"),
    ("FROM a\nRUN <<E\n\tE", 2, "<<E"),
    ("FROM a\nRUN <<-E\n E", 2, "<<-E"),
    ("RUN a \\\n <<'E F'\nE", 1, "<<'E F'"),
    ("COPY <<A <<B /d\nA\n", 1, "<<B"),
    ("ONBUILD RUN <<E\n", 1, "<<E"),
]


@pytest.mark.parametrize(("text", "line", "word"), FAULTS, ids=ascii)
def test_a_fault_names_line_and_word_and_what_to_do(text: str, line: int, word: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        parse(text)
    assert caught.value.line == line
    assert word in caught.value.message
    assert caught.value.hint


def test_a_here_document_without_end_points_at_what_looks_like_one() -> None:
    with pytest.raises(DockerfileError) as caught:
        parse("RUN <<E\na\n  E\nE x\n")
    assert "line 3" in (caught.value.hint or "")
    with pytest.raises(DockerfileError) as caught:
        parse("RUN <<E\na\nE x\n")
    assert "as in line" not in (caught.value.hint or "")


def test_the_first_fault_is_the_one_told() -> None:
    with pytest.raises(DockerfileError) as caught:
        parse("FROM a\nENV b\nRUN [1]\nRUN <<E")
    assert caught.value.line == 2


def test_triggers_may_stand_in_each_other_up_to_a_limit() -> None:
    (node,) = parse("ONBUILD " * MAX_TRIGGERS + "RUN a").instructions
    depth = 0
    while node.trigger is not None:
        node, depth = node.trigger, depth + 1
    assert (depth, node.keyword, node.arguments) == (MAX_TRIGGERS, "run", ("a",))
    with pytest.raises(DockerfileError) as caught:
        parse("FROM a\n" + "ONBUILD " * (MAX_TRIGGERS + 1) + "RUN a")
    assert caught.value.line == 2


def test_a_message_shows_only_the_beginning_of_a_huge_word() -> None:
    with pytest.raises(DockerfileError) as caught:
        parse("ENV a=1 " + "b" * 100_000)
    assert len(caught.value.message) < 300
