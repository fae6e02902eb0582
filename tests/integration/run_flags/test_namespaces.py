"""Namespaces that containers share with others or the machine.

Everything runs as root and as an ordinary user. docs/run-flags.md names the test of each flag.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from runtime.sandbox import cgroups
from tests.integration.programs import Program
from tests.integration.run_flags.helpers import SLEEP, refusal, shell, started

pytestmark = [pytest.mark.root, pytest.mark.overlay]

_HELLO = "echo hello > /dev/shm/f; exec sleep 1000"
_HEARS = "until [ -s /dev/shm/f ]; do sleep 0.05; done; cat /dev/shm/f"


def test_the_processes_of_another_container_are_shared(box: Program) -> None:
    started(box, "donor", "box", *SLEEP)
    processes = shell(box, "--pid", "container:donor", command="ps; readlink /proc/self/ns/pid")
    assert any("sleep 100" in line for line in processes)
    assert processes[-1] == box.text("exec", "donor", "readlink", "/proc/self/ns/pid")
    started(box, "guest", "--pid", "container:donor", "box", "sleep", "99")
    assert "sleep 100" in box.text("exec", "guest", "ps")
    box("rm", "-f", "guest")
    assert "sleep 99" not in box.text("exec", "donor", "ps")


def test_a_container_restarts_in_the_namespaces_that_it_shared(box: Program) -> None:
    donor = started(box, "donor", "--ipc", "shareable", "box", "sh", "-c", _HELLO)
    shared = [word for kind in ("--pid", "--ipc") for word in (kind, "container:donor")]
    box("create", "--name", "guest", "--network", "container:donor", *shared, "box", "sh", "-c", _HEARS)
    assert box.text("start", "-a", "guest") == "hello"
    modes = box.text(
        "inspect", "-f", "{{.HostConfig.PidMode}} {{.HostConfig.IpcMode}} {{.HostConfig.NetworkMode}}", "guest"
    )
    assert modes == " ".join([f"container:{donor}"] * 3)
    box("restart", "-t", "0", "donor")
    assert box.text("start", "-a", "guest") == "hello"
    box("stop", "-t", "0", "donor")
    assert "non running container" in box("start", "-a", "guest", status=1).stderr.decode()


def test_with_the_machines_processes_none_of_its_own_stay(box: Program) -> None:
    marker = f"9{os.getpid()}"
    started(box, "host", "--pid", "host", "box", "sh", "-c", f"setsid sleep {marker} & exec sleep 1000")
    assert box.text("exec", "host", "readlink", "/proc/self/ns/pid") == os.readlink("/proc/self/ns/pid")
    box("rm", "-f", "host")
    _wait_until(lambda: not _runs(marker))  # what was killed is dead a moment later


def test_nothing_of_it_stays_when_its_monitor_is_killed(box: Program) -> None:
    marker = f"8{os.getpid()}"
    started(box, "host", "--pid", "host", "box", "sh", "-c", f"setsid sleep {marker} & exec sleep 1000")
    _wait_until(lambda: _runs(marker))
    first = box.text("inspect", "-f", "{{.State.Pid}}", "host")
    monitor = Path(f"/proc/{first}/stat").read_text().rpartition(") ")[2].split()[1]
    os.kill(int(monitor), signal.SIGKILL)
    _wait_until(lambda: box.text("inspect", "-f", "{{.State.Status}}", "host") == "exited")
    _wait_until(lambda: not _runs(marker))
    box("rm", "host")


def _runs(marker: str) -> bool:
    """Tell whether a `sleep` of this length runs anywhere."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if f"sleep\0{marker}\0" in path.read_text(errors="replace"):
                return True
    return False


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_memory_is_shared_with_a_container_that_lets_others(box: Program) -> None:
    started(box, "donor", "--ipc", "shareable", "box", "sh", "-c", _HELLO)
    found = shell(box, "--ipc", "container:donor", command=f"{_HEARS}; readlink /proc/self/ns/ipc")
    assert found == ["hello", box.text("exec", "donor", "readlink", "/proc/self/ns/ipc")]
    started(box, "alone", "box", *SLEEP)
    assert "non-shareable IPC" in refusal(box, "--ipc", "container:alone", "box", "true")
    assert shell(box, "--ipc", "none", command="ls -d /dev/shm || echo gone") == ["gone"]


def test_the_machines_memory_and_names_are_shared(box: Program) -> None:
    command = "for kind in ipc uts; do readlink /proc/self/ns/$kind; done; hostname; grep -c ' /dev/shm ' /proc/mounts"
    found = shell(box, "--ipc", "host", "--uts", "host", command=command)
    machine = [os.readlink(f"/proc/self/ns/{kind}") for kind in ("ipc", "uts")]
    assert found == [*machine, os.uname().nodename, "1"]
    started(box, "all", "--ipc", "host", "--uts", "host", "--pid", "host", "box", *SLEEP)
    assert box.text("exec", "all", "hostname") == os.uname().nodename


def test_the_user_namespace_is_the_programs_own(box: Program) -> None:
    assert shell(box, "--userns", "host", command="cat /proc/self/uid_map") == shell(
        box, command="cat /proc/self/uid_map"
    )


def test_the_cgroup_namespace_is_private_or_the_machines(box: Program) -> None:
    machine = os.readlink("/proc/self/ns/cgroup")
    assert shell(box, "--cgroupns", "host", command="readlink /proc/self/ns/cgroup") == [machine]
    assert shell(box, "--cgroupns", "private", command="readlink /proc/self/ns/cgroup") != [machine]


@pytest.mark.cgroup
def test_a_group_is_made_below_the_one_asked_for(box: Program) -> None:
    parent = f"pybuild-{box.key}-parent"
    if box.user:
        assert "no control group can be made here" in refusal(box, "--cgroup-parent", parent, "box", "true")
        return
    try:
        found = shell(box, "--cgroup-parent", f"/{parent}/x/..", "--cgroupns", "host", command="cat /proc/self/cgroup")
        assert any(line.partition("/")[2].startswith(f"{parent}/pybuild-{box.key}-") for line in found)
        for hierarchy in cgroups.hierarchies():
            assert not list(Path(hierarchy.directory, parent).glob("pybuild-*"))
    finally:
        for hierarchy in cgroups.hierarchies():
            if os.path.isdir(f"{hierarchy.directory}/{parent}"):
                os.rmdir(f"{hierarchy.directory}/{parent}")
