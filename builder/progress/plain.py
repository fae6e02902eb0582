"""Show a build as plain lines, as `docker buildx build --progress plain` does: for logs and pipes."""

from __future__ import annotations

import threading
from typing import TextIO, assert_never

from builder.progress import events
from builder.progress.sanitise import Lines, clean_line, warnings_text

_SECOND = 1_000_000_000


class PlainDisplay:
    """Write `#N …` lines to a stream; every line belongs to the vertex with that number.

    Where output of one vertex follows another's that is still at work, its heading is repeated.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._names: dict[int, str] = {}
        self._started: dict[int, int] = {}
        self._lines: dict[tuple[int, int], Lines] = {}
        self._warnings: list[str] = []
        self._current = 0

    def emit(self, event: events.Event) -> None:
        """Write what one event says."""
        with self._lock:
            self._emit(event)
            self._stream.flush()

    def close(self) -> None:
        """Repeat the warnings: what they were lost in may be long."""
        with self._lock:
            self._stream.write(warnings_text(self._warnings))
            self._stream.flush()

    def _emit(self, event: events.Event) -> None:
        match event:
            case events.StepStarted():
                self._started[event.vertex] = event.at
                self._heading(event.vertex, event.name)
            case events.StepCached():
                self._heading(event.vertex, event.name)
                self._write(event.vertex, "CACHED")
                self._end(event.vertex)
            case events.StepOutput():
                lines = self._lines.setdefault((event.vertex, event.stream), Lines())
                self._output(event.vertex, lines.feed(event.data), event.at)
            case events.StepStatus():
                self._switch(event.vertex)
                took = f" {event.elapsed / _SECOND:.1f}s" if event.done and event.elapsed >= _SECOND // 20 else ""
                self._write(event.vertex, f"{event.text}{took}{' done' if event.done else ''}")
            case events.StepFinished():
                self._finish(event)
            case events.Warned():
                place = f" (line {event.line})" if event.line is not None else ""
                warning = f"{clean_line(event.message, colours=False)}{place}"
                self._warnings.append(warning)
                self._stream.write(f"WARN: {warning}\n")
            case _:
                assert_never(event)

    def _finish(self, event: events.StepFinished) -> None:
        for stream in (1, 2):
            lines = self._lines.pop((event.vertex, stream), None)
            if lines is not None:
                self._output(event.vertex, lines.finish(), event.at)
        self._switch(event.vertex)
        if event.canceled:
            self._write(event.vertex, "CANCELED")
        elif event.error is not None:
            self._write(event.vertex, f"ERROR: {clean_line(event.error, colours=False)}")
        else:
            elapsed = event.at - self._started.get(event.vertex, event.at)
            self._write(event.vertex, f"DONE {elapsed / _SECOND:.1f}s")
        self._end(event.vertex)

    def _output(self, vertex: int, lines: list[str], at: int) -> None:
        if not lines:
            return
        self._switch(vertex)
        elapsed = (at - self._started.get(vertex, at)) / _SECOND
        head = f"#{vertex} {elapsed:.3f} "
        self._stream.write("".join(f"{head}{clean_line(line, colours=False)}\n" for line in lines))

    def _heading(self, vertex: int, name: str) -> None:
        self._names[vertex] = clean_line(name.replace("\n", " "), colours=False)
        self._switch(vertex)

    def _switch(self, vertex: int) -> None:
        if self._current == vertex:
            return
        if self._current:
            self._stream.write(f"#{self._current} ...\n\n")
        self._current = vertex
        self._write(vertex, self._names.get(vertex, ""))

    def _end(self, vertex: int) -> None:
        self._stream.write("\n")
        if self._current == vertex:
            self._current = 0

    def _write(self, vertex: int, text: str) -> None:
        self._stream.write(f"#{vertex} {text}\n")
