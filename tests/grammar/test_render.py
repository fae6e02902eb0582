"""The graph as JSON, text, dot, Mermaid and SVG."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grammar.errors import DockerfileError
from grammar.graph import InstructionGraph, build_graph
from grammar.parser import parse
from grammar.render import FORMATS, render

TEXT = """FROM debian:trixie AS build
RUN make "a<b>"
COPY src/ lib /dst/
FROM scratch
COPY --from=build /dst /
ADD https://h/f /
"""


@pytest.fixture(scope="module")
def graph() -> InstructionGraph:
    return build_graph(parse(TEXT))


def test_json_holds_nodes_and_edges_with_the_files_they_carry(graph: InstructionGraph) -> None:
    document = json.loads(render(graph, "json"))
    assert document["version"] == 1
    nodes = {node["id"]: node for node in document["nodes"]}
    assert nodes["0.1"]["keyword"] == "run"
    assert nodes["0.1"]["start_line"] == 2
    assert nodes["0.1"]["stage"] == "build"
    assert nodes["image:debian:trixie"] == {"id": "image:debian:trixie", "kind": "image", "name": "debian:trixie"}
    assert {"from": "context:context", "to": "0.2", "kind": "copy", "paths": ["src/", "lib"]} in document["edges"]
    assert {"from": "0.2", "to": "1.1", "kind": "copy", "paths": ["/dst"]} in document["edges"]
    assert {"from": "remote:https://h/f", "to": "1.2", "kind": "copy", "paths": []} in document["edges"]
    assert all(edge["from"] in nodes and edge["to"] in nodes for edge in document["edges"])


def test_text_lists_stages_and_what_their_instructions_read(graph: InstructionGraph) -> None:
    assert render(graph, "text").splitlines()[-7:] == [
        "          <- copy context:context src/ lib",
        "stage-1 (target) linux/amd64",
        "     1.0  FROM scratch",
        "     1.1  COPY --from=build /dst /",
        "          <- copy 0.2 /dst",
        "     1.2  ADD https://h/f /",
        "          <- copy remote:https://h/f",
    ]


def test_dot_has_a_cluster_a_stage_and_quotes_what_the_user_wrote(graph: InstructionGraph) -> None:
    text = render(graph, "dot")
    assert text.startswith("digraph dockerfile {\n")
    assert text.count("subgraph cluster_") == 2
    assert '"0.1" [label="RUN make \\"a<b>\\""];' in text
    assert '"0.2" -> "1.1" [label="copy /dst", style=dashed];' in text


def test_mermaid_has_a_subgraph_a_stage_and_codes_for_signs(graph: InstructionGraph) -> None:
    text = render(graph, "mermaid")
    assert text.startswith("flowchart TD\n")
    assert 'subgraph s0["build"]' in text
    assert "make #34;a#60;b#62;#34;" in text
    assert 'n0_2 -. "copy /dst" .-> n1_1' in text


def test_svg_is_well_formed_and_draws_each_node_and_edge(graph: InstructionGraph) -> None:
    root = ElementTree.fromstring(render(graph, "svg"))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "build" in texts
    assert "COPY --from=build /dst /" in texts
    arrows = [element for element in root.iter() if element.get("marker-end")]
    assert len(arrows) == len(list(graph.edges))


def test_boxes_of_a_picture_do_not_overlap() -> None:
    graph = build_graph(parse("FROM x AS a\nRUN 1\nFROM y AS b\nCOPY --from=a 1 2\nFROM a\nCOPY --from=b 1 2\nRUN z\n"))
    found = re.findall(r'<rect x="([\d.]+)" y="([\d.]+)"', render(graph, "svg"))
    assert len(set(found)) == len(found)


def test_equal_graphs_give_equal_bytes(graph: InstructionGraph) -> None:
    for form in FORMATS:
        assert render(build_graph(parse(TEXT)), form) == render(graph, form)


def test_an_unknown_format_is_refused_with_the_nearest(graph: InstructionGraph) -> None:
    with pytest.raises(DockerfileError) as caught:
        render(graph, "jsn")
    assert caught.value.hint == "did you mean json?"


@given(st.text(max_size=20))
def test_nothing_raw_comes_through(text: str) -> None:
    try:
        graph = build_graph(parse(f"FROM scratch\nLABEL a={text}b\nCOPY {text}c /d\n"))
    except DockerfileError:
        return
    for form in FORMATS:
        output = render(graph, form)
        assert all(character.isprintable() or character == "\n" for character in output)
        output.encode()
    ElementTree.fromstring(render(graph, "svg"))
    json.loads(render(graph, "json"))
