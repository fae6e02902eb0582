"""Parse Go templates, as `--format` takes them, into nodes; `templates` fills them in.

The language is text/template's: actions `{{ }}` with trimming `{{- -}}`, comments, pipelines, `if`, `range`, `with`,
`else`, `break`, `continue`, variables, parentheses, `define`, `template` and `block`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from frozen import Frozen, field
from runtime.errors import UsageError

_NESTING = 64
"""Levels of parentheses and of blocks that a template may have."""
_LONGEST = 64 << 10

_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`)
  | (?P<char>'(?:[^'\\\n]|\\.)+')
  | (?P<number>[+-]?(?:0[xX][0-9a-fA-F]+|\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+))
  | (?P<variable>\$\w*)
  | (?P<field>\.[A-Za-z_]\w*)
  | (?P<word>[A-Za-z_]\w*)
  | (?P<symbol>:=|=|\||\(|\)|,|\.)
    """,
    re.VERBOSE,
)
_ACTION = re.compile(r"""\{\{(?P<left>-(?=\s))?(?P<comment>\s*/\*)?""")
_CLOSED = re.compile(
    r"""(?:"(?:[^"\\\n]|\\.)*"|`[^`]*`|'(?:[^'\\\n]|\\.)*'|(?!\}\}|["`']).|\n)*?(?P<right>(?<=\s)-)?\}\}"""
)

Value = object


class Literal(Frozen, kw_only=False):
    """A string, number, boolean or nil."""

    value: Value


class Path(Frozen, kw_only=False):
    """Fields after a start: the dot ("."), a variable ("$x"), or an expression in parentheses."""

    start: str | Pipeline
    fields: tuple[str, ...] = ()
    text: str = ""


class Function(Frozen, kw_only=False):
    """A function by name, the head of a command or one without arguments."""

    name: str


Operand = Literal | Path | Function


class Pipeline(Frozen, kw_only=False):
    """Commands joined by `|`; `declares` are the variables that get the value, `assigns` if with `=`."""

    commands: tuple[tuple[Operand, ...], ...]
    declares: tuple[str, ...] = ()
    assigns: bool = False


class Text(Frozen, kw_only=False):
    """Text between actions."""

    text: str


class Action(Frozen, kw_only=False):
    """A pipeline whose value is written."""

    pipeline: Pipeline


class Jump(Frozen, kw_only=False):
    """`break` or `continue` of the innermost range."""

    word: str


class Invocation(Frozen, kw_only=False):
    """`template` by name, with what its dot is to be (None: nil)."""

    name: str
    pipeline: Pipeline | None


class Block(Frozen, kw_only=False):
    """`if`, `with` or `range` with its two branches; `define` and `block` while their bodies are read."""

    word: str
    pipeline: Pipeline
    body: list[Node] = field(default_factory=list)
    otherwise: list[Node] = field(default_factory=list)


Node = Text | Action | Jump | Invocation | Block


class Tree(Frozen, kw_only=False):
    """A template: its nodes, and those of the templates that it defines, by name."""

    nodes: tuple[Node, ...]
    definitions: dict[str, tuple[Node, ...]]


FUNCTION_NAMES = (
    "and or json index slice len print println printf not eq ne lt le gt ge join split upper lower title truncate pad "
    "html js urlquery"
).split()
"""The functions that templates may call."""


class TemplateError(UsageError):
    """A template that cannot be read, or that does not fit the data."""


def parse(template: str) -> Tree:
    """Parse a template; raises TemplateError, which shows the action at fault."""
    if len(template) > _LONGEST:
        raise TemplateError(f"template parsing error: the template has {len(template)} characters")
    top: list[Node] = []
    stack: list[tuple[Block, bool]] = []  # blocks that are open; True: closed together with the one around it
    definitions: dict[str, tuple[Node, ...]] = {}
    current = top
    for kind, text in _pieces(template):
        if kind == "text":
            current.append(Text(text))
            continue
        word = re.match(r"\w*", text)
        keyword = word.group() if word else ""
        rest = text[len(keyword) :]
        if keyword in {"if", "with", "range"}:
            current = _open(stack, current, keyword, rest, False)
        elif keyword == "else":
            current = _else(stack, rest, text)
        elif keyword == "end":
            if rest.strip() or not stack:
                raise _fault(f"unexpected {{{{{text}}}}}")
            _end(stack, definitions)
            current = _branch(stack, top)
        elif keyword in {"break", "continue"} and not rest.strip():
            if not any(block.word == "range" for block, _ in stack):
                raise _fault(f"{{{{{text}}}}} outside {{{{range}}}}")
            current.append(Jump(keyword))
        elif keyword in {"define", "block", "template"}:
            current = _named(stack, current, keyword, rest)
        else:
            current.append(Action(_Parser(text).whole()))
    if stack:
        raise _fault(f"unexpected EOF: {{{{{stack[-1][0].word}}}}} has no {{{{end}}}}")
    return Tree(tuple(top), definitions)


def _named(stack: list[tuple[Block, bool]], current: list[Node], keyword: str, rest: str) -> list[Node]:
    """Read `define "name"`, `template "name" PIPELINE`, or `block "name" PIPELINE`, which is both."""
    found = re.fullmatch(r"""\s*("(?:[^"\\\n]|\\.)*"|`[^`]*`)\s*(.*)""", rest, re.DOTALL)
    if found is None:
        raise _fault(f"missing name in {{{{{keyword}{rest}}}}}")
    name, words = str(_unquoted(found[1])), found[2]
    if keyword == "define" and (words or stack):
        raise _fault(f"unexpected {{{{{keyword}{rest}}}}}")
    if keyword != "define":
        if keyword == "block" and not words:
            raise _fault(f"missing value for block in {{{{{keyword}{rest}}}}}")
        current.append(Invocation(name, _Parser(words).whole() if words else None))
    if keyword == "template":
        return current
    if len(stack) >= _NESTING:
        raise _fault(f"more than {_NESTING} blocks inside each other")
    block = Block(keyword, Pipeline(((Literal(name),),)))
    stack.append((block, False))
    return block.body


def _end(stack: list[tuple[Block, bool]], definitions: dict[str, tuple[Node, ...]]) -> None:
    """Close the innermost block, and those that are closed together with it."""
    chained = True
    while chained:
        block, chained = stack.pop()
        name = block.pipeline.commands[0][0]
        if block.word in {"define", "block"} and isinstance(name, Literal):
            definitions[str(name.value)] = tuple(block.body)


def _open(stack: list[tuple[Block, bool]], current: list[Node], word: str, rest: str, chained: bool) -> list[Node]:
    if len(stack) >= _NESTING:
        raise _fault(f"more than {_NESTING} blocks inside each other")
    block = Block(word, _Parser(rest).whole(loop=word == "range"))
    current.append(block)
    stack.append((block, chained))
    return block.body


def _else(stack: list[tuple[Block, bool]], rest: str, text: str) -> list[Node]:
    """Begin the other branch; `else if` is a block inside it that ends with it."""
    if not stack or stack[-1][0].otherwise or stack[-1][0].word in {"define", "block"}:
        raise _fault(f"unexpected {{{{{text}}}}}")
    block = stack[-1][0]
    chained = re.match(r"\s+(if|with)\b(.*)", rest, re.DOTALL)
    if chained:
        return _open(stack, block.otherwise, chained[1], chained[2], True)
    if rest.strip():
        raise _fault(f"unexpected {{{{{text}}}}}")
    block.otherwise.append(Text(""))  # tells an empty branch that was begun from one that was not
    return block.otherwise


def _branch(stack: list[tuple[Block, bool]], top: list[Node]) -> list[Node]:
    if not stack:
        return top
    block = stack[-1][0]
    return block.otherwise or block.body


def _pieces(template: str) -> Iterator[tuple[str, str]]:
    """Split into text and the insides of actions, blanks trimmed where `-` asks for it."""
    position, trim = 0, False
    while True:
        found = _ACTION.search(template, position)
        text = template[position : found.start()] if found else template[position:]
        if trim:
            text = text.lstrip()
        if found and found["left"]:
            text = text.rstrip()
        if text:
            yield "text", text
        if not found:
            return
        if found["comment"]:
            end = template.find("*/", found.end())
            closing = re.compile(r"(?P<right>\s+-)?\s*\}\}").match(template, end + 2) if end >= 0 else None
            if closing is None:
                raise _fault("unclosed comment")
            trim, position = bool(closing["right"]), closing.end()
            continue
        closed = _CLOSED.match(template, found.end())
        if closed is None:
            raise _fault("unclosed action")
        trim, position = bool(closed["right"]), closed.end()
        inside = template[found.end() : closed.end() - 2 - len(closed["right"] or "")].strip()
        if not inside:
            raise _fault("missing value for command")
        yield "action", inside


class _Parser:
    """Read the pipeline of one action."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._scan(text))
        self._next = 0
        self._depth = 0

    def whole(self, *, loop: bool = False) -> Pipeline:
        """Read all of the action; `loop` allows `$i, $e := …`."""
        pipeline = self._pipeline(loop=loop, top=True)
        if self._next < len(self._tokens):
            raise self._unexpected()
        return pipeline

    def _scan(self, text: str) -> Iterator[tuple[str, str, bool]]:
        """Give (kind, text, whether a blank came before)."""
        position, blank = 0, True
        while position < len(text):
            found = _TOKEN.match(text, position)
            if found is None:
                raise _fault(f"unexpected {text[position]!a} in {{{{{text}}}}}")
            position = found.end()
            kind = found.lastgroup or ""
            if kind == "space":
                blank = True
                continue
            yield kind, found.group(), blank
            blank = False

    def _peek(self, offset: int = 0) -> tuple[str, str, bool]:
        place = self._next + offset
        return self._tokens[place] if place < len(self._tokens) else ("end", "", True)

    def _pipeline(self, *, loop: bool = False, top: bool = False) -> Pipeline:
        declares: tuple[str, ...] = ()
        assigns = False
        if top and self._peek()[0] == "variable":
            count = 3 if loop and self._peek(1)[1] == "," and self._peek(2)[0] == "variable" else 1
            if self._peek(count)[1] in {":=", "="}:
                declares = tuple(self._peek(place)[1] for place in range(0, count, 2))
                assigns = self._peek(count)[1] == "="
                self._next += count + 1
        commands = [self._command()]
        while self._peek()[1] == "|":
            self._next += 1
            commands.append(self._command())
        for command in commands[1:]:
            if not isinstance(command[0], Function):
                raise _fault(f"non executable command in pipeline in {{{{{self._text}}}}}")
        return Pipeline(tuple(commands), declares, assigns)

    def _command(self) -> tuple[Operand, ...]:
        operands: list[Operand] = []
        while self._peek()[0] != "end" and self._peek()[1] not in {"|", ")"}:
            operands.append(self._operand())
        if not operands:
            raise _fault(f"missing value for command in {{{{{self._text}}}}}")
        head = operands[0]
        if len(operands) > 1 and not isinstance(head, Function | Path):
            raise _fault(f"can't give argument to non-function in {{{{{self._text}}}}}")
        if isinstance(head, Literal) and head.value is None:
            raise _fault("nil is not a command")
        return tuple(operands)

    def _operand(self) -> Operand:
        kind, text, _ = self._peek()
        self._next += 1
        if kind in {"string", "char"}:
            return Literal(_unquoted(text))
        if kind == "number":
            return Literal(_number(text))
        if kind == "word":
            if text in {"true", "false", "nil"}:
                return Literal({"true": True, "false": False}.get(text))
            if text not in FUNCTION_NAMES:
                raise TemplateError(
                    f'template parsing error: function "{text}" not defined',
                    hint="the functions are " + " ".join(FUNCTION_NAMES),
                )
            return Function(text)
        if kind == "field":
            return self._path(".", (text[1:],))
        if kind == "variable":
            return self._path(text, ())
        if text == ".":
            return Path(".", (), ".")
        if text == "(":
            self._depth += 1
            if self._depth > _NESTING:
                raise _fault(f"more than {_NESTING} parentheses inside each other")
            inner = self._pipeline()
            if self._peek()[1] != ")":
                raise _fault(f"unclosed left paren in {{{{{self._text}}}}}")
            self._next += 1
            self._depth -= 1
            return self._path(inner, ())
        self._next -= 1
        raise self._unexpected()

    def _path(self, start: str | Pipeline, fields: tuple[str, ...]) -> Path:
        """Take the fields that follow without a blank."""
        while self._peek()[0] == "field" and not self._peek()[2]:
            fields = (*fields, self._peek()[1][1:])
            self._next += 1
        shown = start if isinstance(start, str) else "(…)"
        dotted = ".".join(fields)
        return Path(start, fields, f"{shown}{dotted}" if shown == "." else f"{shown}.{dotted}".rstrip("."))

    def _unexpected(self) -> TemplateError:
        return _fault(f"unexpected {self._peek()[1]!a} in {{{{{self._text}}}}}")


def _unquoted(text: str) -> Value:
    """Read a Go string, raw string, or character (which is a number)."""
    if text[0] == "`":
        return text[1:-1]
    inner = text[1:-1]
    if text[0] == "'":
        inner = inner.replace("\\'", "'").replace('"', '\\"')
    inner = re.sub(r"\\(a|v|x[0-9a-fA-F]{2}|U[0-9a-fA-F]{8}|[0-7]{3})", _escape, inner)
    try:
        value: str = json.loads(f'"{inner}"', strict=False)
    except ValueError:
        raise _fault(f"invalid syntax in {text}") from None
    if text[0] != "'":
        return value
    if len(value) != 1:
        raise _fault(f"malformed character constant: {text}")
    return ord(value)


def _escape(found: re.Match[str]) -> str:
    """Turn an escape that JSON does not have into one that it has."""
    text = found[1]
    code = {"a": 7, "v": 11}.get(text)
    if code is None:
        code = int(text, 8) if text[0] in "01234567" else int(text[1:], 16)
    if code > 0x10FFFF:
        raise _fault(f"invalid syntax in \\{text}")
    return json.dumps(chr(code))[1:-1]


def _number(text: str) -> Value:
    if re.fullmatch(r"[+-]?0[xX].*", text):
        return int(text, 16)
    return int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)


def _fault(message: str) -> TemplateError:
    return TemplateError(f"template parsing error: {message}")
