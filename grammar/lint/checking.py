"""Run the checks over a whole file: `check` for a file by itself, `check_graph` for what a build is about to do."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from grammar.elements import Stage
from grammar.errors import DockerfileError
from grammar.graph import InstructionGraph, build_graph, make_settings, parse_triggers, predefined_arguments
from grammar.ignore import IgnoreFile
from grammar.instructions import Arg
from grammar.lint.bases import check_defaults, check_from
from grammar.lint.findings import Collector, Report
from grammar.lint.settings import Settings, read_settings
from grammar.lint.stages import FindBase, StageChecker, StageLines
from grammar.lint.written import check_casing, check_lines, check_names
from grammar.nodes import Dockerfile, Instruction
from grammar.resolution import resolve
from grammar.scope import Scope
from grammar.stages import Outline, divide
from grammar.stages import Settings as BuildSettings

CHECK_ARGUMENT = "BUILDKIT_DOCKERFILE_CHECK"
"""The build argument that takes the place of the directive `check`."""


def check(
    dockerfile: Dockerfile,
    target: str | None = None,
    build_args: Mapping[str, str] | None = None,
    platform: str | None = None,
    *,
    build_platform: str | None = None,
    named_contexts: Collection[str] = (),
    ignore: IgnoreFile | None = None,
    find_base: FindBase = lambda _: None,
) -> Report:
    """Check a file: all its stages, or those that `target` needs.

    The arguments are those of `build_graph`; `ignore` are the patterns of the context's ignore file. A fault of the
    file ends the check and is the report's `error`. Raises DockerfileError for wrong options of the check itself.
    """
    arguments = build_args or {}
    from grammar.lint.advice import advise  # lazy: builds are not advised

    collector = Collector(_settings(dockerfile, arguments))
    settings = make_settings(dockerfile, arguments, platform, build_platform, named_contexts)
    error: DockerfileError | None = None
    try:
        check_lines(dockerfile, collector)
        predefined = predefined_arguments(settings, target, dockerfile)
        _check_bases(dockerfile, settings, predefined, collector)
        outlines, global_args = divide(dockerfile, settings, predefined)

        def open_scope(environment: Sequence[str]) -> Scope:
            return Scope.open(environment, global_args=global_args, build_args=arguments, escape=settings.escape)

        def graph() -> InstructionGraph:
            return build_graph(
                dockerfile,
                target,
                arguments,
                platform,
                also=None if target is None else (),
                build_platform=build_platform,
                named_contexts=named_contexts,
            )

        wanted = None if target is None else {stage.index for stage in graph().stages}
        checker = StageChecker(
            collector, open_scope=open_scope, find_base=find_base, ignore=ignore, escape=settings.escape
        )
        for outline in outlines.all:
            if wanted is not None and outline.index not in wanted:
                continue
            known = find_base(outline.base) if outline.base.kind == "image" else None
            if known is not None:
                outline.triggers = parse_triggers(known.onbuild, outline)
            checker.check(_lines(outline))
        if wanted is None:
            graph()  # refuses circles of stages, and what else no line alone can tell
        advise(outlines.all, collector)
    except DockerfileError as fault:
        error = fault
    return collector.finish(error)


def check_graph(graph: InstructionGraph, *, ignore: IgnoreFile | None, find_base: FindBase) -> Report:
    """Check what a build of `graph` is made of, which can be built and whose bases' triggers are nodes in it.

    Raises DockerfileError for wrong options of the check itself.
    """
    dockerfile = graph.dockerfile
    collector = Collector(_settings(dockerfile, graph.build_args))
    settings = make_settings(
        dockerfile,
        graph.build_args,
        graph.platform,
        graph.build_platform,
        graph.named_contexts,
        graph.stage_contexts,
    )
    check_lines(dockerfile, collector)
    predefined = predefined_arguments(settings, graph.target_name, dockerfile)
    _check_bases(dockerfile, settings, predefined, collector)
    checker = StageChecker(collector, open_scope=graph.scope, find_base=find_base, ignore=ignore, escape=graph.escape)
    for stage in graph.stages:
        checker.check(_built(stage))
    return collector.finish(None)


def _settings(dockerfile: Dockerfile, build_args: Mapping[str, str]) -> Settings:
    given = build_args.get(CHECK_ARGUMENT)
    try:
        return read_settings(given if given is not None else dockerfile.directives.check or "")
    except DockerfileError as error:
        place = f"build-arg:{CHECK_ARGUMENT}" if given is not None else "check options"
        raise DockerfileError(f"failed to parse {place}: {error.message}", hint=error.hint) from error


def _check_bases(
    dockerfile: Dockerfile, settings: BuildSettings, predefined: Mapping[str, str], collector: Collector
) -> None:
    """Check names and letters of all stages, and what their FROMs name."""
    begins = [node for node in dockerfile.instructions if node.keyword == "from"]
    check_names(begins, collector)
    check_casing(dockerfile, collector)
    before = _before_stages(dockerfile)
    escape = settings.escape
    try:
        defaults = _global_arguments(before, predefined, {}, escape)
    except DockerfileError:
        defaults = None  # the fault may go with the build's arguments
    if defaults is not None:
        check_defaults(begins, defaults, escape, collector)
    arguments = _global_arguments(before, predefined, settings.build_args, escape)
    declared = dict.fromkeys(word.partition("=")[0] for node in before for word in node.arguments)
    for node in begins:
        if not check_from(node, arguments, declared, escape, collector):
            return


def _before_stages(dockerfile: Dockerfile) -> list[Instruction]:
    """Return the ARGs above the first FROM."""
    before: list[Instruction] = []
    for node in dockerfile.instructions:
        if node.keyword != "arg":
            break
        before.append(node)
    return before


def _global_arguments(
    before: Sequence[Instruction], predefined: Mapping[str, str], given: Mapping[str, str], escape: str
) -> dict[str, str]:
    arguments = dict(predefined)
    for node in before:
        resolved = resolve(node, arguments, escape, given=given)
        assert isinstance(resolved, Arg)
        arguments.update((word.name, word.value) for word in resolved.arguments if word.value is not None)
    return arguments


def _lines(outline: Outline) -> StageLines:
    return StageLines(
        index=outline.index,
        begin=outline.begin,
        base=outline.base,
        platform=str(outline.platform),
        instructions=tuple(outline.all()),
    )


def _built(stage: Stage) -> StageLines:
    begin, *nodes = (node.instruction for node in stage.nodes)
    return StageLines(
        index=stage.index, begin=begin, base=stage.base, platform=stage.platform, instructions=tuple(nodes)
    )
