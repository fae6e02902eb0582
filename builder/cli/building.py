"""Do what one command line of `build` asks for: every target on every platform, then caches, then outputs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import chain
from typing import TYPE_CHECKING

from builder.bases import Bases
from builder.crew import Crew
from builder.epoch import NAME, Words, file_word, is_seconds, line_of
from builder.exporters.export import Exported, export
from builder.exporters.outputs import Output
from builder.graphcache import load_graph
from builder.linting import warn_of_findings
from builder.plan import make_plan
from builder.policy import collect_slice, read_cache_policy
from builder.records import Records
from builder.solver import BuildResult, Solver, solve_together
from frozen import Frozen, replace
from grammar.errors import DockerfileError
from runtime.errors import UsageError

if TYPE_CHECKING:
    from builder.cachetransfer.importing import SharedCache
    from builder.cli.buildflags import BuildRequest
    from builder.cli.inputs import Inputs
    from builder.lock import RemotePins
    from builder.namedcontexts import NamedContexts
    from builder.plan import Plan
    from builder.remote.sources import Remotes
    from builder.reporter import Reporter
    from builder.stepclient import StepServer
    from grammar.graph import InstructionGraph
    from runtime.oci.references import Reference
    from runtime.store import Store


_Built = tuple[BuildResult, ...]
"""What one target led to, a result a platform."""


class Surroundings(Frozen):
    """What all parts of one build share."""

    request: BuildRequest
    inputs: Inputs
    contexts: NamedContexts
    remotes: Callable[[], Remotes]
    store: Store
    server: StepServer
    reporter: Reporter


class Building:
    """One command line at work; `run` is called once, and `solvers` say afterwards what each part did."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        pins = remote_pins(around.request, around.inputs, around.reporter)
        self._options = replace(around.request.options, pins=pins)
        self._build_args = around.request.build_args
        self._epoch_settled = False
        self._warned: set[object] = set()
        self.solvers: list[Solver] = []

    def run(self) -> Exported:
        """Build, share the cache, export. Raises what the first part that failed raised."""
        around = self._around
        request, store, reporter = around.request, around.store, around.reporter
        source = around.inputs.source
        with reporter.working(f"[internal] load build definition from {source.name}") as vertex:
            vertex.status(f"transferring dockerfile: {len(source.text.encode(errors='surrogateescape'))}B", done=True)
        with ExitStack() as stack:
            shared = _open_shared(around, stack)
            built, stages = self._solve(shared)
            if request.cache_to:
                from builder.cachetransfer.wishes import with_inline, write_caches  # lazy: most builds write none

                built = with_inline(built, self.solvers, store, request.cache_to)
            exported = self._export(built, [self._of_target(output) for output in request.outputs], request.names)
            outputs = [replace(output, names=()) for output in request.outputs if output.type == "image"]
            for results, (stage, names) in zip(stages, request.stage_names, strict=True):
                self._note_request(self._export(results, outputs or [Output(type="image")], names), stage)
            if request.cache_to:  # the image is there already where this fails
                results = (*built, *chain.from_iterable(stages))
                write_caches(results, self.solvers, store, request.cache_to, reporter, shared)
        if any(output.type == "image" for output in request.outputs):
            self._note_request(exported, request.target)
        collect_slice(store, read_cache_policy(store.context))
        return exported

    def _solve(self, shared: SharedCache | None) -> tuple[_Built, list[_Built]]:
        """Build the target and the stages with names of their own, for every platform, all at the same time."""
        request = self._around.request
        stages = tuple(stage for stage, _ in request.stage_names)
        crew = Crew(self._options.jobs, platforms=len(request.platforms) > 1)
        if stages and "TARGETSTAGE" in self._around.inputs.source.text:  # what is shared may not be equal
            parts = [self._solvers(target, (), shared, crew) for target in (request.target, *stages)]
            solve_together(self.solvers, crew, self._around.store.context.cancel)
            built, *others = [tuple(solver.result() for solver in part) for part in parts]
            return built, others
        part = self._solvers(request.target, stages, shared, crew)
        solve_together(self.solvers, crew, self._around.store.context.cancel)
        return tuple(solver.result() for solver in part), [
            tuple(solver.result(stage) for solver in part) for stage in stages
        ]

    def _solvers(self, target: str | None, also: Sequence[str], shared: SharedCache | None, crew: Crew) -> list[Solver]:
        """Plan one target and further stages for every platform."""
        around = self._around
        request, inputs = around.request, around.inputs
        place = request.context if inputs.directory is None else os.path.abspath(inputs.directory)
        source = replace(inputs.source, origin=f"{place}:{inputs.source.name}")
        found = []
        for platform in request.platforms:
            solver = Solver(
                self._plan(target, also, platform),
                around.store,
                inputs.context,
                self._options,
                around.reporter,
                source=source,
                shared=shared,
                crew=crew,
            )
            self.solvers.append(solver)
            found.append(solver)
        return found

    def _plan(self, target: str | None, also: Sequence[str], platform: str) -> Plan:
        around = self._around
        request, inputs, reporter = around.request, around.inputs, around.reporter
        graph = self._graph(target, also, platform)
        if graph.dockerfile.directives.syntax not in (None, "docker/dockerfile:1"):
            from builder.syntax import check_syntax  # lazy: what most files say needs no check

            check_syntax(graph.dockerfile, inputs.source.text)
        self._check_filter(graph)
        if self._settle_epoch(graph, platform):
            graph = self._graph(target, also, platform)
        for warning in graph.warnings:
            if (warning.message, warning.line) not in self._warned:
                self._warned.add((warning.message, warning.line))
                reporter.warn(f"{warning.rule}: {warning.message}", warning.line)
        if request.rewrite and self._options.epoch is None and not self.solvers:
            reporter.warn(
                "rewrite-timestamp is asked for, and no SOURCE_DATE_EPOCH says which time: nothing is rewritten"
            )
        bases = Bases(around.store, reporter, policy=request.pull, lock=inputs.lock, locked=request.locked)
        plan = make_plan(graph, bases, inputs.context, self._options, around.server, around.contexts)
        if not self.solvers:
            warn_of_findings(plan, inputs.ignore, reporter)
        return plan

    def _graph(self, target: str | None, also: Sequence[str], platform: str) -> InstructionGraph:
        around = self._around
        return load_graph(
            around.store.context,
            around.inputs.source.text,
            target=target,
            also=also,
            build_args=self._build_args,
            platform=platform,
            host=around.request.host_platform,
            named_contexts=around.request.contexts,
        )

    def _of_target(self, output: Output) -> Output:
        """Give an output as it is for the target: it is not pushed where stages alone have names."""
        return output if self._around.request.names or output.names else replace(output, push=False)

    def _check_filter(self, graph: InstructionGraph) -> None:
        """Tell of stages that `--no-cache-filter` names and that are not there."""
        unnamed = (f"stage-{index}" for index, name in enumerate(graph.stage_names) if not name)
        for name in sorted(self._options.no_cache_stages.difference(graph.stage_names, unnamed)):
            found = graph.suggest(name)
            if name not in self._warned:
                self._warned.add(name)
                hint = f"; did you mean {found}?" if found else ""
                self._around.reporter.warn(f"--no-cache-filter {name}: there is no such stage{hint}")

    def _settle_epoch(self, graph: InstructionGraph, platform: str) -> bool:
        """Find SOURCE_DATE_EPOCH where the file says it, or a word; True where the build's arguments change by that."""
        around = self._around
        word = around.request.epoch or file_word(graph)
        if self._options.epoch is not None or not word or self._epoch_settled:
            return False
        self._epoch_settled = True

        def graph_of(stage: str) -> InstructionGraph:
            return self._graph(stage, (), platform)

        words = Words(around.store, around.inputs.changed, around.contexts, around.remotes, graph_of)
        try:
            seconds = words.seconds(word, graph)
        except UsageError as error:
            if around.request.epoch:
                raise
            raise DockerfileError(error.message, line=line_of(graph), hint=error.hint) from error
        self._options = replace(self._options, epoch=seconds)
        if is_seconds(word):
            return False
        self._build_args = {**self._build_args, NAME: "" if seconds is None else str(seconds)}
        return True

    def _note_request(self, exported: Exported, target: str | None) -> None:
        """Let `pybuild verify` know how the images that are kept were built."""
        request = self._around.request
        if not request.words:
            return
        words = [word for word in request.words if not word.startswith("--target=")]
        if target is not None:
            words.insert(0, f"--target={target}")
        records = Records(self._around.store)
        for image in exported.images:
            records.add_request(image.id, _working_directory(), (f"--platform={image.platform}", *words))

    def _export(self, built: Sequence[BuildResult], outputs: Sequence[Output], names: Sequence[Reference]) -> Exported:
        around = self._around
        request, store = around.request, around.store
        if request.squash or request.rewrite:
            from builder.relayer import clamp_times, squash  # lazy: only where it was asked for

            with around.reporter.working("[internal] writing layers anew"):
                if request.squash:
                    built = [squash(store, build) for build in built]
                if request.rewrite and self._options.epoch is not None:
                    built = [clamp_times(store, build, self._options.epoch) for build in built]
        return export(built, store, self._options, around.reporter, outputs=outputs, names=names)


def remote_pins(request: BuildRequest, inputs: Inputs, reporter: Reporter) -> RemotePins | None:
    """Give what the lock file says of URLs and git refs; None where there is none and none is needed."""
    lock = inputs.lock
    if lock is None and not request.locked:
        return None
    from builder.lock import RemotePins

    return RemotePins(lock, locked=request.locked, warn=reporter.warn)


def explain(building: Building, around: Surroundings, image: str | None) -> None:
    """Print why each step ran, also those of a build that failed; elsewhere where an archive has standard output."""
    from builder.explanation import to_document, to_text
    from runtime.cli.output import printable

    context = around.store.context
    stream = context.stderr if around.request.writes_to_stdout else context.stdout
    steps = tuple(step for solver in building.solvers for step in solver.explained)
    cached = sum(solver.cached for solver in building.solvers)
    if around.request.explain == "json":
        stream.write(json.dumps(to_document(steps, cached, image)) + "\n")
    else:
        stream.write(printable(to_text(steps, around.inputs.source.name, cached)))


def metadata(exported: Exported) -> dict[str, object]:
    """Say what was built, in the words of `--metadata-file` of buildx."""
    document: dict[str, object] = {
        "containerimage.config.digest": exported.config,
        "containerimage.digest": exported.id if exported.top is None else exported.top.digest,
    }
    if exported.top is not None:
        document["containerimage.descriptor"] = exported.top.raw
    if exported.names:
        document["image.name"] = ",".join(str(name) for name in exported.names)
    return document


def _open_shared(around: Surroundings, stack: ExitStack) -> SharedCache | None:
    if not around.request.cache_from:
        return None
    from builder.cachetransfer.wishes import open_shared  # lazy: most builds use the cache of the store alone

    return open_shared(around.store, around.request.cache_from, around.reporter, stack)


def _working_directory() -> str:
    """Return where the user is; a directory that is gone is no reason to fail, absolute paths still lead somewhere."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return "/"
