"""Read SOURCE_DATE_EPOCH, wherever it is said: the command line, the environment, or the Dockerfile itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grammar.errors import DockerfileError
from runtime.errors import UsageError

if TYPE_CHECKING:
    from grammar.graph import InstructionGraph

NAME = "SOURCE_DATE_EPOCH"
_CONTEXT = "context"


def read_epoch(text: str) -> int | None:
    """Return the seconds since 1970 that `text` says; None for nothing. Raises UsageError.

    "context" asks for the time of a remote context; a directory has none.
    """
    if text in ("", _CONTEXT):
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 12):
        raise UsageError(f"invalid {NAME}: {text}", hint="give whole seconds since 1970")
    return int(text)


def file_epoch(graph: InstructionGraph) -> int | None:
    """Return what the file says where nobody else does: the default of an ARG before FROM. Raises DockerfileError."""
    if NAME in graph.build_args:
        return None
    try:
        return read_epoch(graph.global_args.get(NAME, ""))
    except UsageError as error:
        lines = (
            node.start_line
            for node in graph.dockerfile.instructions
            if any(word.partition("=")[0] == NAME for word in node.arguments)
        )
        raise DockerfileError(error.message, line=next(lines, None), hint=error.hint) from error
