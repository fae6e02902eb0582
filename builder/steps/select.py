"""Choose the step that does an instruction."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from builder.interfaces import Step
    from builder.options import BuildOptions
    from builder.stepclient import StepServer
    from grammar.instructions import ResolvedInstruction


def step_of(instruction: ResolvedInstruction, options: BuildOptions, server: StepServer) -> Step | None:
    """Return the step of an instruction, None for one that only changes the image's configuration."""
    from grammar.instructions import Copy, Run, Workdir

    match instruction:
        case Copy():
            from builder.steps.copy import CopyStep  # only where something is copied

            return CopyStep(instruction=instruction)
        case Run():
            from builder.steps.run import RunStep

            return RunStep(instruction=instruction, options=options, server=server)
        case Workdir():
            from builder.steps.workdir import WorkdirStep

            return WorkdirStep(instruction=instruction)
        case _:
            return None
