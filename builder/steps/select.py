"""Choose the step that does an instruction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frozen import replace

if TYPE_CHECKING:
    from builder.interfaces import Step
    from builder.options import BuildOptions
    from builder.stepclient import StepServer
    from grammar.instructions import ResolvedInstruction, Run


def step_of(instruction: ResolvedInstruction, options: BuildOptions, server: StepServer) -> Step | None:
    """Return the step of an instruction, None for one that only changes the image's configuration."""
    from grammar.instructions import Copy, Run, Workdir

    match instruction:
        case Copy():
            from builder.steps.copy import CopyStep  # only where something is copied

            return CopyStep(instruction=instruction)
        case Run():
            from builder.steps.run import RunStep

            return RunStep(instruction=_in_namespace(instruction, options), options=options, server=server)
        case Workdir():
            from builder.steps.workdir import WorkdirStep

            return WorkdirStep(instruction=instruction)
        case _:
            return None


def _in_namespace(run: Run, options: BuildOptions) -> Run:
    """Put the build's namespace before the ids of cache mounts: those of another namespace are other caches."""
    if not options.cache_namespace:
        return run
    mounts = (
        replace(mount, id=f"{options.cache_namespace}/{mount.id}") if mount.type == "cache" else mount
        for mount in run.mounts
    )
    return replace(run, mounts=tuple(mounts))
