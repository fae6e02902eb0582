"""When the run of a container is over whose output is followed."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from runtime.containers.condition import Condition, write_condition, write_journal
from runtime.containers.following import Run
from runtime.containers.records import Container, Containers
from runtime.context import Context
from runtime.store import Store
from tests.runtime.containers.rows import MONITOR, make


@pytest.fixture
def containers(context: Context) -> Iterator[Containers]:
    with Store.open(context) as store:
        yield Containers(store)


@pytest.fixture
def running(containers: Containers) -> Container:
    """Return a container that runs since the moment 100."""
    container = make(containers, "one", held=True, state="running", monitor=MONITOR)
    word(containers, container, "7 100\n")
    return container


def word(containers: Containers, container: Container, text: str) -> None:
    (containers.directory(container.id) / "started").write_text(text)


def journal(containers: Containers, container: Container, time: int, action: str) -> None:
    directory = os.open(containers.directory(container.id), os.O_RDONLY)
    write_journal(directory, time, action)
    os.close(directory)


def test_a_run_goes_on_while_the_container_does(containers: Containers, running: Container) -> None:
    journal(containers, running, 50, "die")  # an earlier run's
    run = Run(containers, running)
    assert run.over() is None
    journal(containers, running, 200, "health_status: healthy")
    assert run.over() is None


def test_a_run_ends_with_the_process_where_a_policy_starts_another(containers: Containers, running: Container) -> None:
    run = Run(containers, running)
    journal(containers, running, 300, "die")
    journal(containers, running, 400, "start")
    assert run.over() == 300


def test_a_run_ends_before_what_a_person_has_started_since(containers: Containers, running: Container) -> None:
    run = Run(containers, running)
    word(containers, running, "9 500\n")
    assert run.over() == 499


def test_a_run_begins_with_the_word_of_its_start(containers: Containers, running: Container) -> None:
    word(containers, running, "")
    run = Run(containers, running)
    assert run.over() is None
    word(containers, running, "9 500\n")
    assert run.over() is None


def test_nothing_runs_while_a_restart_is_waited_for(containers: Containers, running: Container) -> None:
    directory = os.open(containers.directory(running.id), os.O_RDONLY)
    write_condition(directory, Condition(restarting=True))
    os.close(directory)
    assert Run(containers, running).over() is not None


def test_nothing_runs_in_a_container_that_was_only_made(containers: Containers) -> None:
    assert Run(containers, make(containers, "new")).over() is not None
