"""COPY's words find files as Go's path.Match and BuildKit do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.context import open_context
from builder.selection import compile_component, has_wildcards, select
from builder.trees import SourceTree
from runtime.context import Context
from runtime.errors import NotFound, UsageError
from runtime.store import Store


@pytest.fixture
def tree(context: Context, tmp_path: Path) -> Iterator[SourceTree]:
    base = tmp_path / "context"
    for name in ("a.txt", "b.txt", "[x]", "d/f", "d/sub/f", "e/f", "e/sub/g", ".hidden"):
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_text(name)
    (base / "link").symlink_to("a.txt")
    (base / "dlink").symlink_to("/d")
    (base / "broken").symlink_to("nowhere")
    (base / "out").symlink_to("../../../../d/f")
    (base / "loop").symlink_to("loop")
    with Store.open(context) as store, open_context(store, base, None) as opened:
        yield opened


def paths(tree: SourceTree, word: str, *, parents: bool = False) -> list[tuple[str, str]]:
    return [(os.fsdecode(one.path), os.fsdecode(one.name)) for one in select(tree, word, parents=parents)]


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("a.txt", [("a.txt", "a.txt")]),
        ("/a.txt", [("a.txt", "a.txt")]),
        ("../a.txt", [("a.txt", "a.txt")]),
        ("d/../a.txt", [("a.txt", "a.txt")]),
        ("link", [("a.txt", "link")]),
        ("dlink/f", [("d/f", "f")]),
        ("out", [("d/f", "out")]),
        (".", [("", "")]),
        ("*.txt", [("a.txt", "a.txt"), ("b.txt", "b.txt")]),
        ("l*k", [("a.txt", "link")]),
        ("*/f", [("d/f", "f"), ("e/f", "f")]),
        ("*/sub/g", [("e/sub/g", "g")]),
        ("**/f", [("d/f", "f"), ("e/f", "f")]),
        ("[[]x]", [("[x]", "[x]")]),
        ("[^d]/f", [("e/f", "f")]),
        ("?.txt", [("a.txt", "a.txt"), ("b.txt", "b.txt")]),
        ("dlink/*", [("d/f", "f"), ("d/sub", "sub")]),
        ("nothing*", []),
    ],
)
def test_a_word_names_files(tree: SourceTree, word: str, found: list[tuple[str, str]]) -> None:
    assert paths(tree, word) == found


def test_two_stars_cross_directories_with_parents(tree: SourceTree) -> None:
    assert [path for path, _ in paths(tree, "**/f", parents=True)] == ["d/f", "d/sub/f", "e/f"]


def test_a_pivot_counts_what_parents_leave_out(tree: SourceTree) -> None:
    assert [one.pivot for one in select(tree, "d/./sub/f", parents=True)] == [1]


@pytest.mark.parametrize("word", ["nofile", "d/nofile", "broken", "broke*", "a.txt/below", "loop"])
def test_a_plain_path_that_is_not_there_is_an_error(tree: SourceTree, word: str) -> None:
    with pytest.raises(NotFound, match=f'"/{word}'):
        select(tree, word)


def test_the_nearest_name_is_offered(tree: SourceTree) -> None:
    with pytest.raises(NotFound) as caught:
        select(tree, "d/sud")
    assert caught.value.hint == "did you mean d/sub?"


def test_a_link_to_nothing_is_told(tree: SourceTree) -> None:
    with pytest.raises(NotFound) as caught:
        select(tree, "broken")
    assert caught.value.hint == "broken is a link to nowhere, which leads to no file there"


@pytest.mark.parametrize("word", ["nope/*", "d/nope/*/f", "broken/*", "a.txt/x/*"])
def test_a_pattern_below_nothing_is_refused(tree: SourceTree, word: str) -> None:
    with pytest.raises(NotFound, match="not found in the build context"):
        select(tree, word)


@pytest.mark.parametrize("word", ["a\0", "*\0"])
def test_a_zero_byte_is_refused(tree: SourceTree, word: str) -> None:
    with pytest.raises(UsageError, match="zero byte"):
        select(tree, word)


@pytest.mark.parametrize("pattern", ["[", "[a", "[]", "[^]", "[a-", "[a-]", "[-a]", "a\\", "[\\"])
def test_a_bad_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError, match="syntax error in pattern"):
        compile_component(pattern, pattern)


def test_a_backslash_takes_the_meaning_from_a_wildcard() -> None:
    assert not has_wildcards(r"\*")
    assert compile_component(r"\*a", "").fullmatch("*a")
    assert not compile_component(r"\*a", "").fullmatch("xa")
