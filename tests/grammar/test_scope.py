"""Variables from line to line: ENV and ARG, what a stage inherits, what RUN sees."""

from __future__ import annotations

import pickle

import pytest

from grammar.graph import build_graph
from grammar.parser import parse
from grammar.scope import DEFAULT_PATH, Scope


def walk(text: str, scope: Scope) -> Scope:
    for node in parse(text).instructions:
        scope, _ = scope.apply(node)
    return scope


def test_a_base_without_path_gets_the_default_one_last() -> None:
    assert dict(Scope.open(["B=1", "A=x=y"]).environment) == {"B": "1", "A": "x=y", "PATH": DEFAULT_PATH}
    assert dict(Scope.open(["PATH=/x"]).environment) == {"PATH": "/x"}


def test_env_reaches_the_image_and_arg_does_not() -> None:
    scope = walk("ENV a=1\nARG b=2\n", Scope.open())
    assert (scope.visible["a"], scope.visible["b"]) == ("1", "2")
    assert "b" not in scope.environment
    assert dict(scope.arguments) == {"b": "2"}


@pytest.mark.parametrize(
    ("text", "visible", "environment"),
    [
        ("ENV a=1\nARG a=2\n", "2", "1"),
        ("ARG a=2\nENV a=1\n", "1", "1"),
        ("ENV a=1\nARG a\n", "1", "1"),
        ("ENV a=1\nENV a=2\n", "2", "2"),
    ],
)
def test_the_later_line_wins(text: str, visible: str, environment: str) -> None:
    scope = walk(text, Scope.open())
    assert (scope.visible["a"], scope.environment["a"]) == (visible, environment)


def test_an_env_line_sees_the_variables_before_it() -> None:
    scope = walk("ENV a=1\nENV a=2 b=$a\n", Scope.open())
    assert (scope.visible["a"], scope.visible["b"]) == ("2", "1")


@pytest.mark.parametrize(
    ("given", "inherited", "text", "expected"),
    [
        ({}, {}, "ARG a", None),
        ({}, {}, "ARG a=d", "d"),
        ({}, {"a": "g"}, "ARG a", "g"),
        ({}, {"a": "g"}, "ARG a=d", "d"),
        ({}, {"a": "g"}, "ENV x=1", None),
        ({"a": "b"}, {"a": "g"}, "ARG a", "b"),
        ({"a": "b"}, {}, "ARG a=d", "b"),
        ({"a": "b"}, {}, "ENV x=1", None),
        ({"a": ""}, {}, "ARG a=d", ""),
        ({}, {}, "ARG a=d\nARG a", "d"),
    ],
)
def test_an_argument_has_the_value_that_wins(
    given: dict[str, str], inherited: dict[str, str], text: str, expected: str | None
) -> None:
    assert walk(text, Scope.open(build_args=given, global_args=inherited)).visible.get("a") == expected


def test_declared_arguments_keep_their_order_and_know_what_is_seen() -> None:
    scope = walk("ARG c b=1 a\nENV c=2\nARG c\n", Scope.open())
    assert list(scope.arguments.items()) == [("c", "2"), ("b", "1"), ("a", None)]


def test_proxies_that_were_given_are_for_run_alone_and_in_both_cases() -> None:
    scope = Scope.open(build_args={"http_proxy": "p", "NO_PROXY": "n", "other": "x"})
    assert scope.proxies == {"HTTP_PROXY": "p", "http_proxy": "p", "NO_PROXY": "n", "no_proxy": "n"}
    assert "http_proxy" not in scope.visible
    assert scope.visible_for_run()["HTTP_PROXY"] == "p"
    assert "other" not in scope.visible_for_run()


def test_a_proxy_that_was_given_wins_over_the_images_own() -> None:
    scope = walk("ENV HTTP_PROXY=mine\nARG http_proxy=other\n", Scope.open(build_args={"HTTP_PROXY": "p"}))
    assert scope.visible_for_run()["HTTP_PROXY"] == "p"
    assert scope.visible_for_run()["http_proxy"] == "p"
    assert scope.visible["HTTP_PROXY"] == "mine"


def test_of_two_spellings_of_a_proxy_the_lower_case_counts_and_an_empty_one_is_none() -> None:
    scope = Scope.open(build_args={"HTTP_PROXY": "p", "http_proxy": "q", "NO_PROXY": ""})
    assert scope.proxies == {"HTTP_PROXY": "q", "http_proxy": "q"}


def test_a_line_that_sets_nothing_keeps_the_scope() -> None:
    scope = Scope.open()
    assert walk("RUN a\nUSER b\nLABEL c=d\n", scope) is scope


def test_applying_changes_no_scope() -> None:
    scope = Scope.open(["a=1"])
    walk("ENV a=2\nARG b=3\n", scope)
    assert dict(scope.visible)["a"] == "1"
    assert "b" not in scope.visible


def test_a_graph_opens_scopes_with_its_arguments() -> None:
    graph = build_graph(parse("ARG g=1\nFROM x\nARG g TARGETARCH b\n"), build_args={"b": "2"}, platform="linux/arm64")
    scope = graph.scope(["e=0"])
    for node in graph.nodes[1:]:
        scope, _ = scope.apply(node.instruction)
    assert dict(scope.visible) == {"e": "0", "PATH": DEFAULT_PATH, "g": "1", "TARGETARCH": "arm64", "b": "2"}
    assert pickle.loads(pickle.dumps(scope)) == scope
