"""Hard links between copies: what one pattern of `COPY --parents` finds stays one file where it was one."""

from __future__ import annotations

import os
from collections.abc import Sequence

from builder.trees import Plan
from runtime.store.layers.tree import Metadata

_Inode = tuple[int, int]


class SharedLinks:
    """The files that several plans have under more than one name; asked for each name once, in the order of copying.

    `groups` are their names, each (number of the plan, path in it); for a cache key, as no inode is.
    """

    def __init__(self, plans: Sequence[Plan]) -> None:
        names: dict[_Inode, list[tuple[int, bytes]]] = {}
        for number, plan in enumerate(plans):
            for entry in plan.entries:
                if entry.metadata.kind == "file" and entry.metadata.nlink > 1:
                    inode = entry.metadata.device, entry.metadata.inode
                    names.setdefault(inode, []).append((number, entry.path))
        self._names = {inode: found for inode, found in names.items() if len({number for number, _ in found}) > 1}
        self._places: dict[_Inode, tuple[bytes, int, int]] = {}

    @property
    def groups(self) -> list[list[tuple[int, str]]]:
        """Return the names of each file that lies in more than one plan."""
        return [[(number, os.fsdecode(path)) for number, path in found] for found in self._names.values()]

    def knows(self, metadata: Metadata) -> bool:
        """Tell whether the file of a source that `metadata` is of lies in more than one plan."""
        return (metadata.device, metadata.inode) in self._names

    def place(self, metadata: Metadata, target: bytes, device: int, inode: int) -> tuple[bytes | None, int, int]:
        """Say how the file comes to `target`: as a link to what was copied first (its path, device, inode).

        The first time there is no such path, and `target`, `device` and `inode` are remembered as the first.
        """
        known = self._places.setdefault((metadata.device, metadata.inode), (target, device, inode))
        return (None if known[0] == target else known[0]), known[1], known[2]
