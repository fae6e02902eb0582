"""Name what happens while images move; the engine emits these, and terminals and plain logs are readers of them."""

from __future__ import annotations

from collections.abc import Callable

from frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    Phase = Literal[
        "waiting", "downloading", "downloaded", "extracting", "complete", "exists", "preparing", "uploading", "uploaded"
    ]
    """Where a blob stands: on its way here up to `complete`, on its way out up to `uploaded`; `exists` needs no way."""
else:
    Phase = str


class TransferStarted(Frozen):
    """An image begins to move: `target` is its tag or digest, `repository` as the registry knows it (`library/app`)."""

    target: str
    repository: str


class BlobProgress(Frozen):
    """One blob got on: `done` of `total` bytes in its `phase`.

    `key` is the digest under which it is shown: the blob's, or of a layer that goes out its diff ID.
    """

    key: str
    phase: Phase
    done: int = 0
    total: int = 0
    mounted_from: str = ""
    """The repository that the registry took it from, where it did (`uploaded`)."""


Event = TransferStarted | BlobProgress
Sink = Callable[[Event], None]
"""Takes events from any thread."""


def nowhere(_event: Event) -> None:
    """Drop an event: the sink of who shows nothing."""
