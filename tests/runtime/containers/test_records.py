from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from frozen import replace
from runtime.containers.again import claim
from runtime.containers.exits import Exit, read_exit, write_exit
from runtime.containers.logs import LogReader
from runtime.containers.records import KEPT_EVENTS, Container, Containers
from runtime.containers.removal import remove
from runtime.containers.volumes import Volumes
from runtime.context import Context
from runtime.errors import Conflict, NotFound
from runtime.store import Store
from tests.runtime.containers.rows import MONITOR, TEMPLATE, make


@pytest.fixture
def store(context: Context) -> Iterator[Store]:
    with Store.open(context) as store:
        yield store


@pytest.fixture
def containers(store: Store) -> Containers:
    return Containers(store)


def _make(containers: Containers, name: str, *, digit: str = "a", held: bool = False, **changes: object) -> Container:
    return make(containers, name, identity=digit * 64, held=held, **changes)


_ACTIONS = "SELECT action FROM events WHERE type = 'container' ORDER BY number"


def _actions(store: Store) -> list[str]:
    return [row["action"] for row in store.database.read(_ACTIONS)]


def _say(containers: Containers, container: Container, name: str, text: str) -> None:
    (containers.directory(container.id) / name).write_text(text)


def test_a_record_comes_back_as_it_was_made(containers: Containers) -> None:
    container = _make(containers, "web")
    assert containers.get(container.id) == container


def test_a_container_pins_its_image(containers: Containers, store: Store) -> None:
    container = _make(containers, "web")
    rows = store.database.read("SELECT owner, kind, target FROM pins")
    assert [tuple(row) for row in rows] == [(f"container:{container.id}", "image", container.image)]


def test_a_container_is_found_by_name_id_and_unique_beginning(containers: Containers) -> None:
    first = _make(containers, "web", digit="a")
    _make(containers, "db", digit="b")
    for text in ("web", "/web", first.id, "a", "aaaa"):
        assert containers.find(text).id == first.id


def test_a_name_that_looks_like_an_id_comes_first(containers: Containers) -> None:
    _make(containers, "web", digit="a")
    second = _make(containers, "aaa", digit="b")
    assert containers.find("aaa").id == second.id


def test_a_beginning_of_two_ids_is_refused(containers: Containers) -> None:
    for number, name in (("0", "one"), ("1", "two")):
        with containers.new_directory("c" * 63 + number) as alive:
            containers.insert(replace(TEMPLATE, id="c" * 63 + number, name=name))
        os.close(alive)
    with pytest.raises(Conflict, match="multiple IDs"):
        containers.find("c")


def test_who_is_not_there_is_named_with_the_nearest(containers: Containers) -> None:
    _make(containers, "database")
    with pytest.raises(NotFound, match="No such container: databse") as caught:
        containers.find("databse")
    assert caught.value.hint == "did you mean database?"


def test_a_taken_name_is_a_conflict_that_names_its_holder(containers: Containers) -> None:
    holder = _make(containers, "web", digit="a")
    with pytest.raises(Conflict, match=f'The container name "/web" is already in use by container "{holder.id}"'):
        _make(containers, "web", digit="b")
    assert os.listdir(containers.root) == [holder.id]


def test_a_container_runs_while_its_lock_is_held_and_no_end_is_written(containers: Containers) -> None:
    container = _make(containers, "web", held=True)
    containers.handed_over(container, MONITOR, {})
    running = containers.find("web")
    assert containers.state(running) == "running"
    _say(containers, container, "exit", "3 7 0 \n")
    assert containers.state(running) == "exited"


def test_the_next_command_folds_an_end_that_nobody_saw(containers: Containers, store: Store) -> None:
    container = _make(containers, "web")
    containers.handed_over(container, MONITOR, {})
    _say(containers, container, "started", "42 6\n")
    _say(containers, container, "exit", "3 7 1 \n")
    found = Containers(store).find("web")
    assert (found.state, found.exit_code, found.finished, found.oom_killed, found.started) == ("exited", 3, 7, True, 6)
    assert _actions(store) == ["create", "start", "oom", "die"]


def test_an_end_without_a_word_is_a_kill(containers: Containers, store: Store) -> None:
    container = _make(containers, "web")
    containers.handed_over(container, MONITOR, {})
    _say(containers, container, "started", "42 6\n")
    _say(containers, container, "exit.new", "3 7")
    found = Containers(store).find("web")
    assert (found.state, found.exit_code, found.error) == ("exited", 137, "the monitor was killed")


def test_an_end_without_a_word_in_an_earlier_boot_is_told_as_such(containers: Containers, store: Store) -> None:
    container = _make(containers, "web")
    containers.handed_over(container, "1-2-deadbeef", {})
    _say(containers, container, "started", "42 6\n")
    found = Containers(store).find("web")
    assert (found.state, found.exit_code) == ("exited", 255)
    assert found.error == "the machine was started anew while it ran"


def test_a_container_whose_monitor_died_before_it_ran_was_only_created(containers: Containers, store: Store) -> None:
    container = _make(containers, "web")
    containers.handed_over(container, MONITOR, {})
    found = Containers(store).find("web")
    assert (found.state, found.error) == ("created", "the monitor was killed")
    assert _actions(store) == ["create"]


def test_nobody_concludes_the_end_of_a_container_that_is_held(containers: Containers) -> None:
    container = _make(containers, "web", held=True)
    containers.handed_over(container, MONITOR, {})
    assert not containers.conclude(container.id)
    assert containers.find("web").state == "running"


def test_a_container_that_is_started_again_while_somebody_looks_goes_on_running(
    containers: Containers, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = _make(containers, "web")
    containers.handed_over(container, MONITOR, {})
    _say(containers, container, "exit", "3 7 0 \n")
    held = []
    conclude = Containers.conclude

    def start_again(self: Containers, container_id: str) -> bool:
        held.append(claim(containers, container))  # between the look at the rows and the one at the lock
        containers.forget_end(container)
        containers.handed_over(container, "1-2-4", {})
        return conclude(self, container_id)

    monkeypatch.setattr(Containers, "conclude", start_again)
    Containers(store)
    assert containers.state(containers.find("web")) == "running"
    os.close(held[0])


def test_a_start_records_the_end_that_came_before(containers: Containers, store: Store) -> None:
    container = _make(containers, "web")
    containers.handed_over(container, MONITOR, {})
    _say(containers, container, "started", "42 6\n")
    _say(containers, container, "exit", "3 7 0 \n")
    os.close(claim(containers, container))
    assert _actions(store) == ["create", "start", "die"]
    assert containers.find("web").exit_code == 3


def test_an_end_is_recorded_once(containers: Containers, store: Store) -> None:
    container = _make(containers, "web")
    containers.handed_over(container, MONITOR, {})
    containers.ended(container, Exit(code=1, finished=2))
    containers.ended(container, Exit(code=9, finished=9))
    assert containers.find("web").exit_code == 1
    assert _actions(store) == ["create", "die"]


def test_a_container_to_be_removed_goes_when_nobody_holds_it(containers: Containers, store: Store) -> None:
    container = _make(containers, "web", auto_remove=True)
    Containers(store)
    assert containers.find("web") == container  # one that was made and not started yet stays
    containers.handed_over(container, MONITOR, {})
    Containers(store)
    assert store.database.read("SELECT * FROM containers") == []
    assert store.database.read("SELECT * FROM pins") == []
    assert os.listdir(containers.root) == []
    assert _actions(store) == ["create", "destroy"]


def test_a_directory_without_a_record_goes_unless_somebody_makes_it(containers: Containers, store: Store) -> None:
    (containers.root / ("d" * 64)).mkdir()
    with containers.new_directory("e" * 64) as alive:
        Containers(store)
        assert os.listdir(containers.root) == ["e" * 64]
    os.close(alive)
    Containers(store)
    assert os.listdir(containers.root) == []


def test_a_failure_while_it_is_made_leaves_no_directory(containers: Containers) -> None:
    with pytest.raises(RuntimeError), containers.new_directory("e" * 64):
        raise RuntimeError
    assert os.listdir(containers.root) == []


def test_a_running_container_is_not_removed(containers: Containers) -> None:
    container = _make(containers, "web", held=True)
    containers.handed_over(container, MONITOR, {})
    with pytest.raises(Conflict, match="container is running"):
        remove(containers, container.id)


def test_a_container_that_starts_at_this_moment_is_not_removed(containers: Containers) -> None:
    container = _make(containers, "web", held=True)
    with pytest.raises(Conflict, match="in use"):
        remove(containers, container.id)


def test_a_container_whose_directory_was_deleted_by_hand_can_be_removed(containers: Containers) -> None:
    container = _make(containers, "web")
    (containers.directory(container.id) / "alive").unlink()
    remove(containers, container.id)
    assert containers.get(container.id) is None


def test_removal_takes_anonymous_volumes_that_nobody_else_has(containers: Containers, store: Store) -> None:
    volumes = Volumes(store)
    for name in ("own", "shared"):
        volumes.use(name, anonymous=True)
    volumes.use("named")
    mounts = tuple({"Type": "volume", "Name": name} for name in ("own", "shared", "named"))
    first = _make(containers, "web", digit="a", mounts=mounts)
    _make(containers, "db", digit="b", mounts=mounts[1:2])
    remove(containers, first.id, volumes=True)
    assert sorted(os.listdir(store.layout.volumes)) == ["named", "shared"]


def test_an_end_is_written_and_read_whole(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    write_exit(fd, Exit(code=137, finished=10**18, oom_killed=True, error="no space: \udcff left"))
    os.close(fd)
    how = read_exit(tmp_path)
    assert how is not None
    assert (how.code, how.finished, how.oom_killed, how.error) == (137, 10**18, True, "no space: \udcff left")
    assert os.listdir(tmp_path) == ["exit"]


@pytest.mark.parametrize("text", ["", "1", "x 1 0 \n"])
def test_half_a_word_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "exit").write_text(text)
    assert read_exit(tmp_path) is None


def test_the_lock_of_a_dead_holder_is_free(containers: Containers) -> None:
    container = _make(containers, "web")
    pid = os.fork()
    if pid == 0:
        fd = os.open(containers.directory(container.id) / "alive", os.O_RDWR)
        fcntl.flock(fd, fcntl.LOCK_EX)
        os._exit(0)
    os.waitpid(pid, 0)
    assert not containers.is_held(container.id)


def test_events_have_the_containers_labels_and_names(containers: Containers, store: Store) -> None:
    _make(containers, "web")
    attributes = json.loads(store.database.read("SELECT attributes FROM events")[0][0])
    assert attributes == {"tier": "web", "image": "app", "name": "web"}


def test_the_last_lines_of_a_log_are_whole_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"T stdout F one\nT stdout P tw\nT stderr F err\nT stdout F o\nT stdout F three\nT stdout F ha")
    with LogReader(log) as reader:
        reader.skip_to_last(2)
        assert [record.text for record in reader.read()] == [b"err\n", b"o\n", b"three\n"]
        with open(log, "ab") as file:
            file.write(b"lf\n")
        assert [record.text for record in reader.read()] == [b"half\n"]


def test_a_start_and_an_end_tell_of_the_network_that_was_joined_and_left(containers: Containers, store: Store) -> None:
    container = _make(containers, "web")
    containers.handed_over(container, MONITOR, {"networks": {"lan": {"id": "n1"}}})
    _say(containers, container, "started", "7 5")
    containers.started(container)
    containers.ended(container, Exit(code=0, finished=9))
    rows = store.database.read("SELECT type, action, actor FROM events ORDER BY number")
    network = [("network", "connect", "n1"), ("container", "start", container.id), ("network", "disconnect", "n1")]
    assert [tuple(row) for row in rows][1:-1] == network


def test_of_events_the_latest_are_remembered(store: Store, containers: Containers) -> None:
    with store.database.write() as connection:
        connection.executemany(
            "INSERT INTO events(time, type, action, actor, attributes) VALUES(?, 'image', 'tag', '', '{}')",
            [(number,) for number in range(KEPT_EVENTS + 2500)],
        )
    row = store.database.one("SELECT count(*), min(time), max(time) FROM events")
    assert row is not None
    assert tuple(row) == (KEPT_EVENTS + 500, 2000, KEPT_EVENTS + 2499)
