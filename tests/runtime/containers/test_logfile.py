from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.containers.logfile import LogFile, lines


@given(st.lists(st.binary(min_size=1, max_size=50)))
def test_nothing_of_the_output_is_lost_in_the_log(pieces: list[bytes]) -> None:
    record = b"".join(lines(b"T", b"stdout", piece) for piece in pieces)
    text = b""
    for line in record.split(b"\n")[:-1]:
        stamp, stream, tag, rest = line.split(b" ", 3)
        assert (stamp, stream) == (b"T", b"stdout")
        text += rest + (b"\n" if tag == b"F" else b"")
    assert text == b"".join(pieces)


def test_a_full_disk_leaves_no_half_line_and_is_told_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    log = LogFile(fd)
    log.write(False, b"one\n")
    write = os.write

    def full(target: int, data: bytes) -> int:
        write(target, bytes(data)[:7])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        log.write(False, b"two\n")
    log.write(True, b"three\n")
    os.close(fd)
    texts = [line.split(b" ", 3)[1:] for line in (tmp_path / "log").read_bytes().splitlines()]
    assert texts == [
        [b"stdout", b"F", b"one"],
        [b"stderr", b"F", b"pybuild: 4 bytes of log were lost"],
        [b"stderr", b"F", b"three"],
    ]


def test_a_log_leaves_room_for_others_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    log = LogFile(fd)
    disk = os.statvfs(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fstatvfs", lambda _fd: os.statvfs_result((*disk[:4], 1, *disk[5:])))
        log.write(False, b"lost\n")
        assert (tmp_path / "log").read_bytes() == b""
    log.write(False, b"kept\n")
    os.close(fd)
    texts = [line.split(b" ", 3)[3] for line in (tmp_path / "log").read_bytes().splitlines()]
    assert texts == [b"pybuild: 5 bytes of log were lost", b"kept"]


@given(st.lists(st.binary(min_size=1, max_size=400), min_size=1), st.integers(1, 500))
def test_a_log_with_a_limit_is_rotated_between_lines_and_keeps_the_latest(pieces: list[bytes], largest: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        fd = os.open(name, os.O_RDONLY)
        log = LogFile(fd, largest=largest, files=3)
        for piece in pieces:
            log.write(False, piece)
        os.close(fd)
        text = b""
        for place in ("log.2", "log.1", "log"):
            path = Path(name, place)
            record = path.read_bytes() if path.exists() else b""
            assert len(record) <= largest or record.count(b"\n") == 1
            for line in record.split(b"\n")[:-1]:
                tag, rest = line.split(b" ", 3)[2:]
                text += rest + (b"\n" if tag == b"F" else b"")
    assert b"".join(pieces).endswith(text)
    assert text


def test_what_fits_into_the_files_of_a_log_is_kept(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    log = LogFile(fd, largest=1000, files=2)
    log.write(False, b"".join(b"line %03d\n" % number for number in range(100)))
    os.close(fd)
    assert len((tmp_path / "log.1").read_bytes()) > 900
    assert (tmp_path / "log").read_bytes().endswith(b"line 099\n")
    assert not (tmp_path / "log.2").exists()
