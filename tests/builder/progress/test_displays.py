"""Which view is shown where, the live picture, and the lines for programs."""

from __future__ import annotations

import io
import json

import pytest

from builder.progress.displays import open_display, resolve_mode
from builder.progress.events import StepCached, StepFinished, StepOutput, StepStarted, StepStatus, Warned
from builder.progress.tty import TtyDisplay
from runtime.errors import UsageError

SECOND = 1_000_000_000


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("wanted", "terminal", "environ", "mode"),
    [
        (None, True, {"TERM": "xterm"}, "tty"),
        (None, True, {"TERM": "dumb"}, "plain"),
        (None, False, {"TERM": "xterm"}, "plain"),
        ("auto", True, {"TERM": "xterm"}, "tty"),
        ("plain", True, {"TERM": "xterm"}, "plain"),
        (None, True, {"TERM": "xterm", "BUILDKIT_PROGRESS": "rawjson"}, "rawjson"),
        ("none", False, {}, "none"),
    ],
)
def test_the_view_follows_the_flag_the_environment_and_the_stream(
    wanted: str | None, terminal: bool, environ: dict[str, str], mode: str
) -> None:
    stream = Terminal() if terminal else io.StringIO()
    assert resolve_mode(wanted, stream, environ) == mode


def test_an_unknown_view_is_refused() -> None:
    with pytest.raises(UsageError, match="fancy"):
        resolve_mode("fancy", io.StringIO(), {})


def test_the_quiet_view_writes_nothing() -> None:
    stream = io.StringIO()
    with open_display("quiet", stream, {}, lambda: 0) as sink:
        sink(StepStarted(vertex=1, name="x", at=0))
    assert stream.getvalue() == ""


def test_each_event_is_one_json_object_a_line() -> None:
    stream = io.StringIO()
    with open_display("rawjson", stream, {}, lambda: 0) as sink:
        sink(StepStarted(vertex=1, name="x", at=SECOND, line=2, reason="why"))
        sink(StepOutput(vertex=1, stream=2, data=b"\xff", at=SECOND))
        sink(StepStatus(vertex=1, text="s", at=SECOND, done=True))
        sink(StepFinished(vertex=1, at=SECOND, error="bad"))
        sink(StepCached(vertex=2, name="y", at=SECOND))
        sink(Warned(message="m", at=SECOND, line=4))
    documents = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert documents[0]["vertexes"][0]["started"] == "1970-01-01T00:00:01Z"
    assert documents[0]["vertexes"][0]["reason"] == "why"
    assert documents[1]["logs"][0]["data"] == "/w=="
    assert documents[1]["logs"][0]["vertex"] == documents[0]["vertexes"][0]["digest"]
    assert documents[3]["vertexes"][0]["error"] == "bad"
    assert documents[4]["vertexes"][0]["cached"] is True
    assert documents[5]["warnings"][0]["range"][0]["start"] == {"line": 4}


def picture(*, close: bool = True) -> str:
    stream = Terminal()
    display = TtyDisplay(stream, colours=False, now=lambda: 3 * SECOND)
    display.emit(StepCached(vertex=1, name="[1/3] FROM x", at=0))
    display.emit(StepStarted(vertex=2, name="[2/3] RUN " + "long " * 40, at=SECOND))
    display.emit(StepOutput(vertex=2, stream=1, data=b"".join(b"line %d\n" % n for n in range(20)), at=SECOND))
    display.emit(StepStarted(vertex=3, name="[3/3] RUN b", at=SECOND))
    display.emit(StepFinished(vertex=3, at=2 * SECOND, error="bad"))
    display.close()
    return stream.getvalue().rpartition("\x1b[J")[2]


def test_the_live_picture_shows_times_cached_steps_and_the_last_lines() -> None:
    lines = picture().replace("\x1b[?25h", "").splitlines()
    assert lines[0].startswith("[+] Building 0.0s (2/3)")
    assert lines[1].startswith(" => CACHED [1/3] FROM x")
    assert lines[2].endswith(" 2.0s")
    assert lines[3].startswith(" => => # line 14")
    assert any(line.startswith(" => ERROR [3/3] RUN b") for line in lines)


def test_no_line_of_the_picture_is_wider_than_the_terminal() -> None:
    assert max(len(line) for line in picture().replace("\x1b[?25h", "").splitlines()) <= 80
