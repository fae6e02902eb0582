from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime.store import reserve


def _disk(monkeypatch: pytest.MonkeyPatch, path: Path, free: int) -> None:
    found = os.statvfs(path)
    blocks = free // found.f_frsize
    monkeypatch.setattr(os, "statvfs", lambda _path: os.statvfs_result((*found[:3], blocks, blocks, *found[5:])))


def test_a_disk_with_plenty_gets_a_spare_file_and_a_full_one_a_slice_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spare = tmp_path / "spare"
    _disk(monkeypatch, tmp_path, 1 << 30)
    reserve.see_to_it(tmp_path)
    whole = spare.stat()
    assert whole.st_blocks * 512 >= whole.st_size > 1 << 20
    _disk(monkeypatch, tmp_path, 0)
    sizes = []
    while spare.stat().st_size:
        reserve.see_to_it(tmp_path)
        sizes.append(spare.stat().st_size)
    assert len(sizes) > 4
    assert sizes == sorted(sizes, reverse=True)
    reserve.see_to_it(tmp_path)  # it is used up
    _disk(monkeypatch, tmp_path, 8 << 20)
    reserve.see_to_it(tmp_path)
    assert spare.stat().st_size == 0
    _disk(monkeypatch, tmp_path, 1 << 30)
    reserve.see_to_it(tmp_path)
    assert spare.stat().st_size == whole.st_size


def test_a_full_disk_that_never_had_a_spare_file_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _disk(monkeypatch, tmp_path, 0)
    reserve.see_to_it(tmp_path)
    assert list(tmp_path.iterdir()) == []
