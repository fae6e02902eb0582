"""Write the files that users name: whole or not at all, and only in place of files."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from runtime.outputfile import output_file


def test_a_file_has_its_name_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with output_file(path) as file:
        file.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["out"]


def test_what_was_there_stays_where_the_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="full"), output_file(path) as file:
        file.write(b"new")
        raise OSError("full")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_keeps_its_place(tmp_path: Path, there: bool) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "link").symlink_to("d/file")
    if there:
        (tmp_path / "d/file").write_bytes(b"old")
    with output_file(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "d/file").read_bytes() == b"new"
    assert os.listdir(tmp_path / "d") == ["file"]


def test_a_pipe_is_written_as_it_is(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    with output_file(tmp_path / "pipe") as file:
        file.write(b"through")
    reader.join(60)
    assert read == [b"through"]
    assert os.listdir(tmp_path) == ["pipe"]


def test_what_leads_to_an_open_file_is_written_there(tmp_path: Path) -> None:
    with open(tmp_path / "open", "w+b") as opened:
        (tmp_path / "link").symlink_to(f"/proc/self/fd/{opened.fileno()}")
        with output_file(tmp_path / "link") as file:
            file.write(b"there")
        assert opened.read() == b"there"


def test_a_long_name_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    with output_file(path) as file:
        file.write(b"x")
    assert path.read_bytes() == b"x"


@pytest.mark.parametrize("place", ["missing/out", "file/out", "."])
def test_what_cannot_be_written_is_an_error_of_the_system(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises((FileNotFoundError, NotADirectoryError, IsADirectoryError)), output_file(tmp_path / place):
        raise AssertionError("it was opened")
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.root
def test_a_device_stays_one(tmp_path: Path) -> None:
    os.mknod(tmp_path / "null", 0o600 | 0o020000, os.makedev(1, 3))
    with output_file(tmp_path / "null") as file:
        file.write(b"gone")
    assert (tmp_path / "null").is_char_device()
