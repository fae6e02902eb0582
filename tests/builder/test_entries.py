"""A plan's entries come back as they were, however many."""

from __future__ import annotations

import pytest

from builder.entries import Entries, Entry
from runtime.store.layers.tree import Metadata


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 1000])
def test_entries_come_back_in_order_as_often_as_wanted(count: int) -> None:
    given = [
        Entry(b"f%d" % number, Metadata("file", 0o644, number, 0, size=number, mtime_ns=-number), b"d" * 32, None)
        for number in range(count)
    ]
    entries = Entries(given)
    assert list(entries) == given
    assert list(entries) == given
    assert entries.newest == (0 if count else None)


def test_all_that_an_entry_says_is_kept() -> None:
    metadata = Metadata(
        "symlink", 0o777, 1, 2, link=b"\xff", xattrs={"user.a": b"\0"}, inode=1 << 63, device=5, nlink=2
    )
    entry = Entry(b"\xfe", metadata, b"", b"first")
    assert list(Entries([entry])) == [entry]
