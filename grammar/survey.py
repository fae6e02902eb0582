"""Walk the variables of the needed stages as far as the file alone can know them.

A base image brings variables that only its config tells. Until then a word is certain if every variable in it was set
by the file or the build's arguments; what is not certain is left as written and judged later. What is certain is
checked now, so that a wrong port or signal is found before anything runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from grammar.errors import DockerfileError
from grammar.instructions import Arg, Env, ResolvedInstruction
from grammar.nodes import Instruction
from grammar.resolution import resolve
from grammar.scope import base_environment
from grammar.stages import Outline, Settings

Survey = Mapping[tuple[int, int], ResolvedInstruction | None]
"""(stage, place after FROM) -> what the instruction means, or None where the file alone does not say."""


class _Asked(Mapping[str, str]):
    """Variables of which not all are known; `missed` says whether one was asked for that may be set or not."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self.known = known
        self.missed = False

    def __getitem__(self, name: str) -> str:
        value = self.known.get(name)
        if value is None:
            self.missed = True
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self.known)

    def __len__(self) -> int:
        return len(self.known)


class _Variables:
    """The variables at one line; `complete` if no others can be set there."""

    __slots__ = ("complete", "visible")

    def __init__(self, visible: dict[str, str], *, complete: bool = False) -> None:
        self.visible = visible
        self.complete = complete

    def take(self, resolved: ResolvedInstruction) -> None:
        if isinstance(resolved, Env):
            self.visible.update(resolved.variables)
        elif isinstance(resolved, Arg):
            self.visible.update((word.name, word.value) for word in resolved.arguments if word.value is not None)

    def forget(self, names: Iterable[str]) -> None:
        for name in names:
            self.visible.pop(name, None)


def survey(
    outlines: Sequence[Outline],
    environments: Mapping[int, Sequence[str]],
    settings: Settings,
    global_args: Mapping[str, str],
) -> Survey:
    """Return what each instruction of the stages means, which stand in order and hold all that they refer to.

    `environments` are those base images' that are known, by stage. Raises DockerfileError for a certain fault.
    """
    found: dict[tuple[int, int], ResolvedInstruction | None] = {}
    ends: dict[int, _Variables] = {}
    children = Counter(outline.base.stage for outline in outlines)
    for outline in outlines:
        parent = outline.base.stage
        if parent is None:
            variables = _beginning(outline, environments)
        else:
            children[parent] -= 1
            variables = ends[parent]
            if children[parent]:  # the last of the children needs no copy
                variables = _Variables(dict(variables.visible), complete=variables.complete)
        for place, node in enumerate(outline.all()):
            found[outline.index, place] = _step(node, variables, settings, global_args)
        ends[outline.index] = variables
    return found


def _beginning(outline: Outline, environments: Mapping[int, Sequence[str]]) -> _Variables:
    environment = environments.get(outline.index, () if outline.base.kind == "scratch" else None)
    if environment is None:
        return _Variables({})
    return _Variables(base_environment(environment), complete=True)


def _step(
    node: Instruction, variables: _Variables, settings: Settings, global_args: Mapping[str, str]
) -> ResolvedInstruction | None:
    """Return what `node` means if that is certain, and change `variables` as it does."""
    asked = _Asked(variables.visible)
    seen = variables.visible if variables.complete else asked
    try:
        resolved = resolve(node, seen, settings.escape, given=settings.build_args, inherited=global_args)
    except DockerfileError:
        if not asked.missed:
            raise
        variables.forget(node.arguments[::2] if node.keyword == "env" else ())
        variables.forget([word.partition("=")[0] for word in node.arguments] if node.keyword == "arg" else ())
        return None
    if not asked.missed:
        variables.take(resolved)
        return resolved
    if isinstance(resolved, Env):
        variables.forget(name for name, _ in resolved.variables)
    elif isinstance(resolved, Arg):
        variables.forget(argument.name for argument in resolved.arguments)
    return None
