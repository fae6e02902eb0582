"""`pybuild parse`: show what a Dockerfile says, before variables expand."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.cli.output import one_line, printable
from runtime.context import Context
from runtime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grammar.nodes import Dockerfile, Heredoc, Instruction

VERB = Verb(
    name="parse",
    usage="[OPTIONS] FILE",
    summary="Show the instructions of a Dockerfile as they were written",
    words=(1, 1),
    flags=(Flag("--format", kind="text", metavar="FORMAT", help="'text' (the default) or 'json'"),),
)


def run(args: Arguments, context: Context) -> int:
    """Print the instructions of one file, `-` for standard input; return 1 if there is a fault in it.

    Bytes that are no UTF-8 become U+FFFD, as they do in an image's configuration.
    """
    from grammar.errors import DockerfileError
    from grammar.parser import parse

    wanted = args.text("format") or "text"
    if wanted not in ("text", "json"):
        raise UsageError(f"--format cannot be '{wanted}'", hint="it is 'text' or 'json'")
    file = args.words[0]
    content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    try:
        dockerfile = parse(content.decode(errors="replace"))
    except DockerfileError as error:
        name = "<stdin>" if file == "-" else file
        context.stderr.write(f"{printable(name)}:{error.line}: {printable(error.message)}\n")
        if error.hint:
            context.stderr.write(f"  hint: {printable(error.hint)}\n")
        return 1
    if wanted == "json":
        context.stdout.write(json.dumps(dockerfile.to_dict(), indent=2) + "\n")
    else:
        context.stdout.writelines(f"{line}\n" for line in _readable(dockerfile))
    return 0


def _readable(dockerfile: Dockerfile) -> Iterator[str]:
    """Yield one line for each directive, instruction and here-document, instructions with their line numbers."""
    for name, value in dockerfile.directives.to_dict().items():
        if value is not None and (name, value) != ("escape", "\\"):
            yield f"# {name}={one_line(value)}"
    spans = [_span(instruction) for instruction in dockerfile.instructions]
    width = max(map(len, spans))
    for span, instruction in zip(spans, dockerfile.instructions, strict=True):
        yield f"{span:>{width}}  {_statement(instruction)}"
        innermost = instruction
        while innermost.trigger is not None:
            innermost = innermost.trigger
        for heredoc in innermost.heredocs:
            yield f"{'':{width}}    {_heredoc(heredoc)}"


def _span(instruction: Instruction) -> str:
    first, last = instruction.start_line, instruction.end_line
    return str(first) if first == last else f"{first}-{last}"


def _statement(instruction: Instruction) -> str:
    """Return keyword, flags and arguments on one line; what is in exec form as JSON."""
    words = list(instruction.arguments)
    if instruction.form == "exec":
        kept = 1 if instruction.keyword == "healthcheck" else 0
        words[kept:] = [json.dumps(words[kept:])]
    elif instruction.keyword in ("env", "label"):
        words = [f"{name}={value}" for name, value in zip(words[::2], words[1::2], strict=True)]
    written = [instruction.keyword.upper(), *instruction.flags, *words]
    if instruction.trigger is not None:
        written.append(_statement(instruction.trigger))
    return " ".join(map(one_line, written))


def _heredoc(heredoc: Heredoc) -> str:
    count = heredoc.content.count("\n")
    notes = [f"{count} line" if count == 1 else f"{count} lines"]
    notes.append("variables expand" if heredoc.expand else "taken as it is")
    if heredoc.strip_tabs:
        notes.append("leading tabs cut")
    return f"<<{one_line(heredoc.delimiter)}: {', '.join(notes)}"
