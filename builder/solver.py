"""Execute a plan: walk every stage, take what is remembered, run what is not, several stages at a time.

First all stages are walked without any thread, for as long as every step is remembered: a build that changes nothing
ends there. What is left gets a thread a stage; a stage waits for those that it reads from. The main thread waits in
`poll` for the end, or for the user. The first failure stops everything.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from builder import imagestate
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
from runtime.context import Cancel
from runtime.errors import Cancelled

if TYPE_CHECKING:
    from builder.cachetransfer.importing import SharedCache
    from builder.cachetransfer.wishes import BuildCache
    from builder.remote.sources import Remotes
    from builder.sshagents import Agents
    from runtime.context import Context
    from runtime.oci.digests import ChainID
    from runtime.store.facade import Store
    from runtime.store.view import MergedView

_GRACE = 4.0
"""Seconds that threads have to end after a cancellation; the contract gives the whole program five."""


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


class Solver:
    """One build at work; `solve` is called once."""

    def __init__(
        self,
        plan: Plan,
        store: Store,
        build_context: BuildContext,
        options: BuildOptions,
        reporter: Reporter,
        *,
        source: SourceText,
        origin: str,
        shared: SharedCache | None = None,
    ) -> None:
        self.plan = plan
        self._store = store
        self._build_context = build_context
        self._options = options
        self._reporter = reporter
        self._stop = Cancel()
        self._context = replace(store.context, cancel=self._stop)
        self._executor = Executor(store, self._stop, options, reporter, source=source, origin=origin, shared=shared)
        self._lazy = shared is not None
        self._held: list[tuple[str, int]] = []
        """Lines of the progress that wait until it is known whether no step has to run."""
        self._stages = {stage.stage.index: _Stage(stage) for stage in plan.stages}
        self._jobs = threading.BoundedSemaphore(max(1, options.jobs))
        self._lock = threading.Lock()
        self._failure: BaseException | None = None
        self._executed = 0
        self._remotes: Remotes | None = None
        self._agents = _open_agents(self._context, options)
        self._label_stages = len(plan.graph.stage_names) > 1

    def solve(self) -> BuildResult:
        """Build the target. Raises what the first step that failed raised, and Cancelled."""
        try:
            if self._lazy and not self._solve_without_layers():
                self._stages = {stage.stage.index: _Stage(stage) for stage in self.plan.stages}
            unfinished = [stage for stage in self._stages.values() if not self._advance(stage, execute=False)]
            if unfinished:
                self._run_threads(unfinished)
        finally:
            if self._remotes is not None:
                self._remotes.close()
            if self._agents is not None:
                self._agents.close()
        target = self._stages[self.plan.graph.target].outcome
        assert target is not None
        self._executor.finish()
        return BuildResult(
            stage=target, platform=self.plan.target.stage.platform, executed=self._executed, base=self._base()
        )

    def _base(self) -> ChainID | None:
        """Return the tree of the image below the target, through the stages that it stands on."""
        plan = self.plan.target
        while plan.parent is not None:
            plan = self._stages[plan.parent].plan
        return None if plan.base is None else plan.base.result.chain

    def _solve_without_layers(self) -> bool:
        """Try whether the caches know every step, fetching nothing before the end: then the target's tree alone.

        False where a step has to run, or the tree did not come along: everything begins again, with layers.
        """
        done = all(self._advance(stage, execute=False) for stage in self._stages.values())
        target = self._stages[self.plan.graph.target].outcome
        done = done and target is not None and self._executor.settle(target.result.chain)
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
        else:
            self._reporter.cached(title, line)

    @property
    def explained(self) -> tuple[Explained, ...]:
        """Why each step ran, in the order of the Dockerfile; complete once `solve` has ended, however it did."""
        return tuple(sorted(self._executor.explained, key=lambda step: step.line))

    @property
    def cached(self) -> int:
        """How many steps were remembered."""
        return self._executor.cached

    def _run_threads(self, stages: list[_Stage]) -> None:
        done_read, done_write = os.pipe2(os.O_CLOEXEC)
        remaining = len(stages)

        def work(stage: _Stage) -> None:
            try:
                self._advance(stage, execute=True)
            except BaseException as error:
                self._fail(error)
            finally:
                stage.finished.set()
                os.write(done_write, b"!")

        threads = [threading.Thread(target=work, args=(stage,), daemon=True) for stage in stages]
        try:
            for thread in threads:
                thread.start()
            user = self._store.context.cancel
            poll = select.poll()
            poll.register(done_read, select.POLLIN)
            poll.register(user.fd, select.POLLIN)
            timeout: float | None = None
            while remaining:
                ready = poll.poll(None if timeout is None else timeout * 1000)
                if timeout is not None and not ready:
                    break  # threads that do not end are left behind; the process is about to end
                for fd, _ in ready:
                    if fd == done_read:
                        remaining -= len(os.read(done_read, 4096))
                    else:
                        poll.unregister(user.fd)
                        self._stop.set(user.signal or 2)
                        timeout = _GRACE
            user.check()
        finally:
            if not remaining:
                os.close(done_read)
                os.close(done_write)
        if self._failure is not None:
            raise self._failure

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            if self._failure is None or isinstance(self._failure, Cancelled):
                self._failure = error
        self._stop.set(2)

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
            with self._job():
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
            working_directory=state.working_directory,
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
        return self._store.snapshots.view(result.chain)

    def _job(self) -> _Job:
        return _Job(self._jobs, self._stop)

    def _title(self, stage: _Stage, text: str) -> str:
        """Return the next line of a stage's progress: `[stage 2/4] text`."""
        stage.vertex += 1
        label = f"{stage.plan.stage.label} " if self._label_stages else ""
        width = len(str(stage.total))
        return f"[{label}{stage.vertex:>{width}}/{stage.total}] {text}"


class _Job:
    """Hold one of the slots for work; waiting for one looks at the cancellation."""

    def __init__(self, slots: threading.BoundedSemaphore, stop: Cancel) -> None:
        self._slots = slots
        self._stop = stop

    def __enter__(self) -> None:
        while not self._slots.acquire(timeout=0.05):
            self._stop.check()

    def __exit__(self, *_: object) -> None:
        self._slots.release()


def _open_agents(context: Context, options: BuildOptions) -> Agents | None:
    if not options.ssh:
        return None
    from builder.sshagents import Agents  # lazy: most builds need no agent

    return Agents(context, options.ssh)


def _nowhere(_stream: int, _data: bytes) -> None:
    """Drop output: nothing prints before a step works."""
