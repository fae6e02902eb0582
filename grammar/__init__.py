"""Turn the text of a Dockerfile into an instruction graph.

Pure: no files, processes, network, clock or environment; input by argument, output by value. For any `str` the only
exception that leaves this package is DockerfileError, and time grows linearly with the text.

The names below are the public ones. They load on first use, so that a program that only wants `expand` does not pay
for the parser (lark: 44 ms).
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from grammar.errors import DockerfileError, ExpansionError
    from grammar.expansion import expand, expand_heredoc, expand_words
    from grammar.graph import InstructionGraph, build_graph
    from grammar.ignore import IgnoreFile
    from grammar.nodes import Directives, Dockerfile, Heredoc, Instruction
    from grammar.parser import parse

__all__ = [
    "Directives",
    "Dockerfile",
    "DockerfileError",
    "ExpansionError",
    "Heredoc",
    "IgnoreFile",
    "Instruction",
    "InstructionGraph",
    "build_graph",
    "expand",
    "expand_heredoc",
    "expand_words",
    "parse",
]

_MODULE_OF = {
    "Directives": "nodes",
    "Dockerfile": "nodes",
    "DockerfileError": "errors",
    "ExpansionError": "errors",
    "Heredoc": "nodes",
    "IgnoreFile": "ignore",
    "Instruction": "nodes",
    "InstructionGraph": "graph",
    "build_graph": "graph",
    "expand": "expansion",
    "expand_heredoc": "expansion",
    "expand_words": "expansion",
    "parse": "parser",
}


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)


def __dir__() -> list[str]:
    return __all__
