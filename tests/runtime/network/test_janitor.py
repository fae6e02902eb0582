"""Who is the last user of the bridge, and what is done then; without any bridge."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from runtime.network import bridge, janitor


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Keep janitors from being started; gives the descriptors (by now closed) of the lock that each would have had."""
    guards: list[int] = []
    monkeypatch.setattr(janitor, "_start", lambda _locks, _key, guard, _users: guards.append(guard))
    return guards


@pytest.fixture
def cleared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keep bridges from being taken away; gives the keys of those that would have been."""
    keys: list[str] = []
    monkeypatch.setattr(janitor, "clear", lambda _locks, key: keys.append(key))
    monkeypatch.setattr(janitor, "LINGER", 0.001)
    return keys


def be_janitor(locks: str, monkeypatch: pytest.MonkeyPatch) -> None:
    guard = os.open(f"{locks}/network.janitor", os.O_RDWR | os.O_CREAT, 0o600)
    users = os.open(f"{locks}/network.users", os.O_RDWR | os.O_CREAT, 0o600)
    monkeypatch.setattr(janitor, "_JANITOR_FD", guard)
    monkeypatch.setattr(janitor, "_USERS_FD", users)
    fcntl.flock(guard, fcntl.LOCK_EX)
    try:
        janitor.main(locks, "key")
    finally:
        os.close(guard)
        os.close(users)


def test_many_can_use_the_bridge_at_once(locks: str) -> None:
    users = [janitor.try_use(locks) for _ in range(3)]
    assert None not in users
    assert janitor.alone(locks) is None
    for user in users:
        os.close(user or -1)


def test_nobody_becomes_a_user_while_the_bridge_is_taken_away(locks: str) -> None:
    alone = janitor.alone(locks)
    assert alone is not None
    assert janitor.try_use(locks) is None
    os.close(alone)


def test_a_descriptor_of_a_user_is_closed_on_exec(locks: str) -> None:
    user = janitor.try_use(locks)
    assert user is not None
    assert not os.get_inheritable(user)
    os.close(user)


def test_the_last_one_out_starts_a_janitor(locks: str, started: list[int]) -> None:
    first, second = janitor.try_use(locks), janitor.try_use(locks)
    assert first is not None
    assert second is not None
    os.close(first)
    janitor.leave(locks, "key")
    assert started == []
    os.close(second)
    janitor.leave(locks, "key")
    assert len(started) == 1


def test_one_janitor_is_enough(locks: str, started: list[int]) -> None:
    waiting = os.open(f"{locks}/network.janitor", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(waiting, fcntl.LOCK_EX)
    janitor.leave(locks, "key")
    os.close(waiting)
    assert started == []


def test_a_janitor_takes_away_what_nobody_uses(locks: str, cleared: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    be_janitor(locks, monkeypatch)
    assert cleared == ["key"]


def test_a_janitor_leaves_what_somebody_uses_and_goes(
    locks: str, cleared: list[str], monkeypatch: pytest.MonkeyPatch, started: list[int]
) -> None:
    user = janitor.try_use(locks)
    assert user is not None
    be_janitor(locks, monkeypatch)
    assert cleared == []
    os.close(user)
    janitor.leave(locks, "key")
    assert len(started) == 1, "the user who left later found no janitor and started one"


def test_a_janitor_waits_again_after_a_use_in_between(
    locks: str, cleared: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 1:
            os.utime(f"{locks}/network.users", ns=(1, 1))

    monkeypatch.setattr("runtime.network.janitor.time.sleep", nap)
    be_janitor(locks, monkeypatch)
    assert len(naps) == 2
    assert cleared == ["key"]


def test_a_janitor_does_its_work_also_for_a_root_that_was_deleted(
    locks: str, cleared: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.network.janitor.time.sleep", lambda _seconds: shutil.rmtree(locks))
    be_janitor(locks, monkeypatch)
    assert cleared == ["key"]


def test_a_janitor_leaves_the_bridge_of_a_root_that_was_made_anew(
    locks: str, cleared: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def make_anew(_seconds: float) -> None:
        os.rename(locks, f"{locks}.old")
        os.mkdir(locks)
        user = janitor.try_use(locks)
        assert user is not None
        os.close(user)

    monkeypatch.setattr("runtime.network.janitor.time.sleep", make_anew)
    be_janitor(locks, monkeypatch)
    assert cleared == []


def test_a_link_in_place_of_a_lock_file_is_not_followed(locks: str, tmp_path: Path) -> None:
    os.symlink(tmp_path / "elsewhere", f"{locks}/network.users")
    with pytest.raises(OSError, match="symbolic link"):
        janitor.try_use(locks)


def test_with_the_bridge_all_leases_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "a %20?b#c"
    (root / "locks").mkdir(parents=True)
    monkeypatch.setattr(bridge, "take_down", lambda _key, _named: None)
    with sqlite3.connect(root / "state.db") as database:
        database.execute("CREATE TABLE network_leases(address)")
        database.execute("INSERT INTO network_leases VALUES(1)")
        database.commit()
        janitor.clear(f"{root}/locks", "key")
        assert database.execute("SELECT * FROM network_leases").fetchall() == []
    database.close()


def test_a_root_that_is_gone_is_not_made_again(locks: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "take_down", lambda _key, _named: None)
    janitor.clear(locks, "key")
    assert not Path(locks).with_name("state.db").exists()


def test_there_is_something_to_clear_from_the_first_user_until_it_is_cleared(
    locks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge, "take_down", lambda _key, _named: None)
    assert not janitor.is_due(locks)
    users = janitor.try_use(locks)
    assert users is not None
    os.close(users)
    assert janitor.is_due(locks)
    janitor.clear(locks, "key")
    assert not janitor.is_due(locks)
