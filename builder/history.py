"""Word the history of an image as BuildKit does: what each instruction writes into `created_by`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, assert_never

from builder import goformat
from runtime.oci.times import go_duration

if TYPE_CHECKING:
    from grammar.instructions import Arg, Copy, Healthcheck, ResolvedInstruction, Run

COMMENT = "buildkit.dockerfile.v0"
"""The comment of every entry, as BuildKit's: tools tell by it which builder's conventions `created_by` follows."""

_LAYER_MARK = " # buildkit"
DEFAULT_SHELL = ("/bin/sh", "-c")


def created_by(
    instruction: ResolvedInstruction,
    *,
    shell: Sequence[str],
    working_directory: str,
    arguments: Mapping[str, str | None],
    visible: Mapping[str, str],
) -> str | None:
    """Return the text for `instruction`, None for those that leave no entry (FROM, ONBUILD).

    `shell` is in effect for shell forms, `working_directory` the configured one after a WORKDIR. `arguments` are the
    ARGs declared so far in order, `visible` the values in effect.
    """
    from grammar import instructions as typed

    match instruction:
        case typed.From() | typed.Onbuild():
            return None
        case typed.Run():
            return f"RUN {_run(instruction, shell, arguments, visible)}{_LAYER_MARK}"
        case typed.Copy():
            return _copy(instruction) + _LAYER_MARK
        case typed.Workdir():
            return f"WORKDIR {working_directory}"
        case typed.Env():
            return "ENV " + _pairs(instruction.variables)
        case typed.Label():
            return "LABEL " + _pairs(instruction.labels)
        case typed.Arg():
            return "ARG " + _arguments(instruction)
        case typed.Cmd():
            return "CMD " + goformat.quoted_list(command_words(instruction.command, shell))
        case typed.Entrypoint():
            return "ENTRYPOINT " + goformat.quoted_list(command_words(instruction.command, shell))
        case typed.Shell():
            return "SHELL " + goformat.plain_list(instruction.command)
        case typed.User():
            return f"USER {instruction.user}"
        case typed.Expose():
            return "EXPOSE " + goformat.plain_list(instruction.ports)
        case typed.Volume():
            return "VOLUME " + goformat.plain_list(instruction.paths)
        case typed.StopSignal():
            return f"STOPSIGNAL {instruction.signal}"
        case typed.Healthcheck():
            return "HEALTHCHECK " + _healthcheck(instruction)
        case typed.Maintainer():
            return f"MAINTAINER {instruction.name}"
        case _:
            assert_never(instruction)


def command_words(command: str | Sequence[str], shell: Sequence[str]) -> tuple[str, ...]:
    """Return the words to execute: those of an exec form, or the shell's with the text behind them."""
    return (*shell, command) if isinstance(command, str) else tuple(command)


def run_words(instruction: Run, shell: Sequence[str]) -> tuple[str, ...]:
    """Return the words that a RUN executes."""
    if instruction.script is not None:
        return (*shell, script_path(instruction.script.name))
    return command_words(instruction.command, shell)


def script_path(name: str) -> str:
    """Return where the file of a `RUN <<NAME` that begins with `#!` is seen by the step."""
    return f"/dev/pipes/{name}"


def _run(
    instruction: Run, shell: Sequence[str], arguments: Mapping[str, str | None], visible: Mapping[str, str]
) -> str:
    values = [f"{name}={visible.get(name, value or '')}" for name, value in arguments.items()]
    words = [f"|{len(values)}", *values] if values else []
    return " ".join((*words, *run_words(instruction, shell)))


def _copy(instruction: Copy) -> str:
    words = [instruction.keyword.upper()]
    if instruction.parents:
        words.append("--parents")
    if instruction.chown:
        words.append(f"--chown={instruction.chown}")
    if instruction.chmod:
        words.append(f"--chmod={instruction.chmod}")
    words.extend(instruction.sources)
    words.extend(f"<<{file.name}" for file in instruction.files)
    words.append(instruction.destination)
    return " ".join(words)


def _arguments(instruction: Arg) -> str:
    return " ".join(word.name if word.value is None else f"{word.name}={word.value}" for word in instruction.arguments)


def _pairs(pairs: Sequence[tuple[str, str]]) -> str:
    return " ".join(f"{name}={value}" for name, value in pairs)


def _healthcheck(instruction: Healthcheck) -> str:
    times = (instruction.interval, instruction.timeout, instruction.start_period, instruction.start_interval)
    durations = " ".join(goformat.quoted(go_duration(time)) for time in times)
    test = goformat.quoted_list(instruction.test)
    return f"&{{{test} {durations} {goformat.quoted_rune(instruction.retries)}}}"
