"""Build the instruction graph: which instructions a target needs, and what each of them reads.

The graph is a value: frozen, picklable, made from the file and the build's arguments alone. Variables are not expanded
in it; the builder does that with `Scope` as it goes, because only the base image knows the first values. When that
image is known, `with_base` gives a new graph with its ONBUILD triggers as nodes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from frozen import Frozen, field
from grammar.checks import validate
from grammar.elements import Edge, EdgeKind, Node, Stage, make_stages
from grammar.errors import DockerfileError
from grammar.nearest import nearest
from grammar.nodes import Dockerfile, Instruction
from grammar.platforms import parse_platform, platform_arguments
from grammar.scope import PROXIES, Scope
from grammar.stages import (
    Base,
    Outline,
    Outlines,
    Settings,
    check_order,
    context_key,
    divide,
    named,
    origins,
    unknown_target,
)
from grammar.survey import survey

__all__ = ["Base", "Edge", "EdgeKind", "InstructionGraph", "Node", "Stage", "Warned", "build_graph", "outside_id"]

_PREDECLARED = frozenset(PROXIES) | {"SOURCE_DATE_EPOCH"}
_BUILDERS = "BUILDKIT_"
"""How arguments begin that are for the builder and not for the file."""


class Warned(Frozen):
    """Something that builds but is probably not meant: a rule's name, a sentence, and the line if there is one."""

    rule: str
    message: str
    line: int | None = None


class _Known(Frozen):
    """A base's config as far as the graph needs it: `NAME=value` entries, and ONBUILD's texts."""

    environment: tuple[str, ...]
    onbuild: tuple[str, ...]


class InstructionGraph(Frozen):
    """The stages that `target` (an index into the file's stages) and those of `also` need, in the file's order.

    `global_args` are what `ARG name` without a default fetches, those of the platforms included.
    """

    stages: tuple[Stage, ...]
    target: int
    also: Mapping[str, int] = field(default_factory=dict)
    """Further stages whose results are wanted, by the names that asked for them."""
    global_args: Mapping[str, str]
    build_args: Mapping[str, str]
    platform: str
    build_platform: str
    escape: str = "\\"
    stage_names: tuple[str, ...] = ()
    """The names of all stages of the file, by index; empty for those without one."""
    unused_images: tuple[tuple[str, int], ...] = field(default=(), repr=False)
    """The images that stages name which are not needed, with their lines: they must be names of images all the same."""
    warnings: tuple[Warned, ...] = ()
    dockerfile: Dockerfile = field(repr=False)
    target_name: str | None = field(default=None, repr=False)
    named_contexts: tuple[str, ...] = field(default=(), repr=False)
    stage_contexts: Mapping[str, str] = field(default_factory=dict, repr=False)
    known_bases: Mapping[int, _Known] = field(default_factory=dict, repr=False)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Return all nodes, each after those it depends on."""
        return tuple(node for stage in self.stages for node in stage.nodes)

    @property
    def edges(self) -> Iterator[tuple[Node, Edge]]:
        """Yield each edge with the node that it leads to."""
        return ((node, edge) for stage in self.stages for node in stage.nodes for edge in node.depends)

    @property
    def target_stage(self) -> Stage:
        return self.stage(self.target)

    def stage(self, index: int) -> Stage:
        """Return a needed stage by its index in the file; KeyError for one that the target does not need."""
        for stage in self.stages:
            if stage.index == index:
                return stage
        raise KeyError(index)

    def node(self, identifier: str) -> Node:
        """Return the node with that id, or raise KeyError."""
        for node in self.stage(int(identifier.partition(".")[0])).nodes:
            if node.id == identifier:
                return node
        raise KeyError(identifier)

    def scope(self, environment: Sequence[str] = ()) -> Scope:
        """Return the scope in which a stage begins whose base has `environment` (`NAME=value`).

        A stage on another stage begins with that one's last scope.
        """
        return Scope.open(environment, global_args=self.global_args, build_args=self.build_args, escape=self.escape)

    def with_base(self, stage_index: int, environment: Sequence[str], onbuild: Sequence[str]) -> InstructionGraph:
        """Return the graph once the config of a stage's base image is known.

        `onbuild` are its triggers, which become nodes after FROM and may need further stages. Raises DockerfileError at
        the line of the FROM for a trigger that cannot be used.
        """
        known = _Known(environment=tuple(environment), onbuild=tuple(onbuild))
        return build_graph(
            self.dockerfile,
            self.target_name,
            self.build_args,
            self.platform,
            also=tuple(self.also),
            build_platform=self.build_platform,
            named_contexts=self.named_contexts,
            stage_contexts=self.stage_contexts,
            _known_bases={**self.known_bases, stage_index: known},
        )

    def suggest(self, name: str) -> str | None:
        """Return the name of the stage that `name` was probably meant for."""
        return nearest(name, [stage for stage in self.stage_names if stage])

    def to_dict(self) -> dict[str, Any]:
        """Return the document that `pybuild graph --format json` prints."""
        outside = {outside_id(edge.source): edge.source for _, edge in self.edges if edge.source and not edge.node}
        used = {stage.index for stage in self.stages}
        return {
            "version": 1,
            "target": self.target,
            "platform": self.platform,
            "stages": [_stage_dict(stage) for stage in self.stages],
            "unused": [name or f"stage-{index}" for index, name in enumerate(self.stage_names) if index not in used],
            "nodes": [
                *({"id": identifier, "kind": base.kind, "name": base.name} for identifier, base in outside.items()),
                *(_node_dict(node, self.stage(node.stage)) for node in self.nodes),
            ],
            "edges": [
                {
                    "from": edge.node or outside_id(edge.source),
                    "to": node.id,
                    "kind": edge.kind,
                    "paths": list(edge.paths),
                }
                for node, edge in self.edges
            ],
            "warnings": [
                {"rule": warned.rule, "message": warned.message, "line": warned.line} for warned in self.warnings
            ],
        }


def build_graph(
    dockerfile: Dockerfile,
    target: str | None = None,
    build_args: Mapping[str, str] | None = None,
    platform: str | None = None,
    *,
    also: Sequence[str] | None = (),
    build_platform: str | None = None,
    named_contexts: Collection[str] = (),
    stage_contexts: Mapping[str, str] | None = None,
    _known_bases: Mapping[int, _Known] | None = None,
) -> InstructionGraph:
    """Return the graph of what `target` (a stage's name; the last stage if None) and the stages of `also` need.

    Where that is None it is the graph of all stages.
    `platform` is what the image is for, `build_platform` what the build runs on; each stands in for the other, and
    `linux/amd64` for both. `named_contexts` are names that hide stages and images, `stage_contexts` names that stand
    for a stage of the file. Every instruction of the file is checked. Raises DockerfileError.
    """
    known = _known_bases or {}
    settings = make_settings(dockerfile, build_args or {}, platform, build_platform, named_contexts, stage_contexts)
    outlines, global_args = divide(dockerfile, settings, predefined_arguments(settings, target, dockerfile))
    for index, base in known.items():
        outlines.all[index].triggers = parse_triggers(base.onbuild, outlines.all[index])
    chosen = outlines.all[-1] if target is None else _found(target, outlines)
    further = {name: _found(name, outlines).index for name in also or ()}
    dependencies = [_dependencies(outline, outlines, settings) for outline in outlines.all]
    check_order(outlines.all, [[(node, base) for _, node, base in found] for found in dependencies])
    targets = [chosen.index, *further.values()] if also is not None else list(range(len(outlines.all)))
    needed = _needed(targets, outlines.all, dependencies)
    environments = {index: base.environment for index, base in known.items()}
    built = [outlines.all[index] for index in needed]
    sources: dict[tuple[int, int], list[Base]] = {}
    for index in needed:
        for place, _, source in dependencies[index]:
            sources.setdefault((index, place), []).append(source)
    return InstructionGraph(
        stages=make_stages(built, sources, survey(built, environments, settings, global_args), settings.escape),
        target=chosen.index,
        also=further,
        global_args=global_args,
        build_args=dict(settings.build_args),
        platform=str(settings.platform),
        build_platform=str(settings.build_platform),
        escape=settings.escape,
        stage_names=tuple(outline.name for outline in outlines.all),
        unused_images=tuple(
            (base.name, node.start_line)
            for index in sorted({*range(len(outlines.all))} - {*needed})
            for _, node, base in dependencies[index]
            if base.kind == "image"
        ),
        warnings=(
            *_argument_warnings(dockerfile, settings),
            *_origin_warnings(outlines, sources),
        ),
        dockerfile=dockerfile,
        target_name=target,
        named_contexts=tuple(sorted(named_contexts)),
        stage_contexts=dict(stage_contexts or {}),
        known_bases=known,
    )


def _found(target: str, outlines: Outlines) -> Outline:
    """Return the stage that is called `target`; DockerfileError where none is."""
    outline = outlines.find(target)
    if outline is None:
        raise unknown_target(target, outlines.names)
    return outline


def make_settings(
    dockerfile: Dockerfile,
    build_args: Mapping[str, str],
    platform: str | None,
    build_platform: str | None,
    named_contexts: Collection[str],
    stage_contexts: Mapping[str, str] | None = None,
) -> Settings:
    builds_on = parse_platform(build_platform or platform or "linux/amd64")
    return Settings(
        build_args=build_args,
        platform=parse_platform(platform, builds_on) if platform else builds_on,
        build_platform=builds_on,
        named_contexts=named(named_contexts),
        stage_contexts={context_key(name): stage for name, stage in (stage_contexts or {}).items()},
        escape=dockerfile.directives.escape,
    )


def predefined_arguments(settings: Settings, target: str | None, dockerfile: Dockerfile) -> dict[str, str]:
    """Return the arguments that are global without an ARG; the build's arguments win over what they would be."""
    begins = [node.arguments for node in dockerfile.instructions if node.keyword == "from"]
    last = begins[-1][2].lower() if begins and len(begins[-1]) == 3 else ""
    arguments = {
        **platform_arguments("BUILD", settings.build_platform),
        **platform_arguments("TARGET", settings.platform),
        "TARGETSTAGE": target or last or "default",
    }
    return {name: settings.build_args.get(name, value) for name, value in arguments.items()}


def parse_triggers(texts: Sequence[str], outline: Outline) -> list[Instruction]:
    """Return the instructions of a base image's ONBUILD texts, at the line of FROM."""
    if not texts:
        return []
    from grammar.parser import parse  # lazy: 44 ms, and most bases have no triggers

    triggers: list[Instruction] = []
    for text in texts:
        try:
            parsed = parse(text).instructions
            if len(parsed) != 1:
                raise DockerfileError("onbuild trigger should be a single expression")
            if parsed[0].keyword in ("from", "maintainer", "onbuild"):
                raise DockerfileError(f"{parsed[0].keyword.upper()} isn't allowed as an ONBUILD trigger")
            validate(parsed[0])
        except DockerfileError as error:
            raise DockerfileError(
                f"ONBUILD trigger {text!r} of {outline.base.name}: {error.message}",
                line=outline.begin.start_line,
                hint=error.hint or "the base image has to be made anew, or another one used",
            ) from error
        triggers.append(parsed[0])
    return triggers


def _dependencies(outline: Outline, outlines: Outlines, settings: Settings) -> list[tuple[int, Instruction, Base]]:
    """Return what the stage's instructions read besides the build context, by their place; FROM is at -1."""
    found = [(-1, outline.begin, outline.base)]
    for place, node in outline.readers():
        flags = validate(node, settings.escape).flags
        found += ((place, node, base) for base in origins(node, flags, outlines, settings))
    return found


def _needed(
    targets: list[int], outlines: Sequence[Outline], dependencies: Sequence[Sequence[tuple[int, Instruction, Base]]]
) -> list[int]:
    """Return the indices of the stages that `targets` need, they included, in order.

    Raises DockerfileError where one of them reads a stage that stands behind it.
    """
    needed: set[int] = set()
    work = targets
    while work:
        index = work.pop()
        if index in needed:
            continue
        needed.add(index)
        for _, node, base in dependencies[index]:
            if base.stage is None:
                continue
            if base.stage > index:
                verb = "copy" if node.keyword == "copy" else "mount"
                raise DockerfileError(
                    f'cannot {verb} from stage "{outlines[base.stage].label}", it needs to be defined before current '
                    f'stage "{outlines[index].label}"',
                    line=node.start_line,
                    hint=f"move stage {outlines[base.stage].label} up",
                )
            work.append(base.stage)
    return sorted(needed)


def _argument_warnings(dockerfile: Dockerfile, settings: Settings) -> Iterator[Warned]:
    """Yield a warning for build arguments that no ARG takes."""
    declared = {
        word.partition("=")[0] for node in dockerfile.instructions if node.keyword == "arg" for word in node.arguments
    }
    platforms = {*platform_arguments("BUILD", settings.platform), *platform_arguments("TARGET", settings.platform)}
    given = {name for name in settings.build_args if not name.startswith(_BUILDERS)}
    unused = sorted(given - declared - platforms - _PREDECLARED)
    if unused:
        yield Warned(rule="UnusedBuildArg", message=f"One or more build-args {unused} were not consumed")


def _origin_warnings(outlines: Outlines, sources: Mapping[tuple[int, int], Sequence[Base]]) -> Iterator[Warned]:
    """Yield a warning for each `--from` that is taken for an image but nearly is the name of a stage."""
    for (index, place), bases in sources.items():
        for base in bases if place >= 0 else ():
            found = nearest(base.name, outlines.names, farthest=1) if base.kind == "image" else None
            if found is not None:
                message = f"{base.name!r} is no stage and taken for an image; did you mean the stage {found}?"
                yield Warned(rule="UnknownStage", message=message, line=outlines.all[index].node(place).start_line)


def outside_id(base: Base | None) -> str:
    """Return the id that stands in documents and pictures for what lies outside the file."""
    return "" if base is None else f"{base.kind}:{base.name}"


def _stage_dict(stage: Stage) -> dict[str, Any]:
    return {
        "index": stage.index,
        "name": stage.name,
        "base": {"kind": stage.base.kind, "name": stage.base.name, "stage": stage.base.stage},
        "platform": stage.platform,
        "comment": stage.comment,
        "nodes": [node.id for node in stage.nodes],
    }


def _node_dict(node: Node, stage: Stage) -> dict[str, Any]:
    return {
        "id": node.id,
        "kind": "instruction",
        "stage": stage.label,
        "trigger": node.trigger,
        "text": node.instruction.source,
        "digest": node.digest,
        **node.instruction.to_dict(),
    }
