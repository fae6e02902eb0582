"""What a file offers: targets, and what a target takes."""

from __future__ import annotations

from grammar import build_graph, parse
from grammar.offers import Offer, offer, targets

TEXT = """\
# V the version
ARG V=1
ARG REPOSITORY=h/$V
ARG UNUSED=x
# base is the first
FROM $REPOSITORY AS base
# A is an argument
ARG A=a$FROM_BASE V
RUN --mount=type=secret,id=s --mount=type=ssh,id=key x
FROM --platform=$BUILDPLATFORM base AS Last
ARG TARGETARCH
ARG B
RUN --mount=type=secret,id=s,required --mount=type=secret,target=/x/t x
"""


def offered(target: str | None = None, **build_args: str) -> Offer:
    graph = build_graph(parse(TEXT), target, build_args)
    return offer(graph, lambda _: ("FROM_BASE=1",))


def test_targets_are_the_stages_as_written() -> None:
    assert [(item.name, item.default, item.description, item.base, item.platform) for item in targets(parse(TEXT))] == [
        ("base", False, "is the first", "$REPOSITORY", ""),
        ("last", True, "", "base", "$BUILDPLATFORM"),
    ]


def test_arguments_are_those_that_count_with_values_and_descriptions() -> None:
    assert [(item.name, item.value, item.description) for item in offered().arguments] == [
        ("V", "1", "the version"),
        ("REPOSITORY", "h/1", ""),
        ("A", "a1", "is an argument"),
        ("B", "", ""),
    ]


def test_given_arguments_have_the_value_given() -> None:
    values = {item.name: item.value for item in offered("base", REPOSITORY="r", A="x").arguments}
    assert values == {"V": "1", "REPOSITORY": "r", "A": "x"}


def test_secrets_and_agents_of_all_stages_count_and_the_target_comes_first() -> None:
    found = offered()
    assert [(item.name, item.required, item.start_line) for item in found.secrets] == [
        ("s", True, 13),
        ("t", False, 13),
    ]
    assert [(item.name, item.required) for item in found.agents] == [("key", False)]
    assert (found.name, found.description) == ("last", "")
