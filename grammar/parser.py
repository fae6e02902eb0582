"""Read the text of a Dockerfile into nodes: `parse`.

`lines` makes logical lines of the text, `language` reads each of them by the grammar, and the bodies of the
here-documents named in it are then taken from the lines that follow.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from grammar.errors import DockerfileError
from grammar.expansion import closes_all
from grammar.lines import LineReader, LogicalLine
from grammar.nodes import Dockerfile, Heredoc, Instruction

if TYPE_CHECKING:
    from grammar.language import Language, Statement, Unreadable

MAX_TRIGGERS = 64
"""How many ONBUILD may stand in each other. None may at last; the limit keeps small what is refused only later."""

_SHOWN = 80
"""Characters of the user's text that a message shows."""

_LEADING_TABS = re.compile(r"^\t+", re.MULTILINE)
_BLANKS = re.compile(r"[ \t\r\v\f]")
_HEREDOC_KEYWORDS = frozenset({"run", "copy", "add"})
_JSON_KEYWORDS = frozenset({"run", "cmd", "entrypoint", "shell", "add", "copy", "volume", "healthcheck"})


def parse(text: str) -> Dockerfile:
    """Read a whole Dockerfile, or raise DockerfileError for the first fault in it.

    Faults are those of the text: directives, open here-documents, words of ENV and LABEL without `=`, arrays that
    hold other things than strings. Keywords, flags, the number of words and the order of instructions are not judged.
    """
    from grammar.language import language  # lazy: 31 ms

    reader = LineReader(text)
    parser = _Parser(reader, language(reader.directives.escape))
    instructions: list[Instruction] = []
    while (line := reader.next_line()) is not None:
        instructions.append(parser.instruction(line))
    if not instructions:
        raise DockerfileError(
            "there is no instruction in it",
            line=max(reader.number, 1),
            hint="a Dockerfile begins with FROM, as in: FROM debian:trixie",
        )
    return Dockerfile(directives=reader.directives, instructions=tuple(instructions))


class _Parser:
    """Make the node of each logical line of one file."""

    def __init__(self, reader: LineReader, language: Language) -> None:
        self._reader = reader
        self._language = language
        self._statements: dict[str, Statement] = {}

    def instruction(self, line: LogicalLine) -> Instruction:
        statement = self._statement(line)
        chain = [statement]
        while (inner := chain[-1].arguments.trigger) is not None:
            chain.append(inner)
        heredocs = self._shell_text(chain[-1], line, heredocs_allowed=len(chain) <= 2)
        node: Instruction | None = None
        for part in reversed(chain):
            node = Instruction(
                keyword=part.keyword,
                flags=part.flags,
                form=part.arguments.form,
                arguments=part.arguments.values,
                heredocs=heredocs if node is None else (),
                start_line=line.start_line,
                end_line=self._reader.number,
                trigger=node,
                comment=line.comment if part is statement else "",
                blank_before=line.end_line if line.blank else 0,
                # the text of a trigger goes into the image as it is written, to its last space
                source=line.text[part.begin :] + (line.tail if part.keyword == "onbuild" else ""),
            )
        assert node is not None
        return node

    def _statement(self, line: LogicalLine) -> Statement:
        from grammar.language import Unreadable  # lazy: with the language

        if not line.text:
            escape = self._reader.directives.escape
            raise DockerfileError(
                f"nothing follows the {escape} that continues the line",
                line=line.start_line,
                hint="remove it, or write the instruction after it",
            )
        known = self._statements.get(line.text)  # files repeat themselves: USER root, ARG TARGETARCH
        if known is not None:
            return known
        try:
            statement = self._language.instruction(line.text)
        except Unreadable as unreadable:
            raise _assignment_fault(unreadable, line) from None
        if statement.depth > MAX_TRIGGERS:
            raise DockerfileError(
                f"{statement.depth} instructions stand in each other's ONBUILD: {_shown(line.text)}",
                line=line.start_line,
                hint="ONBUILD takes one instruction that is no ONBUILD",
            )
        self._statements[line.text] = statement
        return statement

    def _shell_text(self, statement: Statement, line: LogicalLine, *, heredocs_allowed: bool) -> tuple[Heredoc, ...]:
        """Look again at arguments that are not in exec form: are they JSON after all, do they name here-documents?"""
        begin, keyword = statement.arguments.begin, statement.keyword
        if begin < 0 or keyword not in _JSON_KEYWORDS:
            return ()
        text = line.text[begin:]
        if text.startswith("["):
            stranger = self._language.stranger(text)
            if stranger is not None:
                raise DockerfileError(
                    f"{keyword.upper()} {_shown(text)}: an array may hold only strings, {_shown(stranger)} is none",
                    line=line.line_at(begin),
                    hint='put every element in double quotes, as in ["sleep", "10"]',
                )
        if heredocs_allowed and keyword in _HEREDOC_KEYWORDS and "<<" in text and closes_all(line.text):
            return tuple(self._heredoc(arrows, name, line) for arrows, name in self._language.heredocs(text))
        return ()

    def _heredoc(self, arrows: str, name: str, line: LogicalLine) -> Heredoc:
        """Read the body of one here-document from the lines that follow."""
        delimiter, quoted = _unquoted(name)
        strip_tabs = "-" in arrows
        first = self._reader.number
        body = self._reader.read_body(delimiter, strip_tabs=strip_tabs)
        if body is None:
            hint = f"a line that is {_shown(delimiter)} and nothing else ends it"
            lookalike = self._reader.lookalike(delimiter, after=first)
            if lookalike is not None:
                leading = "but tabs " if strip_tabs else ""
                hint += f"; nothing {leading}may stand before it, as in line {lookalike}, or after it"
            raise DockerfileError(
                f"the here-document {_shown(arrows + name)} has no end", line=line.start_line, hint=hint
            )
        content = _LEADING_TABS.sub("", body) if strip_tabs else body
        written = body if content != body else None
        return Heredoc(delimiter=delimiter, content=content, expand=not quoted, strip_tabs=strip_tabs, written=written)


def _assignment_fault(unreadable: Unreadable, line: LogicalLine) -> DockerfileError:
    keyword, position = unreadable.keyword, unreadable.position
    word = _shown(_BLANKS.split(line.text[position:], maxsplit=1)[0])
    if unreadable.first:
        message, hint = f"{keyword} {word} has a name and no value", f"write {keyword} {word}=VALUE"
    else:
        message = f"can't find = in {word}: {keyword} takes NAME=VALUE words"
        hint = f'a value with blanks stands in quotes, as in NAME="a b"; here {word} is a word of its own'
    return DockerfileError(message, line=line.line_at(position), hint=hint)


def _unquoted(name: str) -> tuple[str, bool]:
    """Take quotes and backslashes off a here-document's name; also return whether it had quotes."""
    letters: list[str] = []
    quote, quoted, position = "", False, 0
    while position < len(name):
        letter, following = name[position], name[position + 1 : position + 2]
        position += 1
        if letter == quote:
            quote = ""
        elif not quote and letter in "'\"":
            quote, quoted = letter, True
        elif letter == "\\" and (not quote or (quote == '"' and following and following in '"$\\')):
            letters.append(following)
            position += 1
        else:
            letters.append(letter)
    return "".join(letters), quoted


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
