"""Work out what a build will do before it does anything: bases found, every word expanded, every step checked.

What can be known to be wrong is refused here; afterwards only a step itself can fail.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from builder import imagestate
from builder.bases import Bases, Wanted
from builder.failures import located
from builder.imagestate import ImageState, directory_after
from builder.interfaces import BaseImage, BuildContext, Step
from builder.options import BuildOptions
from builder.stepclient import StepServer
from builder.steps.select import step_of
from frozen import Frozen, replace
from grammar.instructions import Copy, ResolvedInstruction, Run, Workdir
from grammar.nearest import nearest
from grammar.stages import BUILD_CONTEXT
from runtime.errors import PybuildError, ReferenceInvalid
from runtime.oci.platforms import parse_platform
from runtime.oci.references import parse_reference

if TYPE_CHECKING:
    from builder.namedcontexts import NamedContexts
    from grammar.graph import InstructionGraph, Node, Stage
    from grammar.scope import Scope
    from grammar.stages import Base

_THIRTY_TWO_BIT = {"linux/amd64": "linux/386", "linux/arm64": "linux/arm"}
"""What a processor executes beside its own programs."""


class Source(Frozen):
    """Where `--from` or `from=` leads: another stage of this build, an image, or a named context's files."""

    stage: int | None = None
    image: BaseImage | None = None
    context: BuildContext | None = None


class PlannedNode(Frozen):
    """One instruction: what it means, the variables before and after it, and the step that does it, if any.

    `name` is its line of the progress, without the count; `sources` are keyed as the resolved instruction names them.
    """

    node: Node
    instruction: ResolvedInstruction
    before: Scope
    after: Scope
    step: Step | None
    sources: Mapping[str, Source]
    name: str

    @property
    def line(self) -> int:
        return self.node.instruction.start_line


class StagePlan(Frozen):
    """One stage: `base` is its image, or None for `scratch` and for a stage that stands on another (`parent`)."""

    stage: Stage
    base: BaseImage | None
    parent: int | None
    start: Scope
    nodes: tuple[PlannedNode, ...]

    @property
    def end(self) -> Scope:
        return self.nodes[-1].after if self.nodes else self.start


class Plan(Frozen):
    """All stages that the target needs, each after those that it needs."""

    graph: InstructionGraph
    stages: tuple[StagePlan, ...]

    @property
    def target(self) -> StagePlan:
        return next(plan for plan in self.stages if plan.stage.index == self.graph.target)


def make_plan(
    graph: InstructionGraph,
    bases: Bases,
    build_context: BuildContext,
    options: BuildOptions,
    server: StepServer,
    contexts: NamedContexts | None = None,
) -> Plan:
    """Find the bases, let their triggers into the graph, expand everything, check every step.

    Raises DockerfileError with its line for what the file gets wrong, InstructionFailed for what is missing.
    """
    return _Planner(graph, bases, options, server, contexts).plan(build_context)


class _Planner:
    """The planning of one build."""

    def __init__(
        self,
        graph: InstructionGraph,
        bases: Bases,
        options: BuildOptions,
        server: StepServer,
        contexts: NamedContexts | None,
    ) -> None:
        self._graph = graph
        self._bases = bases
        self._options = options
        self._server = server
        self._contexts = contexts
        self._stages: dict[int, StagePlan] = {}

    def plan(self, build_context: BuildContext) -> Plan:
        """Plan all stages, then check all steps."""
        for name, line in self._graph.unused_images:
            with located(line):
                _check_reference(name, self._suggestion(name))
        self._bases.prepare(self._named_images())
        self._let_triggers_in()
        for stage in self._graph.stages:
            self._stages[stage.index] = self._plan_stage(stage)
        for plan in self._stages.values():
            for planned in plan.nodes:
                if planned.step is not None:
                    with located(planned.line):
                        if isinstance(planned.instruction, Run):
                            _refuse_emulation(plan.stage.platform, self._graph.build_platform)
                        planned.step.check(build_context)
        return Plan(graph=self._graph, stages=tuple(self._stages.values()))

    def _let_triggers_in(self) -> None:
        """Look up the bases; their triggers become nodes, which may need further stages."""
        done: set[int] = set()
        while True:
            stage = next((stage for stage in self._graph.stages if stage.index not in done), None)
            if stage is None:
                return
            done.add(stage.index)
            if (image := self._as_image(stage.base, stage)) is not None:
                base = self._image(image, stage, _from_line(stage))
                if base.triggers:
                    self._graph = self._graph.with_base(stage.index, base.environment, base.triggers)

    def _named_images(self) -> list[Wanted]:
        """List all images that the graph names, in its order."""
        wanted = []
        for stage in self._graph.stages:
            if (image := self._as_image(stage.base, stage)) is not None:
                wanted.append(self._wanted(image, stage, _from_line(stage)))
            wanted += [
                self._wanted(image, stage, node.instruction.start_line)
                for node in stage.nodes
                for edge in node.depends
                if edge.kind in ("copy", "mount")
                and edge.source is not None
                and (image := self._as_image(edge.source, stage)) is not None
            ]
        return wanted

    def _as_image(self, base: Base, stage: Stage) -> Base | None:
        """Return what to look for among images: also for a named context that is one; None for all else."""
        if base.kind != "context" or self._contexts is None or base == BUILD_CONTEXT:
            return base if base.kind == "image" else None
        name = self._contexts.image_name(base.name)
        if name is not None:
            return replace(base, kind="image", name=name)
        with located(_from_line(stage)):
            platform = base.platform or stage.platform
            image = self._contexts.image(base.name, parse_platform(platform))
        if image is None:
            return None
        found = replace(base, kind="image", name=f"{base.name} (layout)")
        self._bases.adopt(self._wanted(found, stage, _from_line(stage)), image)
        return found

    def _wanted(self, base: Base, stage: Stage, line: int) -> Wanted:
        platform = base.platform or stage.platform
        return Wanted(name=base.name, platform=platform, line=line, suggestion=self._suggestion(base.name))

    def _suggestion(self, name: str) -> str | None:
        """Say which stage or named context was perhaps meant by the name of an image."""
        stage = self._graph.suggest(name)
        if stage is not None:
            return f"the stage {stage}"
        context = nearest(name, (*self._graph.named_contexts, *self._graph.stage_contexts))
        return None if context is None else f"the context {context}"

    def _image(self, base: Base, stage: Stage, line: int) -> BaseImage:
        return self._bases.find(self._wanted(base, stage, line))

    def _plan_stage(self, stage: Stage) -> StagePlan:
        base = self._base(stage)
        if stage.base.kind == "stage":
            assert stage.base.stage is not None
            start = self._stages[stage.base.stage].end
        else:
            start = self._graph.scope(() if base is None else base.environment)
        nodes: list[PlannedNode] = []
        scope = start
        for node in stage.nodes[1:]:
            after, instruction = scope.apply(node.instruction)
            with located(node.instruction.start_line):
                planned = PlannedNode(
                    node=node,
                    instruction=instruction,
                    before=scope,
                    after=after,
                    step=step_of(instruction, self._options, self._server),
                    sources=self._sources(node, instruction, stage),
                    name=_name(node, instruction),
                )
            nodes.append(planned)
            scope = after
        parent = stage.base.stage if stage.base.kind == "stage" else None
        return StagePlan(stage=stage, base=base, parent=parent, start=start, nodes=tuple(nodes))

    def _base(self, stage: Stage) -> BaseImage | None:
        """Return the image that a stage stands on; the files of a named context become one."""
        if stage.base.kind in ("stage", "scratch") or self._is_empty(stage.base):
            return None
        image = self._as_image(stage.base, stage)
        if image is not None:
            return self._image(image, stage, _from_line(stage))
        with located(_from_line(stage)):
            return self._bases.of_tree(stage.base.name, self._tree(stage.base), stage.platform)

    def _is_empty(self, base: Base) -> bool:
        return base.kind == "context" and self._contexts is not None and self._contexts.is_empty(base.name)

    def _tree(self, base: Base) -> BuildContext:
        if self._contexts is None:
            raise PybuildError(f"{base.name}: named contexts are only there in a build")
        return self._contexts.tree(base.name)

    def _sources(self, node: Node, instruction: ResolvedInstruction, stage: Stage) -> dict[str, Source]:
        """Pair the names that an instruction uses with what the graph says they mean."""
        names = iter(_names(instruction))  # in the order of the edges
        found: dict[str, Source] = {}
        for edge in node.depends:
            source = edge.source
            if edge.kind not in ("copy", "mount") or source == BUILD_CONTEXT or (name := next(names, None)) is None:
                continue
            if edge.node is not None:
                found[name] = Source(stage=self._graph.node(edge.node).stage)
                continue
            assert source is not None
            if (image := self._as_image(source, stage)) is not None:
                found[name] = Source(image=self._image(image, stage, node.instruction.start_line))
            else:
                found[name] = Source(context=self._tree(source))
        return found


def _from_line(stage: Stage) -> int:
    return stage.nodes[0].instruction.start_line


def _check_reference(name: str, suggestion: str | None) -> None:
    """Raise PybuildError for what cannot be the name of an image, also where no stage that is needed uses it."""
    try:
        parse_reference(name)
    except ReferenceInvalid as error:
        if suggestion is None:
            raise
        raise ReferenceInvalid(error.message, hint=f"did you mean {suggestion}?") from error


def _refuse_emulation(platform: str, host: str) -> None:
    """Raise PybuildError where this machine's processor does not execute programs for `platform`."""
    executes = {host, _THIRTY_TWO_BIT.get(host, host)}
    if platform not in executes and not any(platform.startswith(f"{name}/") for name in executes):
        raise PybuildError(
            f"RUN for {platform} cannot be executed on this machine ({host})",
            hint="let the stage run here with FROM --platform=$BUILDPLATFORM, and cross-compile",
        )


def _names(instruction: ResolvedInstruction) -> Sequence[str]:
    match instruction:
        case Copy():
            return [] if instruction.from_ is None else [instruction.from_]
        case Run():
            return [mount.from_ for mount in instruction.mounts if mount.from_ is not None]
        case _:
            return []


def _name(node: Node, instruction: ResolvedInstruction) -> str:
    text = " ".join(node.instruction.source.split())
    if node.trigger:
        text = f"ONBUILD {text}"
    if isinstance(instruction, Run) and node.instruction.heredocs:
        first = node.instruction.heredocs[0].content.split("\n", 1)
        more = "..." if len(first) > 1 and first[1].strip() else ""
        text += f" ({first[0]}{more})"
    return text


def makes_layer(planned: PlannedNode, state: ImageState) -> bool:
    """Tell whether an instruction makes a layer after `state`: steps do, but a WORKDIR of the root needs none."""
    if isinstance(planned.instruction, Workdir):
        return directory_after(state, planned.instruction.path) != "/"
    return planned.step is not None


def start_state(plan: StagePlan, parent: ImageState | None) -> ImageState:
    """Return the image's configuration as a stage begins; `parent` is that of the stage it stands on."""
    if parent is not None:
        state = imagestate.child_of(parent)
    elif plan.base is not None:
        state = imagestate.from_document(plan.base.document)
    else:
        system, _, architecture = plan.stage.platform.partition("/")
        architecture, _, variant = architecture.partition("/")
        platform = {"architecture": architecture, "os": system}
        state = imagestate.scratch({**platform, "variant": variant} if variant else platform)
    return imagestate.begin(state, plan.start)
