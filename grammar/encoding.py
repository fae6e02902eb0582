"""Make sound text of a file with bytes that are no UTF-8, which decoding kept as lone surrogates.

Docker's expansion makes U+FFFD of each, and so does what writes configs; only here-documents that do not expand reach
a file byte for byte. What RUN runs is neither: Docker refuses it, and so do we.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from frozen import replace
from grammar.errors import DockerfileError

if TYPE_CHECKING:
    from grammar.graph import InstructionGraph
    from grammar.nodes import Dockerfile, Heredoc, Instruction

_SURROGATE = re.compile("[\ud800-\udfff]")


def is_sound(text: str) -> bool:
    """Tell whether `text` can be written as UTF-8."""
    return text.isascii() or _SURROGATE.search(text) is None


def made_sound(dockerfile: Dockerfile) -> Dockerfile:
    """Return the same file with U+FFFD for what is no UTF-8, but in commands of RUN and in what does not expand."""
    return replace(dockerfile, instructions=tuple(map(_sound_instruction, dockerfile.instructions)))


def check_commands(graph: InstructionGraph) -> None:
    """Raise DockerfileError for a RUN whose command, or script, is no UTF-8."""
    for node in graph.nodes:
        instruction = node.instruction
        if instruction.keyword != "run":
            continue
        texts = [*instruction.arguments, *(heredoc.content for heredoc in instruction.heredocs)]
        if not all(map(is_sound, texts)):
            raise DockerfileError(
                "the command is not written in UTF-8",
                line=instruction.start_line,
                hint="save the file as UTF-8, or write the bytes with printf '\\351'",
            )


def _sound_instruction(instruction: Instruction) -> Instruction:
    command = instruction.keyword == "run"
    return replace(
        instruction,
        keyword=_sound(instruction.keyword),
        flags=tuple(map(_sound, instruction.flags)),
        arguments=instruction.arguments if command else tuple(map(_sound, instruction.arguments)),
        heredocs=instruction.heredocs if command else tuple(map(_sound_heredoc, instruction.heredocs)),
        trigger=None if instruction.trigger is None else _sound_instruction(instruction.trigger),
        comment=_sound(instruction.comment),
        source=_sound(instruction.source),
    )


def _sound_heredoc(heredoc: Heredoc) -> Heredoc:
    if not heredoc.expand:
        return replace(heredoc, delimiter=_sound(heredoc.delimiter))
    return replace(heredoc, delimiter=_sound(heredoc.delimiter), content=_sound(heredoc.content))


def _sound(text: str) -> str:
    return _SURROGATE.sub("\ufffd", text)
