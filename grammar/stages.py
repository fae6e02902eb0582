"""Divide a Dockerfile into stages and find what each of them stands on.

A name in FROM means the nearest earlier stage of that name, else a named context, `scratch`, or an image; in `--from`
and a mount's `from` it is the last stage of that name in the file, which must stand before, and COPY takes its number
as well. Stage names are found in any case.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from typing import Literal

from frozen import Frozen, field, replace
from grammar.checks import validate
from grammar.errors import DockerfileError
from grammar.flags import Flags
from grammar.instructions import Arg, From
from grammar.mounts import mount_source
from grammar.nearest import did_you_mean
from grammar.nodes import Dockerfile, Instruction
from grammar.platforms import Platform, parse_platform
from grammar.resolution import resolve

BaseKind = Literal["scratch", "stage", "image", "context", "remote"]
_RESERVED = ("scratch", "context")


class Base(Frozen):
    """Where files come from: what a stage begins with, or what COPY, ADD and RUN --mount read.

    `name` is the stage's name (empty if it has none), the image as written and expanded, the named context, or the URL
    of a `remote`; the context called `context` is the build context. `stage` is the index of a stage in the file.
    `platform` is the one asked for, of images only.
    """

    kind: BaseKind
    name: str = ""
    stage: int | None = None
    platform: str | None = None


BUILD_CONTEXT = Base(kind="context", name="context")


class Outline:
    """One stage before its nodes are made: its FROM, base, and instructions, triggers of its base first.

    `replaced` says that a named context stands for the whole stage, whose instructions then do not count. `triggers`
    are what ONBUILD of the base brings, each still at its own line; many stages may share one sequence.
    """

    __slots__ = ("base", "begin", "index", "instructions", "name", "platform", "replaced", "triggers")

    def __init__(
        self, *, index: int, name: str, begin: Instruction, base: Base, platform: Platform, replaced: bool = False
    ) -> None:
        self.index = index
        self.name = name
        self.begin = begin
        self.base = base
        self.platform = platform
        self.replaced = replaced
        self.triggers: Sequence[Instruction] = ()
        self.instructions: list[Instruction] = []

    @property
    def label(self) -> str:
        return self.name or f"stage-{self.index}"

    def all(self) -> Iterator[Instruction]:
        """Yield what runs after FROM, in order; triggers at the line of FROM, which sets them off."""
        if not self.replaced:
            yield from map(self.at_from, self.triggers)
            yield from self.instructions

    def node(self, place: int) -> Instruction:
        """Return one of those of `all` by its place."""
        inherited = len(self.triggers)
        return self.at_from(self.triggers[place]) if place < inherited else self.instructions[place - inherited]

    def readers(self) -> Iterator[tuple[int, Instruction]]:
        """Yield those with flags that may read another stage, with their places in `all`."""
        written = () if self.replaced else chain(self.triggers, self.instructions)
        for place, node in enumerate(written):
            if node.flags and node.keyword in ("copy", "run"):
                yield place, self.at_from(node) if place < len(self.triggers) else node

    def at_from(self, trigger: Instruction) -> Instruction:
        return replace(trigger, start_line=self.begin.start_line, end_line=self.begin.end_line)


class Outlines:
    """The stages of a file in order, found by name in any case."""

    def __init__(self) -> None:
        self.all: list[Outline] = []
        self._by_name: dict[str, list[int]] = {}

    def add(self, outline: Outline) -> None:
        self.all.append(outline)
        if outline.name:
            self._by_name.setdefault(outline.name, []).append(outline.index)

    def find(self, name: str) -> Outline | None:
        """Return the stage called `name`, of several the last one."""
        indices = self._by_name.get(name.lower())
        return self.all[indices[-1]] if indices else None

    @property
    def names(self) -> list[str]:
        return list(self._by_name)


class Settings(Frozen):
    """What a build asks for besides the file."""

    build_args: Mapping[str, str]
    platform: Platform
    build_platform: Platform
    named_contexts: Mapping[str, str]
    """Familiar name -> name as given; one for a single platform has `::PLATFORM` behind both."""
    escape: str
    stage_contexts: Mapping[str, str] = field(default_factory=dict)
    """Familiar name -> the stage that it stands for."""

    def context(self, name: str, platform: Platform) -> str | None:
        """Return the named context that `name` means for a platform, as it was given."""
        return _for_platform(self.named_contexts, name, platform)

    def stage_context(self, name: str, platform: Platform) -> str | None:
        """Return the stage that a named context says `name` is for a platform."""
        return _for_platform(self.stage_contexts, name.lower(), platform)


def _for_platform(contexts: Mapping[str, str], name: str, platform: Platform) -> str | None:
    if not contexts:
        return None
    name = familiar(name)
    return contexts.get(f"{name}::{platform}") or contexts.get(name)


def divide(
    dockerfile: Dockerfile, settings: Settings, platform_args: Mapping[str, str]
) -> tuple[Outlines, dict[str, str]]:
    """Return the stages of a file, and the global arguments with their values.

    `platform_args` are global too, and already take the build's arguments into account. Raises DockerfileError.
    """
    global_args = dict(platform_args)
    outlines = Outlines()
    for node in dockerfile.instructions:
        validate(node, settings.escape)
        if node.keyword == "from":
            outlines.add(_begin(node, outlines, settings, global_args))
        elif outlines.all:
            outlines.all[-1].instructions.append(node)
        elif node.keyword == "arg":
            resolved = resolve(node, global_args, settings.escape, given=settings.build_args)
            assert isinstance(resolved, Arg)
            global_args.update((word.name, word.value) for word in resolved.arguments if word.value is not None)
        else:
            raise outside_stages(node)
    if not outlines.all:
        raise DockerfileError("dockerfile contains no stages to build", hint="add FROM image")
    triggers = [[node.trigger for node in outline.all() if node.trigger is not None] for outline in outlines.all]
    for outline in outlines.all:
        if outline.base.stage is not None:
            outline.triggers = triggers[outline.base.stage]
    return outlines, global_args


def outside_stages(node: Instruction) -> DockerfileError:
    """Return the error for an instruction that stands before the first FROM and may not."""
    return DockerfileError(
        f"no build stage in current context: {node.keyword.upper()} before FROM",
        line=node.start_line,
        hint="begin with FROM; only ARG may stand before it",
    )


def familiar(name: str) -> str:
    """Return an image's name as Docker shows it: without `docker.io/library/` and `:latest`."""
    for prefix in ("docker.io/library/", "index.docker.io/library/", "library/", "docker.io/", "index.docker.io/"):
        if name.startswith(prefix):
            name = name.removeprefix(prefix)
            break
    return name.removesuffix(":latest")


def origins(node: Instruction, flags: Flags, outlines: Outlines, settings: Settings) -> list[Base]:
    """Return what `node` reads besides the build context: one entry for COPY --from, one a mount."""
    if node.keyword == "copy":
        name = flags.text("from")
        return [] if name is None else [_copy_origin(name, node, outlines, settings)]
    if node.keyword == "run":
        names = [mount_source(written) for written in flags.texts("mount")]
        return [_origin(name, node, outlines, settings) for name in names if name is not None]
    return []


def check_order(outlines: Sequence[Outline], dependencies: Sequence[Sequence[tuple[Instruction, Base]]]) -> None:
    """Raise DockerfileError where stages need each other in a circle (also a stage itself)."""
    finished: set[int] = set()
    entered: list[int] = []
    for start in range(len(outlines)):
        work = [(start, iter(_stages_of(dependencies[start])))] if start not in finished else []
        entered = [start]
        while work:
            index, remaining = work[-1]
            following = next(remaining, None)
            if following is None:
                work.pop()
                entered.pop()
                finished.add(index)
            elif following[1] in entered:
                raise DockerfileError(
                    f"circular dependency detected on stage: {outlines[following[1]].label}",
                    line=following[0].start_line,
                    hint="a stage may only use stages before it",
                )
            elif following[1] not in finished:
                entered.append(following[1])
                work.append((following[1], iter(_stages_of(dependencies[following[1]]))))


def _stages_of(dependencies: Sequence[tuple[Instruction, Base]]) -> list[tuple[Instruction, int]]:
    return [(node, base.stage) for node, base in dependencies if base.stage is not None]


def _begin(node: Instruction, outlines: Outlines, settings: Settings, global_args: Mapping[str, str]) -> Outline:
    """Return the stage that a FROM begins."""
    resolved = resolve(node, global_args, settings.escape)
    assert isinstance(resolved, From)
    platform = settings.platform
    if resolved.platform is not None:
        try:
            platform = parse_platform(resolved.platform, settings.build_platform)
        except DockerfileError as error:
            raise error.at(node.start_line) from None
    name = resolved.name
    replaced = name not in ("", *_RESERVED) and settings.context(name, platform) is not None
    parent = (
        None
        if replaced
        else _standing_for(resolved.image, node, outlines, settings, platform) or outlines.find(resolved.image)
    )
    if parent is not None:
        base = Base(kind="stage", name=parent.name, stage=parent.index)
        platform = parent.platform
    else:
        base = _outside(name if replaced else resolved.image, settings, platform)
    if base.kind == "scratch":
        platform = settings.platform
    return Outline(index=len(outlines.all), name=name, begin=node, base=base, platform=platform, replaced=replaced)


def _outside(name: str, settings: Settings, platform: Platform) -> Base:
    """Return what a name means that is no stage's."""
    if name == "scratch":
        return Base(kind="scratch", name=name)
    context = settings.context(name, platform)
    if context is not None and name not in _RESERVED:
        return Base(kind="context", name=context, platform=str(platform))
    return Base(kind="image", name=name, platform=str(platform))


def _origin(name: str, node: Instruction, outlines: Outlines, settings: Settings) -> Base:
    stage = _standing_for(name, node, outlines, settings, settings.platform) or outlines.find(name)
    if stage is not None:
        return Base(kind="stage", name=stage.name, stage=stage.index)
    return _outside(name, settings, settings.platform)


def _standing_for(
    name: str, node: Instruction, outlines: Outlines, settings: Settings, platform: Platform
) -> Outline | None:
    """Return the stage that a named context says `name` is. Raises DockerfileError where there is no such stage."""
    wanted = settings.stage_context(name, platform)
    if wanted is None:
        return None
    stage = outlines.find(wanted)
    if stage is None:
        raise DockerfileError(
            f'{name} is the context target:{wanted}, and no stage "{wanted}" comes before',
            line=node.start_line,
            hint=did_you_mean(wanted, outlines.names) or "a stage can stand for names that come after it",
        )
    return stage


def _copy_origin(name: str, node: Instruction, outlines: Outlines, settings: Settings) -> Base:
    """Return what COPY --from names: digits are a stage's number."""
    digits = name.removeprefix("+").removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        return _origin(name, node, outlines, settings)
    if name.startswith("-") or len(digits) > 9 or int(digits) >= len(outlines.all):
        raise DockerfileError(
            f"invalid stage index {name}: --from={name}",
            line=node.start_line,
            hint=f"the file's stages are 0 to {len(outlines.all) - 1}; name the stage instead",
        )
    stage = outlines.all[int(digits)]
    return Base(kind="stage", name=stage.name, stage=stage.index)


def named(contexts: Collection[str]) -> dict[str, str]:
    """Return named contexts by their familiar names, and platforms in the usual spelling. Raises DockerfileError."""
    return {context_key(name): name for name in contexts}


def context_key(name: str) -> str:
    """Return what a named context is found by. Raises DockerfileError for a platform that is none."""
    name, separator, platform = name.lower().partition("::")
    return f"{familiar(name)}::{parse_platform(platform)}" if separator else familiar(name)


def unknown_target(target: str, names: Sequence[str]) -> DockerfileError:
    hint = did_you_mean(target, names) or (
        f"stages are {', '.join(names)}" if names else "no stage of the file has a name"
    )
    return DockerfileError(f'target stage "{target}" could not be found', hint=hint)
