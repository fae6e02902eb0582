"""Name what happens during a build: the engine emits these, readers show them.

A *vertex* is one line of the progress: a step, the export, or something internal. Its number counts from 1 in the
order in which vertices were seen. Times are nanoseconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from frozen import Frozen


class StepStarted(Frozen):
    """A vertex began to work. `line` is the first line of its instruction in the Dockerfile, None for internal ones."""

    vertex: int
    name: str
    at: int
    line: int | None = None
    reason: str = ""
    """Why it has to run, "" where nothing was looked up."""


class StepOutput(Frozen):
    """Bytes that a step printed on stream 1 or 2."""

    vertex: int
    stream: int
    data: bytes
    at: int


class StepStatus(Frozen):
    """One part of a vertex that is worth a line: `text` as "writing image sha256:…"; finished where `done`."""

    vertex: int
    text: str
    at: int
    key: str = ""
    """Which part it is, where its text changes; else the text says it."""
    done: bool = False
    elapsed: int = 0
    """Nanoseconds that the part took, where it is done."""


class StepCached(Frozen):
    """A vertex' result was remembered: it did not run."""

    vertex: int
    name: str
    at: int
    line: int | None = None


class StepFinished(Frozen):
    """A vertex ended; `error` is None, or says how it failed; `canceled` where another's failure ended it."""

    vertex: int
    at: int
    error: str | None = None
    canceled: bool = False


class Warned(Frozen):
    """Something that the user should know and that does not end the build; `line` in the Dockerfile, if any."""

    message: str
    at: int
    line: int | None = None


Event: TypeAlias = StepStarted | StepOutput | StepStatus | StepCached | StepFinished | Warned
Sink: TypeAlias = Callable[[Event], None]
"""Takes events from any thread, one at a time for each caller."""
