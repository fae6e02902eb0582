from __future__ import annotations

import random
from pathlib import Path
from typing import BinaryIO

import pytest

from runtime.containers import logs
from runtime.containers.logs import LogReader


def _write(directory: Path, files: list[bytes]) -> Path:
    for number, content in enumerate(reversed(files)):
        (directory / ("log" if number == 0 else f"log.{number}")).write_bytes(content)
    return directory / "log"


def _read(log: Path, *, last: int | None = None) -> list[tuple[bytes, bool]]:
    with LogReader(log) as reader:
        if last is not None:
            reader.skip_to_last(last)
        return [(record.text, record.stderr) for record in reader.read()]


def _some_log(seed: int) -> list[bytes]:
    """Make a log of two streams with whole and divided lines, in files as a rotation leaves them."""
    source = random.Random(seed)
    lines = [
        b"T%d %s %s %s\n"
        % (number, source.choice((b"stdout", b"stderr")), source.choice(b"FFP").to_bytes(1, "big"), b"x" * size)
        for number, size in enumerate(source.choices((0, 1, 5, 40), k=source.randrange(60)))
    ]
    parts = sorted(source.randrange(len(lines) + 1) for _ in range(source.randrange(3)))
    ends = [*parts, len(lines)]
    files = [b"".join(lines[start:end]) for start, end in zip([0, *parts], ends, strict=True)]
    return [*files[:-1], files[-1] + source.choice((b"", b"T stdout F ha"))]


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("piece", [1, 7, 100])
def test_the_last_lines_are_found_from_the_end_as_from_the_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, piece: int
) -> None:
    monkeypatch.setattr(logs, "_PIECE", piece)
    log = _write(tmp_path, _some_log(seed))
    with LogReader(log) as reader:
        pieces = list(reader.read())
    begins = [number for number, record in enumerate(pieces) if record.begins]
    for count in (0, 1, 2, 3, 10, 100):
        start = len(pieces) if count == 0 else begins[-count] if count <= len(begins) else 0
        assert _read(log, last=count) == [(record.text, record.stderr) for record in pieces[start:]]


def test_what_is_written_later_follows_the_last_lines(tmp_path: Path) -> None:
    log = _write(tmp_path, [b"T stdout F one\n", b"T stdout F two\nT stdout F thr"])
    with LogReader(log) as reader:
        reader.skip_to_last(0)
        assert list(reader.read()) == []
        with open(log, "ab") as file:
            file.write(b"ee\n")
        assert [record.text for record in reader.read()] == [b"three\n"]


def test_a_log_that_is_not_there_has_nothing(tmp_path: Path) -> None:
    assert _read(tmp_path / "log") == []
    assert _read(tmp_path / "log", last=5) == []


def _rotated(log: Path, content: bytes) -> None:
    for number in (2, 1):
        older = log.with_name(f"log.{number - 1}") if number > 1 else log
        if older.exists():
            older.rename(log.with_name(f"log.{number}"))
    log.write_bytes(content)


def _texts(reader: LogReader) -> list[bytes]:
    return [record.text for record in reader.read()]


def test_a_reader_that_is_behind_keeps_what_is_rotated_away_meanwhile(tmp_path: Path) -> None:
    log = _write(tmp_path, [b"T stdout F one\n"])
    with LogReader(log) as reader:
        assert _texts(reader) == [b"one\n"]
        _rotated(log, b"T stdout F two\n")
        _rotated(log, b"T stdout F three\n")
        found = reader.read()
        assert next(found).text == b"two\n"
        for number in range(4):
            _rotated(log, b"T stdout F %d\n" % number)
        # the two that lay between are gone
        assert [record.text for record in found] == [b"three\n", b"1\n", b"2\n", b"3\n"]


def test_a_file_that_is_renamed_while_the_log_is_listed_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = _write(tmp_path, [b"T stdout F one\n"])

    def opened(path: Path, mode: str) -> BinaryIO:
        file: BinaryIO = path.open(mode)  # type: ignore[assignment]  # a mode for bytes
        if path.name == "log.1":  # the first half of a rotation comes in between
            path.rename(log.with_name("log.2"))
        return file

    with LogReader(log) as reader:
        assert _texts(reader) == [b"one\n"]
        _rotated(log, b"T stdout F two\n")
        monkeypatch.setattr(logs, "open", opened, raising=False)
        assert _texts(reader) == [b"two\n"]
        monkeypatch.undo()
        _rotated(log, b"T stdout F three\n")
        assert _texts(reader) == [b"three\n"]


def test_a_log_is_listed_again_where_it_was_rotated_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = _write(tmp_path, [b"T stdout F one\n", b"T stdout F two\n"])
    waiting = [b"T stdout F three\n"]

    def opened(path: Path, mode: str) -> BinaryIO:
        file: BinaryIO = path.open(mode)  # type: ignore[assignment]  # a mode for bytes
        if waiting:
            _rotated(log, waiting.pop())
        return file

    monkeypatch.setattr(logs, "open", opened, raising=False)
    with LogReader(log) as reader:
        assert _texts(reader) == [b"one\n", b"two\n", b"three\n"]
