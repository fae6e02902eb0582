"""Hold what a Dockerfile says, as it was written and before any variable expands.

Everything here is frozen: the graph and its expansion make new values and never change these.
"""

from __future__ import annotations

from typing import Any, Literal

from frozen import Frozen

Form = Literal["exec", "shell"]


class Heredoc(Frozen):
    """One here-document: `content` ends with a newline unless empty; `expand` is False for a quoted delimiter.

    `written` is the body as it stood, where `strip_tabs` took leading tabs from its lines, else None.
    """

    delimiter: str
    content: str
    expand: bool
    strip_tabs: bool
    written: str | None = None

    @property
    def body(self) -> str:
        """Return the body as it stood: what a shell that reads the here-document itself has to get."""
        return self.content if self.written is None else self.written

    def to_dict(self) -> dict[str, Any]:
        return {
            "delimiter": self.delimiter,
            "content": self.content,
            "expand": self.expand,
            "strip_tabs": self.strip_tabs,
        }


class Instruction(Frozen):
    """One instruction; `arguments` has the shape that each keyword gives it (see `grammar.parser`).

    `flags` are as written, in order. Lines count from 1; `end_line` is the last line the instruction swallowed.
    `trigger` is the inner instruction of an ONBUILD and None for all else.
    `comment` is the text of the comment lines above, without `#`, for descriptions of stages and arguments; an empty
    comment line cuts off what stands before it, a blank line does not.
    """

    keyword: str
    flags: tuple[str, ...] = ()
    form: Form = "shell"
    arguments: tuple[str, ...] = ()
    heredocs: tuple[Heredoc, ...] = ()
    start_line: int
    end_line: int
    trigger: Instruction | None = None
    comment: str = ""
    blank_before: int = 0
    """The last line of an instruction that goes on after an empty line (before here-documents); 0 for all others."""
    source: str = ""
    """The instruction's text: its lines joined, comments dropped, heredoc bodies left out."""

    def to_dict(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "keyword": self.keyword,
            "flags": list(self.flags),
            "form": self.form,
            "arguments": list(self.arguments),
            "heredocs": [heredoc.to_dict() for heredoc in self.heredocs],
            "start_line": self.start_line,
            "end_line": self.end_line,
        }
        if self.trigger is not None:
            document["trigger"] = self.trigger.to_dict()
        return document


class Directives(Frozen):
    """The `# name=value` lines at the top of the file."""

    syntax: str | None = None
    escape: str = "\\"
    check: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return {"syntax": self.syntax, "escape": self.escape, "check": self.check}


class Dockerfile(Frozen):
    """A whole file: its directives and at least one instruction."""

    directives: Directives
    instructions: tuple[Instruction, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the document that `pybuild parse --format json` prints."""
        return {
            "directives": self.directives.to_dict(),
            "instructions": [instruction.to_dict() for instruction in self.instructions],
        }
