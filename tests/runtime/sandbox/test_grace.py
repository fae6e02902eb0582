from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime.sandbox import grace


def test_expecting_a_move_moves_nobody() -> None:
    before = Path("/proc/self/cgroup").read_text()
    grace.expect_move()
    assert Path("/proc/self/cgroup").read_text() == before


def test_a_group_of_this_process_is_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    monkeypatch.setattr(grace, "_write_zero", written.append)
    grace.expect_move()
    assert len(written) == 1
    assert str(os.getpid()) in Path(os.fsdecode(written[0])).read_text().split()


def test_who_may_not_write_there_is_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: bytes) -> None:
        raise PermissionError

    monkeypatch.setattr(grace, "_write_zero", refuse)
    grace.expect_move()
