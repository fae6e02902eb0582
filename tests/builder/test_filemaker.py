"""Files are made by a second thread, all of them, and what fails there is told."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from builder.filemaker import FileMaker
from runtime.store.layers.tree import Metadata

MANY = 1000


@contextmanager
def maker(root: Path) -> Iterator[FileMaker]:
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with FileMaker(fd) as made:
            yield made
    finally:
        os.close(fd)


def plain(size: int, mode: int = 0o644) -> Metadata:
    return Metadata("file", mode, os.geteuid(), os.getegid(), size=size, mtime_ns=10**18)


@pytest.mark.parametrize("count", [1, MANY])
def test_every_file_is_there_once_it_was_waited_for(tmp_path: Path, count: int) -> None:
    with maker(tmp_path) as made:
        for number in range(count):
            made.put(b"f%d" % number, plain(number, 0o600 | number % 8), b"x" * number)
        made.wait()
        assert not made.incomplete
        found = {path.name: path.stat() for path in tmp_path.iterdir()}
        assert {name: (status.st_size, status.st_mode & 0o777) for name, status in found.items()} == {
            f"f{number}": (number, 0o600 | number % 8) for number in range(count)
        }
        assert {status.st_mtime_ns for status in found.values()} == {10**18}
        made.put(b"last", plain(1), b"y")
        made.wait()
        assert (tmp_path / "last").read_bytes() == b"y"


@pytest.mark.parametrize("count", [1, MANY])
def test_what_fails_is_told_and_nothing_after_it_is_made(tmp_path: Path, count: int) -> None:
    with maker(tmp_path) as made, pytest.raises(FileNotFoundError):
        made.put(b"nowhere/f", plain(0), b"")
        for number in range(count):
            made.put(b"f%d" % number, plain(0), b"")
        made.wait()
    assert not (tmp_path / f"f{count - 1}").exists()


def test_a_copy_that_is_given_up_leaves_no_thread_at_work(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), maker(tmp_path) as made:
        for number in range(MANY):
            made.put(b"f%d" % number, plain(0), b"")
        raise KeyboardInterrupt
    left = sorted(tmp_path.iterdir())
    assert len(left) < MANY
    assert sorted(tmp_path.iterdir()) == left
