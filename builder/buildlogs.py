"""Write all that a build prints to a file of its own, never clipped: ROOT/logs/TIME-TOKEN.log, in the plain form.

Secrets are taken out before anything gets here. The latest `_KEPT` files stay, none longer than sixty days.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from builder.progress.plain import PlainDisplay

if TYPE_CHECKING:
    from builder.progress.events import Event, Sink
    from runtime.context import Context

_KEPT = 200
_SECONDS = 60 * 86400


@contextmanager
def logged(context: Context, sink: Sink) -> Iterator[tuple[Sink, Path | None]]:
    """Give a sink that writes what `sink` shows to a new log as well, and the log's path.

    A log that cannot be written does not hinder a build: the path is None then.
    """
    directory = context.layout.root / "logs"
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(context.now() / 10**9))
    path = directory / f"{stamp}-{context.token(8)}.log"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = path.open("x", encoding="utf-8", errors="backslashreplace")
    except OSError:
        yield sink, None
        return
    with file:
        display = PlainDisplay(file)

        def both(event: Event) -> None:
            with suppress(OSError):  # a full disk ends the log, not the build
                display.emit(event)
            sink(event)

        yield both, path
    _sweep(directory, context.now() / 10**9 - _SECONDS)


def _sweep(directory: Path, oldest: float) -> None:
    """Delete what is too old or too much, by names: they begin with the time."""
    limit = time.strftime("%Y%m%dT%H%M%S", time.gmtime(max(0, oldest)))
    names = sorted(entry.name for entry in directory.iterdir() if entry.name.endswith(".log"))
    for index, name in enumerate(names):
        if name < limit or index < len(names) - _KEPT:
            with suppress(OSError):
                (directory / name).unlink()
