"""Make the nodes and edges of the instruction graph.

A node's digest is over its instruction in canonical form and over the digests of what it depends on, so that equal
digests mean equal work wherever the instructions stand.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from frozen import Frozen
from grammar.checks import HEREDOC_MARKER
from grammar.flags import clean_flag, read_flags
from grammar.instructions import Copy, ResolvedInstruction, Run
from grammar.mounts import mount_kind, mount_source
from grammar.nodes import Instruction
from grammar.stages import BUILD_CONTEXT, Base, Outline
from grammar.survey import Survey

EdgeKind = Literal["previous", "base", "copy", "mount"]
_REMOTE = ("http://", "https://", "git://", "git@", "ssh://")


class Edge(Frozen):
    """What a node reads: the result of another node, or something outside the file, never both.

    `paths` are the files that it takes from there, expanded as far as the file alone can say; empty means the whole
    tree. A `previous` edge leads to the line above, a `base` edge to what FROM names.
    """

    kind: EdgeKind
    node: str | None = None
    source: Base | None = None
    paths: tuple[str, ...] = ()


class Node(Frozen):
    """One instruction of a stage. `id` is unique in the graph and stays the same in graphs made by `with_base`.

    `index` counts the nodes of a stage, the first being its FROM. `trigger` says that the base's ONBUILD put it here.
    `digest` (`sha256:…`) is over the instruction's canonical form and the digests of all that it depends on; lines,
    comments and stage names do not count.
    """

    id: str
    stage: int
    index: int
    instruction: Instruction
    depends: tuple[Edge, ...]
    trigger: bool = False
    digest: str


class Stage(Frozen):
    """One stage of the file that the target needs; `nodes` begin with its FROM.

    `platform` is the one its commands run on. `comment` describes the stage: the comment above FROM that begins with
    its name. A stage that a named context stands for has no nodes but FROM.
    """

    index: int
    name: str
    base: Base
    platform: str
    nodes: tuple[Node, ...]
    comment: str = ""

    @property
    def label(self) -> str:
        """Return the name, or `stage-N` where it has none."""
        return self.name or f"stage-{self.index}"

    @property
    def last(self) -> Node:
        return self.nodes[-1]


def make_stages(
    outlines: Sequence[Outline],
    sources: Mapping[tuple[int, int], Sequence[Base]],
    survey: Survey,
    escape: str,
) -> tuple[Stage, ...]:
    """Return the stages with their nodes; each only refers to those before it.

    `sources` holds what an instruction reads besides the build context, by stage and place after FROM.
    """
    stages: dict[int, Stage] = {}
    digests: dict[str, str] = {}
    for outline in outlines:
        nodes = [_from_node(outline, stages, digests)]
        triggers = 0 if outline.replaced else len(outline.triggers)
        for place, instruction in enumerate(outline.all()):
            key = (outline.index, place)
            edges = [
                Edge(kind="previous", node=nodes[-1].id),
                *_edges(instruction, sources.get(key, ()), survey[key], stages, escape),
            ]
            number = f"t{place + 1}" if place < triggers else str(place - triggers + 1)
            node = Node(
                id=f"{outline.index}.{number}",
                stage=outline.index,
                index=len(nodes),
                instruction=instruction,
                depends=tuple(edges),
                trigger=place < triggers,
                digest=_digest(_canonical(instruction, escape), edges, digests),
            )
            digests[node.id] = node.digest
            nodes.append(node)
        stages[outline.index] = Stage(
            index=outline.index,
            name=outline.name,
            base=outline.base,
            platform=str(outline.platform),
            nodes=tuple(nodes),
            comment=_description(outline),
        )
    return tuple(stages.values())


def _from_node(outline: Outline, stages: Mapping[int, Stage], digests: dict[str, str]) -> Node:
    base = outline.base
    edges: list[Edge] = []
    if base.stage is not None:
        edges.append(Edge(kind="base", node=stages[base.stage].last.id))
    elif base.kind != "scratch":
        edges.append(Edge(kind="base", source=base))
    identifier = f"{outline.index}.0"
    digests[identifier] = _digest(["from", str(outline.platform)], edges, digests)
    return Node(
        id=identifier,
        stage=outline.index,
        index=0,
        instruction=outline.begin,
        depends=tuple(edges),
        digest=digests[identifier],
    )


def _edges(
    instruction: Instruction,
    sources: Sequence[Base],
    resolved: ResolvedInstruction | None,
    stages: Mapping[int, Stage],
    escape: str,
) -> Iterator[Edge]:
    """Yield what an instruction reads besides the line above it."""
    if instruction.keyword in ("copy", "add"):
        paths = resolved.sources if isinstance(resolved, Copy) else _written_sources(instruction)
        if sources:
            yield _edge("copy", sources[0], paths, stages)
            return
        remote = [path for path in paths if instruction.keyword == "add" and path.startswith(_REMOTE)]
        local = tuple(path for path in paths if path not in remote)
        if local:
            yield Edge(kind="copy", source=BUILD_CONTEXT, paths=local)
        for url in remote:
            yield Edge(kind="copy", source=Base(kind="remote", name=url))
    elif instruction.keyword == "run":
        yield from _mount_edges(instruction, sources, resolved, stages, escape)


def _mount_edges(
    instruction: Instruction,
    sources: Sequence[Base],
    resolved: ResolvedInstruction | None,
    stages: Mapping[int, Stage],
    escape: str,
) -> Iterator[Edge]:
    """Yield an edge for each mount that shows files of a stage, an image or a context."""
    mounts = resolved.mounts if isinstance(resolved, Run) else ()
    origins = iter(sources)
    for place, mount in enumerate(read_flags(instruction, escape).texts("mount")):
        paths = (mounts[place].source,) if mounts and mounts[place].source else ()
        kind = mounts[place].type if mounts else mount_kind(mount)
        if mount_source(mount) is not None:
            yield _edge("mount", next(origins), paths, stages)
        elif kind == "bind":
            yield Edge(kind="mount", source=BUILD_CONTEXT, paths=paths)


def _edge(kind: EdgeKind, base: Base, paths: tuple[str, ...], stages: Mapping[int, Stage]) -> Edge:
    if base.stage is not None:
        return Edge(kind=kind, node=stages[base.stage].last.id, paths=paths)
    return Edge(kind=kind, source=base, paths=paths)


def _written_sources(instruction: Instruction) -> tuple[str, ...]:
    """Return the sources of a COPY or ADD as written, without here-documents."""
    words = instruction.arguments[:-1]
    if not instruction.heredocs:
        return words
    return tuple(word for word in words if not HEREDOC_MARKER.fullmatch(word))


def _canonical(instruction: Instruction, escape: str) -> list[Any]:
    """Return what an instruction says, however it is laid out."""
    return [
        instruction.keyword,
        [clean_flag(flag, escape) for flag in instruction.flags],
        instruction.form,
        list(instruction.arguments),
        [[heredoc.delimiter, heredoc.content, heredoc.expand] for heredoc in instruction.heredocs],
        None if instruction.trigger is None else _canonical(instruction.trigger, escape),
        escape,
    ]


def _digest(canonical: Sequence[Any], edges: Sequence[Edge], digests: Mapping[str, str]) -> str:
    """Return the digest over canonical JSON: no blanks, keys sorted, escapes for all but ASCII."""
    reads = [
        [
            edge.kind,
            digests[edge.node] if edge.node is not None else None,
            [edge.source.kind, edge.source.name, edge.source.platform] if edge.source is not None else None,
            edge.paths,
        ]
        for edge in edges
    ]
    text = json.dumps([canonical, reads], separators=(",", ":"), sort_keys=True)
    return f"sha256:{hashlib.sha256(text.encode('ascii')).hexdigest()}"


def _description(outline: Outline) -> str:
    """Return the comment above FROM that begins with the stage's name, without the name."""
    for line in outline.begin.comment.splitlines():
        name, _, text = line.strip().partition(" ")
        if outline.name and name == outline.name:
            return text.strip()
    return ""
