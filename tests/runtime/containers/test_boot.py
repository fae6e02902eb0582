from __future__ import annotations

from collections.abc import Iterator

import pytest

from frozen import replace
from runtime.containers.boot import wanted
from runtime.containers.records import Container, Containers
from runtime.context import Context
from runtime.store import Store
from tests.runtime.containers.rows import MONITOR, make


@pytest.fixture
def containers(context: Context) -> Iterator[Containers]:
    with Store.open(context) as store:
        yield Containers(store)


def _ran(containers: Containers, name: str, policy: str, *, mode: str = "none", stopped: bool = False) -> Container:
    host = {"NetworkMode": mode, "RestartPolicy": {"Name": policy, "MaximumRetryCount": 0}}
    container = make(containers, name, host_config=host)
    (containers.directory(container.id) / "ran").touch()
    if stopped:
        (containers.directory(container.id) / "stopped").touch()
    return container


def _names(containers: Containers) -> list[str]:
    return [container.name for container in wanted(containers)]


@pytest.mark.parametrize(
    ("policy", "stopped", "started"),
    [
        ("always", False, True),
        ("always", True, True),
        ("unless-stopped", False, True),
        ("unless-stopped", True, False),
        ("on-failure", False, False),
        ("no", False, False),
    ],
)
def test_the_policy_says_what_starts_at_boot(containers: Containers, policy: str, stopped: bool, started: bool) -> None:
    _ran(containers, "web", policy, stopped=stopped)
    assert _names(containers) == (["web"] if started else [])


def test_what_was_never_started_stays_as_it_was_made(containers: Containers) -> None:
    container = _ran(containers, "web", "always")
    (containers.directory(container.id) / "ran").unlink()
    assert _names(containers) == []


def test_what_runs_already_is_left_alone(containers: Containers) -> None:
    container = make(
        containers, "web", held=True, host_config={"RestartPolicy": {"Name": "always", "MaximumRetryCount": 0}}
    )
    (containers.directory(container.id) / "ran").touch()
    containers.handed_over(container, MONITOR, {})
    assert _names(containers) == []


def test_who_shares_a_namespace_comes_after_who_has_it(containers: Containers) -> None:
    _ran(containers, "first", "always", mode="container:second")
    _ran(containers, "second", "always", mode="container:third")
    third = _ran(containers, "third", "always")
    _ran(containers, "fourth", "always", mode=f"container:{third.id}")
    assert _names(containers) == ["third", "second", "fourth", "first"]


def test_who_is_linked_comes_after_what_it_is_linked_to(containers: Containers) -> None:
    app = _ran(containers, "app", "always")
    db = _ran(containers, "db", "always")
    containers.reconfigure(app, {**app.host_config, "Links": [f"{db.id}:database"]})
    assert _names(containers) == ["db", "app"]


def test_those_that_wait_for_each_other_all_come(containers: Containers) -> None:
    _ran(containers, "one", "always", mode="container:two")
    _ran(containers, "two", "always", mode="container:one")
    assert sorted(_names(containers)) == ["one", "two"]


def test_a_name_is_not_taken_for_a_part_of_another(containers: Containers) -> None:
    other = _ran(containers, "db", "always", mode="none")
    assert replace(other, name="x").short_id == other.short_id
    _ran(containers, "app", "always", mode="container:db2")
    assert _names(containers) == ["db", "app"]
