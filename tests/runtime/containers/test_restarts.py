"""When a monitor starts its container again, by a clock that is set by hand."""

from __future__ import annotations

import marshal
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runtime.containers import monitor as module
from runtime.containers import protocol
from runtime.containers.condition import read_condition, read_journal
from runtime.containers.monitor import Monitor


class Clock:
    """Seconds that pass where somebody waits; `waits` are those of the restarts."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []

    def monotonic(self) -> float:
        """Say what time it is."""
        return self.now

    def time_ns(self) -> int:
        """Say what time it is, as the journal has it."""
        return int(self.now * 1e9)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Monitor]]:
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock.monotonic, time_ns=clock.time_ns))
    monkeypatch.setattr(module, "signal_pipe", lambda: -1)
    monkeypatch.setattr("_signal.signal", lambda *_: None)
    directory = os.open(tmp_path, os.O_RDONLY)

    def make(name: str, most: int = 0, **more: object) -> Monitor:
        starter: Any = SimpleNamespace(fd=-1, waiting=b"", flags=0, starter=True)
        plan = {
            "restart": (name, most),
            "final_signals": [9, 15],
            "log": None,
            "stdin_once": False,
            "tty": False,
            **more,
        }
        monitor = Monitor(plan, [-1, directory], starter)
        monitor.clients.clear()
        monitor.started = clock.now

        def poll(_pidfd: int, timeout: float = -1) -> set[int]:
            if timeout > 0:
                clock.waits.append(round(timeout, 3))
            clock.now += timeout
            return set()

        monkeypatch.setattr(monitor, "poll", poll)
        return monitor

    yield make
    os.close(directory)


def _run(monitor: Monitor, clock: Clock, seconds: float, code: int = 1) -> bool:
    """Let a run of the container last some seconds; tells whether there is another."""
    monitor.started = clock.now
    clock.now += seconds
    return monitor.again(code)


def test_the_waits_double_up_to_a_minute(make: Callable[..., Monitor], clock: Clock, tmp_path: Path) -> None:
    monitor = make("always")
    for _ in range(12):
        assert _run(monitor, clock, 0.5, code=0)
    assert clock.waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 60.0, 60.0]
    assert read_condition(tmp_path).restarts == 12


def test_ten_seconds_up_let_the_waits_begin_anew(make: Callable[..., Monitor], clock: Clock) -> None:
    monitor = make("unless-stopped")
    for seconds in (1, 1, 9.9, 10, 1):
        assert _run(monitor, clock, seconds)
    assert clock.waits == [0.1, 0.2, 0.4, 0.1, 0.2]


@pytest.mark.parametrize(
    ("policy", "code", "again"),
    [
        (("no",), 1, False),
        (("always",), 0, True),
        (("always",), 1, True),
        (("unless-stopped",), 0, True),
        (("on-failure",), 0, False),
        (("on-failure",), 3, True),
    ],
)
def test_the_policy_says_after_which_ends(
    make: Callable[..., Monitor], clock: Clock, policy: tuple[str], code: int, again: bool
) -> None:
    assert _run(make(*policy), clock, 1, code) is again


def test_failures_are_counted_where_the_policy_has_a_most(make: Callable[..., Monitor], clock: Clock) -> None:
    monitor = make("on-failure", 2)
    assert [_run(monitor, clock, 1) for _ in range(3)] == [True, True, False]


def test_each_end_is_told_and_memory_that_ran_out_too(
    make: Callable[..., Monitor], clock: Clock, tmp_path: Path
) -> None:
    monitor = make("always")
    monitor.oom_killed = True
    assert _run(monitor, clock, 1, code=137)
    events, _ = read_journal(tmp_path, 0)
    assert [(action, attributes) for _, action, attributes in events] == [("oom", {}), ("die", {"exitCode": "137"})]
    assert not read_condition(tmp_path).restarting


def test_who_asks_for_the_end_at_the_moment_of_it_means_this_one(
    make: Callable[..., Monitor], clock: Clock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monitor = make("always")
    poll = monitor.poll

    def asked(pidfd: int, timeout: float = -1) -> set[int]:
        monitor.send_signal(15, final=True)
        return poll(pidfd, timeout)

    monkeypatch.setattr(monitor, "poll", asked)
    assert not _run(monitor, clock, 1)
    assert clock.waits == []
    assert read_journal(tmp_path, 0)[0] == []


def test_a_stop_while_it_waits_is_the_end(
    make: Callable[..., Monitor], clock: Clock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monitor = make("always")
    poll = monitor.poll

    def asked(pidfd: int, timeout: float = -1) -> set[int]:
        if timeout > 0:
            monitor.terminate(15, None)
        return poll(pidfd, timeout)

    monkeypatch.setattr(monitor, "poll", asked)
    monitor.plan.update(stop_signal=15, stop_timeout=10)
    assert not _run(monitor, clock, 1)
    assert read_condition(tmp_path).restarts == 0


def test_another_policy_is_in_force_at_once(
    make: Callable[..., Monitor], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = make("always")
    assert _run(monitor, clock, 1)
    client: Any = SimpleNamespace(fd=7)
    monitor.obey(client, protocol.RESTART, marshal.dumps(("no", 0)))
    assert not _run(monitor, clock, 1)
    poll = monitor.poll

    def told(pidfd: int, timeout: float = -1) -> set[int]:
        if timeout > 0:  # while it waits
            monitor.obey(client, protocol.RESTART, marshal.dumps(("no", 0)))
        return poll(pidfd, timeout)

    monitor.obey(client, protocol.RESTART, marshal.dumps(("always", 0)))
    monkeypatch.setattr(monitor, "poll", told)
    assert not _run(monitor, clock, 1)
