"""Read what a build shows with `--progress plain`."""

from __future__ import annotations

import re
from pathlib import Path

from tests.integration.programs import Program


def build(program: Program, context: Path | str, *words: str | Path, **options: object) -> dict[str, str]:
    """Build, and return how each step of the Dockerfile ended: its name without numbers -> "CACHED" or "DONE"."""
    result = program("build", "--progress", "plain", *words, context, **options)  # type: ignore[arg-type]
    return read_steps(result.stderr.decode())


def read_steps(text: str) -> dict[str, str]:
    """Return name -> "CACHED", "DONE", "ERROR" or "CANCELED" of all steps that lines of plain progress tell of."""
    names: dict[str, str] = {}
    ends: dict[str, str] = {}
    for number, rest in re.findall(r"^#(\d+) (.*)$", text, re.MULTILINE):
        step = re.fullmatch(r"\[(?:\S+ )?\d+/\d+\] (.*)", rest)
        if step:
            names[number] = step[1]
        elif number in names and (end := re.match(r"(CACHED|DONE|ERROR|CANCELED)\b", rest)):
            ends[names[number]] = end[1]
    return ends


def rebuilt(ends: dict[str, str]) -> list[str]:
    """Return the keywords of the steps that were not cached, in the order of the Dockerfile."""
    return [name.split()[0] for name, end in ends.items() if end != "CACHED"]
