"""Parts of an object that are made when they are first asked for."""

from __future__ import annotations

import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from runtime.store import Store
from runtime.store.once import once


class Whole:
    """An object with one part."""

    def __init__(self) -> None:
        self.made = 0
        self.asked = threading.Barrier(2)

    @once
    def part(self) -> object:
        """What is made."""
        self.made += 1
        return object()


def test_threads_that_ask_at_once_get_the_same_part() -> None:
    for _ in range(50):
        whole = Whole()

        def ask(whole: Whole = whole) -> object:
            whole.asked.wait()
            return whole.part

        with ThreadPoolExecutor(2) as pool:
            first, second = pool.submit(ask), pool.submit(ask)
            assert first.result() is second.result()
        assert whole.made == 1


def test_each_object_has_parts_of_its_own_which_can_be_given() -> None:
    one, other = Whole(), Whole()
    assert one.part is one.part is not other.part
    given = Whole()
    given.part = 7
    assert (given.part, given.made) == (7, 0)
    assert Whole.part.__doc__ == "What is made."


def test_threads_that_ask_at_once_try_overlayfs_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from runtime.store import plain

    tried: list[Path] = []

    def try_it(workspace: Path) -> bool:
        tried.append(workspace)
        return True

    monkeypatch.setattr(plain, "overlay_works", try_it)
    both = threading.Barrier(2)

    def ask() -> bool:
        both.wait()
        return store.snapshots.overlay

    with ThreadPoolExecutor(2) as pool:
        assert [future.result() for future in (pool.submit(ask), pool.submit(ask))] == [True, True]
    assert len(tried) == 1


@pytest.mark.parametrize("outcome", [subprocess.TimeoutExpired("x", 1), OSError(11, "no process"), 1, -2])
def test_a_trial_of_overlayfs_that_was_none_is_not_remembered(
    store: Store, monkeypatch: pytest.MonkeyPatch, outcome: Any
) -> None:
    def run(*_: object, **__: object) -> subprocess.CompletedProcess[bytes]:
        if isinstance(outcome, Exception):
            raise outcome
        return subprocess.CompletedProcess([], outcome)

    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "run", run)
        assert store.snapshots.overlay is False
    assert store.database.one("SELECT overlay FROM snapshot_modes") is None


def test_what_overlayfs_can_do_here_is_remembered(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 3))
    assert store.snapshots.overlay is False
    row = store.database.one("SELECT overlay FROM snapshot_modes")
    assert row is not None
    assert row["overlay"] == 0
