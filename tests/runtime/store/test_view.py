"""A stack of layers read as one tree."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

import pytest

from runtime.errors import StoreError
from runtime.store.layers.tree import make_whiteout, set_opaque
from runtime.store.view import MergedView
from tests.runtime.store.layers.trees import opened


def build(root: Path, *paths: str) -> Path:
    """Make a layer: `d/` a directory, `-f` a whiteout, `d!` an opaque directory, `l>target` a symlink, else a file."""
    root.mkdir()
    for path in paths:
        name = path.rstrip("/!").removeprefix("-").partition(">")[0]
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if path.startswith("-"):
            with opened((root / name).parent) as fd:
                make_whiteout(fd, os.path.basename(name).encode())
        elif path.endswith(("/", "!")):
            (root / name).mkdir(exist_ok=True)
            if path.endswith("!"):
                with opened(root) as fd:
                    set_opaque(fd, name.encode())
        elif ">" in path:
            os.symlink(path.partition(">")[2], root / name)
        else:
            (root / name).write_text(f"{root.name}:{name}")
    return root


@pytest.fixture
def view(tmp_path: Path) -> Iterator[MergedView]:
    layers = [
        build(tmp_path / "top", "etc/conf", "-usr/bin/old", "opt!", "opt/new", "-srv", "was-file/x", "loop>loop"),
        build(
            tmp_path / "middle",
            "usr/bin/new",
            "lib>usr/lib",
            "abs>/usr/bin",
            "up>../../usr",
            "srv/data",
            "chain>abs/new",
        ),
        build(
            tmp_path / "base", "etc/conf", "etc/passwd", "usr/bin/old", "usr/lib/", "opt/old", "srv/base", "was-file"
        ),
    ]
    with MergedView(layers) as opened_view:
        yield opened_view


def read(view: MergedView, path: str) -> str:
    with view.open(path) as file:
        return file.read().decode()


def test_upper_layers_win_and_directories_merge(view: MergedView) -> None:
    assert read(view, "/etc/conf") == "top:etc/conf"
    assert read(view, "etc/passwd") == "base:etc/passwd"
    assert view.listdir("/etc") == (b"conf", b"passwd")
    assert view.listdir("usr") == (b"bin", b"lib")


def test_whiteouts_and_opaque_directories_hide(view: MergedView) -> None:
    assert view.stat("usr/bin/old") is None
    assert view.listdir("usr/bin") == (b"new",)
    assert view.listdir("opt") == (b"new",)
    assert view.stat("opt/old") is None
    assert view.stat("srv/base") is None
    assert b"srv" not in view.listdir("/")


def test_directory_over_a_file_is_not_merged_with_anything(view: MergedView) -> None:
    assert view.listdir("was-file") == (b"x",)


@pytest.mark.parametrize(
    ("path", "real"),
    [
        ("lib", "/usr/lib"),
        ("/lib/none/at/all", "/usr/lib/none/at/all"),
        ("abs/new", "/usr/bin/new"),
        ("chain", "/usr/bin/new"),
        ("up/bin", "/usr/bin"),
        ("/../../etc/./conf", "/etc/conf"),
        ("abs/../lib", "/usr/lib"),
        ("", "/"),
    ],
)
def test_symlinks_are_followed_inside_the_tree(view: MergedView, path: str, real: str) -> None:
    assert view.resolve(path) == PurePosixPath(real)


def test_stat_does_not_follow_the_last_link(view: MergedView) -> None:
    found = view.stat(PurePosixPath("/lib"))
    assert found is not None
    assert (found.kind, found.link) == ("symlink", b"usr/lib")
    assert view.read_link("lib") == b"usr/lib"


def test_loop_of_links_is_an_error(view: MergedView) -> None:
    with pytest.raises(StoreError, match="loop of symlinks"):
        view.resolve("loop/x")
    with pytest.raises(StoreError):
        view.open("loop")


def test_what_cannot_be_opened_says_why(view: MergedView) -> None:
    with pytest.raises(FileNotFoundError):
        view.open("none")
    with pytest.raises(IsADirectoryError):
        view.open("etc")
    with pytest.raises(NotADirectoryError):
        view.listdir("etc/conf")
    with pytest.raises(OSError, match="Invalid argument"):
        view.read_link("etc/conf")


def test_small_text_is_read_and_large_text_refused(view: MergedView) -> None:
    assert view.read_text("chain", 100) == "middle:usr/bin/new"
    assert view.read_text("none", 100) is None
    assert view.read_text("etc", 100) is None
    with pytest.raises(StoreError, match="more than 3 bytes"):
        view.read_text("etc/conf", 3)


def test_walk_gives_everything_once_with_its_layer(view: MergedView) -> None:
    found = [(path.decode(), metadata.kind, layer.name) for path, metadata, layer in view.walk("usr")]
    assert found == [
        ("", "directory", "top"),
        ("bin", "directory", "top"),
        ("bin/new", "file", "middle"),
        ("lib", "directory", "base"),
    ]


def test_walk_of_a_file_a_link_and_nothing(view: MergedView) -> None:
    assert [path for path, _, _ in view.walk("etc/conf")] == [b""]
    assert [metadata.kind for _, metadata, _ in view.walk("lib")] == ["symlink"]
    assert list(view.walk("none")) == []


def test_names_sort_as_a_layer_has_them(tmp_path: Path) -> None:
    with MergedView([build(tmp_path / "a", "d/x", "d-e", "d.f"), build(tmp_path / "b", "d/a")]) as view:
        assert [path for path, _, _ in view.walk()] == [b"", b"d", b"d/a", b"d/x", b"d-e", b"d.f"]


def test_view_of_no_layers_is_an_empty_root() -> None:
    with MergedView(()) as view:
        assert [(path, metadata.kind) for path, metadata, _ in view.walk()] == [(b"", "directory")]
        assert view.listdir("/") == ()
        assert view.stat("/x") is None
        found = view.stat("/")
        assert found is not None
        assert (found.kind, found.mode) == ("directory", 0o755)


def test_path_with_a_zero_byte_is_refused(view: MergedView) -> None:
    with pytest.raises(StoreError, match="zero byte"):
        view.stat("a\0b")


def test_path_that_is_too_long_is_nothing(view: MergedView) -> None:
    assert view.stat("x" * 300) is None
    assert view.stat("etc/" * 2000 + "x") is None


def test_subtree_asks_below_a_directory(view: MergedView) -> None:
    tree = view.subtree("abs")
    assert tree.names(b"") == (b"new",)
    assert tree.names(b"none") == ()
    assert tree.entry(b"old") is None
    fd = tree.open_file(b"new")
    with suppress(OSError):
        os.close(fd)
