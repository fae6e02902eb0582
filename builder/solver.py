"""Execute a plan: walk every stage, take what is remembered, run what is not, several stages at a time.

First all stages are walked without any thread, for as long as every step is remembered: a build that changes nothing
ends there. What is left gets a thread a stage (`crew`); a stage waits for those that it reads from. Plans for several
platforms or targets are executed together.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

from builder import imagestate
from builder.crew import Crew
from builder.executor import AbsentTree, Executor, LayersElsewhere
from builder.explanation import Below, Explained
from builder.failures import SourceText, located
from builder.imagestate import ImageState
from builder.interfaces import BuildContext, Given, Result
from builder.keys import base_content
from builder.options import BuildOptions
from builder.plan import Plan, PlannedNode, StagePlan, makes_layer, start_state
from builder.reporter import Reporter
from frozen import Frozen, replace
from runtime.errors import Cancelled

if TYPE_CHECKING:
    from builder.cachetransfer.importing import SharedCache
    from builder.cachetransfer.wishes import BuildCache
    from builder.remote.sources import Remotes
    from builder.sshagents import Agents
    from runtime.context import Cancel, Context
    from runtime.oci.digests import ChainID
    from runtime.store.facade import Store
    from runtime.store.view import MergedView


class StageResult(Frozen):
    """What a stage led to: its tree, its image's configuration, and the step that ended it."""

    result: Result
    state: ImageState
    below: Below


class BuildResult(Frozen):
    """What a build led to; `executed` counts the steps that were not remembered.

    `base` is the tree of the image that the target stands on, None for `scratch`. `inline` is the cache that the
    image's configuration shall carry, if any.
    """

    stage: StageResult
    platform: str
    executed: int
    base: ChainID | None = None
    inline: str = ""


class _Stage:
    """A stage on its way."""

    def __init__(self, plan: StagePlan) -> None:
        self.plan = plan
        self.position = 0
        self.vertex = 0
        self.total = sum(planned.step is not None for planned in plan.nodes) + (plan.base is not None)
        self.result: Result | None = None
        self.state: ImageState | None = None
        self.outcome: StageResult | None = None
        self.below = Below()
        self.finished = threading.Event()


def solve_together(solvers: Sequence[Solver], crew: Crew, user: Cancel) -> None:
    """Execute several plans at the same time. Raises what the first step that failed raised, and Cancelled.

    All of them were given this `crew`; afterwards each has its `result`. `user` is the cancellation from outside.
    """
    try:
        works = [work for solver in solvers for work in solver.walk()]
        if works:
            crew.run(works, user)
    finally:
        for solver in solvers:
            solver.close()
    for solver in solvers:
        solver.finish()


class Solver:
    """One plan at work."""

    def __init__(
        self,
        plan: Plan,
        store: Store,
        build_context: BuildContext,
        options: BuildOptions,
        reporter: Reporter,
        *,
        source: SourceText,
        shared: SharedCache | None = None,
        crew: Crew | None = None,
    ) -> None:
        """`crew` is that of all builds at work, else one of its own."""
        self.plan = plan
        self._store = store
        self._build_context = build_context
        self._options = options
        self._reporter = reporter
        self._crew = Crew(options.jobs) if crew is None else crew
        self._stop = self._crew.stop
        self._context = replace(store.context, cancel=self._stop)
        self._executor = Executor(
            store,
            self._stop,
            options,
            reporter,
            source=source,
            origin=source.origin,
            shared=shared,
            fresh=self._crew.fresh,
        )
        self._lazy = shared is not None
        self._held: list[tuple[str, int]] = []
        """Lines of the progress that wait until it is known whether no step has to run."""
        self._stages = {stage.stage.index: _Stage(stage) for stage in plan.stages}
        self._lock = threading.Lock()
        self._executed = 0
        self._remotes: Remotes | None = None
        self._agents = _open_agents(self._context, options)
        self._label_stages = len(plan.graph.stage_names) > 1

    def solve(self) -> BuildResult:
        """Build the target alone. Raises what the first step that failed raised, and Cancelled."""
        solve_together([self], self._crew, self._store.context.cancel)
        return self.result()

    def walk(self) -> list[Callable[[], None]]:
        """Take all that is remembered; give the work that is left, to be done by threads at the same time."""
        if self._lazy and not self._solve_without_layers():
            self._stages = {stage.stage.index: _Stage(stage) for stage in self.plan.stages}
        unfinished = [stage for stage in self._stages.values() if not self._advance(stage, execute=False)]
        return [partial(self._work, stage) for stage in unfinished]

    def _work(self, stage: _Stage) -> None:
        try:
            self._advance(stage, execute=True)
        finally:
            stage.finished.set()

    def close(self) -> None:
        """Let go of what was opened on the way."""
        if self._remotes is not None:
            self._remotes.close()
        if self._agents is not None:
            self._agents.close()

    def finish(self) -> None:
        """Note what was used, once all work is done."""
        self._executor.finish()

    def result(self, name: str | None = None) -> BuildResult:
        """Return what the target led to, or the further stage that was asked for by `name`."""
        index = self.plan.graph.target if name is None else self.plan.graph.also[name]
        stage = self._stages[index]
        assert stage.outcome is not None
        return BuildResult(
            stage=stage.outcome,
            platform=stage.plan.stage.platform,
            executed=self._executed,
            base=self._base(stage.plan),
        )

    def _base(self, plan: StagePlan) -> ChainID | None:
        """Return the tree of the image below a stage, through the stages that it stands on."""
        while plan.parent is not None:
            plan = self._stages[plan.parent].plan
        return None if plan.base is None else plan.base.result.chain

    def _solve_without_layers(self) -> bool:
        """Try whether the caches know every step, fetching nothing before the end: then the target's tree alone.

        False where a step has to run, or the tree did not come along: everything begins again, with layers.
        """
        done = all(self._advance(stage, execute=False) for stage in self._stages.values())
        for index in (self.plan.graph.target, *self.plan.graph.also.values()):
            outcome = self._stages[index].outcome
            done = done and outcome is not None and self._executor.settle(outcome.result.chain)
        self._lazy = False
        if done:
            for title, line in self._held:
                self._reporter.cached(title, line)
        else:
            self._executor.reset()
        return done

    @property
    def cache(self) -> BuildCache:
        """What this build used and made, for other machines."""
        from builder.cachetransfer.wishes import BuildCache

        return BuildCache(records=self._executor.seen, aliases=self._executor.aliases)

    def _cached(self, title: str, line: int) -> None:
        if self._lazy:
            self._held.append((title, line))
        elif not self._crew.platforms or title not in self._crew.told:
            self._crew.told.add(title)
            self._reporter.cached(title, line)

    @property
    def explained(self) -> tuple[Explained, ...]:
        """Why each step ran, in the order of the Dockerfile; complete once `solve` has ended, however it did."""
        return tuple(sorted(self._executor.explained, key=lambda step: step.line))

    @property
    def cached(self) -> int:
        """How many steps were remembered."""
        return self._executor.cached

    def _advance(self, stage: _Stage, *, execute: bool) -> bool:
        """Walk a stage as far as it goes: to its end with `execute`, else to the first step that has to run."""
        if stage.state is None and not self._begin(stage, execute=execute):
            return False
        nodes = stage.plan.nodes
        while stage.position < len(nodes):
            self._store.context.cancel.check()
            planned = nodes[stage.position]
            with located(planned.line):
                if not self._do(stage, planned, execute=execute):
                    return False
            stage.position += 1
        assert stage.result is not None
        assert stage.state is not None
        stage.outcome = StageResult(result=stage.result, state=stage.state, below=stage.below)
        stage.finished.set()
        return True

    def _begin(self, stage: _Stage, *, execute: bool) -> bool:
        plan = stage.plan
        parent: StageResult | None = None
        if plan.parent is not None:
            parent = self._outcome(plan.parent, wait=execute)
            if parent is None:
                return False
        stage.state = start_state(plan, None if parent is None else parent.state)
        if parent is not None:
            stage.result = parent.result
            stage.below = parent.below
        elif plan.base is not None:
            stage.result = plan.base.result
            stage.below = Below(image=plan.base.name, id=plan.base.id, line=plan.stage.nodes[0].instruction.start_line)
            self._cached(self._title(stage, f"FROM {plan.base.name}"), plan.stage.nodes[0].instruction.start_line)
        else:
            stage.result = Result(chain=None, content=base_content(None))
        return True

    def _do(self, stage: _Stage, planned: PlannedNode, *, execute: bool) -> bool:
        """Do one instruction; False where it has to run and must not yet."""
        assert stage.state is not None
        assert stage.result is not None
        if not makes_layer(planned, stage.state):
            stage.state = imagestate.apply(stage.state, planned.instruction, planned.after, created=None, layer=False)
            return True
        sources = self._sources(planned, wait=execute)
        if sources is None:
            return False
        assert planned.step is not None
        given = self._given(stage.state, stage.result, planned, sources, stage.plan.stage.platform)
        if not execute:
            given = replace(given, fetch=False)
        anew = self._options.no_cache or bool(
            self._options.no_cache_stages & {stage.plan.stage.name, stage.plan.stage.label} - {""}
        )
        if not execute:
            record = None if anew else self._executor.remembered(planned, given, lazy=self._lazy)
            if record is None:
                return False
        else:
            with self._crew.job():
                record, ran = self._executor.do(
                    planned, given, stage.plan.stage, stage.below, lambda: self._title(stage, planned.name), anew=anew
                )
            if ran:
                with self._lock:
                    self._executed += 1
        if not execute:
            self._cached(self._title(stage, planned.name), planned.line)
        try:
            stage.result = self._executor.placed(record, given, planned.step, lazy=self._lazy)
        except LayersElsewhere:
            return False
        stage.state = imagestate.apply(
            stage.state, planned.instruction, planned.after, created=record.created, layer=True
        )
        stage.below = Below(line=planned.line, text=planned.name)
        return True

    def _sources(self, planned: PlannedNode, *, wait: bool) -> Mapping[str, Result] | None:
        found: dict[str, Result] = {}
        for name, source in planned.sources.items():
            if source.context is not None:
                continue
            if source.image is not None:
                found[name] = source.image.result
                continue
            assert source.stage is not None
            outcome = self._outcome(source.stage, wait=wait)
            if outcome is None:
                return None
            found[name] = outcome.result
        return found

    def _outcome(self, index: int, *, wait: bool) -> StageResult | None:
        stage = self._stages[index]
        if wait:
            while not stage.finished.wait(0.05):
                self._stop.check()
            if stage.outcome is None:
                raise Cancelled
        return stage.outcome

    def _given(
        self,
        state: ImageState,
        result: Result,
        planned: PlannedNode,
        sources: Mapping[str, Result],
        platform: str,
    ) -> Given:
        return Given(
            context=self._context,
            store=self._store,
            build_context=self._build_context,
            parent=result,
            view=self._view(result),
            sources=sources,
            variables=planned.before.visible,
            proxies=planned.before.proxies,
            user=state.user,
            working_directory=state.entered_directory,
            shell=state.shell,
            platform=platform,
            epoch=self._options.epoch,
            output=_nowhere,
            contexts={name: source.context for name, source in planned.sources.items() if source.context is not None},
            remotes=self._open_remotes,
            agents=self._agents,
        )

    def _open_remotes(self) -> Remotes:
        """Give what brings files and trees from elsewhere; made when the first step asks for it."""
        from builder.remote.sources import Remotes  # lazy: only for remote sources

        with self._lock:
            if self._remotes is None:
                self._remotes = Remotes(
                    self._store,
                    self._context,
                    self._reporter,
                    secrets=self._options.secrets,
                    pins=self._options.pins,
                )
            return self._remotes

    def _view(self, result: Result) -> MergedView:
        if self._lazy and result.chain is not None and self._store.snapshots.get(result.chain) is None:
            return cast("MergedView", AbsentTree())
        return self._store.snapshots.view(result.chain, later=True)

    def _title(self, stage: _Stage, text: str) -> str:
        """Return the next line of a stage's progress: `[stage 2/4] text`."""
        stage.vertex += 1
        label = f"{stage.plan.stage.label} " if self._label_stages else ""
        if self._crew.platforms:
            label = f"{_platforms(stage.plan.stage.platform, self.plan.graph.platform)} {label}"
        width = len(str(stage.total))
        return f"[{label}{stage.vertex:>{width}}/{stage.total}] {text}"


def _open_agents(context: Context, options: BuildOptions) -> Agents | None:
    if not options.ssh:
        return None
    from builder.sshagents import Agents  # lazy: most builds need no agent

    return Agents(context, options.ssh)


def _platforms(runs_on: str, target: str) -> str:
    """Say what a stage runs on and for what, as `linux/amd64->arm64`."""
    if runs_on == target:
        return runs_on
    system, _, rest = target.partition("/")
    return f"{runs_on}->{rest if runs_on.startswith(f'{system}/') else target}"


def _nowhere(_stream: int, _data: bytes) -> None:
    """Drop output: nothing prints before a step works."""
