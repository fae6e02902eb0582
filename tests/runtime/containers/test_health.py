"""The check of a container, with commands of this machine in place of a container's."""

from __future__ import annotations

import json
import os
import select
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.containers.health import Health
from runtime.sandbox import launcher


class Checked:
    """A check under test: `once` runs it to its result."""

    def __init__(self, directory: Path, script: str, **plan: object) -> None:
        self.directory = os.open(directory, os.O_RDONLY)
        self.place = directory
        container = launcher.Child(os.getpid(), os.pidfd_open(os.getpid()), None, ())
        request = {"args": ["/bin/sh", "-c", script]}
        defaults = {
            "interval": 30.0,
            "timeout": 30.0,
            "timeout_text": "30s",
            "start_period": 0.0,
            "start_interval": 5.0,
            "retries": 3,
        }
        self.health = Health({**defaults, "request": request, **plan}, self.directory, container)
        self.pidfd = container.pidfd

    def once(self, *, late: bool = False) -> bool:
        """Run the check; `late`: its time is over before it ends. Returns whether the state changed."""
        health = self.health
        health.next = 0.0
        health.turn()
        assert health.result >= 0
        if late:
            health.next = 0.0
            health.turn()
        while True:
            poller = select.poll()
            for fd in (health.result, health.output):
                if fd >= 0:
                    poller.register(fd, select.POLLIN)
            ready = dict(poller.poll(60_000))
            assert ready
            if health.output in ready:
                health.drain()
            if health.result in ready:
                return health.collect()

    def log(self) -> list[dict[str, Any]]:
        """Return what `inspect` shows."""
        return [json.loads(line) for line in (self.place / "health").read_text().splitlines()]

    def close(self) -> None:
        """Let everything go."""
        self.health.stop()
        os.close(self.pidfd)
        os.close(self.directory)


def _enter(request: dict[str, Any], stdio: tuple[int, int, int], _target: int, _cgroup: object) -> launcher.Child:
    pid = os.fork()
    if pid == 0:
        for number, fd in enumerate(stdio):
            os.dup2(fd, number)
        os.execv(request["args"][0], request["args"])
    return launcher.Child(pid, os.pidfd_open(pid), None, ())


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(launcher, "enter", _enter)
    made: list[Checked] = []

    def make(script: str, **plan: object) -> Checked:
        made.append(Checked(tmp_path, script, **plan))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_one_success_makes_it_healthy(check: Any) -> None:
    checked = check("echo fine")
    assert checked.health.state == "starting"
    assert checked.once()
    assert (checked.health.state, checked.health.failing) == ("healthy", 0)
    assert [(entry["ExitCode"], entry["Output"]) for entry in checked.log()] == [(0, "fine\n")]


def test_it_is_unhealthy_after_as_many_failures_as_were_asked_for(check: Any) -> None:
    checked = check("echo bad >&2; exit 3", retries=2)
    checked.once()
    assert (checked.health.state, checked.health.failing) == ("starting", 1)
    checked.once()
    assert (checked.health.state, checked.health.failing) == ("unhealthy", 2)
    assert [(entry["ExitCode"], entry["Output"]) for entry in checked.log()] == [(3, "bad\n")] * 2


def test_a_success_ends_a_row_of_failures(check: Any, tmp_path: Path) -> None:
    checked = check(f"test -e {tmp_path}/ok", retries=1)
    checked.once()
    (tmp_path / "ok").touch()
    checked.once()
    assert (checked.health.state, checked.health.failing) == ("healthy", 0)


def test_failures_do_not_count_while_it_starts(check: Any, tmp_path: Path) -> None:
    checked = check(f"test -e {tmp_path}/ok", retries=1, start_period=1000.0, start_interval=7.0)
    checked.once()
    assert (checked.health.state, checked.health.failing) == ("starting", 0)
    assert 0 < checked.health.wait() <= 7
    (tmp_path / "ok").touch()
    checked.once()
    (tmp_path / "ok").unlink()
    checked.once()  # once it was healthy the time to start is over
    assert (checked.health.state, checked.health.failing) == ("unhealthy", 1)


def test_a_check_that_takes_too_long_is_killed_and_failed(check: Any) -> None:
    checked = check("echo part; exec sleep 1000", retries=1, timeout=2.0, timeout_text="2s")
    checked.once(late=True)
    (entry,) = checked.log()
    assert entry["ExitCode"] == -1
    assert entry["Output"].startswith("Health check exceeded timeout (2s)")
    assert checked.health.state == "unhealthy"


def test_the_log_has_the_last_five_results_and_the_beginning_of_what_they_said(check: Any, tmp_path: Path) -> None:
    script = f"echo x >>{tmp_path}/count; wc -l <{tmp_path}/count; head -c 200000 /dev/zero | tr '\\0' y"
    checked = check(script)
    for _ in range(7):
        checked.once()
    outputs = [entry["Output"] for entry in checked.log()]
    assert [output.split("\n")[0].strip() for output in outputs] == ["3", "4", "5", "6", "7"]
    assert all(len(output) == 4096 + 3 and output.endswith("y...") for output in outputs)
    assert checked.health.state == "healthy"


def test_the_results_of_an_earlier_run_stay(check: Any) -> None:
    for number in range(7):
        check(f"printf '%s\\n' {number} '\U0001f40b\"'").once()
    outputs = [entry["Output"] for entry in check("true").log()]
    assert outputs == [f'{number}\n\U0001f40b"\n' for number in (2, 3, 4, 5, 6)]
