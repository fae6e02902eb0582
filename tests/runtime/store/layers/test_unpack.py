"""Layers that are applied: what comes out, and what hostile ones cannot do."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.errors import LayerError
from runtime.store.layers.tree import read_metadata
from runtime.store.layers.writer import write_layer
from runtime.store.trees import remove_tree
from runtime.store.view import MergedView
from tests.runtime.store.layers.trees import (
    describe,
    directory,
    entry,
    hard_link,
    opened,
    symlink,
    tar_of,
    unpack,
)

Entries = tuple[tuple[tarfile.TarInfo, bytes], ...]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def lower(tmp_path: Path) -> Iterator[MergedView]:
    """A lower layer: usr/bin/tool (a hard link of usr/bin/other), etc/conf, and the symlink lib -> usr/lib."""
    path = tmp_path / "lower"
    unpack(
        tar_of(
            directory("usr", mode=0o711, uid=7, mtime=1000),
            directory("usr/bin", mode=0o750, mtime=2000),
            entry("usr/bin/tool", data=b"tool", mode=0o4755, mtime=3000),
            hard_link("usr/bin/other", "usr/bin/tool"),
            directory("usr/lib"),
            symlink("lib", "usr/lib"),
            entry("etc/conf", data=b"conf"),
        ),
        path,
    )
    with MergedView([path]) as view:
        yield view


def kinds(root: Path) -> dict[str, str]:
    return {os.fsdecode(path): str(found[0]) for path, found in describe(root).items()}


def metadata_of(root: Path, name: str) -> tuple[int, int, int]:
    with opened(root) as fd:
        found = read_metadata(fd, name.encode())
    return found.mode, found.uid, found.mtime_ns // 10**9


def test_metadata_comes_as_it_is_written(root: Path) -> None:
    tar = tar_of(
        directory("d", mode=0o1777, uid=1, gid=2, mtime=10),
        entry("d/f", data=b"x", mode=0o6755, uid=3, gid=4, mtime=-20),
        entry("d/l", tarfile.SYMTYPE, linkname="nowhere", uid=5, mtime=30),
        entry("d/p", tarfile.FIFOTYPE, mode=0o600, uid=6, mtime=40),
    )
    os.umask(os.umask(0o077))
    unpack(tar, root)
    assert metadata_of(root, "d") == (0o1777, 1, 10)
    assert metadata_of(root, "d/f") == (0o6755, 3, -20)
    assert metadata_of(root, "d/l") == (0o777, 5, 30)
    assert metadata_of(root, "d/p") == (0o600, 6, 40)


def test_device_nodes_read_back_as_devices(root: Path) -> None:
    unpack(tar_of(entry("null", tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666)), root)
    with opened(root) as fd:
        found = read_metadata(fd, b"null")
    assert (found.kind, found.rdev, found.mode) == ("character", os.makedev(1, 3), 0o666)


def test_missing_parents_are_made_of_root_and_open_to_all(root: Path) -> None:
    unpack(tar_of(entry("a/b/c", uid=1000)), root)
    assert metadata_of(root, "a") == metadata_of(root, "a/b") == (0o755, 0, 0)


def test_parent_that_the_tar_does_not_name_is_as_below(root: Path, lower: MergedView) -> None:
    unpack(tar_of(entry("usr/bin/new")), root, lower)
    assert metadata_of(root, "usr") == (0o711, 7, 1000)
    assert metadata_of(root, "usr/bin") == (0o750, 0, 2000)


def test_parent_named_after_its_child_is_as_named(root: Path, lower: MergedView) -> None:
    unpack(tar_of(entry("usr/bin/new"), directory("usr", mode=0o700, mtime=5)), root, lower)
    assert metadata_of(root, "usr") == (0o700, 0, 5)


def test_root_changes_by_an_entry_for_it_alone(root: Path) -> None:
    root.mkdir(mode=0o700)
    os.utime(root, (50, 50))
    unpack(tar_of(entry("f")), root)
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    assert root.stat().st_mtime == 50
    unpack(tar_of(directory("./", mode=0o1755, mtime=60)), root)
    assert stat.S_IMODE(root.stat().st_mode) == 0o1755
    assert root.stat().st_mtime == 60


def test_whiteout_hides_what_is_below(root: Path, lower: MergedView) -> None:
    unpack(tar_of(entry("etc/.wh.conf"), entry(".wh.usr")), root, lower)
    assert kinds(root) == {"etc": "directory", "etc/conf": "whiteout", "usr": "whiteout"}


def test_whiteout_of_nothing_leaves_nothing(root: Path, lower: MergedView) -> None:
    unpack(tar_of(entry(".wh.absent")), root, lower)
    assert kinds(root) == {}


@pytest.mark.parametrize("marker_first", [True, False])
def test_opaque_directory_keeps_what_its_own_layer_has(root: Path, lower: MergedView, marker_first: bool) -> None:
    marker = (entry("usr/.wh..wh..opq"),)
    content = (directory("usr"), entry("usr/new"))
    unpack(tar_of(*marker, *content) if marker_first else tar_of(*content, *marker), root, lower)
    assert kinds(root) == {"usr": "directory", "usr/new": "file"}
    with MergedView([root, *lower.layers]) as view:
        assert view.listdir("usr") == (b"new",)


def test_parents_below_an_opaque_directory_are_new(root: Path, lower: MergedView) -> None:
    unpack(tar_of(entry("usr/.wh..wh..opq"), entry("usr/bin/new")), root, lower)
    assert metadata_of(root, "usr/bin") == (0o755, 0, 0)


def test_opaque_root_hides_everything_that_is_below(root: Path, lower: MergedView) -> None:
    unpack(tar_of(directory("usr"), entry(".wh..wh..opq")), root, lower)
    with MergedView([root, *lower.layers]) as view:
        assert [path for path, _, _ in view.walk()] == [b"", b"usr"]


@pytest.mark.parametrize("order", [0, 1])
def test_whiteout_and_directory_of_one_name_make_it_opaque(root: Path, lower: MergedView, order: int) -> None:
    entries = [entry(".wh.usr"), directory("usr", mode=0o700)]
    unpack(tar_of(*entries[:: -1 if order else 1]), root, lower)
    with MergedView([root, *lower.layers]) as view:
        assert view.listdir("usr") == ()
    assert metadata_of(root, "usr")[0] == 0o700


def test_whiteout_does_not_take_a_file_of_its_own_layer(root: Path, lower: MergedView) -> None:
    unpack(tar_of(entry("etc/conf", data=b"new"), entry("etc/.wh.conf")), root, lower)
    assert (root / "etc" / "conf").read_bytes() == b"new"


def test_bookkeeping_of_aufs_is_left_out(root: Path) -> None:
    unpack(tar_of(directory(".wh..wh.plnk"), entry(".wh..wh.plnk/1.2"), entry(".wh..wh.aufs"), entry("f")), root)
    assert kinds(root) == {"f": "file"}


def test_hard_link_to_a_file_below_copies_it_up(root: Path, lower: MergedView) -> None:
    unpack(tar_of(hard_link("usr/bin/third", "usr/bin/tool")), root, lower)
    assert kinds(root) == {"usr": "directory", "usr/bin": "directory", "usr/bin/third": "file", "usr/bin/tool": "file"}
    assert (root / "usr/bin/third").stat().st_ino == (root / "usr/bin/tool").stat().st_ino
    assert metadata_of(root, "usr/bin/third") == (0o4755, 0, 3000)


def test_parent_that_is_a_symlink_below_is_replaced(root: Path, lower: MergedView) -> None:
    unpack(tar_of(entry("lib/new")), root, lower)
    assert kinds(root) == {"lib": "directory", "lib/new": "file"}


def test_later_entries_win(root: Path) -> None:
    unpack(
        tar_of(
            entry("a", data=b"one"),
            entry("a", data=b"two"),
            directory("b"),
            entry("b/inside"),
            entry("b", data=b"file"),
            entry("c"),
            directory("c"),
            entry("c/inside"),
            symlink("d", "a"),
            entry("d", data=b"no link"),
            directory("e", mode=0o700),
            entry("e/kept"),
            directory("e", mode=0o711),
        ),
        root,
    )
    assert kinds(root) == {
        "a": "file",
        "b": "file",
        "c": "directory",
        "c/inside": "file",
        "d": "file",
        "e": "directory",
        "e/kept": "file",
    }
    assert [(root / name).read_bytes() for name in "abd"] == [b"two", b"file", b"no link"]
    assert metadata_of(root, "e")[0] == 0o711


def test_directory_replaced_by_a_link_does_not_get_the_times_of_another(root: Path) -> None:
    unpack(tar_of(directory("a", mtime=1), directory("b", mtime=2), entry("b/f"), symlink("a", "b")), root)
    assert metadata_of(root, "b")[2] == 2


def test_links_of_the_same_layer_are_followed_inside_the_root(root: Path) -> None:
    unpack(
        tar_of(
            symlink("up", "../../../../usr"),
            symlink("abs", "/usr/lib"),
            entry("up/a"),
            entry("abs/b"),
            directory("usr"),
        ),
        root,
    )
    assert kinds(root) == {
        "abs": "symlink",
        "up": "symlink",
        "usr": "directory",
        "usr/a": "file",
        "usr/lib": "directory",
        "usr/lib/b": "file",
    }


def test_names_may_climb_inside_the_root(root: Path) -> None:
    unpack(tar_of(entry("./a/./b/../../c"), entry("/d//e")), root)
    assert kinds(root) == {"c": "file", "d": "directory", "d/e": "file"}


def test_attributes_of_overlayfs_and_of_ours_do_not_come_in(root: Path) -> None:
    names = ("trusted.overlay.opaque", "user.overlay.opaque", "user.overlay.whiteout", "user.pybuild.stat", "user.note")
    records = {f"SCHILY.xattr.{name}": "y" for name in names}
    unpack(tar_of(directory("d", pax_headers=records)), root)
    found = {name: os.getxattr(root / "d", name) for name in os.listxattr(root / "d")}
    assert found.pop("user.note") == b"y"
    assert b"y" not in found.values()


def test_file_capabilities_come_back_where_they_can_be_set(root: Path) -> None:
    value = "\x01\x00\x00\x02\x00\x04" + "\x00" * 14
    stats = unpack(tar_of(entry("ping", pax_headers={"SCHILY.xattr.security.capability": value})), root)
    with opened(root) as fd:
        found = read_metadata(fd, b"ping").xattrs.get("security.capability")
    assert (found, stats.dropped_xattrs) in {(value.encode(), ()), (None, ("security.capability",))}


def test_device_of_a_whiteout_is_one(root: Path, lower: MergedView) -> None:
    unpack(tar_of(entry("usr", tarfile.CHRTYPE)), root, lower)
    assert kinds(root) == {"usr": "whiteout"}


def test_archive_that_is_no_layer_may_have_any_names(root: Path) -> None:
    tar = tar_of(entry(".wh.x"), directory("d"), entry("d/.wh..wh..opq"))
    unpack(tar, root, whiteouts=False)
    assert sorted(path.name for path in root.rglob("*")) == [".wh..wh..opq", ".wh.x", "d"]


HOSTILE: dict[str, Entries] = {
    "a name that climbs": (entry("../outside"),),
    "a name that climbs later": (entry("a/../../outside"),),
    "a directory that climbs": (directory(".."),),
    "the root as a file": (entry("./"),),
    "the root as a symlink": (symlink("/", "/etc"),),
    "a hard link that climbs": (hard_link("f", "../outside"),),
    "a hard link to an absolute path": (hard_link("f", "/etc/passwd"),),
    "a hard link through a symlink": (symlink("s", "/etc"), hard_link("f", "s/passwd")),
    "a hard link through a climbing symlink": (symlink("s", "../../../../../../etc"), hard_link("f", "s/passwd")),
    "a hard link to nothing": (hard_link("f", "absent"),),
    "a hard link to a directory": (directory("d"), hard_link("f", "d")),
    "a hard link to the root": (hard_link("f", "/"),),
    "a hard link to no name": (hard_link("f", ""),),
    "a hard link to what it replaces": (directory("d"), entry("d/f"), hard_link("d", "d/f")),
    "a loop of symlinks": (symlink("a", "b"), symlink("b", "a"), entry("a/f")),
    "a symlink to itself": (symlink("a", "a"), entry("a/f")),
    "a symlink to nothing": (symlink("a", ""),),
    "a file as parent": (entry("a"), entry("a/b")),
    "a fifo as parent": (entry("a", tarfile.FIFOTYPE), entry("a/b")),
    "a whiteout of nothing": (entry("a/.wh."),),
    "a whiteout of the directory": (entry("a/.wh.."),),
    "a whiteout of the parent": (entry("a/.wh..."),),
    "something in a whiteout": (entry(".wh.a/b"),),
    "a component that is too long": (entry("x" * 300),),
    "a name that is too long": (entry("d/" * 2100 + "f"),),
    "an attribute without a name": (entry("f", pax_headers={"SCHILY.xattr.": "x"}),),
    "an attribute whose name is too long": (entry("f", pax_headers={"SCHILY.xattr.user." + "x" * 300: "x"}),),
    "an attribute that is too large": (entry("f", pax_headers={"SCHILY.xattr.user.x": "x" * 70_000}),),
    "the id that means none": (entry("f", pax_headers={"uid": "4294967295"}),),
}


@pytest.mark.parametrize("entries", HOSTILE.values(), ids=HOSTILE)
def test_refused(root: Path, entries: Entries) -> None:
    with pytest.raises(LayerError):
        unpack(tar_of(*entries), root)


def test_error_names_the_entry(root: Path) -> None:
    with pytest.raises(LayerError) as caught:
        unpack(tar_of(entry("fine"), entry("../bad")), root)
    assert caught.value.entry == "../bad"


@pytest.fixture
def arena(tmp_path: Path) -> Path:
    """A directory with something outside of the root that must stay as it is."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("precious")
    return tmp_path


parts = st.sampled_from(["..", ".", "", "a", "b", "c", ".wh.a", ".wh..wh..opq", "x" * 256, "\udcff"])
paths = st.lists(parts, min_size=1, max_size=5).map("/".join).map(lambda p: p or "a")
targets = st.one_of(
    paths, st.sampled_from(["/", "..", "../outside", "../../outside/file", "../outside/file", "/outside"])
)


@st.composite
def members(draw: st.DrawFn) -> tuple[tarfile.TarInfo, bytes]:
    kind = draw(st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE]))
    return entry(
        draw(paths),
        kind,
        draw(st.binary(max_size=3)) if kind == tarfile.REGTYPE else b"",
        linkname=draw(targets),
        mode=draw(st.sampled_from([0o755, 0o4711, 0o700])),
    )


@settings(max_examples=300)
@given(st.lists(members(), max_size=12))
def test_no_archive_touches_anything_outside(arena: Path, entries: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    before = describe(arena / "outside")
    root = arena / "root"
    try:
        unpack(tar_of(*entries), root)
    except LayerError:
        pass
    assert describe(arena / "outside") == before
    assert sorted(path.name for path in arena.iterdir()) == ["outside", "root"]
    remove_tree(root)


@settings(max_examples=100)
@given(st.lists(members(), max_size=12))
def test_what_was_applied_is_written_and_applied_the_same(
    tmp_path: Path, entries: list[tuple[tarfile.TarInfo, bytes]]
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    try:
        unpack(tar_of(*entries), first)
    except LayerError:
        remove_tree(first)
        return
    written = io.BytesIO()
    digests = write_layer(first, written)
    unpack(written.getvalue(), second)
    again = io.BytesIO()
    assert write_layer(second, again) == digests
    assert again.getvalue() == written.getvalue()
    assert describe(second) == describe(first)
    remove_tree(first)
    remove_tree(second)
