"""Word how a step failed: the lines of the Dockerfile, the last lines that the command printed, and what ended it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from builder.progress.sanitise import clean_line
from frozen import Frozen
from grammar.errors import DockerfileError
from runtime.errors import Cancelled, PybuildError, StepFailed

_AROUND = 2
_RULE = "-" * 20


class InstructionFailed(PybuildError):
    """An instruction that cannot be done; `line` is where it begins in the Dockerfile."""

    def __init__(self, message: str, *, line: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.line = line


class SourceText(Frozen):
    """The Dockerfile: its `name` as messages show it, its text, and its `path`, None for one from standard input.

    `origin` names it among all that are built here: a later build of the same one finds its earlier steps by it.
    """

    name: str
    text: str
    path: Path | None = None
    origin: str = ""

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(self.text.removesuffix("\n").split("\n"))

    def excerpt(self, first: int, last: int) -> str:
        """Show lines `first` to `last` (from 1) marked, with what stands around them."""
        lines = self.lines
        begin = max(1, first - _AROUND)
        end = min(len(lines), last + _AROUND)
        width = max(3, len(str(end)))
        rows = [_RULE]
        for number in range(begin, end + 1):
            mark = ">>>" if first <= number <= last else "   "
            rows.append(f"{number:>{width}} | {mark} {lines[number - 1]}".rstrip())
        return "\n".join([*rows, _RULE])


def failure_text(message: str, *, source: SourceText, first: int, last: int, title: str, output: Sequence[str]) -> str:
    """Return the message of a failed step: what ended it, then the end of its output, then its lines in the file."""
    parts = [message]
    if output:
        shown = [clean_line(line, colours=False) for line in output]
        parts.append("\n".join(["------", f" > {clean_line(title, colours=False)}:", *shown, "------"]))
    parts.append(f"{source.name}:{first}\n{source.excerpt(first, last)}")
    return "\n".join(parts)


@contextmanager
def located(line: int) -> Iterator[None]:
    """Give what is raised in the block the line of its instruction, where it does not know one.

    Whatever kind of fault an instruction has, the caller's words are right: it becomes InstructionFailed.
    """
    try:
        yield
    except DockerfileError as error:
        error.at(line)
        raise
    except (StepFailed, Cancelled, InstructionFailed):
        raise
    except PybuildError as error:
        raise InstructionFailed(error.message, line=line, hint=error.hint) from error


@contextmanager
def explained(source: SourceText) -> Iterator[None]:
    """Give faults of instructions the file's name, their line and its surroundings."""
    try:
        yield
    except DockerfileError as error:
        raise _placed(error.message, error.line, error.hint, source) from error
    except InstructionFailed as error:
        raise _placed(error.message, error.line, error.hint, source) from error


def _placed(message: str, line: int | None, hint: str | None, source: SourceText) -> PybuildError:
    if line is None:
        return PybuildError(f"{source.name}: {message}", hint=hint)
    return PybuildError(f"{source.name}:{line}: {message}\n{source.excerpt(line, line)}", hint=hint)
