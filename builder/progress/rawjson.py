"""Show a build as one JSON object a line, in the form of BuildKit's SolveStatus: for programs that read along."""

from __future__ import annotations

import json
import threading
from base64 import b64encode
from typing import Any, TextIO, assert_never

from builder.imagestate import timestamp
from builder.progress import events
from runtime.oci.digests import sha256_of


class RawJsonDisplay:
    """Write each event as `{"vertexes": […]}`, `{"logs": […]}`, `{"statuses": […]}` or `{"warnings": […]}`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._vertexes: dict[int, dict[str, Any]] = {}

    def emit(self, event: events.Event) -> None:
        """Write one event."""
        with self._lock:
            self._stream.write(json.dumps(self._document(event)) + "\n")
            self._stream.flush()

    def close(self) -> None:
        """Nothing is left to write."""

    def _document(self, event: events.Event) -> dict[str, Any]:
        match event:
            case events.StepStarted():
                vertex = self._begin(event.vertex, event.name, event.line)
                vertex["started"] = timestamp(event.at)
                if event.reason:
                    vertex["reason"] = event.reason
                return {"vertexes": [vertex]}
            case events.StepCached():
                vertex = self._begin(event.vertex, event.name, event.line)
                vertex.update(started=timestamp(event.at), completed=timestamp(event.at), cached=True)
                return {"vertexes": [vertex]}
            case events.StepFinished():
                vertex = self._begin(event.vertex, "", None)
                vertex["completed"] = timestamp(event.at)
                if event.canceled:
                    vertex["error"] = "canceled"
                elif event.error is not None:
                    vertex["error"] = event.error
                return {"vertexes": [vertex]}
            case events.StepOutput():
                log = {"vertex": _digest(event.vertex), "stream": event.stream}
                data = b64encode(event.data).decode()
                return {"logs": [{**log, "data": data, "timestamp": timestamp(event.at)}]}
            case events.StepStatus():
                status = {"id": event.key or event.text, "vertex": _digest(event.vertex), "name": event.text}
                status["timestamp"] = timestamp(event.at)
                if event.done:
                    status["completed"] = timestamp(event.at)
                return {"statuses": [status]}
            case events.Warned():
                warning: dict[str, Any] = {"short": b64encode(event.message.encode(errors="replace")).decode()}
                if event.line is not None:
                    warning["range"] = [{"start": {"line": event.line}, "end": {"line": event.line}}]
                return {"warnings": [warning]}
            case _:
                assert_never(event)

    def _begin(self, number: int, name: str, line: int | None) -> dict[str, Any]:
        vertex = self._vertexes.setdefault(number, {"digest": _digest(number), "name": name})
        if line is not None:
            vertex["line"] = line
        return vertex


def _digest(vertex: int) -> str:
    """Name a vertex as BuildKit's consumers expect it: by something that looks like a digest."""
    return sha256_of(f"vertex {vertex}".encode())
