"""Choose and open the reader of a build's events: `--progress auto|tty|plain|rawjson|quiet|none`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, TextIO

from builder.progress.events import Event, Sink
from runtime.errors import UsageError

MODES = ("auto", "tty", "plain", "rawjson", "quiet", "none")
"""`quiet` shows the image's id at the end, `none` nothing at all."""


class Display(Protocol):
    """A reader of events."""

    def emit(self, event: Event) -> None:
        """Show one event; called from any thread."""

    def close(self) -> None:
        """Show the end."""


class QuietDisplay:
    """Show nothing."""

    def emit(self, event: Event) -> None:
        """Drop the event."""

    def close(self) -> None:
        """Nothing to show."""


def resolve_mode(wanted: str | None, stream: TextIO, environ: Mapping[str, str]) -> str:
    """Return which reader to use: `auto` is `tty` on a terminal and `plain` elsewhere. Raises UsageError.

    `$BUILDKIT_PROGRESS` says it where the command line does not.
    """
    mode = wanted or environ.get("BUILDKIT_PROGRESS") or "auto"
    if mode not in MODES:
        raise UsageError(f'invalid argument "{mode}" for "--progress" flag', hint=f"write one of {', '.join(MODES)}")
    if mode != "auto":
        return mode
    terminal = stream.isatty() and environ.get("TERM", "dumb") != "dumb"
    return "tty" if terminal else "plain"


@contextmanager
def open_display(mode: str, stream: TextIO, environ: Mapping[str, str], now: Callable[[], int]) -> Iterator[Sink]:
    """Open the reader `mode` on `stream` for the length of a `with` block; gives where events go."""
    display = _make(mode, stream, environ, now)
    try:
        yield display.emit
    finally:
        display.close()


def _make(mode: str, stream: TextIO, environ: Mapping[str, str], now: Callable[[], int]) -> Display:
    if mode in ("quiet", "none"):
        return QuietDisplay()
    if mode == "rawjson":
        from builder.progress.rawjson import RawJsonDisplay

        return RawJsonDisplay(stream)
    if mode == "tty":
        from builder.progress.tty import TtyDisplay

        return TtyDisplay(stream, colours="NO_COLOR" not in environ, now=now)
    from builder.progress.plain import PlainDisplay

    return PlainDisplay(stream)
