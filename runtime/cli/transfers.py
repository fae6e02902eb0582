"""Show images on their way as Docker does: a line a layer that moves on a terminal, a line a change elsewhere."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from runtime.cli.declare import Flag
from runtime.cli.human import human_size
from runtime.cli.output import one_line
from runtime.oci.digests import hex_of
from runtime.registry.events import BlobProgress, Event, Phase, Sink, TransferStarted, nowhere

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from runtime.cli.arguments import Arguments
    from runtime.context import Context
    from runtime.registry.credentials import CredentialSource
    from runtime.registry.session import Session

CREDENTIALS = Flag("--creds", kind="text", metavar="USER[:PASSWORD]", help="Credentials for the registry")

_PULL_WORDS: Mapping[Phase, str] = {
    "waiting": "Pulling fs layer",
    "downloading": "Downloading",
    "downloaded": "Download complete",
    "extracting": "Extracting",
    "complete": "Pull complete",
    "exists": "Already exists",
}
_PUSH_WORDS: Mapping[Phase, str] = {
    "preparing": "Preparing",
    "uploading": "Pushing",
    "uploaded": "Pushed",
    "exists": "Layer already exists",
}
_MOVING = frozenset(("downloading", "extracting", "uploading"))
_LAST = frozenset(("complete", "exists", "uploaded"))
_BAR = 50
_REDRAW = 0.1
"""Seconds between two pictures of what moves."""


@contextmanager
def open_session(args: Arguments, context: Context) -> Iterator[Session]:
    """Open a session with the credentials of `--creds`, else with those that are configured."""
    from runtime.registry.session import Session  # lazy: not for the help

    with Session.open(context, credential_source(args, context)) as session:
        yield session


def credential_source(args: Arguments, context: Context) -> CredentialSource:
    """Give the credentials of `--creds`, else those that are configured; what was given leaves the process list.

    A password that was left away is asked for on the terminal.
    """
    from runtime.cli.processlist import hide
    from runtime.registry.credentials import CredentialSource, parse_creds

    text = args.text("creds")
    if text is None:
        return CredentialSource(context)
    hide(text)
    if text and ":" not in text and sys.stdin.isatty():
        from getpass import getpass  # lazy: termios, for those who are asked

        text = f"{text}:{getpass('Password: ', stream=context.stderr)}"
    return CredentialSource(context, parse_creds(text))


@contextmanager
def open_progress(context: Context, *, push: bool = False, quiet: bool = False) -> Iterator[Sink]:
    """Give the reader of events that fits the standard error, for the length of a block."""
    if quiet:
        yield nowhere
        return
    words = _PUSH_WORDS if push else _PULL_WORDS
    stream = context.stderr
    if not stream.isatty() or context.environ.get("TERM", "dumb") == "dumb":
        yield PlainTransfers(stream, words)
        return
    display = TerminalTransfers(stream, words)
    try:
        yield display
    finally:
        display.close()


class PlainTransfers:
    """One line for each change; what only counts bytes shows nothing."""

    def __init__(self, stream: TextIO, words: Mapping[Phase, str]) -> None:
        self._stream = stream
        self._words = words
        self._lock = threading.Lock()
        self._shown: dict[str, str] = {}

    def __call__(self, event: Event) -> None:
        """Show an event; from any thread."""
        with self._lock:
            if isinstance(event, TransferStarted):
                if "waiting" in self._words:
                    self._write(f"{one_line(event.target)}: Pulling from {one_line(event.repository)}")
                return
            text = _words(event, self._words)
            if text and event.phase not in _MOVING and self._shown.get(event.key) != text:
                self._shown[event.key] = text
                self._write(f"{hex_of(event.key)[:12]}: {text}")

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()


class TerminalTransfers:
    """Finished layers as lines that stay, and below them the ones that move, drawn anew as they do."""

    def __init__(self, stream: TextIO, words: Mapping[Phase, str]) -> None:
        self._stream = stream
        self._words = words
        self._lock = threading.Lock()
        self._active: dict[str, BlobProgress] = {}
        self._drawn = 0
        self._last = 0.0

    def __call__(self, event: Event) -> None:
        """Show an event; from any thread."""
        with self._lock:
            if isinstance(event, TransferStarted):
                if "waiting" in self._words:
                    self._draw(f"{one_line(event.target)}: Pulling from {one_line(event.repository)}")
                return
            if event.phase in _LAST:
                self._active.pop(event.key, None)
                self._draw(f"{hex_of(event.key)[:12]}: {_words(event, self._words)}")
                return
            earlier = self._active.get(event.key)
            if earlier is not None and earlier.phase == "extracting" and event.phase != "extracting":
                return  # it unpacks while it arrives: show how far that is
            self._active[event.key] = event
            if event.phase not in _MOVING or time.monotonic() - self._last >= _REDRAW:
                self._draw()

    def close(self) -> None:
        """Leave no moving line behind."""
        with self._lock:
            self._active.clear()
            self._draw()

    def _draw(self, lasting: str | None = None) -> None:
        columns, rows = shutil.get_terminal_size()
        lines = [self._line(event, columns) for event in list(self._active.values())[: max(1, rows - 2)]]
        text = f"\x1b[{self._drawn}A\r\x1b[J" if self._drawn else ""
        text += (lasting + "\n" if lasting else "") + "".join(line + "\n" for line in lines)
        self._drawn = len(lines)
        self._last = time.monotonic()
        self._stream.write(text)
        self._stream.flush()

    def _line(self, event: BlobProgress, columns: int) -> str:
        line = f"{hex_of(event.key)[:12]}: {_words(event, self._words)}"
        if event.phase in _MOVING and event.total:
            sizes = f"{human_size(event.done, digits=4)}/{human_size(event.total, digits=4)}"
            line += f" {_bar(event, min(_BAR, columns - len(line) - len(sizes) - 5))}{sizes}"
        elif event.phase in _MOVING:
            line += f" {human_size(event.done, digits=4)}"
        return line[: max(20, columns - 1)]


def _bar(event: BlobProgress, width: int) -> str:
    """Draw how far a blob is, `width` characters wide; nothing where there is no room."""
    if width < 3:
        return ""
    filled = min(width, event.done * width // event.total)
    return f"[{'=' * filled}{'>' * (filled < width)}{' ' * (width - 1 - filled)}] "


def _words(event: BlobProgress, words: Mapping[Phase, str]) -> str:
    if event.mounted_from:
        return f"Mounted from {one_line(event.mounted_from)}"
    return words.get(event.phase, "")
