"""The plain view has buildx' lines."""

from __future__ import annotations

import io

from builder.progress.events import Event, StepCached, StepFinished, StepOutput, StepStarted, StepStatus, Warned
from builder.progress.plain import PlainDisplay

SECOND = 1_000_000_000


def shown(*events: Event) -> str:
    stream = io.StringIO()
    display = PlainDisplay(stream)
    for event in events:
        display.emit(event)
    display.close()
    return stream.getvalue()


def test_a_step_has_a_heading_its_output_with_times_and_an_end() -> None:
    text = shown(
        StepStarted(vertex=1, name="[1/1] RUN x", at=0),
        StepOutput(vertex=1, stream=1, data=b"one\ntw", at=SECOND // 8),
        StepOutput(vertex=1, stream=1, data=b"o\n", at=SECOND),
        StepFinished(vertex=1, at=2 * SECOND),
    )
    assert text == "#1 [1/1] RUN x\n#1 0.125 one\n#1 1.000 two\n#1 DONE 2.0s\n\n"


def test_a_line_without_its_end_is_shown_when_the_step_ends() -> None:
    text = shown(
        StepStarted(vertex=1, name="x", at=0),
        StepOutput(vertex=1, stream=2, data=b"rest", at=0),
        StepFinished(vertex=1, at=0, error="it failed"),
    )
    assert text == "#1 x\n#1 0.000 rest\n#1 ERROR: it failed\n\n"


def test_a_remembered_step_says_so() -> None:
    assert shown(StepCached(vertex=4, name="x", at=0)) == "#4 x\n#4 CACHED\n\n"


def test_output_of_two_steps_repeats_the_headings() -> None:
    text = shown(
        StepStarted(vertex=1, name="a", at=0),
        StepStarted(vertex=2, name="b", at=0),
        StepOutput(vertex=1, stream=1, data=b"x\n", at=0),
        StepFinished(vertex=2, at=0, canceled=True, error="interrupted"),
    )
    assert text == "#1 a\n#1 ...\n\n#2 b\n#2 ...\n\n#1 a\n#1 0.000 x\n#1 ...\n\n#2 b\n#2 CANCELED\n\n"


def test_parts_of_a_vertex_and_warnings_have_lines_of_their_own() -> None:
    text = shown(
        StepStarted(vertex=1, name="exporting to image", at=0),
        StepStatus(vertex=1, text="writing image sha256:x", at=0, done=True),
        StepFinished(vertex=1, at=0),
        Warned(message="R: m", at=0, line=3),
    )
    assert "#1 writing image sha256:x done\n" in text
    assert "\nWARN: R: m (line 3)\n" in text


def test_the_warnings_of_a_build_are_counted_and_repeated_at_its_end() -> None:
    text = shown(Warned(message="R: m", at=0, line=3), Warned(message="S: n", at=0))
    assert text.endswith("\n 2 warnings found:\n - R: m (line 3)\n - S: n\n")


def test_control_characters_of_names_and_output_are_shown_as_escapes() -> None:
    text = shown(
        StepStarted(vertex=1, name="a\x1b[2Jb\nc", at=0),
        StepOutput(vertex=1, stream=1, data=b"x\x1b]0;title\x07y\x08\n", at=0),
    )
    assert text == "#1 ab c\n#1 0.000 xy\\x08\n"
