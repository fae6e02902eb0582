"""Number the vertices of a build and emit their events, with the values of secrets taken out."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from builder.progress import events
from runtime.errors import Cancelled

_TAIL_BYTES = 64 << 10
_TAIL_LINES = 20


class Vertex:
    """One line of the progress while it works."""

    def __init__(self, reporter: Reporter, number: int, name: str) -> None:
        self.number = number
        self.name = name
        self._reporter = reporter
        self._redactors = {stream: reporter.redactor() for stream in (1, 2)}
        self._tail: deque[bytes] = deque()
        self._tail_size = 0

    def output(self, stream: int, data: bytes) -> None:
        """Pass on what a step printed."""
        self._show(stream, self._redactors[stream](data))

    def status(self, text: str, *, key: str = "", done: bool = False, elapsed: int = 0) -> None:
        """Show one part of the work, `key` where its text changes; `elapsed` in ns."""
        now = self._reporter.now()
        self._reporter.emit(
            events.StepStatus(vertex=self.number, text=text, at=now, key=key, done=done, elapsed=elapsed)
        )

    def last_lines(self) -> tuple[str, ...]:
        """Return the last lines that were printed, as text."""
        lines = b"".join(self._tail).decode(errors="replace").splitlines()
        return tuple(line.rstrip("\r").rpartition("\r")[2] for line in lines[-_TAIL_LINES:])

    def flush(self) -> None:
        """Show what was held back because a secret might have begun there."""
        for stream, redactor in self._redactors.items():
            self._show(stream, redactor(None))

    def _show(self, stream: int, data: bytes) -> None:
        if not data:
            return
        self._tail.append(data)
        self._tail_size += len(data)
        while self._tail_size - len(self._tail[0]) > _TAIL_BYTES:
            self._tail_size -= len(self._tail.popleft())
        now = self._reporter.now()
        self._reporter.emit(events.StepOutput(vertex=self.number, stream=stream, data=data, at=now))


class Reporter:
    """Emits the events of one build to `sink`. Thread-safe."""

    def __init__(self, sink: events.Sink, now: Callable[[], int], secrets: Iterable[bytes] = ()) -> None:
        self.emit = sink
        self.now = now
        self._secrets = tuple(secrets)
        self._lock = threading.Lock()
        self._count = 0

    def cached(self, name: str, line: int | None) -> None:
        """Show a vertex that did not have to work."""
        self.emit(events.StepCached(vertex=self._next(), name=name, at=self.now(), line=line))

    def warn(self, message: str, line: int | None = None) -> None:
        """Show a warning."""
        self.emit(events.Warned(message=message, at=self.now(), line=line))

    @contextmanager
    def working(self, name: str, line: int | None = None, reason: str = "") -> Iterator[Vertex]:
        """Show a vertex at work for the length of a `with` block; an exception shows as its failure."""
        vertex = Vertex(self, self._next(), name)
        self.emit(events.StepStarted(vertex=vertex.number, name=name, at=self.now(), line=line, reason=reason))
        try:
            yield vertex
        except BaseException as error:
            vertex.flush()
            canceled = isinstance(error, (Cancelled, KeyboardInterrupt))
            text = _first_line(error)
            self.emit(events.StepFinished(vertex=vertex.number, at=self.now(), error=text, canceled=canceled))
            raise
        vertex.flush()
        self.emit(events.StepFinished(vertex=vertex.number, at=self.now()))

    def redactor(self) -> Callable[[bytes | None], bytes]:
        """Return a function for one stream: takes bytes, gives what may be shown; None gives the rest."""
        if not self._secrets:
            return lambda data: data or b""
        from builder.progress.sanitise import Redactor

        redactor = Redactor(self._secrets)
        return lambda data: redactor.finish() if data is None else redactor.feed(data)

    def _next(self) -> int:
        with self._lock:
            self._count += 1
            return self._count


def _first_line(error: BaseException) -> str:
    """Return the sentence of an error without what is quoted below it."""
    return (str(error).splitlines() or [type(error).__name__])[0]
