"""Show a layer that is unpacked what lies below it, when it asks, and not before that is here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.oci.digests import ChainID
    from runtime.store.layers.tree import Metadata
    from runtime.store.layers.unpack import Turn
    from runtime.store.snapshots import SnapshotStore
    from runtime.store.view import MergedView


class Below:
    """The layers below one that is unpacked, looked at only where an entry asks for them; a context manager."""

    def __init__(self, snapshots: SnapshotStore, parent: ChainID, ready: Callable[[], None] | None, turn: Turn) -> None:
        self._snapshots = snapshots
        self._parent = parent
        self._ready = ready
        self._turn = turn
        self._opened: MergedView | None = None

    def __enter__(self) -> Below:
        return self

    def __exit__(self, *_: object) -> None:
        if self._opened is not None:
            self._opened.close()

    def wait(self) -> ChainID:
        """Return the topmost of them when all are here."""
        if self._ready is not None:
            with self._turn.aside():
                self._ready()
        return self._parent

    def entry(self, path: bytes) -> Metadata | None:
        return self._view.entry(path)

    def names(self, path: bytes) -> Iterable[bytes]:
        return self._view.names(path)

    def open_file(self, path: bytes) -> int:
        return self._view.open_file(path)

    @property
    def _view(self) -> MergedView:
        if self._opened is None:
            self._opened = self._snapshots.view(self.wait())
        return self._opened
