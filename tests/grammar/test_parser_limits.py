"""Texts of 100 KB made to hurt: they end soon, and with a Dockerfile or a DockerfileError."""

from __future__ import annotations

import pytest

from grammar.errors import DockerfileError
from grammar.parser import parse

SIZE = 100_000

READ = {
    "open brackets": "RUN " + "[" * SIZE,
    "open objects": "RUN " + '[{"a":' * (SIZE // 6),
    "an array with a comma too much": "RUN [" + '"",' * (SIZE // 3) + "]",
    "an open JSON string": 'RUN ["' + '\\"' * (SIZE // 2),
    "a long JSON string": 'RUN ["' + '\\"' * (SIZE // 2) + '"]',
    "a long array": "RUN [" + '"",' * (SIZE // 3) + '""]',
    "double quotes": "ENV a=" + '"' * SIZE,
    "double quotes, one open": "ENV a=" + '"' * (SIZE + 1),
    "quotes in a name": "ENV " + '"' * SIZE + "=1",
    "quotes in a name, one open": "ENV " + '"' * (SIZE + 1) + "=1",
    "single quotes in a name": "LABEL " + "'" * (SIZE + 1) + "=",
    "escapes": "ENV a=" + "\\" * SIZE + "x",
    "escapes in a name": "ENV " + "\\" * SIZE + "=x",
    "pairs": "ENV " + "a=1 " * (SIZE // 4),
    "pairs within quotes": "ENV " + '"a b=" ' * (SIZE // 7),
    "equal signs": "ENV " + "= " * (SIZE // 2),
    "definitions": "ARG " + "a " * (SIZE // 2),
    "words": "COPY " + "a " * (SIZE // 2),
    "flags": "COPY " + "--a " * (SIZE // 4),
    "quotes in a flag": "COPY --a=" + '"' * (SIZE + 1) + " b",
    "escapes in a flag": "COPY --a=" + "\\" * SIZE + " b",
    "blanks": "COPY " + " " * SIZE + "x",
    "Unicode spaces": "RUN " + "\u00a0" * SIZE + "x",
    "blank lines": "\n" * SIZE + "FROM a",
    "continuations": "RUN a" + " \\\n" * (SIZE // 3) + "b",
    "blank lines between continued ones": "RUN a \\" + "\n" * SIZE + "b",
    "comments between continued lines": "RUN a \\\n" + "#\n" * (SIZE // 2) + "b",
    "escapes with blanks": "RUN a" + ("\\" + " " * 99) * (SIZE // 100) + "x",
    "a keyword": "R" * SIZE,
    "NULs": "\0" * SIZE,
    "carriage returns": "\r" * SIZE + "FROM a",
    "surrogates": "RUN " + "\udfff" * SIZE,
    "escaped surrogates": 'RUN ["' + "\\ud800" * (SIZE // 6) + '"]',
    "instructions": "RUN a\n" * (SIZE // 6),
    "instructions with brackets": "RUN [x\n" * (SIZE // 7),
    "less-than signs": "RUN " + "<" * SIZE,
    "less-than signs and an open quote": "RUN " + "<" * SIZE + '"',
    "markers with blanks and quotes": "RUN " + '<<   "' * (SIZE // 6),
    "here-documents": "RUN <<E\nE\n" * (SIZE // 10),
    "markers": "RUN " + "<<E " * (SIZE // 6) + "\n" + "E\n" * (SIZE // 6),
    "words before a marker": "RUN " + "1 " * (SIZE // 2) + "<<E\nE\n",
    "digits before a marker": "RUN " + "1" * SIZE + "<<E\nE\n",
    "quotes in a marker": "RUN <<" + '"' * SIZE + "E\nE\n",
    "blanks in a marker": "RUN <<" + " " * SIZE + "E\nE\n",
    "substitutions before a marker": "RUN " + "${a:-xxx" * (SIZE // 9) + "}" * (SIZE // 9) + " <<E\nE\n",
    "open substitutions before a marker": "RUN " + '"${a:-' * (SIZE // 6) + " <<E\n",
    "a body": "RUN <<E\n" + "\ta\n" * (SIZE // 3) + "E\n",
    "a body of tabs": "RUN <<-E\n" + "\t" * SIZE + "\nE\n",
    "a directive": "# syntax=" + " " * SIZE + "x" + " " * SIZE + "\nFROM a",
    "a comment": "#" + "a" * SIZE + "\nFROM a",
}
REFUSED = {
    "triggers": "ONBUILD " * (SIZE // 8) + "RUN x",
    "closed brackets": "RUN " + "[" * (SIZE // 2) + "]" * (SIZE // 2),
    "numbers": "RUN [" + "1," * (SIZE // 2) + "1]",
    "a number": "RUN [" + "1" * SIZE + "]",
    "pairs and a word": "ENV " + "a=1 " * (SIZE // 4) + "b",
    "quotes without equal sign": "ENV " + '"' * (SIZE + 1),
    "quotes and escapes without equal sign": "ENV " + "\"'\\" * (SIZE // 3),
    "escapes without equal sign": "LABEL " + "\\" * SIZE,
    "an open here-document": "RUN <<E\n" + "a\n" * (SIZE // 2),
    "byte order marks and a wrong word": "\ufeff" * 2 + "ENV\nENV " + "\ufeff" * SIZE,
}


@pytest.mark.parametrize("name", READ)
def test_a_huge_text_is_read(name: str) -> None:
    assert parse(READ[name]).to_dict()["instructions"]


@pytest.mark.parametrize("name", REFUSED)
def test_a_huge_fault_is_told(name: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        parse(REFUSED[name])
    assert len(caught.value.message) < 500
