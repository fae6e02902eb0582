"""--chown finds owners as BuildKit does."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import cast

import pytest

from builder.ownership import find_owner
from runtime.errors import UsageError
from runtime.store.view import MergedView

FILES = {
    "/etc/passwd": "root:x:0:0::/root:/bin/sh\n# daemon:x:9:9\ngames:x:5:60:games:/:\nbroken\n",
    "/etc/group": "root:x:0:\nstaff:x:50:games\n",
}


class Tree:
    """A tree that holds two files."""

    def read_text(self, path: PurePosixPath, _limit: int) -> str | None:
        return FILES.get(str(path))

    def listdir(self, _path: PurePosixPath) -> tuple[bytes, ...]:
        return (b"etc",)


class Nothing:
    """A tree that holds nothing."""

    def read_text(self, _path: PurePosixPath, _limit: int) -> str | None:
        return None

    def listdir(self, _path: PurePosixPath) -> tuple[bytes, ...]:
        return ()


@pytest.mark.parametrize(
    ("text", "owner"),
    [
        (None, None),
        ("3", (3, 3)),
        ("3:4", (3, 4)),
        ("games", (5, 60)),
        ("games:staff", (5, 50)),
        ("33:staff", (33, 50)),
        ("root:7", (0, 7)),
        (":5", (0, 5)),
        ("1:", (1, 0)),
        ("nouser", (0, 0)),
        ("nouser:7", (0, 7)),
        ("nouser:staff", (0, 50)),
        ("games:nogroup", (5, 60)),
        ("daemon", (0, 0)),
        ("55555", (55555, 55555)),
    ],
)
def test_names_and_numbers_lead_to_ids(text: str | None, owner: tuple[int, int] | None) -> None:
    assert find_owner(text, cast(MergedView, Tree())) == owner


def test_a_number_that_is_no_id_is_refused() -> None:
    with pytest.raises(UsageError, match="99999999999"):
        find_owner("99999999999", cast(MergedView, Tree()))


@pytest.mark.parametrize(("text", "owner"), [("root", (0, 0)), ("3:4", (3, 4)), ("root:root", (0, 0))])
def test_in_an_empty_tree_there_are_numbers_and_root(text: str, owner: tuple[int, int]) -> None:
    assert find_owner(text, cast(MergedView, Nothing())) == owner


@pytest.mark.parametrize("text", ["games", "3:staff"])
def test_in_an_empty_tree_names_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="empty image"):
        find_owner(text, cast(MergedView, Nothing()))
