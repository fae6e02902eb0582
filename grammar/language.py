"""Read one logical line by the grammar of `dockerfile.lark`.

Importing this module costs what lark costs (31 ms), making a `Language` about as much again; so both happen only
where a text really has to be parsed.
"""

from __future__ import annotations

import json
import pkgutil
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from lark import Lark, Token
from lark.exceptions import UnexpectedCharacters, UnexpectedInput
from lark.lexer import TerminalDef

from grammar.nodes import Form

_SURROGATE = re.compile("[\ud800-\udfff]")


class Unreadable(Exception):
    """A word that the grammar does not take where it stands: in ENV and LABEL one that is no `NAME=VALUE`.

    `position` is where the word begins; `keyword`, in capitals, is the instruction's; `first` is True for the first
    word of an ENV or LABEL, which might have been followed by a value.
    """

    def __init__(self, keyword: str, position: int, *, first: bool) -> None:
        super().__init__(keyword, position)
        self.keyword = keyword
        self.position = position
        self.first = first


@dataclass(slots=True)
class Arguments:
    """What stands after keyword and flags.

    `begin` is the offset of the first character that may be shell text with here-documents or a JSON array, or -1
    where neither can be.
    """

    values: tuple[str, ...]
    begin: int = -1
    form: Form = "shell"
    trigger: Statement | None = None


@dataclass(slots=True)
class Statement:
    """One instruction; `begin` is the offset of its keyword, `depth` the number of triggers inside each other."""

    keyword: str
    begin: int
    flags: tuple[str, ...]
    arguments: Arguments
    depth: int


class Language:
    """The grammar for one escape character."""

    def __init__(self, escape: str) -> None:
        def with_escape(terminal: TerminalDef) -> None:
            terminal.pattern.value = terminal.pattern.value.replace("\\\\", re.escape(escape))

        grammar = pkgutil.get_data("grammar", "dockerfile.lark")
        if grammar is None:
            raise FileNotFoundError("grammar/dockerfile.lark")
        self._parse = Lark(
            grammar.decode(),
            parser="lalr",
            lexer="contextual",
            start=["instruction", "heredocs", "json"],
            transformer=_Reading(),
            edit_terminals=with_escape,
            maybe_placeholders=False,
        ).parse

    def instruction(self, text: str) -> Statement:
        """Read a whole logical line; raises Unreadable, and nothing else for a text without line breaks."""
        try:
            statement = self._parse(text, start="instruction")
        except UnexpectedInput as error:
            raise _unreadable(error) from None
        assert isinstance(statement, Statement)
        return statement

    def heredocs(self, text: str) -> list[tuple[str, str]]:
        """Return arrows and name (`<<-`, `"EOF"`) of each here-document in shell text, none if a quote stays open."""
        try:
            markers: Any = self._parse(text, start="heredocs")
        except UnexpectedInput:
            return []
        return list(markers)

    def stranger(self, text: str) -> str | None:
        """Return the first element that is no string if `text` is a JSON array, else None."""
        try:
            element: Any = self._parse(text, start="json")
        except UnexpectedInput:
            return None
        return str(element)


@cache
def language(escape: str) -> Language:
    """Return the `Language` of an escape character, made once a process."""
    return Language(escape)


def _unreadable(error: UnexpectedInput) -> Unreadable:
    expected = error.allowed if isinstance(error, UnexpectedCharacters) else getattr(error, "expected", ())
    tokens = [value for value in error.state.value_stack if isinstance(value, Token)]
    keyword = next((token.type for token in reversed(tokens) if token.type in ("ENV", "LABEL")), tokens[0].upper())
    return Unreadable(keyword, error.pos_in_stream or 0, first="OLD_NAME" in expected)


class _Reading:
    """What each rule of the grammar gives, made while lark reads: a method a rule, its children in order."""

    def instruction(self, children: list[Any]) -> Statement:
        keyword, (flags, arguments) = children
        trigger = arguments.trigger
        return Statement(
            keyword=str(keyword).lower(),
            begin=keyword.start_pos,
            flags=tuple(reversed(flags)),
            arguments=arguments,
            depth=0 if trigger is None else trigger.depth + 1,
        )

    def flagged(self, children: list[Any]) -> tuple[list[str], Arguments]:
        """Give the flags, last one first, and the arguments."""
        if len(children) == 2:
            flag, (flags, arguments) = children
            flags.append(str(flag))
            return flags, arguments
        return [], children[0] if children else Arguments(values=())

    def words(self, tokens: list[Token]) -> Arguments:
        return Arguments(values=tuple(map(str, tokens)), begin=tokens[0].start_pos or 0)

    text = words

    def array(self, tokens: list[Token]) -> Arguments:
        return Arguments(values=tuple(_SURROGATE.sub("\ufffd", json.loads(token)) for token in tokens), form="exec")

    def array_or_words(self, children: list[Arguments]) -> Arguments:
        return children[0]

    array_or_text = array_or_words

    def assignments(self, children: list[Any]) -> Arguments:
        """Give `name, value, name, value`; the children are the pairs of `assignment`, or a name and its text."""
        if children and isinstance(children[0], str):
            return Arguments(values=tuple(map(str, children)))
        return Arguments(values=tuple(part for pair in children for part in pair))

    def assignment(self, tokens: list[Token]) -> tuple[str, str]:
        return str(tokens[0]) if len(tokens) == 2 else "", tokens[-1][1:]

    def definitions(self, tokens: list[Token]) -> Arguments:
        return Arguments(values=tuple(map(str, tokens)))

    def check(self, children: list[Any]) -> Arguments:
        kind = str(children[0])
        command = children[1] if len(children) == 2 else Arguments(values=())
        if children[0].type in ("NONE", "CMD"):
            kind = kind.upper()
        return Arguments(values=(kind, *command.values), begin=command.begin, form=command.form)

    def trigger(self, children: list[Statement]) -> Arguments:
        return Arguments(values=(), trigger=children[0])

    def heredocs(self, children: list[Any]) -> list[tuple[str, str]]:
        return [child for child in children if isinstance(child, tuple)]

    def heredoc(self, tokens: list[Token]) -> tuple[str, str]:
        return str(tokens[0]), str(tokens[1])

    def json(self, children: list[str | None]) -> str:
        return next((child for child in children if child is not None), "")

    def value(self, children: list[Any]) -> str | None:
        """Give what a message shows of a JSON value that is no string, and None for a string."""
        child = children[0]
        return None if getattr(child, "type", "") == "STRING" else str(child)

    def nested(self, _: list[Any]) -> str:
        return "[…]"

    def object(self, _: list[Any]) -> str:
        return "{…}"
