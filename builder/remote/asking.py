"""Hold what all questions of one build about remote sources share, and let each be asked once."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from frozen import Frozen

if TYPE_CHECKING:
    from builder.lock import RemotePins
    from builder.reporter import Reporter
    from builder.secrets import Secret
    from runtime.context import Context
    from runtime.store.facade import Store


class Asker(Frozen):
    """Who asks: the context's cancellation ends everything; `pins` are what `pybuild.lock` says."""

    store: Store
    context: Context
    reporter: Reporter
    secrets: Mapping[str, Secret]
    pins: RemotePins | None = None


class Once:
    """The answer to one question, found by one thread while the others wait for `lock`."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.answer: object = None


class Questions:
    """The questions of one build. Thread-safe."""

    def __init__(self) -> None:
        self._once: dict[tuple[object, ...], Once] = {}
        self._lock = threading.Lock()

    def about(self, *key: object) -> Once:
        """Return the question with that key, the same one for everybody who asks it."""
        with self._lock:
            return self._once.setdefault(key, Once())
