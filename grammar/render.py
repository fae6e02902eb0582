"""Write an instruction graph as JSON, text, Graphviz dot, Mermaid or SVG.

All of them show the same: a box a node, grouped by stage, a box for whatever lies outside the file, and an arrow from
what is read to what reads it. What the user wrote is escaped for each format, and control characters never get through.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from grammar.errors import DockerfileError
from grammar.graph import Edge, InstructionGraph, Node, Stage, outside_id
from grammar.nearest import did_you_mean
from grammar.picture import Arrow, Box, draw

_LABEL = 48
"""Characters of an instruction that its box shows."""


def render(graph: InstructionGraph, form: str) -> str:
    """Return the graph in one of FORMATS, ending with a newline. Raises DockerfileError for another format."""
    write = _WRITERS.get(form)
    if write is None:
        raise DockerfileError(
            f"unknown format of a graph: {form}",
            hint=did_you_mean(form, FORMATS) or f"formats are {', '.join(FORMATS)}",
        )
    return write(graph)


def to_json(graph: InstructionGraph) -> str:
    """Return the document of `to_dict` as text; what is not ASCII is escaped."""
    return json.dumps(graph.to_dict(), indent=2) + "\n"


def to_text(graph: InstructionGraph) -> str:
    """Return the stages with their instructions, and what each reads besides the line above it."""
    lines: list[str] = []
    for stage in graph.stages:
        mark = " (target)" if stage.index == graph.target else ""
        lines.append(f"{stage.label}{mark} {stage.platform}")
        for node in stage.nodes:
            lines.append(f"  {node.id:>6}  {label(node)}")
            lines += (
                f"          <- {edge.kind} {edge.node or _plain(outside_id(edge.source))}{_paths(edge)}"
                for edge in node.depends
                if edge.kind != "previous"
            )
    return "\n".join(lines) + "\n"


def to_dot(graph: InstructionGraph) -> str:
    """Return the graph in the language of Graphviz; each stage is a cluster."""
    lines = ["digraph dockerfile {", "  rankdir=TB;", '  node [shape=box, fontname="monospace"];']
    for identifier, name in _outside(graph).items():
        lines.append(f"  {_dot(identifier)} [label={_dot(name)}, style=rounded];")
    for stage in graph.stages:
        lines += [f"  subgraph cluster_{stage.index} {{", f"    label={_dot(_title(graph, stage))};"]
        lines += (f"    {_dot(node.id)} [label={_dot(label(node))}];" for node in stage.nodes)
        lines.append("  }")
    for node, edge in graph.edges:
        style = "" if edge.kind == "previous" else f" [label={_dot(edge.kind + _paths(edge))}, style=dashed]"
        lines.append(f"  {_dot(_origin(edge))} -> {_dot(node.id)}{style};")
    return "\n".join([*lines, "}"]) + "\n"


def to_mermaid(graph: InstructionGraph) -> str:
    """Return the graph as a Mermaid flowchart; each stage is a subgraph."""
    names = {identifier: f"o{number}" for number, identifier in enumerate(_outside(graph))}
    names |= {node.id: "n" + node.id.replace(".", "_") for node in graph.nodes}
    lines = ["flowchart TD"]
    lines += (f'  {names[identifier]}(["{_mermaid(text)}"])' for identifier, text in _outside(graph).items())
    for stage in graph.stages:
        lines.append(f'  subgraph s{stage.index}["{_mermaid(_title(graph, stage))}"]')
        lines += (f'    {names[node.id]}["{_mermaid(label(node))}"]' for node in stage.nodes)
        lines.append("  end")
    for node, edge in graph.edges:
        arrow = "-->" if edge.kind == "previous" else f'-. "{_mermaid(edge.kind + _paths(edge))}" .->'
        lines.append(f"  {names[_origin(edge)]} {arrow} {names[node.id]}")
    return "\n".join(lines) + "\n"


def to_svg(graph: InstructionGraph) -> str:
    """Return a picture: a column a stage, what lies outside the file in the first."""
    boxes = [Box(name=identifier, text=text, column=0, rounded=True) for identifier, text in _outside(graph).items()]
    titles = {0: "outside"} if boxes else {}
    for column, stage in enumerate(graph.stages, 1):
        titles[column] = _title(graph, stage)
        boxes += (Box(name=node.id, text=label(node), column=column) for node in stage.nodes)
    arrows = [
        Arrow(
            begin=_origin(edge),
            end=node.id,
            text="" if edge.kind == "previous" else edge.kind + _paths(edge),
        )
        for node, edge in graph.edges
    ]
    return draw(boxes, arrows, titles)


def label(node: Node) -> str:
    """Return a node's instruction on one line, shortened."""
    text = " ".join(node.instruction.source.split()) or node.instruction.keyword.upper()
    text = _plain(f"ONBUILD {text}" if node.trigger and not text.upper().startswith("ONBUILD") else text)
    return text if len(text) <= _LABEL else text[: _LABEL - 1] + "…"


def _title(graph: InstructionGraph, stage: Stage) -> str:
    return _plain(f"{stage.label} (target)" if stage.index == graph.target else stage.label)


def _outside(graph: InstructionGraph) -> Mapping[str, str]:
    """Return what the graph reads from outside the file: id -> text of its box."""
    found: dict[str, str] = {}
    for _, edge in graph.edges:
        if edge.source is not None:
            name = "build context" if edge.source.kind == edge.source.name == "context" else edge.source.name
            found[outside_id(edge.source)] = _plain(name)
    return found


def _origin(edge: Edge) -> str:
    return edge.node or outside_id(edge.source)


def _paths(edge: Edge) -> str:
    if not edge.paths:
        return ""
    text = _plain(" " + " ".join(edge.paths))
    return text if len(text) <= _LABEL else text[: _LABEL - 1] + "…"


def _plain(text: str) -> str:
    """Return `text` with what is not printable (control characters, surrogates) shown as U+FFFD."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def _dot(text: str) -> str:
    return '"' + _plain(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _mermaid(text: str) -> str:
    """Return `text` with what Mermaid or HTML could read as a sign of theirs written as character codes."""
    return "".join(
        character if character.isalnum() or character in " ._-/:=,@+" else f"#{ord(character)};" for character in text
    )


_WRITERS: Mapping[str, Callable[[InstructionGraph], str]] = {
    "json": to_json,
    "text": to_text,
    "dot": to_dot,
    "mermaid": to_mermaid,
    "svg": to_svg,
}
FORMATS = tuple(_WRITERS)
