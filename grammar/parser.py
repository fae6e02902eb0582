"""Read the text of a Dockerfile into nodes: `parse`.

`lines` makes logical lines of the text, the grammar in `dockerfile.lark` reads each of them, and the bodies of the
here-documents that it finds are then taken from the lines that follow.
"""

from __future__ import annotations

import json
import pkgutil
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from grammar.errors import DockerfileError
from grammar.lines import LineReader, LogicalLine
from grammar.nodes import Dockerfile, Form, Heredoc, Instruction

if TYPE_CHECKING:
    from lark import Lark, Token
    from lark.exceptions import UnexpectedInput

MAX_TRIGGERS = 64
"""How many ONBUILD may stand in each other. None may; the limit only keeps what is refused later small."""

_SHOWN = 80
_BLANKS = re.compile(r"[ \t\r\v\f]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_HEREDOC_KEYWORDS = frozenset({"run", "copy", "add"})
_JSON_KEYWORDS = frozenset({"run", "cmd", "entrypoint", "shell", "add", "copy", "volume"})


def parse(text: str) -> Dockerfile:
    """Read a whole Dockerfile, or raise DockerfileError for the first fault in it.

    Faults are those of the text: directives, open here-documents, words of ENV and LABEL without `=`, arrays that
    hold other things than strings. Keywords, flags, the number of words and the order of instructions are not judged.
    """
    reader = LineReader(text)
    instructions: list[Instruction] = []
    while (line := reader.next_line()) is not None:
        instructions.append(_instruction(line, reader))
    if not instructions:
        raise DockerfileError(
            "there is no instruction in it",
            line=max(reader.number, 1),
            hint="a Dockerfile begins with FROM, as in: FROM debian:trixie",
        )
    return Dockerfile(directives=reader.directives, instructions=tuple(instructions))


@dataclass(slots=True)
class _Arguments:
    """What stands after keyword and flags: the values, how they were written, and where they begin."""

    values: tuple[str, ...]
    begin: int
    form: Form = "shell"
    trigger: _Statement | None = None


_NOTHING = _Arguments(values=(), begin=-1)


@dataclass(slots=True)
class _Statement:
    """One instruction as the grammar sees it; `flags` in reverse; `depth` is the number of triggers within."""

    keyword: str
    begin: int
    flags: list[str]
    arguments: _Arguments
    depth: int


def _instruction(line: LogicalLine, reader: LineReader) -> Instruction:
    if not line.text:
        raise DockerfileError(
            f"nothing follows the {reader.directives.escape} that continues the line",
            line=line.start_line,
            hint="remove it, or write the instruction after it",
        )
    statement = _statement(line, reader.directives.escape)
    chain = [statement]
    while chain[-1].arguments.trigger is not None:
        chain.append(chain[-1].arguments.trigger)
    innermost = chain[-1]
    _refuse_other_json(innermost, line, reader.directives.escape)
    heredocs: tuple[Heredoc, ...] = ()
    if len(chain) <= 2 and innermost.keyword in _HEREDOC_KEYWORDS and innermost.arguments.form == "shell":
        heredocs = _heredocs(innermost, line, reader)
    node: Instruction | None = None
    for statement in reversed(chain):
        node = Instruction(
            keyword=statement.keyword,
            flags=tuple(reversed(statement.flags)),
            form=statement.arguments.form,
            arguments=statement.arguments.values,
            heredocs=heredocs if statement is innermost else (),
            start_line=line.start_line,
            end_line=reader.number,
            trigger=node,
            comment=line.comment if statement is chain[0] else "",
            source=line.text[statement.begin :],
        )
    assert node is not None
    return node


def _statement(line: LogicalLine, escape: str) -> _Statement:
    from lark.exceptions import UnexpectedInput  # lazy: 31 ms

    try:
        statement = _read(line.text, "instruction", escape)
    except UnexpectedInput as error:
        raise _assignment_fault(error, line) from None
    assert isinstance(statement, _Statement)
    if statement.depth > MAX_TRIGGERS:
        raise DockerfileError(
            f"{statement.depth} instructions stand in each other's ONBUILD: {_shown(line.text)}",
            line=line.start_line,
            hint="ONBUILD takes one instruction that is no ONBUILD",
        )
    return statement


def _assignment_fault(error: UnexpectedInput, line: LogicalLine) -> DockerfileError:
    """Tell what is wrong with the words of an ENV or LABEL: nothing else in the grammar can fail."""
    from lark.exceptions import UnexpectedCharacters  # lazy: 31 ms

    position = error.pos_in_stream or 0
    expected = error.allowed if isinstance(error, UnexpectedCharacters) else getattr(error, "expected", ())
    keyword = next(
        (str(value).upper() for value in reversed(error.state.value_stack) if value.type in ("ENV", "LABEL")), "ENV"
    )
    word = _shown(_BLANKS.split(line.text[position:], maxsplit=1)[0])
    if "OLD_NAME" in expected:
        message, hint = f"{keyword} {word} has a name and no value", f"write {keyword} {word}=VALUE"
    else:
        message = f"can't find = in {word}: {keyword} takes NAME=VALUE words"
        hint = f'a value with blanks stands in quotes, as in NAME="a b"; {word} is a word of its own here'
    return DockerfileError(message, line=line.line_at(position), hint=hint)


def _refuse_other_json(statement: _Statement, line: LogicalLine, escape: str) -> None:
    """Raise DockerfileError if the shell text of `statement` is a JSON array, which then is not one of strings."""
    from lark.exceptions import UnexpectedInput  # lazy: 31 ms

    begin, keyword = statement.arguments.begin, statement.keyword
    if statement.arguments.form == "exec" or begin < 0:
        return
    if keyword == "healthcheck" and len(statement.arguments.values) == 2:
        begin = len(line.text) - len(statement.arguments.values[1])
    elif keyword not in _JSON_KEYWORDS:
        return
    text = line.text[begin:]
    if not text.startswith("["):
        return
    try:
        stranger = _read(text, "json", escape)
    except UnexpectedInput:
        return
    raise DockerfileError(
        f"{keyword.upper()} {_shown(text)}: the array may hold nothing but strings, and {stranger} is none",
        line=line.line_at(begin),
        hint='put every element in double quotes, as in ["sleep", "10"]',
    )


def _heredocs(statement: _Statement, line: LogicalLine, reader: LineReader) -> tuple[Heredoc, ...]:
    """Read the bodies of all here-documents that `statement` names from the lines after it."""
    from lark.exceptions import UnexpectedInput  # lazy: 31 ms

    begin = statement.arguments.begin
    if begin < 0 or "<<" not in line.text[begin:]:
        return ()
    try:
        markers: list[tuple[str, str]] = _read(line.text[begin:], "heredocs", reader.directives.escape)
    except UnexpectedInput:
        return ()  # a quote stays open: all of it is the shell's own affair
    heredocs: list[Heredoc] = []
    for arrows, word in markers:
        delimiter, quoted = _unquoted(word)
        if not delimiter:
            continue
        strip_tabs = arrows.rstrip().endswith("-")
        content = reader.read_body(delimiter, strip_tabs=strip_tabs)
        if content is None:
            raise DockerfileError(
                f"the here-document {_shown(arrows + word)} has no end",
                line=line.start_line,
                hint=f"a line that is {_shown(delimiter)} and nothing else ends it",
            )
        heredocs.append(Heredoc(delimiter=delimiter, content=content, expand=not quoted, strip_tabs=strip_tabs))
    return tuple(heredocs)


def _unquoted(word: str) -> tuple[str, bool]:
    """Take the quotes and backslashes off a here-document's name; also return whether it had a quote."""
    name: list[str] = []
    quote, quoted, position = "", False, 0
    while position < len(word):
        char = word[position]
        following = word[position + 1 : position + 2]
        position += 1
        if char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote, quoted = char, True
        elif char == "\\" and (not quote or (quote == '"' and following in '"$\\')):
            name.append(following)
            position += 1
        else:
            name.append(char)
    return "".join(name), quoted


def _shown(text: str) -> str:
    """Cut `text` to what a message can show."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _read(text: str, start: str, escape: str) -> Any:
    """Read `text` by the grammar's rule `start`; raises lark's UnexpectedInput."""
    return _language(escape).parse(text, start=start)


@cache
def _language(escape: str) -> Lark:
    """Build the parser of `dockerfile.lark` for one escape character, once a process."""
    from lark import Lark  # lazy: 31 ms
    from lark.lexer import TerminalDef

    def with_escape(terminal: TerminalDef) -> None:
        terminal.pattern.value = terminal.pattern.value.replace("\\\\", re.escape(escape))

    grammar = pkgutil.get_data("grammar", "dockerfile.lark")
    assert grammar is not None
    return Lark(
        grammar.decode(),
        parser="lalr",
        lexer="contextual",
        start=["instruction", "heredocs", "json"],
        transformer=_Reading(),
        edit_terminals=with_escape,
        maybe_placeholders=False,
    )


class _Reading:
    """What each rule of the grammar gives, built while lark reads; a method a rule, its children in order."""

    def instruction(self, children: list[Any]) -> _Statement:
        keyword, (flags, arguments) = children
        trigger = arguments.trigger
        return _Statement(
            keyword=str(keyword).lower(),
            begin=keyword.start_pos,
            flags=flags,
            arguments=arguments,
            depth=0 if trigger is None else trigger.depth + 1,
        )

    def flagged(self, children: list[Any]) -> tuple[list[str], _Arguments]:
        if len(children) == 2:
            flag, (flags, arguments) = children
            flags.append(str(flag))
            return flags, arguments
        return [], children[0] if children else _NOTHING

    def words(self, tokens: list[Token]) -> _Arguments:
        return _Arguments(values=tuple(map(str, tokens)), begin=tokens[0].start_pos or 0)

    text = words

    def definitions(self, tokens: list[Token]) -> _Arguments:
        return self.words(tokens) if tokens else _NOTHING

    def array(self, tokens: list[Token]) -> _Arguments:
        values = (_SURROGATE.sub("\ufffd", json.loads(token)) for token in tokens)
        return _Arguments(values=tuple(values), begin=0, form="exec")

    def array_or_words(self, children: list[_Arguments]) -> _Arguments:
        return children[0]

    array_or_text = array_or_words

    def assignments(self, children: list[Any]) -> _Arguments:
        """Give `name, value, name, value`; children are two words or the pairs of `assignment`."""
        if not children:
            return _NOTHING
        if isinstance(children[0], str):
            return self.words(children)
        return _Arguments(values=tuple(part for pair in children for part in pair), begin=0)

    def assignment(self, tokens: list[Token]) -> tuple[str, str]:
        return str(tokens[0]) if len(tokens) == 2 else "", tokens[-1][1:]

    def check(self, children: list[Any]) -> _Arguments:
        kind = str(children[0]).upper() if children[0].type in ("NONE", "CMD") else str(children[0])
        command: _Arguments = children[1] if len(children) == 2 else _NOTHING
        return _Arguments(values=(kind, *command.values), begin=children[0].start_pos, form=command.form)

    def trigger(self, children: list[_Statement]) -> _Arguments:
        return _Arguments(values=(), begin=0, trigger=children[0])

    def heredocs(self, children: list[Any]) -> list[tuple[str, str]]:
        return [child for child in children if isinstance(child, tuple)]

    def heredoc(self, tokens: list[Token]) -> tuple[str, str]:
        return str(tokens[0]), str(tokens[1])

    def json(self, children: list[str | None]) -> str:
        return next((child for child in children if child is not None), "")

    def value(self, children: list[Any]) -> str | None:
        """Give what is shown of a JSON value that is no string, and None for a string."""
        child = children[0]
        return None if getattr(child, "type", "") == "STRING" else str(child)

    def nested(self, _: list[Any]) -> str:
        return "[…]"

    def object(self, _: list[Any]) -> str:
        return "{…}"
