"""Read and play scripts: lines that a docker user types, played with one program or another and written down alike.

A line is what stands behind `docker`. `NAME := line` keeps what it printed as `@NAME@`; `line ~ words` says that the
words must be in its message; of `? line` the exit status alone counts; `$ line` is for the shell of the machine, where
`@PROGRAM@` begins a command line of the program.
`@DIR@` is a directory of the script's own; `@POD@` begins all names that a script gives, so that its things are told
from all others.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

IMAGE = "pbcbox"
"""The image of all scripts: a static busybox with a command, an environment and a label."""


@dataclass(frozen=True, slots=True)
class Script:
    """Lines, and for those where pybuild means to differ (by their text or its beginning), the reason."""

    name: str
    text: str
    differences: dict[str, str] = field(default_factory=dict)

    @property
    def lines(self) -> tuple[Line, ...]:
        return tuple(read_line(text.strip()) for text in self.text.strip().splitlines() if text.strip())


@dataclass(frozen=True, slots=True)
class Line:
    """One line: `text` as written, what keeps its output, and what its message must hold."""

    text: str
    command: str
    keeps: str = ""
    message: str = ""
    shell: bool = False
    status_only: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a line came to: exit status, standard output without what differs from run to run, and the message."""

    status: int
    output: str
    message: str


def read_line(text: str) -> Line:
    """Take a line of a script apart."""
    command, _, message = text.partition(" ~ ")
    keeps, sign, rest = command.partition(" := ")
    if not sign or not keeps.isalnum():
        keeps, rest = "", command
    mark = rest[:2] if rest[:2] in ("$ ", "? ") else ""
    return Line(
        text=text,
        command=rest[len(mark) :],
        keeps=keeps,
        message=message,
        shell=mark == "$ ",
        status_only=mark == "? ",
    )


Run = Callable[[Sequence[str], bytes | None], "subprocess.CompletedProcess[bytes]"]
"""Runs a program with the words behind its name."""


def play(script: Script, run: Run, directory: Path, *, program: str, prefix: str = "") -> list[Outcome]:
    """Play a script with the program that `run` runs, `program` in a shell; it sees `directory` below `prefix`."""
    kept = {"POD": "pbc-" + script.name}
    outcomes = []
    for line in script.lines:
        names = {**kept, "PROGRAM": program, "DIR": str(directory) if line.shell else prefix + str(directory)}
        command = _filled(line.command, names)
        if line.shell:
            result = _shell(command)
        else:
            result = run(shlex.split(command), None)
        output = result.stdout.decode(errors="replace")
        if line.keeps:
            kept[line.keeps] = output.strip()
        replaced = output if line.shell else output.replace(prefix + str(directory), "DIR")
        normal = "" if line.status_only else normalise(replaced.replace(str(directory), "DIR"), kept)
        outcomes.append(Outcome(result.returncode, normal, result.stderr.decode(errors="replace")))
    return outcomes


def _shell(command: str) -> subprocess.CompletedProcess[bytes]:
    """Run a shell; one that does not end is ended after two minutes, with what it has started."""
    with subprocess.Popen(
        ["sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0
    ) as process:
        try:
            output, message = process.communicate(timeout=110)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return subprocess.CompletedProcess(command, 999, b"", b"it does not end")
        return subprocess.CompletedProcess(command, process.returncode, output, message)


def _filled(command: str, names: dict[str, str]) -> str:
    """Put in what `@NAME@` (or, its first digits alone, `@NAME:12@`) stands for."""

    def one(found: re.Match[str]) -> str:
        value = names[found[1]]
        return value[: int(found[2])] if found[2] else value

    return re.sub("@([A-Za-z0-9]+)(?::([0-9]+))?@", one, command)


_TIME = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z| ?[+-]\d\d:?\d\d)?(?: UTC| [A-Z]{3,4})?"
_SPAN = r"(?:Less than a second|About a(?:n hour| minute)|\d+ (?:second|minute|hour|day)s?)"
_PATTERNS = (
    (r"\b0001-01-01T00:00:00Z", "NEVER"),
    (r'"(time|timeNano)": ?\d+', r'"\1":"TIME"'),
    (r'execDuration(["=:]+)\d+', r"execDuration\1SECONDS"),
    (r'"VirtualSize": ?"[^"]*"', '"VirtualSize":"SIZE"'),
    (r'"IPPrefixLen": ?\d+', '"IPPrefixLen":"BITS"'),
    (r'"(Runtime|CgroupnsMode)": ?"[a-z]*"', r'"\1":"ITS OWN"'),
    (_TIME, "TIME"),
    (_SPAN, "SPAN"),
    (r"\b[0-9a-f]{64}\b", "ID64"),
    (r"\b[0-9a-f]{12}\b", "ID12"),  # digits alone in one of three hundred
    (r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b", "MAC"),
    (r"\b(?:172\.(?:1[6-9]|2\d|3[01])|10\.\d+|192\.168)\.\d+\.\d+\b", "ADDRESS"),
    (r'"[^" ]*/volumes/', '"VOLUMES/'),
    (r"(?m)^/[^ ]*/volumes/", "VOLUMES/"),
    (r" {3,}", "   "),
)


def normalise(text: str, kept: dict[str, str]) -> str:
    """Take out of a text what no two runs have in common: ids, times, addresses, volumes' paths, widths of columns."""
    for name, value in kept.items():
        if len(value) >= 12 and name != "POD":
            text = text.replace(value, f"@{name}@").replace(value[:12], f"@{name}:12@")
    for pattern, word in _PATTERNS:
        text = re.sub(pattern, word, text)
    return "\n".join(_ordered(line.rstrip()) for line in text.splitlines())


def _ordered(line: str) -> str:
    """Return a line that is a JSON object with its keys in order."""
    if line.startswith("{") and line.endswith("}"):
        try:
            return json.dumps(json.loads(line), sort_keys=True, ensure_ascii=False)
        except ValueError:
            return line
    return line
