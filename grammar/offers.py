"""Tell what a file offers: the targets that it has, and the arguments, secrets and agents that a target takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from frozen import Frozen
from grammar.elements import Stage
from grammar.expansion import expand
from grammar.flags import read_flags
from grammar.graph import InstructionGraph
from grammar.instructions import Arg, Run
from grammar.lint.words import Asked
from grammar.nodes import Dockerfile, Instruction
from grammar.scope import Scope
from grammar.stages import Base


class Target(Frozen):
    """One stage as it is written; `base` and `platform` are not expanded."""

    name: str
    default: bool
    description: str
    base: str
    platform: str
    start_line: int
    end_line: int


class Taken(Frozen):
    """One argument, secret or agent; `value` is an argument's, and only secrets and agents are `required`."""

    name: str
    value: str = ""
    description: str = ""
    required: bool = False
    start_line: int
    end_line: int


class Offer(Frozen):
    """What one target takes, in the order of lines."""

    name: str
    description: str
    arguments: tuple[Taken, ...]
    secrets: tuple[Taken, ...]
    agents: tuple[Taken, ...]


def targets(dockerfile: Dockerfile) -> tuple[Target, ...]:
    """Return the stages of a file in its order."""
    begins = [node for node in dockerfile.instructions if node.keyword == "from"]
    found: list[Target] = []
    for node in begins:
        name = node.arguments[2].lower() if len(node.arguments) == 3 else ""
        found.append(
            Target(
                name=name,
                default=node is begins[-1],
                description=described(node, name),
                base=node.arguments[0],
                platform=read_flags(node, dockerfile.directives.escape).text("platform") or "",
                start_line=node.start_line,
                end_line=node.end_line,
            )
        )
    return tuple(found)


def described(node: Instruction, name: str) -> str:
    """Return the comment above `node` that begins with `name`, without it."""
    for line in node.comment.splitlines() if name else ():
        if line.startswith(f"{name} "):
            return line[len(name) + 1 :]
    return ""


def offer(graph: InstructionGraph, environment_of: Callable[[Base], Sequence[str]]) -> Offer:
    """Return what the target of `graph` takes; `environment_of` gives the environment of a base image.

    Raises DockerfileError with the line.
    """
    reader = _Reader(graph, environment_of)
    for stage in graph.stages:
        reader.read(stage)
    target = graph.target_stage
    order = reader.order(target)
    return Offer(
        name=target.name,
        description=described(target.nodes[0].instruction, target.name),
        arguments=_sorted(reader.arguments, order),
        secrets=_sorted(reader.secrets, order),
        agents=_sorted(reader.agents, order),
    )


def _sorted(found: Mapping[int, Mapping[str, Taken]], order: Iterable[int]) -> tuple[Taken, ...]:
    """Return the first of each name, stages in `order`, sorted by line."""
    first: dict[str, Taken] = {}
    for index in order:
        for name, taken in found[index].items():
            first.setdefault(name, taken)
    return tuple(sorted(first.values(), key=lambda taken: taken.start_line))


class _Reader:
    """Goes through the stages of one graph; `arguments`, `secrets` and `agents` are by stage and name."""

    def __init__(self, graph: InstructionGraph, environment_of: Callable[[Base], Sequence[str]]) -> None:
        self._graph = graph
        self._environment_of = environment_of
        self._globals: dict[str, Taken] = {}
        self._depends: dict[str, set[str]] = {}
        self._read_globals()
        self._ends: dict[int, Scope] = {}
        self.arguments: dict[int, dict[str, Taken]] = {}
        self.secrets: dict[int, dict[str, Taken]] = {}
        self.agents: dict[int, dict[str, Taken]] = {}

    def order(self, target: Stage) -> list[int]:
        """Return the stages in the order in which their words count: the target's, its base's, then others'."""
        order: list[int] = []
        work = [target.index]
        while work:
            index = work.pop(0)
            if index not in order:
                order.append(index)
                edges = (edge for node in self._graph.stage(index).nodes for edge in node.depends)
                work += [self._graph.node(edge.node).stage for edge in edges if edge.node and edge.kind != "previous"]
        return order

    def read(self, stage: Stage) -> None:
        """Read one stage, after the one that it stands on."""
        begin, *nodes = (node.instruction for node in stage.nodes)
        arguments: dict[str, Taken] = {}
        self._use(self._names_in_from(begin), arguments)
        secrets: dict[str, Taken] = {}
        agents: dict[str, Taken] = {}
        if stage.base.stage is not None:
            scope = self._ends[stage.base.stage]
        else:
            scope = self._graph.scope(self._environment_of(stage.base) if stage.base.kind == "image" else ())
        for node in nodes:
            scope, resolved = scope.apply(node)
            if isinstance(resolved, Arg):
                self._take(node, resolved, arguments)
            elif isinstance(resolved, Run):
                for mount in resolved.mounts:
                    kept = {"secret": secrets, "ssh": agents}.get(mount.type)
                    if kept is not None:
                        kept.setdefault(mount.id, _taken(node, mount.id, required=mount.required))
        self._ends[stage.index] = scope
        self.arguments[stage.index] = arguments
        self.secrets[stage.index] = secrets
        self.agents[stage.index] = agents

    def _read_globals(self) -> None:
        """Note the arguments above the first FROM, and which others their defaults name."""
        graph = self._graph
        for node in graph.dockerfile.instructions:
            if node.keyword != "arg":
                return
            for word in node.arguments:
                name, _, default = word.partition("=")
                asked = Asked(graph.global_args)
                if name not in graph.build_args:
                    expand(default, asked, graph.escape)
                self._depends[name] = {other for other in asked.found if other != name}
                self._globals[name] = _taken(node, name, value=graph.global_args.get(name, ""))

    def _names_in_from(self, begin: Instruction) -> list[str]:
        asked = Asked(self._graph.global_args)
        platform = read_flags(begin, self._graph.escape).text("platform")
        for word in (begin.arguments[0], platform or ""):
            expand(word, asked, self._graph.escape)
        return list(asked.found)

    def _use(self, names: Sequence[str], arguments: dict[str, Taken]) -> None:
        """Add global arguments, and those that their defaults name."""
        work = list(names)
        while work:
            name = work.pop()
            if name in self._globals and name not in arguments:
                arguments[name] = self._globals[name]
                work += self._depends[name]

    def _take(self, node: Instruction, resolved: Arg, arguments: dict[str, Taken]) -> None:
        for word, argument in zip(node.arguments, resolved.arguments, strict=True):
            name = argument.name
            if "=" in word or name in self._graph.build_args or name not in self._graph.global_args:
                arguments[name] = _taken(node, name, value=argument.value or "")
            else:
                self._use([name], arguments)


def _taken(node: Instruction, name: str, *, value: str = "", required: bool = False) -> Taken:
    return Taken(
        name=name,
        value=value,
        description=described(node, name) if node.keyword == "arg" else "",
        required=required,
        start_line=node.start_line,
        end_line=node.end_line,
    )
