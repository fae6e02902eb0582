"""Control groups: limits reach the kernel or are refused, nothing stays behind."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from runtime.oci.runtimespec import Resources
from runtime.sandbox import cgroups
from runtime.sandbox.failure import LaunchFailure
from runtime.sandbox.limits import settings_of

KEY = f"{os.getpid():010x}"


def on_v1(controller: str) -> bool:
    return any(controller in found.controllers for found in cgroups.hierarchies() if found.version == 1)


@pytest.mark.root
@pytest.mark.cgroup
def test_a_group_is_made_in_every_hierarchy_and_removed() -> None:
    with cgroups.create(f"pybuild-{KEY}-a", {}, rootless=False) or pytest.fail("no group") as group:
        paths = {path for _, path in group.groups}
        assert all(Path(path).is_dir() for path in paths)
    assert not any(Path(path).exists() for path in paths)


@pytest.mark.root
@pytest.mark.cgroup
def test_removal_kills_what_is_left() -> None:
    group = cgroups.create(f"pybuild-{KEY}-b", {}, rootless=False)
    assert group
    process = subprocess.Popen(["sleep", "60"])
    group.add(process.pid)
    group.remove()
    assert process.wait(60) == -9


@pytest.mark.root
@pytest.mark.cgroup
def test_limits_are_set(sandbox: Any) -> None:
    if sandbox.rootless or not on_v1("memory"):
        pytest.skip("limits of version 1, which only root may set")
    resources = Resources(memory=64 << 20, pids=50, cpu_shares=512, cpu_quota=50000, cpu_period=100000, cpuset_cpus="0")
    script = "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes pids/pids.max cpu/cpu.shares cpu/cpu.cfs_quota_us"
    outcome = sandbox(
        "sh", "-c", script + " cpuset/cpuset.cpus", resources=resources, request={"cgroup": f"pybuild-{KEY}-c"}
    )
    assert outcome.lines == [str(64 << 20), "50", "512", "50000", "0"]


@pytest.mark.root
@pytest.mark.cgroup
def test_a_memory_limit_kills(root_sandbox: Any) -> None:
    if not on_v1("memory"):
        pytest.skip("needs a memory controller")
    outcome = root_sandbox(
        "sh",
        "-c",
        "dd if=/dev/zero of=/dev/shm/x bs=1M count=60; echo survived",
        resources=Resources(memory=16 << 20),
        shm_size=128 << 20,
        request={"cgroup": f"pybuild-{KEY}-d", "init": True},
    )
    assert "survived" in outcome.output or outcome.status == 137
    assert "60+0 records out" not in outcome.output


@pytest.mark.root
@pytest.mark.cgroup
def test_a_limit_without_a_group_is_refused(root_sandbox: Any) -> None:
    failure = root_sandbox("true", resources=Resources(memory=64 << 20)).failure
    assert failure["step"] == "cgroup"


@pytest.mark.root
@pytest.mark.cgroup
def test_a_limit_that_an_ordinary_user_cannot_have_is_refused(sandbox: Any) -> None:
    if not sandbox.rootless or not on_v1("memory"):
        pytest.skip("a user on version 1")
    failure = sandbox("true", resources=Resources(memory=64 << 20), request={"cgroup": f"pybuild-{KEY}-e"}).failure
    assert "memory limit" in failure["text"]


@pytest.mark.root
@pytest.mark.cgroup
def test_defaults_that_cannot_be_had_are_left(sandbox: Any) -> None:
    assert sandbox("true", request={"cgroup": f"pybuild-{KEY}-f"}).status == 0


@pytest.mark.root
@pytest.mark.cgroup
def test_the_container_sees_its_own_group_as_the_root(root_sandbox: Any) -> None:
    outcome = root_sandbox("cat", "/proc/self/cgroup", request={"cgroup": f"pybuild-{KEY}-g"})
    assert {line.rpartition(":")[2] for line in outcome.lines} == {"/"}


@pytest.mark.root
@pytest.mark.cgroup
def test_foreign_devices_cannot_be_used_with_a_group_or_without(root_sandbox: Any) -> None:
    for group in (f"pybuild-{KEY}-h", None):
        outcome = root_sandbox(
            "sh",
            "-c",
            "mknod /mem c 1 1 && cat /mem; mknod /dev/shm/mem c 1 1; cat /dev/shm/mem",
            request={"cgroup": group},
        )
        assert outcome.status != 0
        assert len([line for line in outcome.lines if "denied" in line or "not permitted" in line]) == 2


@pytest.mark.root
@pytest.mark.cgroup
def test_a_launch_that_fails_leaves_no_group(root_sandbox: Any) -> None:
    root_sandbox("nosuch", request={"cgroup": f"pybuild-{KEY}-i"})
    assert not list(Path("/sys/fs/cgroup").glob(f"*/pybuild-{KEY}-i"))


@pytest.mark.root
@pytest.mark.cgroup
def test_sweep_removes_dead_groups_and_keeps_living_ones() -> None:
    for name in ("dead", "alive"):
        assert cgroups.create(f"pybuild-{KEY}-{name}", {}, rootless=False)
    assert cgroups.sweep(KEY, {"alive"}) == [f"pybuild-{KEY}-dead"]
    assert list(Path("/sys/fs/cgroup").glob(f"*/pybuild-{KEY}-alive"))
    assert cgroups.sweep(KEY, set()) == [f"pybuild-{KEY}-alive"]


@pytest.mark.root
@pytest.mark.cgroup
def test_sweep_leaves_other_roots_alone() -> None:
    group = cgroups.create(f"pybuild-eeeeeeeeee-{os.getpid()}", {}, rootless=False)
    assert group
    assert cgroups.sweep(KEY, set()) == []
    group.remove()


@pytest.mark.root
@pytest.mark.cgroup
def test_two_containers_with_one_name_cannot_be_told_apart_so_the_second_joins() -> None:
    first = cgroups.create(f"pybuild-{KEY}-j", {}, rootless=False)
    second = cgroups.create(f"pybuild-{KEY}-j", {}, rootless=False)
    assert first
    assert second
    second.remove()
    first.remove()


@pytest.mark.root
@pytest.mark.cgroup
def test_a_nonsense_limit_is_refused_and_undone() -> None:
    if not on_v1("cpuset"):
        pytest.skip("needs cpuset on version 1")
    with pytest.raises(LaunchFailure, match="cpuset cpus of 4096"):
        cgroups.create(f"pybuild-{KEY}-k", {"cpu": {"cpus": "4096"}}, rootless=False)
    assert not list(Path("/sys/fs/cgroup").glob(f"*/pybuild-{KEY}-k"))


@pytest.mark.root
@pytest.mark.cgroup
def test_removal_waits_for_dying_processes() -> None:
    group = cgroups.create(f"pybuild-{KEY}-l", {}, rootless=False)
    assert group
    processes = [subprocess.Popen(["sleep", "1000"]) for _ in range(5)]
    for process in processes:
        group.add(process.pid)
    group.remove()
    assert [process.wait(60) for process in processes] == [-9] * 5
    assert not list(Path("/sys/fs/cgroup").glob(f"*/pybuild-{KEY}-l"))


@pytest.fixture
def version_2(tmp_path: Path) -> tuple[cgroups.Cgroup, Path]:
    """Return a group in what looks like a hierarchy of version 2."""
    group = tmp_path / "group"
    group.mkdir()
    (tmp_path / "cgroup.subtree_control").write_text("memory")
    names = "memory.max memory.swap.max memory.low cpu.weight cpu.max cpuset.cpus pids.max io.weight io.max"
    for name in names.split():
        (group / name).write_text("")
    controllers = frozenset({"memory", "cpu", "cpuset", "pids", "io"})
    hierarchy = cgroups.Hierarchy(2, "", controllers, str(tmp_path), str(tmp_path))
    return cgroups.Cgroup("group", [(hierarchy, str(group))]), group


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({"memory": {"limit": 1024}}, {"memory.max": "1024"}),
        ({"memory": {"limit": 1024, "swap": 3072}}, {"memory.max": "1024", "memory.swap.max": "2048"}),
        ({"memory": {"limit": 1024, "swap": -1}}, {"memory.swap.max": "max"}),
        ({"memory": {"reservation": 512}}, {"memory.low": "512"}),
        ({"cpu": {"shares": 2}}, {"cpu.weight": "1"}),
        ({"cpu": {"shares": 262144}}, {"cpu.weight": "10000"}),
        ({"cpu": {"quota": 50000, "period": 100000}}, {"cpu.max": "50000 100000"}),
        ({"cpu": {"quota": 150000}}, {"cpu.max": "150000 100000"}),
        ({"cpu": {"cpus": "0-1"}}, {"cpuset.cpus": "0-1"}),
        ({"pids": {"limit": 5}}, {"pids.max": "5"}),
        ({"pids": {"limit": -1}}, {"pids.max": "max"}),
        ({"blockIO": {"weight": 1000}}, {"io.weight": "10000"}),
        ({"blockIO": {"weightDevice": [{"major": 8, "minor": 1, "weight": 10}]}}, {"io.weight": "8:1 1"}),
        ({"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 1, "rate": 5}]}}, {"io.max": "8:1 rbps=5"}),
        ({"blockIO": {"throttleWriteIOPSDevice": [{"major": 8, "minor": 1, "rate": 5}]}}, {"io.max": "8:1 wiops=5"}),
    ],
)
def test_limits_are_written_as_version_2_has_them(
    version_2: tuple[cgroups.Cgroup, Path], resources: dict[str, Any], expected: dict[str, str]
) -> None:
    cgroup, directory = version_2
    cgroups._set_all(cgroup, settings_of(resources))
    found = {file.name: file.read_text() for file in directory.iterdir() if file.read_text()}
    assert found.items() >= expected.items()


def test_a_controller_is_handed_down_when_it_is_needed(version_2: tuple[cgroups.Cgroup, Path], tmp_path: Path) -> None:
    cgroups._set_all(version_2[0], settings_of({"pids": {"limit": 5}}))
    assert (tmp_path / "cgroup.subtree_control").read_text().startswith("+pids")


def test_a_limit_that_the_kernel_does_not_offer_is_refused(version_2: tuple[cgroups.Cgroup, Path]) -> None:
    cgroup, directory = version_2
    (directory / "memory.swap.max").unlink()
    with pytest.raises(LaunchFailure, match=r"swap limit of 10 cannot be set .*: this kernel does not offer it"):
        cgroups._set_all(cgroup, settings_of({"memory": {"limit": 10, "swap": 10}}))


@pytest.mark.parametrize(
    "resources",
    [
        {"memory": {"swappiness": 0}},
        {"memory": {"disableOOMKiller": True}},
        {"cpu": {"realtimeRuntime": 1000}},
        {"cpu": {"realtimePeriod": 1000}},
    ],
)
def test_what_version_2_has_not_got_is_refused(
    version_2: tuple[cgroups.Cgroup, Path], resources: dict[str, Any]
) -> None:
    with pytest.raises(LaunchFailure, match="control groups of version 2 have no such setting"):
        cgroups._set_all(version_2[0], settings_of(resources))


def test_limits_have_the_files_of_version_1() -> None:
    device = {"major": 8, "minor": 1}
    resources = {
        "memory": {"swappiness": 3, "disableOOMKiller": True},
        "cpu": {"realtimePeriod": 10, "realtimeRuntime": 5},
        "blockIO": {
            "weight": 300,
            "weightDevice": [{**device, "weight": 30}],
            "throttleReadBpsDevice": [{**device, "rate": 1}],
            "throttleWriteBpsDevice": [{**device, "rate": 2}],
            "throttleReadIOPSDevice": [{**device, "rate": 3}],
            "throttleWriteIOPSDevice": [{**device, "rate": 4}],
        },
    }
    assert dict(pair for setting in settings_of(resources) for pair in setting.v1) == {
        "memory.swappiness": "3",
        "memory.oom_control": "1",
        "cpu.rt_period_us": "10",
        "cpu.rt_runtime_us": "5",
        "blkio.bfq.weight": "300",
        "blkio.bfq.weight_device": "8:1 30",
        "blkio.throttle.read_bps_device": "8:1 1",
        "blkio.throttle.write_bps_device": "8:1 2",
        "blkio.throttle.read_iops_device": "8:1 3",
        "blkio.throttle.write_iops_device": "8:1 4",
    }


def test_controllers_are_handed_down_to_groups_below_others(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "a", tmp_path / "a/b"):
        directory.mkdir(exist_ok=True)
        (directory / "cgroup.subtree_control").write_text("")
    (tmp_path / "a/b/group").mkdir()
    (tmp_path / "a/b/group/pids.max").write_text("")
    hierarchy = cgroups.Hierarchy(2, "", frozenset({"pids"}), str(tmp_path), str(tmp_path))
    cgroups._set_all(
        cgroups.Cgroup("a/b/group", [(hierarchy, str(tmp_path / "a/b/group"))]), settings_of({"pids": {"limit": 5}})
    )
    assert [(tmp_path / name / "cgroup.subtree_control").read_text() for name in (".", "a", "a/b")] == ["+pids"] * 3
    assert (tmp_path / "a/b/group/pids.max").read_text() == "5"


@pytest.mark.root
@pytest.mark.cgroup
def test_a_group_below_others_goes_and_they_stay() -> None:
    parent = f"pybuild-{KEY}-parent"
    with cgroups.create(f"{parent}/sub/pybuild-{KEY}-a", {}, rootless=False) or pytest.fail("no group") as group:
        paths = [Path(path) for _, path in group.groups]
        assert all(path.is_dir() for path in paths)
    assert not any(path.exists() for path in paths)
    for path in paths:
        path.parent.rmdir()
        path.parent.parent.rmdir()
