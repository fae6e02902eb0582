"""The instruction graph: which stages are needed, what nodes read, what is refused."""

from __future__ import annotations

import pickle
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grammar.errors import DockerfileError
from grammar.graph import Base, InstructionGraph, build_graph, outside_id
from grammar.parser import parse
from tests.grammar.work import lines_run

CONTEXT = "context:context"


def graph_of(text: str, target: str | None = None, **options: Any) -> InstructionGraph:
    return build_graph(parse(text), target, **options)


def reads(graph: InstructionGraph, identifier: str) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return what a node reads besides the line above it."""
    return [
        (edge.kind, edge.node or outside_id(edge.source), edge.paths)
        for edge in graph.node(identifier).depends
        if edge.kind != "previous"
    ]


def test_nodes_of_a_stage_stand_on_each_other() -> None:
    graph = graph_of("FROM debian\nENV a=1\nRUN x\n")
    assert [node.id for node in graph.nodes] == ["0.0", "0.1", "0.2"]
    assert [[(edge.kind, edge.node) for edge in node.depends] for node in graph.nodes] == [
        [("base", None)],
        [("previous", "0.0")],
        [("previous", "0.1")],
    ]
    assert graph.stage(0).base == Base(kind="image", name="debian", platform="linux/amd64")


def test_only_what_the_target_needs_is_there() -> None:
    text = "FROM a AS one\nFROM b AS two\nFROM one AS three\nCOPY --from=zero /x /y\nFROM c\n"
    graph = graph_of(text, "three")
    assert [stage.label for stage in graph.stages] == ["one", "three"]
    assert graph.target == 2
    assert graph.to_dict()["unused"] == ["two", "stage-3"]


def test_of_stages_with_one_name_the_last_is_copied_from_and_the_nearest_stood_on() -> None:
    text = "FROM x AS a\nFROM a AS b\nFROM y AS a\nFROM a AS c\nCOPY --from=a /1 /2\n"
    graph = graph_of(text)
    assert [stage.base.stage for stage in graph_of(text, also=None).stages] == [None, 0, None, 2]
    assert reads(graph, "3.1") == [("copy", "2.0", ("/1",))]
    with pytest.raises(DockerfileError, match='cannot copy from stage "a", it needs to be defined before'):
        graph_of("FROM x AS a\nFROM y\nCOPY --from=a 1 2\nFROM z AS a\n", also=None)
    with pytest.raises(DockerfileError, match="circular dependency detected on stage: a"):
        graph_of("FROM x AS a\nFROM y AS a\nCOPY --from=a 1 2\n")


def test_further_stages_may_be_wanted_in_the_same_graph() -> None:
    text = "FROM a AS one\nFROM b AS two\nFROM one AS three\nFROM c AS four\nFROM d\n"
    graph = graph_of(text, "three", also=["FOUR", "two"])
    assert [stage.label for stage in graph.stages] == ["one", "two", "three", "four"]
    assert (graph.target, graph.also) == (2, {"FOUR": 3, "two": 1})
    assert graph.with_base(0, ["A=1"], []).also == graph.also
    with pytest.raises(DockerfileError, match='target stage "five" could not be found'):
        graph_of(text, also=["five"])


def test_the_last_stage_is_the_target_unless_another_is_named_in_any_case() -> None:
    text = "FROM a AS One\nFROM b\n"
    assert graph_of(text).target == 1
    assert graph_of(text, "oNE").target == 0


def test_a_stage_stands_on_the_end_of_an_earlier_one() -> None:
    graph = graph_of("FROM x AS Base\nRUN a\nFROM BASE\n")
    assert reads(graph, "1.0") == [("base", "0.1", ())]
    assert graph.stage(1).base == Base(kind="stage", name="base", stage=0)


def test_a_later_stage_of_the_name_of_an_image_does_not_hide_it() -> None:
    assert graph_of("FROM b AS a\nFROM a AS b\n", "a").stage(0).base.kind == "image"


def test_of_two_stages_of_one_name_the_nearest_earlier_counts() -> None:
    graph = graph_of("FROM x AS a\nFROM y AS a\nFROM scratch\nCOPY --from=a 1 2\n")
    assert reads(graph, "2.1") == [("copy", "1.0", ("1",))]


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("a", "0.0"),
        ("A", "0.0"),
        ("0", "0.0"),
        ("+0", "0.0"),
        ("img:1", "image:img:1"),
        ("scratch", "scratch:scratch"),
        ('"a"', "0.0"),
    ],
)
def test_copy_from_takes_a_stage_its_number_or_an_image(origin: str, expected: str) -> None:
    graph = graph_of(f"FROM x AS a\nFROM scratch\nCOPY --from={origin} /1 /2\n")
    assert reads(graph, "1.1") == [("copy", expected, ("/1",))]


def test_what_is_read_from_the_context_and_from_afar_is_told_apart() -> None:
    graph = graph_of("FROM scratch\nADD a http://h/f git@h:r b /x/\nCOPY <<E c /\nE\nCOPY <<E /f\nE\n")
    assert reads(graph, "0.1") == [
        ("copy", CONTEXT, ("a", "b")),
        ("copy", "remote:http://h/f", ()),
        ("copy", "remote:git@h:r", ()),
    ]
    assert reads(graph, "0.2") == [("copy", CONTEXT, ("c",))]
    assert reads(graph, "0.3") == []


def test_mounts_with_files_are_edges_in_order() -> None:
    graph = graph_of(
        "FROM scratch AS a\nFROM x\nRUN --mount=type=cache,target=/c --mount=from=a,source=/s,target=/a "
        "--mount=type=bind,source=d,target=/d --mount=type=tmpfs,target=/t --mount=type=cache,from=img,target=/e y\n"
    )
    assert reads(graph, "1.1") == [
        ("mount", "0.0", ("/s",)),
        ("mount", CONTEXT, ("d",)),
        ("mount", "image:img", ()),
    ]


def test_a_mounts_number_is_no_stage() -> None:
    assert reads(graph_of("FROM x\nFROM x\nRUN --mount=from=0,target=/a y\n"), "1.1") == [("mount", "image:0", ())]


def test_paths_expand_as_far_as_the_file_knows_the_variables() -> None:
    text = "FROM {}\nARG a=1\nENV b=$a-2 c=$PATH:/x\nCOPY $a $b $c ${{d:-e}} /x\n"
    assert reads(graph_of(text.format("img")), "0.3") == [("copy", CONTEXT, ("$a", "$b", "$c", "${d:-e}"))]
    scratch = graph_of(text.format("scratch"), build_args={"a": "9"})
    assert reads(scratch, "0.3")[0][2][:2] == ("9", "9-2")
    known = graph_of(text.format("img")).with_base(0, ["PATH=/p", "d=D"], [])
    assert reads(known, "0.3") == [("copy", CONTEXT, ("1", "1-2", "/p:/x", "D"))]


@pytest.mark.parametrize(
    ("text", "images", "options"),
    [
        ("ARG V=1\nFROM a:$V\n", ["a:1"], {}),
        ("ARG V=1\nFROM a:$V\n", ["a:2"], {"build_args": {"V": "2"}}),
        ("ARG A=1 B=$A\nARG C=${B}2\nFROM a:$C\n", ["a:12"], {}),
        (
            "FROM a-$TARGETARCH:$BUILDARCH\n",
            ["a-arm64:amd64"],
            {"platform": "linux/arm64", "build_platform": "linux/amd64"},
        ),
        ("FROM a:$TARGETARCH\n", ["a:x"], {"build_args": {"TARGETARCH": "x"}}),
        ("ARG TARGETARCH=y\nFROM a:$TARGETARCH\n", ["a:y"], {}),
        ("ARG V\nFROM a:${V:-z}\n", ["a:z"], {}),
        ("FROM x\nARG V=1\nFROM 'a:${V:-none}'\n", ["a:${V:-none}"], {}),
        ("FROM x\nARG V=1\nFROM a:${V:-none}\n", ["a:none"], {}),
    ],
)
def test_from_expands_with_global_arguments(text: str, images: list[str], options: dict[str, Any]) -> None:
    assert [stage.base.name for stage in graph_of(text, **options).stages] == images


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("linux/arm64", {"PLATFORM": "linux/arm64", "OS": "linux", "ARCH": "arm64", "VARIANT": ""}),
        ("linux/arm64/v8", {"PLATFORM": "linux/arm64", "OS": "linux", "ARCH": "arm64", "VARIANT": ""}),
        ("linux/arm", {"PLATFORM": "linux/arm/v7", "OS": "linux", "ARCH": "arm", "VARIANT": "v7"}),
        ("linux/arm/6", {"PLATFORM": "linux/arm/v6", "OS": "linux", "ARCH": "arm", "VARIANT": "v6"}),
        ("aarch64", {"PLATFORM": "linux/arm64", "OS": "linux", "ARCH": "arm64", "VARIANT": ""}),
        ("Linux/armhf", {"PLATFORM": "linux/arm/v7", "OS": "linux", "ARCH": "arm", "VARIANT": "v7"}),
        ("linux/amd64/v2", {"PLATFORM": "linux/amd64/v2", "OS": "linux", "ARCH": "amd64", "VARIANT": "v2"}),
        ("linux", {"PLATFORM": "linux/amd64", "OS": "linux", "ARCH": "amd64", "VARIANT": ""}),
    ],
)
def test_a_platform_gives_its_arguments(asked: str, expected: dict[str, str]) -> None:
    arguments = graph_of("FROM x\n", platform=asked, build_platform="linux/amd64").global_args
    assert {name: arguments[f"TARGET{name}"] for name in expected} == expected
    assert arguments["BUILDPLATFORM"] == "linux/amd64"


def test_a_stage_runs_on_the_platform_of_its_from_or_of_the_stage_below() -> None:
    text = "FROM --platform=$BUILDPLATFORM a AS one\nFROM one\nFROM --platform=linux/s390x scratch\nFROM b\n"
    text += "".join(f"COPY --from={stage} /1 /2\n" for stage in range(3))
    graph = graph_of(text, platform="linux/arm64", build_platform="linux/amd64")
    assert [stage.platform for stage in graph.stages] == ["linux/amd64", "linux/amd64", "linux/arm64", "linux/arm64"]
    assert graph.stage(0).base.platform == "linux/amd64"


@pytest.mark.parametrize(("target", "expected"), [(None, "default"), ("one", "one")])
def test_the_target_is_an_argument(target: str | None, expected: str) -> None:
    assert graph_of("FROM x AS one\nFROM y\n", target).global_args["TARGETSTAGE"] == expected


def test_a_named_context_stands_for_a_stage_and_hides_its_instructions() -> None:
    text = "FROM x AS one\nRUN a\nFROM one\nCOPY --from=one /1 /2\n"
    graph = graph_of(text, named_contexts=["One"])
    assert graph.stage(0).base == Base(kind="context", name="One", platform="linux/amd64")
    assert [node.id for node in graph.nodes] == ["0.0", "1.0", "1.1"]


@pytest.mark.parametrize("image", ["alpine", "alpine:latest", "docker.io/library/alpine", "library/alpine:latest"])
def test_a_named_context_hides_an_image_however_it_is_written(image: str) -> None:
    graph = graph_of(f"FROM {image}\nCOPY --from={image} /1 /2\n", named_contexts=["alpine"])
    assert graph.stage(0).base == Base(kind="context", name="alpine", platform="linux/amd64")
    assert reads(graph, "0.1") == [("copy", "context:alpine", ("/1",))]


def test_a_named_context_may_be_for_one_platform() -> None:
    text = "FROM --platform=linux/arm64 alpine AS x\nFROM alpine\nCOPY --from=x /1 /1\nCOPY --from=alpine /2 /2\n"
    names = ["alpine::linux/aarch64", "Alpine::linux/amd64", "x::linux/s390x"]
    graph = graph_of(text, named_contexts=names)
    assert [stage.base.name for stage in graph.stages] == ["alpine::linux/aarch64", "Alpine::linux/amd64"]
    assert reads(graph, "1.2") == [("copy", "context:Alpine::linux/amd64", ("/2",))]
    assert graph_of("FROM alpine\n", platform="linux/386", named_contexts=names).stage(0).base.kind == "image"
    with pytest.raises(DockerfileError, match="failed to parse platform"):
        graph_of("FROM alpine\n", named_contexts=["alpine::a b"])


def test_scratch_and_context_cannot_be_replaced() -> None:
    graph = graph_of("FROM scratch\nCOPY --from=context /1 /2\n", named_contexts=["scratch", "context"])
    assert graph.stage(0).base.kind == "scratch"
    assert reads(graph, "0.1") == [("copy", "image:context", ("/1",))]


def test_triggers_of_a_stage_come_first_in_the_one_on_it_at_its_from() -> None:
    graph = graph_of("FROM x AS a\nONBUILD RUN one\nONBUILD COPY two /\n\nFROM a\nRUN three\n")
    stage = graph.stage(1)
    assert [node.instruction.keyword for node in stage.nodes] == ["from", "run", "copy", "run"]
    assert [node.trigger for node in stage.nodes] == [False, True, True, False]
    assert [node.id for node in stage.nodes] == ["1.0", "1.t1", "1.t2", "1.1"]
    assert [node.instruction.start_line for node in stage.nodes] == [5, 5, 5, 6]


def test_triggers_are_set_off_once() -> None:
    graph = graph_of("FROM x AS a\nONBUILD RUN one\nFROM a AS b\nFROM b\n")
    assert [len(stage.nodes) for stage in graph.stages] == [2, 2, 1]


def test_triggers_of_a_base_image_become_nodes_and_may_need_more_stages() -> None:
    graph = graph_of("FROM scratch AS tools\nFROM img\nRUN x\n")
    assert [stage.index for stage in graph.stages] == [1]
    known = graph.with_base(1, ["A=1"], ["COPY --from=tools /a /b", "RUN --mount=from=tools,target=/t <<E\ny\nE"])
    assert [stage.index for stage in known.stages] == [0, 1]
    assert [node.id for node in known.stage(1).nodes] == ["1.0", "1.t1", "1.t2", "1.1"]
    assert reads(known, "1.t1") == [("copy", "0.0", ("/a",))]
    assert reads(known, "1.t2") == [("mount", "0.0", ())]
    assert known.node("1.t2").instruction.heredocs[0].content == "y\n"


def test_what_is_known_of_several_bases_adds_up() -> None:
    graph = graph_of("FROM one AS a\nFROM two\nCOPY --from=a /1 /2\n")
    known = graph.with_base(0, [], ["RUN x"]).with_base(1, [], ["RUN y"])
    assert [node.id for node in known.nodes] == ["0.0", "0.t1", "1.0", "1.t1", "1.1"]


@pytest.mark.parametrize(
    "trigger",
    [
        "FROM x",
        "ONBUILD RUN x",
        "MAINTAINER x",
        "FOO x",
        "COPY a",
        "RUN x\nRUN y",
        "",
        "RUN <<E\nx",
        "COPY --from=0 a b",
    ],
)
def test_a_trigger_that_cannot_be_used_is_named_at_the_from(trigger: str) -> None:
    graph = graph_of("\nFROM img\n")
    with pytest.raises(DockerfileError) as caught:
        graph.with_base(0, [], [trigger])
    assert caught.value.line == 2


FAULTS = [
    ("RUN x\nFROM a\n", 1, "no build stage in current context: RUN before FROM"),
    ("ARG a\n", None, "dockerfile contains no stages to build"),
    ("FROM a\nFOO x\nFROM b\n", 2, "unknown instruction: FOO"),
    ("FROM a\nCOPY --form=x a b\nFROM b\n", 2, "unknown flag: --form"),
    ("FROM $a\nFROM b\n", 1, "base name ($a) should not be blank"),
    ("FROM ${a:?m}\nFROM b\n", 1, "a: m"),
    ("ARG a=${b\nFROM x\n", 1, "missing '}'"),
    ("FROM --platform=a/b/c/d x\n", 1, "failed to parse platform a/b/c/d"),
    ("FROM --platform=foo x\n", 1, "failed to parse platform foo"),
    ("FROM a\nCOPY --from=5 a b\nFROM b\n", 2, "invalid stage index 5"),
    ("FROM a\nCOPY --from=-1 a b\n", 2, "invalid stage index -1"),
    ("FROM a\nCOPY --from=99999999999999999999 a b\n", 2, "invalid stage index"),
    ("FROM a\nCOPY --from=0 a b\n", 2, "circular dependency detected on stage: stage-0"),
    ("FROM a AS x\nRUN --mount=from=x,target=/m y\n", 2, "circular dependency detected on stage: x"),
    ("FROM a AS x\nCOPY --from=y 1 2\nFROM b AS y\nCOPY --from=x 1 2\n", 4, "circular dependency"),
    ("FROM a AS x\nCOPY --from=y 1 2\nFROM b AS y\nFROM x\n", 2, 'cannot copy from stage "y"'),
    ("FROM a AS x\nRUN --mount=from=y,target=/m 1\nFROM b AS y\nFROM x\n", 2, 'cannot mount from stage "y"'),
    ("FROM scratch\nEXPOSE x\n", 2, "invalid containerPort: x"),
    ("FROM img\nEXPOSE x\n", 2, "invalid containerPort: x"),
    ("FROM img\nARG p=x\nEXPOSE $p\n", 3, "invalid containerPort: x"),
    ("FROM img\nRUN --mount=type=foo,target=/ x\n", 2, 'unsupported mount type "foo"'),
    ("FROM scratch\nUSER ${U:?m}\n", 2, "U: m"),
]


@pytest.mark.parametrize(("text", "line", "part"), FAULTS)
def test_a_fault_is_found_before_anything_runs(text: str, line: int | None, part: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        graph_of(text)
    assert part in caught.value.message
    assert caught.value.line == line


@pytest.mark.parametrize(
    "text",
    [
        "FROM img\nEXPOSE $p\n",
        "FROM img\nUSER ${U:?m}\n",
        "FROM img\nENV p=$p\nEXPOSE $p\n",
        "FROM img\nARG p=$q\nSTOPSIGNAL $p\n",
        "FROM scratch AS unused\nEXPOSE x\nFROM img\n",
        "FROM a AS x\nCOPY --from=y 1 2\nFROM b AS y\n",
    ],
)
def test_what_the_file_alone_does_not_say_is_left_for_later(text: str) -> None:
    graph_of(text)


def test_what_a_base_sets_is_judged_once_it_is_known() -> None:
    graph = graph_of("FROM img\nEXPOSE $p\n")
    graph.with_base(0, ["p=80"], [])
    with pytest.raises(DockerfileError):
        graph.with_base(0, ["p=x"], [])


@pytest.mark.parametrize(("target", "hint"), [("biuld", "did you mean build?"), ("xyz", "stages are build")])
def test_a_target_that_does_not_exist_is_named_with_the_nearest(target: str, hint: str) -> None:
    with pytest.raises(DockerfileError, match=f'target stage "{target}" could not be found') as caught:
        graph_of("FROM a AS build\nFROM b\n", target)
    assert caught.value.hint == hint


def test_warnings_name_what_is_probably_not_meant() -> None:
    text = "FROM a\nFROM b AS build\nFROM c\nCOPY --from=biuld /1 /2\n"
    warnings = graph_of(text, build_args={"FOO": "1", "HTTP_PROXY": "x", "TARGETARCH": "y"}).warnings
    assert [(warned.rule, warned.line) for warned in warnings] == [
        ("UnusedBuildArg", None),
        ("UnknownStage", 4),
    ]


def test_the_nearest_stage_can_be_asked_for() -> None:
    graph = graph_of("FROM a AS builder\nFROM b\n")
    assert graph.suggest("bulider") == "builder"
    assert graph.suggest("debian") is None


def test_a_description_is_the_comment_that_begins_with_the_name() -> None:
    graph = graph_of("# one is first\nFROM a AS one\n# other words\nFROM one AS two\n")
    assert [stage.comment for stage in graph.stages] == ["is first", ""]


def digests(text: str, **options: Any) -> list[str]:
    return [node.digest for node in graph_of(text, **options).nodes]


def test_digests_do_not_depend_on_layout_names_and_lines() -> None:
    plain = digests("FROM x\nRUN --mount=target=/a y\nCOPY a b\n")
    assert digests("# c\nfrom x as name\n\nrun --mount='target=/a' \\\n y\ncopy a b\n") == plain


@pytest.mark.parametrize(
    "text",
    ["FROM y\nENV a=1\nRUN z\n", "FROM x\nENV a=2\nRUN z\n", "FROM x\nENV b=1\nRUN z\n", "FROM x\nENV a=1\nRUN  y\n"],
)
def test_digests_depend_on_all_below(text: str) -> None:
    assert digests(text)[-1] != digests("FROM x\nENV a=1\nRUN z\n")[-1]


def test_a_graph_survives_pickling() -> None:
    graph = graph_of("ARG a=1\nFROM x AS b\nONBUILD RUN y\nFROM b\nCOPY --from=b a b\n").with_base(
        0, ["A=1"], ["RUN z"]
    )
    copy = pickle.loads(pickle.dumps(graph))
    assert copy == graph
    assert copy.with_base(0, ["A=1"], ["RUN z"]) == graph


WORDS = (
    "FROM|from a as b|FROM b AS c|ARG a=1|RUN|COPY --from=|COPY|ENV a=|$a|--mount=|0|b|c|ONBUILD|EXPOSE|"
    'type=cache,target=/a|from=b|\n|\n|\n| |${a:?x}|<<E|\nE\n|["a"]|=|\ud800'
)
LINES = st.sampled_from(WORDS.split("|"))


@given(st.lists(LINES, max_size=14).map("".join), st.sampled_from((None, "b", "zz")))
def test_no_file_raises_anything_else(text: str, target: str | None) -> None:
    with suppress(DockerfileError):
        build_graph(parse(text), target, {"a": "x"})


@given(st.text(max_size=40), st.text(max_size=10), st.text(max_size=10))
def test_no_option_raises_anything_else(text: str, target: str, platform: str) -> None:
    with suppress(DockerfileError):
        build_graph(
            parse(f"FROM {text}\nLABEL a={text}\nFROM b\n"), target, {text: target}, platform, named_contexts=[text]
        )


@pytest.mark.parametrize(
    "text",
    [
        "FROM scratch\n" + "".join(f"ENV a{number}=1\n" for number in range(7000)),
        "".join(
            f"FROM {f's{number - 1}' if number else 'x'} AS s{number}\nENV e{number}=1\n" for number in range(3000)
        ),
        "FROM x AS a\n" + "FROM y\nCOPY --from=a 1 2\n" * 3000,
        "FROM x AS s0\n"
        + "".join(f"FROM y AS s{number}\nCOPY --from=s{number - 1} 1 2\n" for number in range(1, 2500)),
        "FROM x AS a\n" + "ONBUILD RUN x\n" * 3000 + "FROM a\n" * 1000,
        "FROM x\nEXPOSE " + "1-65535 " * 5000,
        "FROM x\nRUN " + "--mount=type=cache,target=/a " * 3000 + "y\n",
        "FROM " + "${a:-" * 15_000 + "x" + "}" * 15_000,
        "FROM x\nHEALTHCHECK --interval=" + "1s" * 40_000 + " CMD x\n",
    ],
    ids=range(9),
)
def test_work_grows_with_the_length_of_the_file(text: str) -> None:
    dockerfile = parse(text)
    assert lines_run(lambda: build_graph(dockerfile)) < 300 * len(text)


def test_images_of_stages_that_are_not_needed_are_kept_by_name() -> None:
    text = "ARG V\nFROM a:$V AS one\nFROM b\nCOPY --from=c/D x /\nFROM e\nCOPY --from=f x /\n"
    assert graph_of(text).unused_images == (("a:", 2), ("b", 3), ("c/D", 4))
