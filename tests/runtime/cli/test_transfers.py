"""What is shown while images move: a line a change without a terminal, moving lines on one."""

from __future__ import annotations

import io

import pytest

from runtime.cli.transfers import _PULL_WORDS, _PUSH_WORDS, PlainTransfers, TerminalTransfers, open_progress
from runtime.context import Context
from runtime.registry.events import BlobProgress, Event, TransferStarted, nowhere

KEY = "sha256:" + "0123456789abcdef" * 4
OTHER = "sha256:" + "f" * 64
PULL: list[Event] = [
    TransferStarted(target="v1", repository="library/app"),
    BlobProgress(key=KEY, phase="waiting"),
    BlobProgress(key=OTHER, phase="exists"),
    BlobProgress(key=KEY, phase="downloading", done=1000, total=2000),
    BlobProgress(key=KEY, phase="downloaded", done=2000, total=2000),
    BlobProgress(key=KEY, phase="extracting", done=2000, total=2000),
    BlobProgress(key=KEY, phase="complete", done=2000, total=2000),
]


def test_plain_lines_are_dockers() -> None:
    stream = io.StringIO()
    display = PlainTransfers(stream, _PULL_WORDS)
    for event in PULL:
        display(event)
    assert stream.getvalue().splitlines() == [
        "v1: Pulling from library/app",
        "0123456789ab: Pulling fs layer",
        "ffffffffffff: Already exists",
        "0123456789ab: Download complete",
        "0123456789ab: Pull complete",
    ]


def test_a_push_says_from_where_a_layer_was_taken() -> None:
    stream = io.StringIO()
    display = PlainTransfers(stream, _PUSH_WORDS)
    display(BlobProgress(key=KEY, phase="preparing"))
    display(BlobProgress(key=KEY, phase="uploaded", mounted_from="other/app"))
    display(BlobProgress(key=OTHER, phase="exists"))
    assert stream.getvalue().splitlines() == [
        "0123456789ab: Preparing",
        "0123456789ab: Mounted from other/app",
        "ffffffffffff: Layer already exists",
    ]


def test_what_moves_on_a_terminal_is_drawn_in_place_and_nothing_of_it_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.cli.transfers._REDRAW", 0)
    stream = io.StringIO()
    display = TerminalTransfers(stream, _PULL_WORDS)
    for event in PULL:
        display(event)
    display.close()
    shown = stream.getvalue()
    assert "0123456789ab: Downloading [=====================>" in shown
    assert "1kB/2kB" in shown
    assert _screen(shown) == [
        "v1: Pulling from library/app",
        "ffffffffffff: Already exists",
        "0123456789ab: Pull complete",
    ]


def _screen(text: str) -> list[str]:
    """Do what a terminal does with the two sequences that are used."""
    lines: list[str] = []
    for part in text.split("\x1b["):
        if part[:2].rstrip("A").isdecimal() and "A" in part[:3]:
            up, part = part.split("A", 1)
            del lines[len(lines) - int(up) :]
        part = part.removeprefix("J").lstrip("\r")
        lines += [line for line in part.split("\n") if line]
    return lines


@pytest.mark.parametrize("display", [PlainTransfers, TerminalTransfers])
def test_names_that_others_chose_show_no_control_characters(
    display: type[PlainTransfers] | type[TerminalTransfers],
) -> None:
    stream = io.StringIO()
    display(stream, _PUSH_WORDS)(BlobProgress(key=KEY, phase="uploaded", mounted_from="x\x1b[2Jy\n"))
    assert "\x1b[2J" not in stream.getvalue()


def test_quiet_shows_nothing(context: Context) -> None:
    with open_progress(context, quiet=True) as progress:
        assert progress is nowhere
