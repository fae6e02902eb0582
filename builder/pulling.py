"""Show layers on their way as parts of one line of the build's progress."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from runtime.registry.events import BlobProgress, Event

if TYPE_CHECKING:
    from builder.reporter import Vertex

_APART = 1_000_000_000
"""Nanoseconds between two reports of one layer."""
_UNITS = ("B", "kB", "MB", "GB", "TB")


class _Progress:
    """Takes the events of transfers, from any thread, and tells a part of the work at most once a second."""

    def __init__(self, vertex: Vertex, now: Callable[[], int]) -> None:
        self._vertex = vertex
        self._now = now
        self._lock = threading.Lock()
        self._told: dict[tuple[str, str], int] = {}
        self._begun: dict[tuple[str, str], int] = {}

    def _tell(self, key: str, kind: str, text: str, *, done: bool) -> None:
        now = self._now()
        with self._lock:
            begun = self._begun.setdefault((key, kind), now)
            if not done and now - self._told.get((key, kind), 0) < _APART:
                return
            self._told[key, kind] = now
        self._vertex.status(text, key=f"{kind} {key}", done=done, elapsed=now - begun if done else 0)


class PullProgress(_Progress):
    """Shows the layers of an image on their way here."""

    def __call__(self, event: Event) -> None:
        """Tell how far a layer is, and when it is here and unpacked."""
        if not isinstance(event, BlobProgress):
            return
        match event.phase:
            case "downloading" | "downloaded":
                size = f"{_size(event.done)} / {_size(event.total)}"
                self._tell(event.key, "download", f"{event.key} {size}", done=event.phase == "downloaded")
            case "extracting" | "complete":
                self._tell(event.key, "extract", f"extracting {event.key}", done=event.phase == "complete")
            case _:
                pass


class PushProgress(_Progress):
    """Shows the layers of an image on their way out."""

    def __call__(self, event: Event) -> None:
        """Tell how far a layer is, and when the registry has it."""
        if isinstance(event, BlobProgress) and event.phase in ("uploading", "uploaded"):
            size = f" {_size(event.done)} / {_size(event.total)}" if event.total else ""
            self._tell(event.key, "push", f"pushing {event.key}{size}", done=event.phase == "uploaded")


def _size(size: float) -> str:
    place = 0
    while size >= 1000 and place < len(_UNITS) - 1:
        size /= 1000
        place += 1
    return f"{size:.2f}{_UNITS[place]}" if place else f"{size:.0f}B"
