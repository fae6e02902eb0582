"""A tree that is written out is the image's, and nothing of the destination leads it astray."""

from __future__ import annotations

import errno
import io
import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builder.exporters.trees import refuse_meetings, remove_stale, write_tree, write_tree_tars
from runtime.context import Context
from runtime.errors import PybuildError
from runtime.store import Store
from runtime.store.view import MergedView


@pytest.fixture
def view(context: Context) -> Iterator[Callable[..., MergedView]]:
    """Return a function that makes a view of a layer with what the functions given to it put there."""
    with Store.open(context) as store:

        def make(*changes: Callable[[Path], object]) -> MergedView:
            with store.snapshots.prepare(None) as preparation:
                for change in changes:
                    change(preparation.upperdir)
                return store.snapshots.view(preparation.commit(preparation.measure()).chain_id)

        yield make


def _file(name: str, text: str = "x", mode: int = 0o644) -> Callable[[Path], object]:
    def write(base: Path) -> None:
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        os.utime(path, (5, 5))

    return write


def test_files_keep_mode_time_links_and_belong_to_the_caller(
    view: Callable[..., MergedView], tmp_path: Path, context: Context
) -> None:
    tree = view(
        _file("d/a", "A", 0o4755),
        lambda base: os.link(base / "d/a", base / "d/b"),
        lambda base: os.symlink("/etc/passwd", base / "l"),
        lambda base: os.mkfifo(base / "p"),
        lambda base: (base / "closed").mkdir(mode=0o500),
    )
    out = tmp_path / "out"
    write_tree(tree, out, context.cancel)
    status = (out / "d/a").stat()
    assert (status.st_mode & 0o7777, status.st_mtime, status.st_nlink) == (0o4755, 5, 2)
    assert status.st_uid == os.geteuid()
    assert os.readlink(out / "l") == "/etc/passwd"
    assert stat.S_ISFIFO((out / "p").lstat().st_mode)
    assert stat.S_IMODE((out / "closed").stat().st_mode) == 0o500


def test_the_epoch_is_the_time_of_all_files(view: Callable[..., MergedView], tmp_path: Path, context: Context) -> None:
    tree = view(_file("d/a"), lambda base: os.symlink("a", base / "d/l"), lambda base: (base / "e").mkdir())
    out, archive = tmp_path / "out", io.BytesIO()
    write_tree(tree, out, context.cancel, epoch=7)
    write_tree_tars([("", tree)], archive, context.cancel, epoch=7)
    archive.seek(0)
    with tarfile.open(fileobj=archive) as tar:
        assert {member.name: member.mtime for member in tar} == dict.fromkeys(("d", "d/a", "d/l", "e"), 7)
    assert {path.lstat().st_mtime for path in out.rglob("*")} == {7}


def test_links_of_the_destination_are_replaced_and_not_followed(
    view: Callable[..., MergedView], tmp_path: Path, context: Context
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "f").write_text("mine")
    out = tmp_path / "out"
    out.mkdir()
    (out / "d").symlink_to(outside)
    (out / "f").symlink_to(outside / "f")
    (out / "kept").write_text("kept")
    write_tree(view(_file("d/new"), _file("f", "theirs")), out, context.cancel)
    assert sorted(os.listdir(outside)) == ["f"]
    assert (outside / "f").read_text() == "mine"
    assert (out / "f").read_text() == "theirs"
    assert (out / "d/new").read_text() == "x"
    assert (out / "kept").read_text() == "kept"


def test_a_directory_in_the_way_of_a_file_goes(
    view: Callable[..., MergedView], tmp_path: Path, context: Context
) -> None:
    def fill(upper: Path) -> None:
        (upper / "a").write_text("new")
        (upper / "b").symlink_to("a")

    out, outside = tmp_path / "out", tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    for name in ("a", "b"):
        (out / name / "sub").mkdir(parents=True)
        (out / name / "sub/link").symlink_to(outside)
    write_tree(view(fill), out, context.cancel)
    assert (out / "a").read_text() == "new"
    assert (out / "b").readlink() == Path("a")
    assert (outside / "kept").read_text() == "kept"


def test_a_destination_that_is_a_file_is_refused(
    view: Callable[..., MergedView], tmp_path: Path, context: Context
) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(PybuildError, match="output directory"):
        write_tree(view(_file("a")), tmp_path / "out", context.cancel)


def test_a_full_disk_is_told_without_a_file_that_the_kernel_does_not_name(
    view: Callable[..., MergedView], tmp_path: Path, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = view(_file("a"))

    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("builder.exporters.trees.os.write", full)
    with pytest.raises(PybuildError) as caught:
        write_tree(tree, tmp_path / "out", context.cancel)
    assert caught.value.message == f"output directory {tmp_path / 'out'}: No space left on device"


def test_what_is_stale_is_removed_and_no_link_followed(
    view: Callable[..., MergedView], tmp_path: Path, context: Context
) -> None:
    tree = view(_file("d/a"), _file("keep"), lambda base: os.symlink("d", base / "l"))
    outside = tmp_path / "outside"
    for make in (_file("x/y"), _file("z")):
        make(outside)
    out = tmp_path / "out"
    for make in (_file("d/old"), _file("gone/deep/er"), _file("keep", "old")):
        make(out)
    (out / "away").symlink_to(outside)
    write_tree(tree, out, context.cancel)
    remove_stale([("", tree)], out, context.cancel)
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*")) == ["d", "d/a", "keep", "l"]
    assert sorted(path.name for path in outside.rglob("*")) == ["x", "y", "z"]
    write_tree(tree, out / "linux_arm64", context.cancel)
    remove_stale([("linux_arm64", tree)], out, context.cancel)
    assert os.listdir(out) == ["linux_arm64"]
    assert (out / "linux_arm64/d/a").is_file()


def test_two_platforms_may_share_directories_and_no_files(view: Callable[..., MergedView], context: Context) -> None:
    one, two = view(_file("d/a")), view(_file("d/b"))
    refuse_meetings([("linux/amd64", one), ("linux/arm64", two)], context.cancel)
    with pytest.raises(PybuildError, match="cannot overwrite d/a from linux/amd64 with linux/arm64 when split"):
        refuse_meetings([("linux/amd64", one), ("linux/arm64", view(_file("d/a")))], context.cancel)
