"""The root is found as the contract says."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.cli.surroundings import find_layout


def test_the_flag_comes_before_the_environment(tmp_path: Path) -> None:
    layout = find_layout(str(tmp_path / "a"), {"PYBUILD_ROOT": str(tmp_path / "b")}, rootless=False)
    assert layout.root == tmp_path / "a"


def test_the_superuser_has_a_root_of_the_machine() -> None:
    layout = find_layout(None, {}, rootless=False)
    assert layout.root == Path("/var/lib/pybuild")
    assert layout.run == Path("/run/pybuild") / layout.key


def test_a_user_has_a_root_below_the_data_directory(tmp_path: Path) -> None:
    assert find_layout(None, {"HOME": str(tmp_path)}, rootless=True).root == tmp_path / ".local/share/pybuild"
    assert find_layout(None, {"XDG_DATA_HOME": str(tmp_path)}, rootless=True).root == tmp_path / "pybuild"


def test_what_must_not_outlive_a_boot_lies_in_the_users_runtime_directory(tmp_path: Path) -> None:
    layout = find_layout(None, {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}, rootless=True)
    assert layout.run == tmp_path / "pybuild" / layout.key
    assert find_layout(None, {"HOME": str(tmp_path)}, rootless=True).run == layout.root / "run"


def test_two_spellings_of_one_directory_are_one_root(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    first = find_layout(str(tmp_path / "real"), {}, rootless=False)
    assert find_layout(str(tmp_path / "link"), {}, rootless=False) == first
    assert len(first.key) == 10


def test_who_is_the_superuser_of_a_user_namespace_alone_has_it_below_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, _mode: not str(path).startswith("/run"))
    layout = find_layout(str(tmp_path), {}, rootless=False)
    assert layout.run == layout.root / "run"
