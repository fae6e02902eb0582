from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.containers import removal
from runtime.containers.records import Container, Containers
from runtime.containers.removal import kept, remove_after_run, remove_resting, remove_stopped
from runtime.containers.volumes import Volumes
from runtime.context import Context
from runtime.store import Store, trees
from tests.runtime.containers.rows import MONITOR, make


@pytest.fixture
def store(context: Context) -> Iterator[Store]:
    with Store.open(context) as store:
        yield store


@pytest.fixture
def containers(store: Store) -> Containers:
    return Containers(store)


def _some(containers: Containers, count: int) -> list[Container]:
    return [make(containers, f"c{number}") for number in range(count)]


def _destroyed(store: Store) -> list[str]:
    return [row["actor"] for row in store.database.read("SELECT actor FROM events WHERE action = 'destroy'")]


def test_what_rests_goes_in_one_go(containers: Containers, store: Store) -> None:
    ids = [container.id for container in _some(containers, 9)]
    (containers.directory(ids[3]) / "work" / "work").mkdir(mode=0)
    assert remove_resting(containers, ids[1:]) == set(ids[1:])
    assert [container.id for container in containers.list()] == ids[:1]
    assert os.listdir(containers.root) == ids[:1]
    assert os.listdir(store.layout.trash) == []
    assert [row["owner"] for row in store.database.read("SELECT owner FROM pins")] == [f"container:{ids[0]}"]
    assert sorted(_destroyed(store)) == sorted(ids[1:])


def test_what_somebody_holds_or_looks_at_or_has_gone_is_left(containers: Containers) -> None:
    free = make(containers, "free")
    held = make(containers, "held", held=True)
    seen = make(containers, "seen")
    ended = make(containers, "ended")
    containers.handed_over(ended, MONITOR, {})  # its monitor died, and nobody has said so yet
    look = os.open(containers.directory(seen.id) / "alive", os.O_RDONLY)
    fcntl.flock(look, fcntl.LOCK_SH)
    ids = [container.id for container in (held, free, seen, ended)]
    assert remove_resting(containers, [*ids, "f" * 64]) == {free.id}
    os.close(look)
    assert remove_stopped(containers, [*ids, "f" * 64]) == [seen.id, ended.id]
    assert [container.id for container in containers.list()] == [held.id]


def test_more_than_a_batch_goes_in_several(
    containers: Containers, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "BATCH", 4)
    ids = [container.id for container in _some(containers, 10)]
    assert remove_stopped(containers, ids) == ids
    assert os.listdir(containers.root) == []
    assert sorted(_destroyed(store)) == sorted(ids)


def test_anonymous_volumes_go_where_that_was_asked_or_the_container_was_to_go_by_itself(
    containers: Containers, store: Store
) -> None:
    ids = []
    for name, auto_remove in (("kept", False), ("gone", True)):
        Volumes(store).use(name, anonymous=True)
        made = make(containers, name, mounts=({"Type": "volume", "Name": name},), auto_remove=auto_remove)
        ids.append(made.id)
    assert remove_resting(containers, ids) == set(ids)
    assert os.listdir(store.layout.volumes) == ["kept"]
    again = make(containers, "again", mounts=({"Type": "volume", "Name": "kept"},))
    assert remove_resting(containers, [again.id], volumes=True) == {again.id}
    assert os.listdir(store.layout.volumes) == []


def test_a_command_that_dies_before_it_moves_the_directories_leaves_them_to_the_next(
    containers: Containers, store: Store
) -> None:
    gone = _some(containers, 3)
    containers.forget(*gone)
    Containers(store)
    assert os.listdir(containers.root) == []


def test_what_cannot_be_deleted_does_not_keep_the_others(
    containers: Containers, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [container.id for container in _some(containers, 5)]
    real = trees.remove_tree

    def refuse(path: Path) -> None:
        if path.name == ids[2]:
            raise PermissionError(1, "Operation not permitted", str(path))
        real(path)

    monkeypatch.setattr(trees, "remove_tree", refuse)
    with pytest.raises(PermissionError):
        remove_resting(containers, ids)
    (left,) = store.layout.trash.iterdir()
    assert os.listdir(left) == [ids[2]]
    assert containers.list() == ()


def test_a_command_looks_at_no_container_that_has_come_to_rest(
    containers: Containers, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    _some(containers, 3)
    waiting = make(containers, "waiting", auto_remove=True)
    running = make(containers, "running", held=True)
    containers.handed_over(running, MONITOR, {})
    looked: list[str] = []
    monkeypatch.setattr(Containers, "_catch_up", lambda _self, container: looked.append(container.id))
    monkeypatch.setattr(Containers, "is_held", lambda _self, container_id: looked.append(container_id))
    Containers(store)
    assert looked == [waiting.id, running.id]
    plan = store.database.read(f"EXPLAIN QUERY PLAN {_unsettled()}")
    assert [row["detail"] for row in plan] == ["SCAN containers USING INDEX containers_unsettled"]


def _unsettled() -> str:
    from runtime.containers.records import _UNSETTLED

    return f"SELECT * FROM containers WHERE {_UNSETTLED} ORDER BY number"


def test_what_somebody_restarts_stays_until_then_or_until_that_process_has_died(containers: Containers) -> None:
    container = make(containers, "again", auto_remove=True)
    with kept(containers, container):
        remove_after_run(containers, container.id)
        assert containers.get(container.id) is not None
    (containers.directory(container.id) / "kept").write_text(MONITOR)
    remove_after_run(containers, container.id)
    assert containers.get(container.id) is None
