from __future__ import annotations

import io
import os
import struct
import tarfile
from pathlib import Path

import pytest

from runtime.containers.transfer import pack, unpack

_CAPABILITY = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)
"""CAP_NET_RAW, permitted and effective, as the kernel keeps it (capabilities(7), version 2)."""


def _tree(path: Path) -> Path:
    (path / "sub").mkdir(parents=True)
    (path / "sub/file").write_bytes(b"text")
    os.link(path / "sub/file", path / "twin")
    (path / "link").symlink_to("sub/file")
    os.mkfifo(path / "pipe")
    (path / "sub/file").chmod(0o4711)
    os.utime(path / "sub/file", (1, 981173106))
    return path


def _packed(path: Path, name: str, *, follow: bool = False) -> io.BytesIO:
    stream = io.BytesIO()
    pack(stream, str(path), name, follow=follow)
    stream.seek(0)
    return stream


def _tar(*entries: tuple[str, bytes, str]) -> io.BytesIO:
    """Make an archive of (name, type, what it links to)."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, kind, target in entries:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, target
            entry.uid, entry.gid = os.getuid(), os.getgid()
            tar.addfile(entry)
    stream.seek(0)
    return stream


def test_a_tree_comes_out_as_it_went_in(tmp_path: Path) -> None:
    unpack(_packed(_tree(tmp_path / "tree"), "tree"), str(tmp_path), rename=("tree", "copy"))
    copy = tmp_path / "copy"
    status = (copy / "sub/file").stat()
    assert (status.st_mode & 0o7777, status.st_mtime, status.st_nlink) == (0o4711, 981173106, 2)
    assert (copy / "twin").samefile(copy / "sub/file")
    assert os.readlink(copy / "link") == "sub/file"
    assert (copy / "pipe").is_fifo()


def test_contents_alone_go_where_an_empty_name_says(tmp_path: Path) -> None:
    (tmp_path / "into").mkdir()
    unpack(_packed(_tree(tmp_path / "tree"), "tree"), str(tmp_path / "into"), rename=("tree", ""))
    assert sorted(os.listdir(tmp_path / "into")) == ["link", "pipe", "sub", "twin"]


def test_a_link_is_followed_only_where_that_is_asked_for(tmp_path: Path) -> None:
    tree = _tree(tmp_path / "tree")
    with tarfile.open(fileobj=_packed(tree / "link", "name")) as tar:
        assert tar.getmember("name").issym()
    with tarfile.open(fileobj=_packed(tree / "link", "name", follow=True)) as tar:
        assert tar.getmember("name").isreg()


@pytest.mark.root
def test_capabilities_of_files_with_two_names_are_kept(tmp_path: Path) -> None:
    tree = _tree(tmp_path / "tree")
    os.setxattr(tree / "sub/file", "security.capability", _CAPABILITY)
    unpack(_packed(tree, "tree"), str(tmp_path), rename=("tree", "copy"), owner=(33, 44))
    copy = tmp_path / "copy/sub/file"
    assert os.getxattr(copy, "security.capability") == _CAPABILITY
    assert (copy.stat().st_uid, copy.stat().st_gid) == (33, 44)


@pytest.mark.parametrize(
    "entries",
    [
        [("../out", tarfile.REGTYPE, "")],
        [("in/../../out", tarfile.REGTYPE, "")],
        [("link", tarfile.SYMTYPE, ".."), ("link/out", tarfile.REGTYPE, "")],
        [("link", tarfile.SYMTYPE, "/"), ("link/tmp/out", tarfile.REGTYPE, "")],
        [("hard", tarfile.LNKTYPE, "../secret")],
        [("link", tarfile.SYMTYPE, ".."), ("hard", tarfile.LNKTYPE, "link/secret")],
    ],
)
def test_nothing_leads_out_of_the_directory(tmp_path: Path, entries: list[tuple[str, bytes, str]]) -> None:
    (tmp_path / "secret").write_text("kept")
    (tmp_path / "into").mkdir()
    with pytest.raises(ValueError, match="out of"):
        unpack(_tar(*entries), str(tmp_path / "into"))
    assert sorted(os.listdir(tmp_path)) == ["into", "secret"]
    assert (tmp_path / "secret").stat().st_nlink == 1


def test_a_link_that_was_there_goes_where_a_file_comes(tmp_path: Path) -> None:
    (tmp_path / "into").mkdir()
    (tmp_path / "secret").write_text("kept")
    (tmp_path / "into/name").symlink_to("../secret")
    unpack(_tar(("name", tarfile.REGTYPE, "")), str(tmp_path / "into"))
    assert not (tmp_path / "into/name").is_symlink()
    assert (tmp_path / "secret").read_text() == "kept"


def test_a_directory_is_no_place_for_a_file_nor_the_other_way(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="cannot overwrite directory"):
        unpack(_tar(("directory", tarfile.REGTYPE, "")), str(tmp_path))
    with pytest.raises(ValueError, match="cannot overwrite non-directory"):
        unpack(_tar(("file", tarfile.DIRTYPE, "")), str(tmp_path))


def test_a_directory_that_was_there_gets_the_mode_of_the_one_that_comes(tmp_path: Path) -> None:
    (tmp_path / "from/directory").mkdir(parents=True)
    (tmp_path / "from/directory").chmod(0o2750)
    (tmp_path / "into/directory").mkdir(parents=True, mode=0o700)
    sink = io.BytesIO()
    pack(sink, str(tmp_path / "from"), ".")
    unpack(io.BytesIO(sink.getvalue()), str(tmp_path / "into"))
    assert (tmp_path / "into/directory").stat().st_mode & 0o7777 == 0o2750


def test_a_directory_does_not_go_where_a_link_to_one_is(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to("directory")
    with pytest.raises(ValueError, match="cannot overwrite non-directory"):
        unpack(_tar(("link", tarfile.DIRTYPE, "")), str(tmp_path))


def test_contents_alone_get_the_new_name_before_theirs(tmp_path: Path) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "from/file").write_text("text")
    os.link(tmp_path / "from/file", tmp_path / "from/second")
    packed = io.BytesIO()
    pack(packed, str(tmp_path / "from"), ".")
    unpack(io.BytesIO(packed.getvalue()), str(tmp_path), rename=(".", "new"))
    assert (tmp_path / "new/second").samefile(tmp_path / "new/file")
    assert (tmp_path / "new/file").read_text() == "text"


def test_nothing_is_an_archive_of_nothing(tmp_path: Path) -> None:
    unpack(io.BytesIO(b""), str(tmp_path))
    assert not list(tmp_path.iterdir())
