"""Limits of memory, processors, processes and block devices, and their change.

Everything runs as root and as an ordinary user. docs/run-flags.md names the test of each flag.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime.sandbox import cgroups
from tests.integration.programs import Program
from tests.integration.run_flags.helpers import ONE, SLEEP, limits, on_version_1, refusal, shell, started

pytestmark = [pytest.mark.root, pytest.mark.overlay]


@pytest.mark.cgroup
def test_limits_of_memory_cpu_and_processes_are_in_force(box: Program) -> None:
    words = "--memory 64m --memory-swap 96m --memory-reservation 32m --pids-limit 44".split()
    words += "--cpu-shares 77 --cpu-period 50000 --cpu-quota 25000 --cpuset-cpus 0 --cpuset-mems 0".split()
    if box.user:
        assert "systemd-run --user" in refusal(box, *words, "box", "true")
        return
    first = {
        "memory": ("memory", "memory.limit_in_bytes"),
        "reservation": ("memory", "memory.soft_limit_in_bytes"),
        "swap": ("memory", "memory.memsw.limit_in_bytes"),
        "period": ("cpu", "cpu.cfs_period_us"),
        "quota": ("cpu", "cpu.cfs_quota_us"),
        "shares": ("cpu", "cpu.shares"),
    }
    both = {
        "cpus": ("cpuset", "cpuset.cpus"),
        "mems": ("cpuset", "cpuset.mems"),
        "pids": ("pids", "pids.max"),
    }
    second = {"memory": ("memory", "memory.max"), "swap": ("memory", "memory.swap.max"), "quota": ("cpu", "cpu.max")}
    found = limits(box, *words, files=both | (first if on_version_1("memory") else second))
    expected = {"cpus": "0", "mems": "0", "pids": "44", "memory": str(64 << 20)}
    if on_version_1("memory"):
        expected |= {"reservation": str(32 << 20), "swap": str(96 << 20), "shares": "77"}
        expected |= {"period": "50000", "quota": "25000"}
    else:
        expected |= {"swap": str(32 << 20), "quota": "25000 50000"}
    assert found == expected


@pytest.mark.cgroup
def test_cpus_become_a_quota(box: Program) -> None:
    if box.user:
        assert "cpu quota" in refusal(box, "--cpus", "0.5", "box", "true")
        return
    files = {"quota": ("cpu", "cpu.cfs_quota_us" if on_version_1("cpu") else "cpu.max")}
    assert limits(box, "--cpus", "0.5", files=files)["quota"].split()[0] == "50000"


@pytest.mark.cgroup
@pytest.mark.parametrize(
    ("words", "controller", "file", "value"),
    [
        (("--memory-swappiness", "33"), "memory", "memory.swappiness", "33"),
        (("--oom-kill-disable", "-m", "64m"), "memory", "memory.oom_control", "oom_kill_disable 1"),
        (("--cpu-rt-period", "100000", "--cpu-rt-runtime", "1000"), "cpu", "cpu.rt_runtime_us", "1000"),
    ],
)
def test_limits_of_version_1_are_in_force_or_refused(
    box: Program, words: tuple[str, ...], controller: str, file: str, value: str
) -> None:
    places = [
        Path(found.directory, file)
        for found in cgroups.hierarchies()
        if found.version == 1 and controller in found.controllers
    ]
    # A group that has no real-time budget of its own, as that of a container, has none to give.
    offered = any(place.exists() and (file != "cpu.rt_runtime_us" or place.read_text() != "0\n") for place in places)
    if box.user or not offered:
        refusal(box, *words, "box", "true")
        return
    assert limits(box, *words, files={"it": (controller, file)})["it"].splitlines()[0] == value


def test_a_container_that_may_take_all_memory_is_warned_of(box: Program) -> None:
    made = box("create", "--oom-kill-disable", "box", "true")
    assert b"OOM killer is disabled for the container, but no memory limit is set" in made.stderr
    assert box("create", "--oom-kill-disable", "-m", "64m", "box", "true").stderr == b""


def _disk() -> str:
    """Return a block device of the machine that is a whole disk."""
    names = [line.split()[3] for line in Path("/proc/partitions").read_text().splitlines()[2:]]
    disks = [
        f"/dev/{name}" for name in names if os.path.exists(f"/sys/block/{name}") and os.path.exists(f"/dev/{name}")
    ]
    return next((disk for disk in disks if not disk.startswith(("/dev/loop", "/dev/ram"))), "")


@pytest.mark.cgroup
def test_rates_of_block_devices_are_in_force(box: Program) -> None:
    disk = _disk()
    if not disk:
        pytest.skip("a disk below /dev")
    number = os.stat(disk).st_rdev
    device = f"{os.major(number)}:{os.minor(number)}"
    rates = {"read-bps": "1mb", "write-bps": "2mb", "read-iops": "30", "write-iops": "40"}
    words = [word for name, rate in rates.items() for word in (f"--device-{name}", f"{disk}:{rate}")]
    if box.user:
        assert "no cgroup with the controller" in refusal(box, *words, "box", "true")
        return
    if not on_version_1("blkio"):
        found = limits(box, *words, files={"io": ("io", "io.max")})
        assert found["io"] == f"{device} rbps={1 << 20} wbps={2 << 20} riops=30 wiops=40"
        return
    files = {name: ("blkio", f"blkio.throttle.{name.replace('-', '_')}_device") for name in rates}
    found = limits(box, *words, files=files)
    wanted = {"read-bps": 1 << 20, "write-bps": 2 << 20, "read-iops": 30, "write-iops": 40}
    assert found == {name: f"{device} {rate}" for name, rate in wanted.items()}
    assert "no such file" in refusal(box, "--device-read-bps", "/dev/nosuch:1mb", "box", "true")


@pytest.mark.cgroup
def test_weights_of_block_devices_are_in_force_or_refused(box: Program) -> None:
    result = box(*ONE, "--blkio-weight", "300", "box", "true", status=None)
    if result.returncode == 0:
        files = {"1": ("blkio", "blkio.bfq.weight"), "2": ("io", "io.weight")}
        assert limits(box, "--blkio-weight", "300", files=files) in ({"1": "300"}, {"2": "default 2930"})
    else:
        assert "block io weight of 300" in refusal(box, "--blkio-weight", "300", "box", "true")
    disk = _disk()
    if disk:
        words = ("--blkio-weight-device", f"{disk}:300", "box", "true")
        result = box(*ONE, *words, status=None)
        assert result.returncode == 0 or "block io weight of 300 for" in refusal(box, *words)


@pytest.mark.cgroup
def test_update_changes_what_can_be_changed(box: Program) -> None:
    started(box, "one", "box", *SLEEP)
    if box.user:
        assert "Cannot update container one" in box("update", "--pids-limit", "55", "one", status=1).stderr.decode()
        return
    box(
        "update",
        "--pids-limit",
        "55",
        "--cpu-shares",
        "99",
        "--cpus",
        "0.5",
        "-m",
        "64m",
        "--memory-swap",
        "96m",
        "one",
    )
    shown = box.text("inspect", "-f", "{{.HostConfig.PidsLimit}} {{.HostConfig.CpuShares}}", "one")
    assert shown == "55 99"
    for words, message in (
        (("-m", "128m"), "update the memoryswap at the same time"),
        (("--cpu-quota", "5000"), "CPU Quota cannot be updated as NanoCPUs has already been set"),
        (("--cpuset-cpus", "4096"), "Requested CPUs are not available"),
    ):
        assert message in box("update", *words, "one", status=1).stderr.decode()
    assert box.text("inspect", "-f", "{{.HostConfig.Memory}} {{.HostConfig.CpuQuota}}", "one") == f"{64 << 20} 0"
    box("update", "--pids-limit", "0", "-m", "0", "one")  # neither is a change
    processes = (
        "exec",
        "one",
        "sh",
        "-c",
        "cat /sys/fs/cgroup/pids/pids.max 2> /dev/null || cat /sys/fs/cgroup/pids.max",
    )
    assert box.text(*processes) == "55"
    box("update", "--pids-limit", "-1", "one")
    assert box.text(*processes) == "max"


def test_limits_of_the_process_are_in_force(box: Program) -> None:
    words = "--ulimit nofile=100:200 --ulimit core=0 --oom-score-adj 500 --shm-size 2m".split()
    command = "ulimit -n; ulimit -Hn; ulimit -c; cat /proc/self/oom_score_adj; df /dev/shm | tail -1 | awk '{print $2}'"
    assert shell(box, *words, command=command) == ["100", "200", "0", "500", "2048"]
