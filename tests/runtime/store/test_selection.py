from __future__ import annotations

from typing import Any

import pytest

from runtime.errors import NotFound, UsageError
from runtime.oci.documents import ContainerConfig
from runtime.oci.references import parse_reference
from runtime.oci.times import parse_time
from runtime.store import Store
from runtime.store.selection import image_filter, name_matches

MakeImage = Any
NOW = parse_time("2024-06-01T00:00:00Z")


@pytest.fixture
def images(store: Store, make_image: MakeImage) -> Store:
    make_image([{"a": b"1"}], "one:1", config=ContainerConfig(labels={"k": "v", "x": ""}))
    make_image([{"a": b"2"}], "example.com/two:2", "one:b", config=ContainerConfig(labels={"k": "w"}))
    make_image([{"a": b"3"}])
    return store


def chosen(store: Store, *filters: str) -> list[str]:
    wanted = image_filter(store, filters)
    return [image.names[0].familiar() if image.names else "-" for image in store.images.list() if wanted(image)]


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ((), ["-", "one:b", "one:1"]),
        (("dangling=true",), ["-"]),
        (("dangling=0",), ["one:b", "one:1"]),
        (("label=k",), ["one:b", "one:1"]),
        (("label=k=v",), ["one:1"]),
        (("label=k", "label=x"), ["one:1"]),
        (("label!=k",), ["-"]),
        (("reference=one",), ["one:b", "one:1"]),
        (("reference=one:1",), ["one:1"]),
        (("reference=*:2", "reference=one:1"), ["one:1"]),
        (("reference=example.com/*",), ["one:b"]),
        (("reference=*",), ["one:b", "one:1"]),
        (("before=one:b",), ["one:1"]),
        (("since=one:1",), ["-", "one:b"]),
        (("until=2020",), []),
        (("until=2030-01-01",), ["-", "one:b", "one:1"]),
    ],
)
def test_a_filter_chooses(images: Store, filters: tuple[str, ...], names: list[str]) -> None:
    assert chosen(images, *filters) == names


def test_an_image_that_has_a_digest_alone_dangles_and_does_not(store: Store, make_image: MakeImage) -> None:
    digest = f"one@sha256:{'1' * 64}"
    image = make_image([{"a": b"1"}])
    store.images.add_digest(image, parse_reference(digest))
    for value in ("true", "false"):
        wanted = image_filter(store, [f"dangling={value}"])
        assert wanted(store.images.require(image.id)), value


@pytest.mark.parametrize("text", ["x", "colour=red", "dangling=maybe", "until=yesterday", "reference=["])
def test_a_wrong_filter_is_refused(images: Store, text: str) -> None:
    if text == "reference=[":
        assert chosen(images, text) == []
        return
    with pytest.raises(UsageError):
        chosen(images, text)


def test_a_filter_by_a_missing_image_says_so(images: Store) -> None:
    with pytest.raises(NotFound, match="No such image"):
        chosen(images, "before=nothing")


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("a*", True),
        ("?pp", True),
        ("app:1.0", True),
        ("[ab]pp", True),
        ("a", False),
        ("a.p", False),
        ("*/app", False),
        ("docker.io/library/app", True),
        ("\\app", True),
    ],
)
def test_a_pattern_stays_within_a_component(pattern: str, matches: bool) -> None:
    assert name_matches(parse_reference("app:1.0"), [pattern]) is matches
