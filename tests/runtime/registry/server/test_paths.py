"""Paths, names, ranges and pages, as anybody may write them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.oci.references import parse_reference
from runtime.registry.server.errors import Refusal
from runtime.registry.server.paths import (
    ByteRange,
    Page,
    Target,
    is_name,
    is_tag,
    read_content_range,
    read_page,
    read_path,
    read_range,
)

T = TypeVar("T")

NAME = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*"
"""The grammar of the specification, word for word."""

components = st.from_regex(r"[a-z0-9]{1,5}((\.|_|__|-{1,3})[a-z0-9]{1,5}){0,3}", fullmatch=True)
names = st.lists(components, min_size=1, max_size=5).map("/".join)
tags = st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,30}", fullmatch=True)


@given(names)
def test_every_name_of_the_grammar_is_one_also_for_docker(name: str) -> None:
    assert re.fullmatch(NAME, name)
    assert is_name(name)
    assert parse_reference(f"localhost/{name}").path == name


@given(st.text(alphabet="aZ0._-/ %\n\x00ä", max_size=12))
def test_what_is_not_of_the_grammar_is_no_name(text: str) -> None:
    assert is_name(text) == (re.fullmatch(NAME, text) is not None)


@given(names, tags)
def test_a_path_is_taken_apart_into_what_it_was_made_of(name: str, tag: str) -> None:
    for written in (name, quote(name, safe="")):
        assert read_path(f"/v2/{written}/manifests/{tag}?x=/y") == Target(kind="manifest", name=name, argument=tag)
        assert read_path(f"/v2/{written}/tags/list") == Target(kind="tags", name=name)
        assert read_path(f"/v2/{written}/blobs/uploads/").kind in {"uploads"}


def tried(function: Callable[..., T], *args: object) -> T | int:
    """Call; give what it returns, or the status of its refusal."""
    try:
        return function(*args)
    except Refusal as refusal:
        return refusal.status


@given(st.text(max_size=60))
def test_any_path_is_one_of_ours_or_refused(text: str) -> None:
    target = tried(read_path, f"/v2/{text}")
    if isinstance(target, int):
        assert target in {400, 404, 414}
    else:
        assert target.kind in {"base", "catalog"} or is_name(target.name)
        assert "/" not in target.argument


@given(st.text(max_size=140))
def test_a_tag_has_no_character_that_a_path_could_be_made_of(text: str) -> None:
    if is_tag(text):
        assert not set(text) & set("/:%\x00\n ")
        assert not text.startswith(".")


@given(st.integers(0, 1 << 40), st.integers(0, 1 << 40))
def test_a_chunk_goes_where_its_header_says(first: int, last: int) -> None:
    expected = ByteRange(first=first, last=last) if first <= last else None
    assert read_content_range(f"{first}-{last}") == expected
    assert read_content_range(f"bytes {first}-{last}/*") == expected


@pytest.mark.parametrize("text", ["", "-", "1-", "-1", "a-b", "1-2-3", "1-2/", "٣-٤", "0-" + "9" * 30])
def test_what_is_no_content_range_is_none(text: str) -> None:
    assert read_content_range(text) is None


@given(st.integers(0, 5000), st.integers(0, 5000), st.integers(0, 4000))
def test_a_range_lies_inside_the_blob(first: int, last: int, size: int) -> None:
    there = first < size and first <= last
    expected = ByteRange(first=first, last=min(last, size - 1)) if there else 416
    assert tried(read_range, f"bytes={first}-{last}", size) == expected


@given(st.text(max_size=30), st.integers(0, 1000))
def test_any_range_is_read_refused_or_ignored(text: str, size: int) -> None:
    for header in (text, f"bytes={text}"):
        found = tried(read_range, header, size)
        assert found in {None, 416} or (isinstance(found, ByteRange) and 0 <= found.first <= found.last < size)


@given(st.integers(0, 10**15))
def test_a_page_is_never_larger_than_may_be(number: int) -> None:
    assert read_page({"n": str(number), "last": "x"}, most=100) == Page(limit=min(number, 100), last="x")


def test_a_page_without_a_number_is_as_large_as_may_be() -> None:
    assert read_page({}, most=100) == Page(limit=100)
