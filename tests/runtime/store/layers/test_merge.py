"""Random layers on each other: the merged view, the kernel's overlay and a model say the same."""

from __future__ import annotations

import ctypes
import os
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.store.trees import remove_tree
from runtime.store.view import MergedView
from tests.runtime.store.layers.trees import directory, entry, tar_of, unpack

Tree = dict[str, str]
"""Path -> content of a file, or "/" for a directory."""
Change = tuple[str, str]
"""What one layer does to a path: ("file", path), ("directory", path), ("delete", path), ("opaque", path)."""

names = st.sampled_from(["a", "b", "c"])
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
kinds = st.sampled_from(["file", "file", "directory", "delete", "opaque"])
layers = st.lists(st.dictionaries(paths, kinds, max_size=5), min_size=1, max_size=4)


def _below(tree: Tree, path: str) -> list[str]:
    return [known for known in tree if known.startswith(path + "/")]


def _clear(tree: Tree, path: str) -> None:
    for known in [path, *_below(tree, path)]:
        tree.pop(known, None)


def _consistent(changes: dict[str, str]) -> dict[str, str]:
    """Leave out what lies in something that the same layer makes a file or deletes."""
    flat = {path for path, kind in changes.items() if kind in {"file", "delete"}}
    return {p: k for p, k in changes.items() if not any(str(parent) in flat for parent in PurePosixPath(p).parents)}


def expected(stack: Sequence[dict[str, str]]) -> Tree:
    """Apply the layers, bottom first, to an empty tree: deletions of a layer before what it adds."""
    tree: Tree = {}
    for number, changes in enumerate(stack):
        for path, kind in changes.items():
            if kind == "delete":
                _clear(tree, path)
            elif kind == "opaque":
                for known in _below(tree, path):
                    tree.pop(known, None)
        for path, kind in sorted(changes.items()):
            if kind == "delete" and not tree.get(path):
                for parent in reversed(PurePosixPath(path).parents[:-1]):
                    _directory(tree, str(parent))
                continue
            for parent in reversed(PurePosixPath(path).parents[:-1]):
                _directory(tree, str(parent))
            if kind == "file":
                _clear(tree, path)
                tree[path] = f"{number}:{path}"
            elif kind != "delete":
                _directory(tree, path)
    return tree


def _directory(tree: Tree, path: str) -> None:
    if tree.get(path) != "/":
        _clear(tree, path)
        tree[path] = "/"


def layer_tar(number: int, changes: dict[str, str]) -> bytes:
    entries: list[tuple[tarfile.TarInfo, bytes]] = []
    for path, kind in changes.items():
        parent, _, name = path.rpartition("/")
        if kind == "file":
            entries.append(entry(path, data=f"{number}:{path}".encode()))
        elif kind == "delete":
            entries.append(entry(f"{parent}/.wh.{name}".lstrip("/")))
        else:
            entries.append(directory(path))
            if kind == "opaque":
                entries.append(entry(f"{path}/.wh..wh..opq"))
    return tar_of(*entries)


def apply_all(base: Path, stack: Sequence[dict[str, str]]) -> list[Path]:
    """Unpack each layer on those before it; returns them topmost first."""
    made: list[Path] = []
    for number, changes in enumerate(stack):
        with MergedView(made) as view:
            unpack(layer_tar(number, changes), base / str(number), view if made else None)
        made.insert(0, base / str(number))
    return made


def merged(made: Sequence[Path]) -> Tree:
    found: Tree = {}
    with MergedView(made) as view:
        for path, metadata, _ in view.walk():
            if metadata.kind == "directory":
                found[path.decode()] = "/"
            else:
                with view.open(path) as file:
                    found[path.decode()] = file.read().decode()
    found.pop("")
    return found


SETTINGS = settings(max_examples=150)


@SETTINGS
@given(layers)
def test_merged_view_of_applied_layers_is_the_model(tmp_path: Path, stack: list[dict[str, str]]) -> None:
    stack = [_consistent(changes) for changes in stack]
    made = apply_all(tmp_path, stack)
    try:
        assert merged(made) == expected(stack)
    finally:
        for path in made:
            remove_tree(path)


@contextmanager
def mounted(made: Sequence[Path], target: Path) -> Iterator[Path]:
    """Mount layers, topmost first, with an empty one at the bottom: the kernel wants two."""
    libc = ctypes.CDLL(None, use_errno=True)
    empty = target.with_name("empty")
    for path in (target, empty):
        path.mkdir(exist_ok=True)
    options = "lowerdir=" + ":".join(map(os.fspath, (*made, empty)))
    if libc.mount(b"overlay", os.fsencode(target), b"overlay", ctypes.c_ulong(1), options.encode()):
        raise OSError(ctypes.get_errno(), "mount")
    try:
        yield target
    finally:
        libc.umount2(os.fsencode(target), 2)


@pytest.mark.overlay
@settings(SETTINGS, max_examples=60)
@given(layers)
def test_kernel_shows_the_same_tree(tmp_path: Path, stack: list[dict[str, str]]) -> None:
    made = apply_all(tmp_path, [_consistent(changes) for changes in stack])
    try:
        with mounted(made, tmp_path / "mounted") as root:
            shown = {
                os.fspath(path.relative_to(root)): "/" if path.is_dir() else path.read_text()
                for path in root.rglob("*")
            }
        assert merged(made) == shown
    finally:
        for path in made:
            remove_tree(path)
