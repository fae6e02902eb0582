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
