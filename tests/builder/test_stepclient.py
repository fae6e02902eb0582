"""The step server: started once and only when needed, and no trouble of one step reaches another."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from builder.stepclient import StepServer
from runtime.context import Cancel
from runtime.errors import SandboxError


def children() -> set[int]:
    """Return the processes that this one started."""
    return set(map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()))


def nowhere(_stream: int, _data: bytes) -> None:
    """Take output and forget it."""


def test_nothing_is_started_before_the_first_step() -> None:
    before = children()
    with StepServer() as server:
        assert not server.started
        assert not children() - before


def test_a_request_that_nobody_understands_ends_its_step_and_not_the_server() -> None:
    before = children()
    with StepServer() as server:
        for _ in range(2):
            with pytest.raises(SandboxError):
                server.run({}, nowhere, Cancel())
        assert len(children() - before) == 1
    assert not children() - before


def test_a_server_that_was_killed_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    before = children()
    with StepServer() as server:
        with pytest.raises(SandboxError):
            server.run({}, nowhere, Cancel())
        (pid,) = children() - before
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # it is dead, and still there
        with pytest.raises(SandboxError, match="step server"):
            server.run({}, nowhere, Cancel())
