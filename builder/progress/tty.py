"""Show a build live on a terminal: what runs and for how long, what was cached, the last lines that steps print.

The picture is drawn again in place, ten times a second while something happens; its lines never wrap, and no more of
them are drawn than the terminal has. Nothing of a terminal's modes is changed, so nothing has to be restored.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TextIO, assert_never

from builder.progress import events
from builder.progress.sanitise import Lines, clean_line, warnings_text

_SECOND = 1_000_000_000
_REFRESH = 0.1
_LOG_LINES = 6
_BLUE, _RED, _YELLOW, _RESET = "\x1b[34m", "\x1b[31m", "\x1b[33m", "\x1b[0m"
_HIDE_CURSOR, _SHOW_CURSOR, _CLEAR_BELOW = "\x1b[?25l", "\x1b[?25h", "\x1b[J"
_WIDE = 2


@dataclass(slots=True)
class _Vertex:
    name: str
    started: int
    completed: int | None = None
    cached: bool = False
    canceled: bool = False
    error: bool = False
    statuses: dict[str, events.StepStatus] = field(default_factory=dict)
    lines: dict[int, Lines] = field(default_factory=dict)
    log: deque[str] = field(default_factory=lambda: deque(maxlen=_LOG_LINES))


class TtyDisplay:
    """Draw the live picture; `close` draws it a last time and leaves the cursor below."""

    def __init__(self, stream: TextIO, *, colours: bool = True, now: Callable[[], int] = time.time_ns) -> None:
        self._stream = stream
        self._colours = colours
        self._now = now
        self._begun = now()
        self._lock = threading.Lock()
        self._vertexes: dict[int, _Vertex] = {}
        self._warnings: list[str] = []
        self._drawn = 0
        self._changed = True
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._refresh, name="progress", daemon=True)
        self._thread.start()

    def emit(self, event: events.Event) -> None:
        """Take one event into the picture; it shows with the next redraw."""
        with self._lock:
            self._take(event)
            self._changed = True

    def close(self) -> None:
        """Draw the last picture, all of it, and stop."""
        self._over.set()
        self._thread.join()
        with self._lock:
            self._draw(last=True)

    def _take(self, event: events.Event) -> None:
        match event:
            case events.StepStarted():
                self._vertexes[event.vertex] = _Vertex(name=_heading(event.name), started=event.at)
            case events.StepCached():
                self._vertexes[event.vertex] = _Vertex(
                    name=_heading(event.name), started=event.at, completed=event.at, cached=True
                )
            case events.StepOutput():
                vertex = self._vertexes[event.vertex]
                lines = vertex.lines.setdefault(event.stream, Lines())
                vertex.log.extend(clean_line(line, colours=self._colours) for line in lines.feed(event.data))
            case events.StepStatus():
                self._vertexes[event.vertex].statuses[event.key or event.text] = event
            case events.StepFinished():
                vertex = self._vertexes[event.vertex]
                vertex.completed = event.at
                vertex.canceled, vertex.error = event.canceled, event.error is not None
                for lines in vertex.lines.values():
                    vertex.log.extend(clean_line(line, colours=self._colours) for line in lines.finish())
            case events.Warned():
                place = f" (line {event.line})" if event.line is not None else ""
                self._warnings.append(f"{clean_line(event.message, colours=False)}{place}")
            case _:
                assert_never(event)

    def _refresh(self) -> None:
        while not self._over.wait(_REFRESH):
            with self._lock:
                if self._changed or any(vertex.completed is None for vertex in self._vertexes.values()):
                    self._draw(last=False)

    def _draw(self, *, last: bool) -> None:
        width, height = _terminal_size(self._stream)
        lines = self._picture(width, last=last)
        if not last and len(lines) > height - 1:
            lines = [lines[0], *lines[len(lines) - (height - 2) :]]
        up = f"\x1b[{self._drawn}A\r" if self._drawn else ""
        text = "".join(f"{line}\n" for line in lines)
        self._stream.write(f"{_HIDE_CURSOR}{up}{_CLEAR_BELOW}{text}{_SHOW_CURSOR}")
        self._stream.flush()
        self._drawn = len(lines)
        self._changed = False

    def _picture(self, width: int, *, last: bool) -> list[str]:
        now = self._now()
        done = sum(vertex.completed is not None for vertex in self._vertexes.values())
        failed = any(vertex.error for vertex in self._vertexes.values())
        state = " FINISHED" if last and not failed else ""
        total = (now - self._begun) / _SECOND
        lines = [_fit(f"[+] Building {total:.1f}s ({done}/{len(self._vertexes)}){state}", "", width)]
        for vertex in self._vertexes.values():
            lines.extend(self._rows(vertex, now, width))
        if last:
            lines.extend(self._paint(line, _YELLOW) for line in warnings_text(self._warnings).splitlines())
        return lines

    def _rows(self, vertex: _Vertex, now: int, width: int) -> list[str]:
        elapsed = ((vertex.completed or now) - vertex.started) / _SECOND
        mark, colour = "", ""
        if vertex.cached:
            mark, colour = "CACHED ", _BLUE
        elif vertex.canceled:
            mark, colour = "CANCELED ", _YELLOW
        elif vertex.error:
            mark, colour = "ERROR ", _RED
        elif vertex.completed is not None:
            colour = _BLUE
        rows = [self._paint(_fit(f" => {mark}{vertex.name}", f"{elapsed:.1f}s", width), colour)]
        for status in vertex.statuses.values():
            took = f"{status.elapsed / _SECOND:.1f}s" if status.done else ""
            rows.append(self._paint(_fit(f" => => {status.text}", took, width), colour))
        if vertex.completed is None or vertex.error:
            rows.extend(_fit(f" => => # {line}", "", width) for line in vertex.log)
        return rows

    def _paint(self, text: str, colour: str) -> str:
        return f"{colour}{text}{_RESET}" if colour and self._colours else text


def _heading(name: str) -> str:
    return clean_line(name.replace("\n", " "), colours=False)


def _terminal_size(stream: TextIO) -> tuple[int, int]:
    try:
        size = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        return 80, 24
    # Some terminals say that they have no size at all.
    return max(size.columns or 80, 20), max(size.lines or 24, 6)


def _fit(text: str, right: str, width: int) -> str:
    """Cut `text` to the line and put `right` at its end; colour sequences in it take no room."""
    room = width - 1 - (len(right) + 1 if right else 0)
    kept: list[str] = []
    used = 0
    position = 0
    coloured = False
    while position < len(text):
        if text[position] == "\x1b":
            end = text.find("m", position) + 1 or len(text)
            kept.append(text[position:end])
            coloured = True
            position = end
            continue
        columns = _columns(text[position])
        if used + columns > room:
            break
        kept.append(text[position])
        used += columns
        position += 1
    fitted = "".join(kept) + (_RESET if coloured else "")
    return f"{fitted}{' ' * (room - used)} {right}" if right else fitted


def _columns(character: str) -> int:
    """Count the columns of one character: wide ones take two, combining ones none."""
    if character.isascii():
        return 1
    from unicodedata import combining, east_asian_width  # lazy: only where text is not ASCII

    if combining(character):
        return 0
    return _WIDE if east_asian_width(character) in "WF" else 1
