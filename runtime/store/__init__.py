"""Hold blobs, snapshots and image names below one root directory; `Store` is the door."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.store.facade import Store

__all__ = ["Store"]


def __getattr__(name: str) -> object:
    if name == "Store":
        from runtime.store.facade import Store  # lazy: 6 ms of SQLite that the tar writer does not need

        return Store
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
