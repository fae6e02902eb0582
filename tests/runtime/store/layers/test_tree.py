"""Metadata that the disk holds, and metadata that only a record holds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime.store.layers import records
from runtime.store.layers.tree import (
    Kind,
    Metadata,
    is_whiteout,
    make_node,
    make_whiteout,
    read_metadata,
    set_opaque,
    write_metadata,
    write_open,
)
from tests.runtime.store.layers.trees import opened


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the kernel refuse owners and devices, as it does in a user namespace with one id."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    for name in ("chown", "fchown", "mknod"):
        monkeypatch.setattr(os, name, refuse)
    monkeypatch.setattr(records, "_ids", lambda _: (range(1),))


@pytest.mark.parametrize(
    ("kind", "rdev", "link"),
    [
        ("file", 0, b""),
        ("directory", 0, b""),
        ("symlink", 0, b"target"),
        ("fifo", 0, b""),
        ("character", os.makedev(1, 3), b""),
        ("block", os.makedev(259, 70000), b""),
    ],
)
@pytest.mark.usefixtures("refusing")
def test_what_the_kernel_refused_reads_back(tmp_path: Path, kind: Kind, rdev: int, link: bytes) -> None:
    metadata = Metadata(kind, 0o777 if kind == "symlink" else 0o640, 1000, 33, rdev=rdev, mtime_ns=5, link=link)
    with opened(tmp_path) as fd:
        make_node(fd, b"x", metadata)
        write_metadata(fd, b"x", metadata)
        found = read_metadata(fd, b"x")
    assert found._replace(nlink=1, inode=0, device=0) == metadata


@pytest.mark.usefixtures("refusing")
def test_stand_in_of_a_whiteout_is_one(tmp_path: Path) -> None:
    with opened(tmp_path) as fd:
        make_whiteout(fd, b"x")
        assert read_metadata(fd, b"x").kind == "whiteout"
        assert is_whiteout(fd, b"x", os.stat(b"x", dir_fd=fd))
    (tmp_path / "x").write_text("written to")
    with opened(tmp_path) as fd:
        assert read_metadata(fd, b"x").kind == "file"


@pytest.mark.usefixtures("refusing")
def test_stand_in_that_was_written_to_is_a_file(tmp_path: Path) -> None:
    with opened(tmp_path) as fd:
        make_node(fd, b"x", Metadata("character", 0o600, 0, 0, rdev=os.makedev(1, 3)))
        (tmp_path / "x").write_text("data")
        assert read_metadata(fd, b"x").kind == "file"


@pytest.mark.usefixtures("refusing")
def test_record_of_a_replaced_link_says_nothing(tmp_path: Path) -> None:
    metadata = Metadata("symlink", 0o777, 1000, 1000, mtime_ns=5, link=b"t")
    with opened(tmp_path) as fd:
        make_node(fd, b"l", metadata)
        write_metadata(fd, b"l", metadata)
        os.unlink(b"l", dir_fd=fd)
        os.symlink(b"t", b"l", dir_fd=fd)
        assert read_metadata(fd, b"l").uid == os.geteuid()


def test_owner_that_can_be_set_ends_its_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = Metadata("directory", 0o755, 1000, 1000)
    with opened(tmp_path) as fd:
        make_node(fd, b"d", metadata)
        monkeypatch.setattr(records, "_ids", lambda _: (range(1),))
        with monkeypatch.context() as patch:
            patch.setattr(os, "chown", lambda *_, **__: (_ for _ in ()).throw(PermissionError(1, "no")))
            write_metadata(fd, b"d", metadata)
        assert read_metadata(fd, b"d").uid == 1000
        write_metadata(fd, b"d", metadata._replace(uid=os.geteuid(), gid=os.getegid()))
        assert read_metadata(fd, b"d").uid == os.geteuid()


def test_opaque_directory_reads_as_one_and_shows_no_attribute(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    with opened(tmp_path) as fd:
        assert not read_metadata(fd, b"d").opaque
        set_opaque(fd, b"d")
        found = read_metadata(fd, b"d")
    assert found.opaque
    assert not found.xattrs


def test_attributes_that_cannot_be_set_are_told(tmp_path: Path) -> None:
    metadata = Metadata("symlink", 0o777, os.geteuid(), os.getegid(), link=b"t", xattrs={"user.note": b"x"})
    with opened(tmp_path) as fd:
        make_node(fd, b"l", metadata)
        assert write_metadata(fd, b"l", metadata) == ["user.note"]


def test_open_file_gets_mode_and_times(tmp_path: Path) -> None:
    with opened(tmp_path) as fd:
        handle = os.open(b"f", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=fd)
        write_open(handle, Metadata("file", 0o4711, os.geteuid(), os.getegid(), mtime_ns=-1))
        os.close(handle)
        found = read_metadata(fd, b"f")
    assert (found.mode, found.mtime_ns) == (0o4711, -1)


@pytest.mark.parametrize("value", [b"u x y", b"c 1", b"c 1 3 x 0 0", b"q 1 2 3", b"u", b"", b"\xff"])
def test_record_that_is_none_of_ours_is_passed_over(tmp_path: Path, value: bytes) -> None:
    (tmp_path / "f").touch(mode=0o600)
    os.setxattr(tmp_path / "f", "user.pybuild.stat", value)
    with opened(tmp_path) as fd:
        found = read_metadata(fd, b"f")
    assert (found.kind, found.uid) == ("file", os.geteuid())


@pytest.mark.root
def test_nobody_gives_a_file_away_by_writing_a_record(tmp_path: Path) -> None:
    """Any process of a step may set `user.*` attributes on its own files: they must not become root's, or devices."""
    (tmp_path / "f").touch(mode=0o644)
    os.chown(tmp_path / "f", 33, 33)
    for value, uid in ((b"u 0 0", 33), (b"c 1 1 666 0 0", 33), (b"w", 33)):
        os.setxattr(tmp_path / "f", "user.pybuild.stat", value)
        with opened(tmp_path) as fd:
            found = read_metadata(fd, b"f")
        assert (found.kind, found.uid, found.gid) == ("file", uid, uid)


@pytest.mark.root
def test_root_does_not_look_at_the_opaque_mark_of_user_namespaces(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    os.setxattr(tmp_path / "d", "user.overlay.opaque", b"y")
    with opened(tmp_path) as fd:
        assert not read_metadata(fd, b"d").opaque
