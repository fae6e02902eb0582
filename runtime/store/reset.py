"""Make a store as if it were new."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runtime.store.trees import remove_tree

if TYPE_CHECKING:
    from runtime.store.facade import Store

_KEPT_TABLES = frozenset(("meta", "components"))
_KEPT = ("locks", "tmp", "trash", "state.db")


def reset(store: Store) -> None:
    """Delete all that a store holds; waits until no other command has it open. No container runs.

    What it is, its tables and its locks stay, so that a command which waits for its turn finds an empty store.
    """
    layout = store.layout
    trash = []
    with store.exclusive():
        with store.database.write() as connection:
            tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            for (name,) in (tuple(row) for row in tables):
                if name not in _KEPT_TABLES:
                    connection.execute(f'DELETE FROM "{name}"')
        for name in sorted(os.listdir(layout.root)):
            if not name.startswith(_KEPT):
                trash.append(store.trash_name())
                os.rename(layout.root / name, trash[-1])
        for path in (layout.images, layout.snapshots):
            path.mkdir(mode=0o700)
    for path in trash:
        remove_tree(path)
