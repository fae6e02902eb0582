"""Flags of `run` and `create` by what they do in a container, by what `inspect` says of them, and by what is refused.

Everything runs as root and as an ordinary user. docs/run-flags.md names the test of each flag.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runtime.sandbox import cgroups
from tests.integration.programs import Program

pytestmark = [pytest.mark.root, pytest.mark.overlay]

ONE = ("run", "--rm", "--network", "none")
SLEEP = ("sleep", "100")


@pytest.fixture
def box(pybuild: Program, busybox: Path) -> Iterator[Program]:
    """Return the program, as root and as a user, with an image `box`; containers are removed at the end."""
    pybuild("import", "-", "box", input=busybox.read_bytes())
    yield pybuild
    ids = pybuild.text("ps", "-aq").split()
    if ids:
        pybuild("rm", "-fv", *ids)


def _shell(box: Program, *words: str, command: str) -> list[str]:
    """Run a shell command in a container with these flags; returns the lines that it printed."""
    return box.text(*ONE, *words, "box", "sh", "-c", command).splitlines()


def _started(box: Program, name: str, *words: str) -> str:
    return box.text("run", "-d", "--network", "none", "--name", name, *words)


def _refusal(box: Program, *words: str) -> str:
    """Run a container that cannot be had; returns the message. Nothing of it may be left."""
    before = box.text("ps", "-aq"), box.text("volume", "ls", "-q")
    result = box(*ONE, *words, status=125)
    assert result.stdout == b""
    assert (box.text("ps", "-aq"), box.text("volume", "ls", "-q")) == before
    message = result.stderr.decode()
    assert "Traceback" not in message
    assert message.startswith("pybuild: ")
    return message


def _limits(box: Program, *words: str, files: dict[str, tuple[str, str]]) -> dict[str, str]:
    """Start a container and read files of its control groups: name to (controller, file of version 1 or 2)."""
    container = _started(box, "limited", *words, "box", *SLEEP)
    found = {}
    for hierarchy in cgroups.hierarchies():
        directory = Path(hierarchy.directory, f"pybuild-{box.key}-{container}")
        for name, (controller, file) in files.items():
            if controller in hierarchy.controllers and (directory / file).exists():
                found[name] = (directory / file).read_text().strip()
    box("rm", "-f", "limited")
    return found


def _on_version_1(controller: str) -> bool:
    return any(controller in found.controllers for found in cgroups.hierarchies() if found.version == 1)


# --- namespaces -----------------------------------------------------------------------------------------------------


def test_the_processes_of_another_container_are_shared(box: Program) -> None:
    _started(box, "donor", "box", *SLEEP)
    processes = _shell(box, "--pid", "container:donor", command="ps; readlink /proc/self/ns/pid")
    assert any("sleep 100" in line for line in processes)
    assert processes[-1] == box.text("exec", "donor", "readlink", "/proc/self/ns/pid")
    _started(box, "guest", "--pid", "container:donor", "box", "sleep", "99")
    assert "sleep 100" in box.text("exec", "guest", "ps")
    box("rm", "-f", "guest")
    assert "sleep 99" not in box.text("exec", "donor", "ps")


def test_a_container_restarts_in_the_namespaces_that_it_shared(box: Program) -> None:
    donor = _started(box, "donor", "--ipc", "shareable", "box", "sh", "-c", "echo hello > /dev/shm/f; exec sleep 100")
    shared = [word for kind in ("--pid", "--ipc") for word in (kind, "container:donor")]
    box("create", "--name", "guest", "--network", "container:donor", *shared, "box", "cat", "/dev/shm/f")
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
    _started(box, "host", "--pid", "host", "box", "sh", "-c", f"setsid sleep {marker} & exec sleep 100")
    assert box.text("exec", "host", "readlink", "/proc/self/ns/pid") == os.readlink("/proc/self/ns/pid")
    box("rm", "-f", "host")
    assert f"sleep\0{marker}" not in "".join(
        path.read_text(errors="replace") for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()
    )


def test_memory_is_shared_with_a_container_that_lets_others(box: Program) -> None:
    _started(box, "donor", "--ipc", "shareable", "box", "sh", "-c", "echo hello > /dev/shm/f; exec sleep 100")
    found = _shell(box, "--ipc", "container:donor", command="cat /dev/shm/f; readlink /proc/self/ns/ipc")
    assert found == ["hello", box.text("exec", "donor", "readlink", "/proc/self/ns/ipc")]
    _started(box, "alone", "box", *SLEEP)
    assert "non-shareable IPC" in _refusal(box, "--ipc", "container:alone", "box", "true")
    assert _shell(box, "--ipc", "none", command="ls -d /dev/shm || echo gone") == ["gone"]


def test_the_machines_memory_and_names_are_shared(box: Program) -> None:
    command = "for kind in ipc uts; do readlink /proc/self/ns/$kind; done; hostname; grep -c ' /dev/shm ' /proc/mounts"
    found = _shell(box, "--ipc", "host", "--uts", "host", command=command)
    machine = [os.readlink(f"/proc/self/ns/{kind}") for kind in ("ipc", "uts")]
    assert found == [*machine, os.uname().nodename, "1"]
    _started(box, "all", "--ipc", "host", "--uts", "host", "--pid", "host", "box", *SLEEP)
    assert box.text("exec", "all", "hostname") == os.uname().nodename


def test_the_user_namespace_is_the_programs_own(box: Program) -> None:
    assert _shell(box, "--userns", "host", command="cat /proc/self/uid_map") == _shell(
        box, command="cat /proc/self/uid_map"
    )


def test_the_cgroup_namespace_is_private_or_the_machines(box: Program) -> None:
    machine = os.readlink("/proc/self/ns/cgroup")
    assert _shell(box, "--cgroupns", "host", command="readlink /proc/self/ns/cgroup") == [machine]
    assert _shell(box, "--cgroupns", "private", command="readlink /proc/self/ns/cgroup") != [machine]


@pytest.mark.cgroup
def test_a_group_is_made_below_the_one_asked_for(box: Program) -> None:
    parent = f"pybuild-{box.key}-parent"
    if box.user:
        assert "no control group can be made here" in _refusal(box, "--cgroup-parent", parent, "box", "true")
        return
    try:
        found = _shell(box, "--cgroup-parent", f"/{parent}/x/..", "--cgroupns", "host", command="cat /proc/self/cgroup")
        assert any(line.partition("/")[2].startswith(f"{parent}/pybuild-{box.key}-") for line in found)
        for hierarchy in cgroups.hierarchies():
            assert not list(Path(hierarchy.directory, parent).glob("pybuild-*"))
    finally:
        for hierarchy in cgroups.hierarchies():
            if os.path.isdir(f"{hierarchy.directory}/{parent}"):
                os.rmdir(f"{hierarchy.directory}/{parent}")


# --- devices --------------------------------------------------------------------------------------------------------


def test_a_device_of_the_machine_is_given_under_a_name(box: Program) -> None:
    found = _shell(
        box, "--device", "/dev/full:/dev/sub/full", command="ls -l /dev/sub/full; echo x > /dev/sub/full || echo no"
    )
    assert found[0].startswith("crw-rw-rw-")
    assert found[1:] == ["no"]
    missing = _refusal(box, "--device", "/dev/nosuch", "box", "true")
    assert 'adding custom device "/dev/nosuch": no such file or directory' in missing
    assert "not a device node" in _refusal(box, "--device", "/etc/passwd", "box", "true")


@pytest.mark.cgroup
def test_a_device_is_used_as_the_flag_allows(box: Program) -> None:
    words = ("--device", "/dev/loop-control:/dev/control:r")
    if not os.path.exists("/dev/loop-control"):
        pytest.skip("a device that no container has: /dev/loop-control")
    if box.user:
        assert "rules of devices need a control group" in _refusal(box, *words, "box", "true")
        return
    tries = ": < /dev/control && echo read; (: > /dev/control) 2>/dev/null && echo written || true"
    assert _shell(box, *words, command=tries) == ["read"]
    assert _shell(box, "--device", "/dev/loop-control:/dev/control:rw", command=tries) == ["read", "written"]


@pytest.mark.cgroup
def test_a_rule_lets_a_container_use_a_device_that_it_makes(box: Program) -> None:
    if not os.path.exists("/dev/loop-control"):
        pytest.skip("a device that no container has: /dev/loop-control")
    number = os.stat("/dev/loop-control").st_rdev
    rule = f"c {os.major(number)}:{os.minor(number)} rw"
    if box.user:
        assert "rules of devices need a control group" in _refusal(box, "--device-cgroup-rule", rule, "box", "true")
        return
    tries = f"mknod /tmp/d c {os.major(number)} {os.minor(number)}; : < /tmp/d && echo read"
    assert _shell(box, "--device-cgroup-rule", rule, command=tries) == ["read"]
    assert box(*ONE, "box", "sh", "-c", tries, status=1).stdout == b""


@pytest.fixture
def described() -> Iterator[str]:
    """Describe a device to the machine for the length of a test; returns its name."""
    kind = f"pybuild{os.getpid()}.test/null"
    edits = {
        "env": ["DESCRIBED=yes"],
        "deviceNodes": [{"path": "/dev/other", "hostPath": "/dev/null"}],
        "mounts": [{"hostPath": "/etc/cdi", "containerPath": "/mnt/cdi", "options": ["ro"]}],
        "additionalGids": [55],
    }
    path = Path("/etc/cdi", f"pybuild-test-{os.getpid()}.json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        json.dumps({"cdiVersion": "0.6.0", "kind": kind, "devices": [{"name": "one", "containerEdits": edits}]})
    )
    yield f"{kind}=one"
    path.unlink()


def test_a_described_device_brings_nodes_variables_mounts_and_groups(box: Program, described: str) -> None:
    command = "echo $DESCRIBED; id -G; ls /mnt/cdi | wc -l; echo x > /dev/other && ls -l /dev/other"
    found = _shell(box, "--device", described, command=command)
    assert found[0] == "yes"
    assert "55" in found[1].split()
    assert int(found[2]) >= 1
    assert found[3].startswith("crw-rw-rw-")
    assert "unresolvable CDI devices" in _refusal(box, "--device", "nosuch.test/null=one", "box", "true")


def test_gpus_are_described_devices(box: Program) -> None:
    assert 'could not select device driver "" with capabilities: [[gpu]]' in _refusal(
        box, "--gpus", "all", "box", "true"
    )
    request = {"Driver": "", "Count": 0, "DeviceIDs": ["0", "1"], "Capabilities": [["x", "gpu"]], "Options": {}}
    container = box.text("create", "--gpus", '"device=0,1",capabilities=x', "box", "true")
    assert json.loads(box.text("inspect", "-f", "{{json .HostConfig.DeviceRequests}}", container)) == [request]


# --- limits ---------------------------------------------------------------------------------------------------------


@pytest.mark.cgroup
def test_limits_of_memory_cpu_and_processes_are_in_force(box: Program) -> None:
    words = "--memory 64m --memory-swap 96m --memory-reservation 32m --pids-limit 44".split()
    words += "--cpu-shares 77 --cpu-period 50000 --cpu-quota 25000 --cpuset-cpus 0 --cpuset-mems 0".split()
    if box.user:
        assert "systemd-run --user" in _refusal(box, *words, "box", "true")
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
    found = _limits(box, *words, files=both | (first if _on_version_1("memory") else second))
    expected = {"cpus": "0", "mems": "0", "pids": "44", "memory": str(64 << 20)}
    if _on_version_1("memory"):
        expected |= {"reservation": str(32 << 20), "swap": str(96 << 20), "shares": "77"}
        expected |= {"period": "50000", "quota": "25000"}
    else:
        expected |= {"swap": str(32 << 20), "quota": "25000 50000"}
    assert found == expected


@pytest.mark.cgroup
def test_cpus_become_a_quota(box: Program) -> None:
    if box.user:
        assert "cpu quota" in _refusal(box, "--cpus", "0.5", "box", "true")
        return
    files = {"quota": ("cpu", "cpu.cfs_quota_us" if _on_version_1("cpu") else "cpu.max")}
    assert _limits(box, "--cpus", "0.5", files=files)["quota"].split()[0] == "50000"


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
    offered = any(
        os.path.exists(f"{found.directory}/{file}")
        for found in cgroups.hierarchies()
        if found.version == 1 and controller in found.controllers
    )
    if box.user or not offered:
        _refusal(box, *words, "box", "true")
        return
    assert _limits(box, *words, files={"it": (controller, file)})["it"].splitlines()[0] == value


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
        assert "no cgroup with the controller" in _refusal(box, *words, "box", "true")
        return
    if not _on_version_1("blkio"):
        found = _limits(box, *words, files={"io": ("io", "io.max")})
        assert found["io"] == f"{device} rbps={1 << 20} wbps={2 << 20} riops=30 wiops=40"
        return
    files = {name: ("blkio", f"blkio.throttle.{name.replace('-', '_')}_device") for name in rates}
    found = _limits(box, *words, files=files)
    wanted = {"read-bps": 1 << 20, "write-bps": 2 << 20, "read-iops": 30, "write-iops": 40}
    assert found == {name: f"{device} {rate}" for name, rate in wanted.items()}
    assert "no such file" in _refusal(box, "--device-read-bps", "/dev/nosuch:1mb", "box", "true")


@pytest.mark.cgroup
def test_weights_of_block_devices_are_in_force_or_refused(box: Program) -> None:
    result = box(*ONE, "--blkio-weight", "300", "box", "true", status=None)
    if result.returncode == 0:
        files = {"1": ("blkio", "blkio.bfq.weight"), "2": ("io", "io.weight")}
        assert _limits(box, "--blkio-weight", "300", files=files) in ({"1": "300"}, {"2": "default 2930"})
    else:
        assert "block io weight of 300" in _refusal(box, "--blkio-weight", "300", "box", "true")
    disk = _disk()
    if disk:
        words = ("--blkio-weight-device", f"{disk}:300", "box", "true")
        result = box(*ONE, *words, status=None)
        assert result.returncode == 0 or "block io weight of 300 for" in _refusal(box, *words)


@pytest.mark.cgroup
def test_update_changes_what_can_be_changed(box: Program) -> None:
    _started(box, "one", "box", *SLEEP)
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


def test_limits_of_the_process_are_in_force(box: Program) -> None:
    words = "--ulimit nofile=100:200 --ulimit core=0 --oom-score-adj 500 --shm-size 2m".split()
    command = "ulimit -n; ulimit -Hn; ulimit -c; cat /proc/self/oom_score_adj; df /dev/shm | tail -1 | awk '{print $2}'"
    assert _shell(box, *words, command=command) == ["100", "200", "0", "500", "2048"]


# --- security -------------------------------------------------------------------------------------------------------

PROFILE = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [
        {
            "names": ["mkdir", "mkdirat"],
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": 38,
            "excludes": {"caps": ["CAP_SYS_ADMIN"]},
        },
        {"names": ["chmod", "fchmodat", "fchmodat2"], "action": "SCMP_ACT_ERRNO"},
        {
            "name": "kill",
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": 13,
            "args": [{"index": 1, "value": number, "op": "SCMP_CMP_EQ"} for number in (10, 12)],
        },
    ],
}


def test_a_profile_of_system_calls_comes_from_a_file(box: Program) -> None:
    box.directory("profiles", {"p.json": json.dumps(PROFILE)})
    words = ("--security-opt", "seccomp=profiles/p.json")
    command = (
        "exec 2>&1; mkdir /x; chmod 600 /etc/passwd; sleep 5 & kill -10 $!; kill -12 $!; kill -14 $! && echo killed"
    )
    found = _shell(box, *words, command=command)
    assert [line.rpartition(": ")[2] for line in found] == [
        "Function not implemented",
        "Operation not permitted",
        "Permission denied",
        "Permission denied",
        "killed",
    ]
    assert _shell(box, *words, "--cap-add", "SYS_ADMIN", command="mkdir /x && echo made") == ["made"]
    assert _shell(box, *words, "--privileged", command="mkdir /x && chmod 1 /x 2>&1 || true")[0].endswith(
        "not permitted"
    )
    shown = box.text("create", *words, "box", "true")
    (option,) = json.loads(box.text("inspect", "-f", "{{json .HostConfig.SecurityOpt}}", shown))
    assert json.loads(option.removeprefix("seccomp=")) == PROFILE


def test_the_default_profile_can_be_left_out(box: Program) -> None:
    command = "grep Seccomp: /proc/self/status | tr -d ' \\t'"
    assert _shell(box, command=command) == ["Seccomp:2"]
    assert _shell(box, "--security-opt", "seccomp=builtin", command=command) == ["Seccomp:2"]
    assert _shell(box, "--security-opt", "seccomp=unconfined", command=command) == ["Seccomp:0"]
    assert _shell(box, "--privileged", command=command) == ["Seccomp:0"]


def test_a_privileged_exec_has_all_capabilities_and_the_containers_filter(box: Program) -> None:
    _started(box, "one", "box", *SLEEP)
    command = "grep -E 'CapEff|Seccomp:' /proc/self/status | cut -f2; mount -t tmpfs none /tmp 2>/dev/null || echo no"
    effective, filtered, mounted = box.text("exec", "--privileged", "one", "sh", "-c", command).splitlines()
    plain = box.text("exec", "one", "sh", "-c", command).splitlines()
    assert (filtered, mounted, plain[1]) == ("2", "no", "2")
    assert int(effective, 16) > int(plain[0], 16)
    _started(box, "two", "--privileged", "box", *SLEEP)
    assert box.text("exec", "two", "sh", "-c", command).splitlines() == [effective, "0"]


def test_an_exec_has_the_profile_of_its_container(box: Program) -> None:
    box.directory("profiles", {"p.json": json.dumps(PROFILE)})
    _started(box, "one", "--security-opt", "seccomp=profiles/p.json", "box", *SLEEP)
    assert "Function not implemented" in box("exec", "one", "mkdir", "/x", status=1).stderr.decode()


def test_no_new_privileges_and_open_system_paths(box: Program) -> None:
    command = "grep NoNewPrivs /proc/self/status | tr -d ' \\t'"
    assert _shell(box, "--security-opt", "no-new-privileges", command=command) == ["NoNewPrivs:1"]
    assert _shell(box, "--security-opt", "no-new-privileges=false", command=command) == ["NoNewPrivs:0"]
    mounts = "awk '$5 ~ \"^/(proc|sys)/\"' /proc/self/mountinfo | grep -vc /sys/fs/cgroup"
    assert int(_shell(box, command=f"{mounts} || true")[0]) > 3
    opened = _shell(box, "--security-opt", "systempaths=unconfined", command=f"{mounts} || true")
    assert opened == ["0"]


def test_privileged_gives_devices_capabilities_and_mounts(box: Program) -> None:
    command = "grep CapEff /proc/self/status | cut -f2; ls /dev | wc -l; mount -t tmpfs none /tmp && echo mounted"
    effective, devices, mounted = _shell(box, "--privileged", command=command)
    plain = _shell(box, command="grep CapEff /proc/self/status | cut -f2; ls /dev | wc -l")
    assert int(effective, 16) > int(plain[0], 16)
    assert int(devices) > int(plain[1])
    assert mounted == "mounted"


@pytest.mark.cgroup
def test_control_groups_are_writable_where_asked(box: Program) -> None:
    command = "grep ' - cgroup' /proc/self/mountinfo | cut -d' ' -f6 | cut -d, -f1 | sort -u"
    assert _shell(box, "--security-opt", "writable-cgroups=true", command=command) in (["rw"], [])
    assert _shell(box, command=command) in (["ro"], [])


def test_parameters_of_the_kernel_are_those_of_its_namespaces(box: Program) -> None:
    words = ("--sysctl", "kernel.shmmax=12345", "--sysctl", "net.ipv4.ip_forward=1")
    command = "cat /proc/sys/kernel/shmmax /proc/sys/net/ipv4/ip_forward"
    assert _shell(box, *words, command=command) == ["12345", "1"]


def test_groups_are_added_by_name_and_number(box: Program) -> None:
    assert _shell(box, "--group-add", "staff", "--group-add", "55", command="id -G") == ["0 50 55"]
    assert "unable to find group nosuch" in _refusal(box, "--group-add", "nosuch", "box", "true")


def test_names_of_host_and_domain(box: Program) -> None:
    found = _shell(
        box, "--hostname", "me", "--domainname", "example.org", command="hostname; cat /proc/sys/kernel/domainname"
    )
    assert found == ["me", "example.org"]


# --- mounts ---------------------------------------------------------------------------------------------------------


def test_an_image_is_mounted_read_only_and_kept(box: Program) -> None:
    found = _shell(
        box, "--mount", "type=image,source=box,target=/img", command="ls /img/bin/busybox; touch /img/x || echo no"
    )
    assert found == ["/img/bin/busybox", "no"]
    part = _shell(box, "--mount", "type=image,source=box,target=/img,image-subpath=etc/passwd", command="head -n1 /img")
    assert part[0].startswith("root:x:0:0")
    assert "no such file" in _refusal(box, "--mount", "type=image,source=box,target=/i,image-subpath=no", "box", "true")
    assert "No such image: nosuch:latest" in _refusal(
        box, "--mount", "type=image,source=nosuch,target=/i", "box", "true"
    )


def test_an_image_that_is_mounted_is_not_collected(box: Program, busybox: Path) -> None:
    box("import", "--change", "LABEL other=1", "-", "other", input=busybox.read_bytes())
    box("create", "--name", "holds", "--mount", "type=image,source=other,target=/img", "box", "ls", "/img/etc")
    assert "is using its referenced image" in box("rmi", "other", status=1).stderr.decode()
    box("image", "prune", "-af")
    assert "passwd" in box.text("start", "-a", "holds").split()


def test_a_part_of_a_volume_is_mounted_and_never_more(box: Program) -> None:
    fill = "mkdir -p /v/sub/deep; echo hi > /v/sub/deep/f; ln -s /etc /v/out; ln -s ../../../.. /v/up"
    box(*ONE, "-v", "vol:/v", "box", "sh", "-c", fill)
    mount = "type=volume,source=vol,target=/y,volume-subpath="
    assert _shell(box, "--mount", f"{mount}sub/deep", command="cat /y/f; touch /y/g && echo made") == ["hi", "made"]
    assert _shell(box, "--mount", f"{mount}sub/deep,readonly", command="ls /y; touch /y/h || echo no")[-1] == "no"
    assert "no such file" in _refusal(box, "--mount", f"{mount}out", "box", "true")
    assert sorted(_shell(box, "--mount", f"{mount}up", command="ls /y")) == ["out", "sub", "up"]
    assert "subpath must be a relative path" in _refusal(box, "--mount", f"{mount}../..", "box", "true")


def test_files_are_copied_through_the_mounts_of_a_stopped_container(box: Program) -> None:
    box(*ONE, "-v", "vol:/v", "box", "mkdir", "/v/sub")
    source = box.directory("given", {"f": "hello"})
    words = ("--mount", "type=volume,source=vol,target=/w,volume-subpath=sub", "-v", f"{source}:/closed:ro")
    box(
        "create", "--name", "one", *words, "--mount", "type=image,source=box,target=/i,image-subpath=etc", "box", "true"
    )
    box("cp", "given/f", "one:/w/")
    assert _shell(box, "-v", "vol:/v", command="cat /v/sub/f") == ["hello"]
    box("cp", "one:/i/passwd", "given/copied")
    assert (source / "copied").read_text().startswith("root:x:0:0")
    assert "Read-only file system" in box("cp", "given/f", "one:/closed/g", status=1).stderr.decode()


def test_a_volume_is_made_with_options_and_labels(box: Program) -> None:
    options = "volume-driver=local,volume-opt=type=tmpfs,volume-opt=device=tmpfs,volume-opt=o=size=1m,volume-label=a=b"
    found = _shell(box, "--mount", f"type=volume,source=vol,target=/x,{options}", command="df /x | tail -n1")
    assert found[0].split()[:2] == ["tmpfs", "1024"]
    assert json.loads(box.text("volume", "inspect", "-f", "{{json .Labels}}", "vol")) == {"a": "b"}


def test_a_new_volume_has_the_images_content_unless_asked_not_to(box: Program) -> None:
    assert "passwd" in _shell(box, "-v", "one:/etc", command="ls /etc")
    assert "passwd" not in _shell(box, "-v", "two:/etc:nocopy", command="ls /etc")
    assert "passwd" not in _shell(
        box, "--mount", "type=volume,source=three,target=/etc,volume-nocopy", command="ls /etc"
    )


def test_a_tmpfs_has_size_and_mode(box: Program) -> None:
    found = _shell(
        box, "--mount", "type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=700", command="df /t | tail -n1; stat -c %a /t"
    )
    assert (found[0].split()[1], found[1]) == ("1024", "700")
    assert _shell(box, "--mount", "type=tmpfs,target=/t,readonly", command="touch /t/x || echo no") == ["no"]


def test_u_gives_a_directory_to_the_containers_user(box: Program) -> None:
    source = box.directory("given", {"f": ""})
    found = _shell(box, "-v", f"{source}:/s:U", "--user", "www", command="stat -c %u /s /s/f; touch /s/own && echo ok")
    assert found == ["33", "33", "ok"]


@pytest.fixture
def shared(box: Program, open_directory: Path) -> Iterator[Path]:
    """Return a mount that shares its events, with a directory `d` in it."""
    top = open_directory / "shared"
    top.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=777", "shared", str(top)], check=True)
    subprocess.run(["mount", "--make-shared", str(top)], check=True)
    (top / "d").mkdir()
    yield top
    subprocess.run(["umount", "-R", str(top)], check=True)


def _until(box: Program, name: str, command: str) -> list[str]:
    return box.text("exec", name, "sh", "-c", command).splitlines()


def test_mounts_of_the_machine_appear_in_a_slave(box: Program, shared: Path) -> None:
    _started(box, "one", "-v", f"{shared}:/s:rslave", "--mount", f"type=bind,source={shared},target=/p", "box", *SLEEP)
    subprocess.run(["mount", "-t", "tmpfs", "inner", str(shared / "d")], check=True)
    (shared / "d/from-host").touch()
    assert _until(box, "one", "ls /s/d") == ["from-host"]
    assert _until(box, "one", "ls /p/d") == []


def test_mounts_of_a_container_appear_outside_where_it_is_to_share_them(box: Program, shared: Path) -> None:
    words = ("-v", f"{shared}:/s:rshared")
    if box.user:
        assert "nothing can be shared with the machine" in _refusal(box, *words, "box", "true")
        return
    command = "mount -t tmpfs none /s/d; touch /s/d/made; exec sleep 100"
    _started(box, "one", "--privileged", *words, "box", "sh", "-c", command)
    assert _until(box, "one", "ls /s/d") == ["made"]
    assert [path.name for path in (shared / "d").iterdir()] == ["made"]


def test_a_source_without_events_cannot_share_any(box: Program) -> None:
    source = box.directory("quiet", {"f": ""})
    propagation = subprocess.run(
        ["findmnt", "-no", "PROPAGATION", "-T", str(source)], capture_output=True, text=True, check=False
    ).stdout
    if propagation.strip() != "private":
        pytest.skip("a mount that shares nothing")
    assert "not a shared or slave mount" in _refusal(box, "-v", f"{source}:/s:rslave", "box", "true")


def test_a_bind_reaches_below_and_is_read_only_below_as_asked(box: Program, shared: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=777", "inner", str(shared / "d")], check=True)
    (shared / "d/f").touch()
    mount = f"type=bind,source={shared},target=/s"
    tries = "ls /s/d; touch /s/d/x 2>/dev/null && echo written; rm -f /s/d/x"
    assert _shell(box, "--mount", f"{mount},readonly", command=f"{tries} || true") == ["f"]
    assert _shell(box, "--mount", f"{mount},readonly,bind-recursive=writable", command=tries) == ["f", "written"]
    if not box.user:  # in a user namespace what is mounted below cannot be left out
        assert _shell(box, "--mount", f"{mount},bind-recursive=disabled", command="ls /s/d") == []


def test_volumes_come_from_other_containers(box: Program) -> None:
    source = box.directory("bound", {"f": ""})
    words = (
        "-v",
        "vol:/a",
        "-v",
        f"{source}:/b:ro",
        "-v",
        "/anonymous",
        "--mount",
        "type=tmpfs,target=/c,tmpfs-size=1m",
    )
    _started(box, "donor", *words, "--tmpfs", "/d", "box", "sh", "-c", "touch /anonymous/it /a/it; exec sleep 100")
    box(
        "create",
        "--name",
        "heir",
        "--network",
        "none",
        "--volumes-from",
        "donor",
        "box",
        "sh",
        "-c",
        "ls /a /b /anonymous",
    )
    assert box.text("start", "-a", "heir").split() == ["/a:", "it", "/anonymous:", "it", "/b:", "f"]
    shown = json.loads(box.text("inspect", "-f", "{{json .Mounts}}", "heir"))
    assert [(one["Destination"], one["RW"]) for one in shown] == [
        ("/a", True),
        ("/anonymous", True),
        ("/b", False),
        ("/c", True),
    ]
    found = _shell(
        box, "--volumes-from", "donor:ro", "-v", "own:/b", command="touch /a/x || echo no; touch /b/x && echo own"
    )
    assert found == ["no", "own"]
    box("rm", "-f", "donor")
    assert box.text("start", "-a", "heir").split() == ["/a:", "it", "/anonymous:", "it", "/b:", "f"]


# --- what else is asked for -----------------------------------------------------------------------------------------


def test_annotations_labels_and_variables_come_from_flags_and_files(box: Program) -> None:
    box.directory("given", {"env": "A=1\nB=from file\n# none\n", "labels": "one=1\ntwo=2\n"})
    words = "--env-file given/env -e B=flag --label-file given/labels -l two=flag --annotation a.b=c".split()
    box("create", "--name", "one", *words, "box", "env")
    assert {"A=1", "B=flag"} <= set(box.text("start", "-a", "one").splitlines())
    shown = json.loads(box.text("inspect", "-f", "{{json .Config.Labels}}", "one"))
    assert shown == {"one": "1", "two": "flag"}
    assert json.loads(box.text("inspect", "-f", "{{json .HostConfig.Annotations}}", "one")) == {"a.b": "c"}
    assert box.text("ps", "-aq", "-f", "label=two=flag") != ""


def test_only_the_streams_asked_for_are_attached(box: Program) -> None:
    command = ("box", "sh", "-c", "cat; echo out; echo err >&2")
    out = box(*ONE, "-a", "stdout", *command, input=b"in\n")
    assert (out.stdout, out.stderr) == (b"out\n", b"")
    err = box(*ONE, "-i", "-a", "stderr", "-a", "stdin", *command, input=b"in\n")
    assert (err.stdout, err.stderr) == (b"", b"err\n")


def test_the_resolver_is_as_asked(box: Program) -> None:
    words = "--dns 192.0.2.1 --dns-search example.org --dns-option ndots:3".split()
    found = box.text("run", "--rm", *words, "box", "cat", "/etc/resolv.conf").splitlines()
    kept = [line for line in found if not line.startswith("#")]
    assert {"nameserver 192.0.2.1", "search example.org", "options ndots:3"} <= set(kept)


def test_the_images_health_check_can_be_left_out(box: Program, busybox: Path) -> None:
    change = 'HEALTHCHECK --interval=1s CMD ["false"]'
    box("import", "--change", change, "-", "checked", input=busybox.read_bytes())
    _started(box, "with", "checked", *SLEEP)
    _started(box, "without", "--no-healthcheck", "checked", *SLEEP)
    assert box.text("inspect", "-f", "{{.State.Health.Status}}", "with") != ""
    assert json.loads(box.text("inspect", "-f", "{{json .State.Health}}", "without") or "null") is None


def _health(box: Program, name: str, wanted: str) -> list[dict[str, object]]:
    """Wait until the health of a container is as wanted; returns the log of its checks."""
    deadline = time.monotonic() + 30
    while box.text("inspect", "-f", "{{.State.Health.Status}}", name) != wanted:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    found: list[dict[str, object]] = json.loads(box.text("inspect", "-f", "{{json .State.Health.Log}}", name))
    return found


def test_a_check_has_its_times(box: Program) -> None:
    slow = "--health-cmd sleep~100 --health-timeout 200ms --health-interval 100ms --health-retries 1"
    _started(box, "slow", *(word.replace("~", " ") for word in slow.split()), "box", *SLEEP)
    assert _health(box, "slow", "unhealthy")[-1]["ExitCode"] == -1
    early = "--health-cmd true --health-interval 1h --health-start-period 1h --health-start-interval 100ms"
    _started(box, "early", *early.split(), "box", *SLEEP)
    assert _health(box, "early", "healthy")[-1]["ExitCode"] == 0
    patient = "--health-cmd false --health-interval 100ms --health-retries 1 --health-start-period 1h"
    patient += " --health-start-interval 100ms"
    _started(box, "patient", *patient.split(), "box", *SLEEP)
    while len(_health(box, "patient", "starting")) < 3:
        time.sleep(0.05)
    assert box.text("inspect", "-f", "{{.State.Health.FailingStreak}}", "patient") == "0"


def test_the_time_to_stop_is_the_containers(box: Program) -> None:
    _started(box, "one", "--stop-timeout", "0", "box", "sh", "-c", "trap '' TERM; while :; do sleep 1; done")
    box("stop", "one")
    shown = box.text("inspect", "-f", "{{.State.ExitCode}} {{.Config.StopTimeout}}", "one")
    assert shown == "137 0"


# --- what inspect shows, and what is refused ------------------------------------------------------------------------


SHOWN: list[tuple[str, str, object]] = [
    ("--pid host", ".HostConfig.PidMode", "host"),
    ("--ipc shareable", ".HostConfig.IpcMode", "shareable"),
    ("--uts host", ".HostConfig.UTSMode", "host"),
    ("--userns host", ".HostConfig.UsernsMode", "host"),
    ("--cgroupns host", ".HostConfig.CgroupnsMode", "host"),
    ("--cgroup-parent /x", ".HostConfig.CgroupParent", "/x"),
    (
        "--device /dev/null:/dev/x:rw",
        ".HostConfig.Devices",
        [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/x", "CgroupPermissions": "rw"}],
    ),
    ("--device-cgroup-rule c~1:3~r", ".HostConfig.DeviceCgroupRules", ["c 1:3 r"]),
    ("--device-read-bps /dev/vda:1mb", ".HostConfig.BlkioDeviceReadBps", [{"Path": "/dev/vda", "Rate": 1 << 20}]),
    ("--device-write-iops /dev/vda:7", ".HostConfig.BlkioDeviceWriteIOps", [{"Path": "/dev/vda", "Rate": 7}]),
    ("--blkio-weight 300", ".HostConfig.BlkioWeight", 300),
    ("--blkio-weight-device /dev/vda:30", ".HostConfig.BlkioWeightDevice", [{"Path": "/dev/vda", "Weight": 30}]),
    ("--memory-swappiness 30", ".HostConfig.MemorySwappiness", 30),
    ("--memory-swappiness -1", ".HostConfig.MemorySwappiness", None),
    ("--oom-kill-disable", ".HostConfig.OomKillDisable", True),
    ("--cpu-rt-runtime 1000", ".HostConfig.CpuRealtimeRuntime", 1000),
    ("--pids-limit -1", ".HostConfig.PidsLimit", None),
    ("--shm-size 0", ".HostConfig.ShmSize", 64 << 20),
    ("--init=false", ".HostConfig.Init", False),
    ("--cap-add net_admin --cap-drop chown", ".HostConfig.CapAdd", ["CAP_NET_ADMIN"]),
    ("--ulimit nofile=1:2 --ulimit core=0", ".HostConfig.Ulimits",
     [{"Name": "core", "Soft": 0, "Hard": 0}, {"Name": "nofile", "Soft": 1, "Hard": 2}]),
    ("--security-opt systempaths=unconfined", ".HostConfig.MaskedPaths", []),
    ("--security-opt no-new-privileges", ".HostConfig.SecurityOpt", ["no-new-privileges"]),
    ("--security-opt apparmor=unconfined", ".AppArmorProfile", "unconfined"),
    ("--privileged", ".HostConfig.SecurityOpt", ["label=disable"]),
    ("--isolation default", ".HostConfig.Isolation", "default"),
    ("--mac-address 02:00:00:00:00:09", ".Config.MacAddress", "02:00:00:00:00:09"),
    ("--mac-address 02:00:00:00:00:09", ".NetworkSettings.Networks.bridge.MacAddress", "02:00:00:00:00:09"),
    ("--runtime pybuild", ".HostConfig.Runtime", "pybuild"),
    ("--volume-driver local", ".HostConfig.VolumeDriver", "local"),
    ("--mount type=tmpfs,target=/x,tmpfs-mode=700", ".Mounts",
     [{"Type": "tmpfs", "Source": "", "Destination": "/x", "Mode": "", "RW": True, "Propagation": ""}]),
    ("--mount type=bind,source=/tmp,target=/x,bind-recursive=writable,readonly", ".HostConfig.Mounts",
     [{"Type": "bind", "Source": "/tmp", "Target": "/x", "ReadOnly": True,
       "BindOptions": {"ReadOnlyNonRecursive": True}}]),
    ("--mount type=image,source=box,target=/x,image-subpath=etc", ".HostConfig.Mounts",
     [{"Type": "image", "Source": "box", "Target": "/x", "ImageOptions": {"Subpath": "etc"}}]),
    ("--disable-content-trust", ".State.Status", "created"),
]  # fmt: skip
"""Words (a blank in one is ~), a field of `inspect`, and its value."""


def test_inspect_shows_what_was_asked_for(box: Program) -> None:
    found = []
    for words, field, _ in SHOWN:
        container = box.text("create", *(word.replace("~", " ") for word in words.split()), "box", "true")
        found.append((words, field, json.loads(box.text("inspect", "-f", f"{{{{json {field}}}}}", container))))
    assert found == SHOWN


REFUSED = [
    ("--pid private", "--pid: invalid PID mode"),
    ("--pid container:nosuch", "No such container: nosuch"),
    ("--ipc strange", "invalid IPC mode: strange"),
    ("--uts private", "--uts: invalid UTS mode"),
    ("--uts host --hostname x", "hostname and the UTS mode"),
    ("--uts host --domainname x", "domainname and the UTS mode"),
    ("--userns keep", "--userns: invalid USER mode"),
    ("--cgroupns other", "--cgroupns: invalid CGROUP mode"),
    ("--device nope", "nope is not an absolute path"),
    ("--device /dev/null:/dev/x:rx", "bad mode specified: rx"),
    ("--device-cgroup-rule x", "invalid device cgroup format 'x'"),
    ("--device-read-bps /dev/vda", "bad format: /dev/vda"),
    ("--device-read-bps vda:1", "bad format for device path"),
    ("--device-write-iops /dev/vda:-1", "Number must be a positive integer"),
    ("--blkio-weight 5", "Range of blkio weight is from 10 to 1000"),
    ("--blkio-weight-device /dev/vda:3", "invalid weight for device"),
    ("--memory-swappiness 130", "Valid memory swappiness range is 0-100"),
    ("--cpu-period 100", "CPU cfs period can not be less than 1ms"),
    ("--cpu-quota 100", "CPU cfs quota can not be less than 1ms"),
    ("--cpu-shares -1", "invalid CPU shares (-1)"),
    ("--cpuset-cpus 4096", "Requested CPUs are not available"),
    ("--cpuset-mems x", "Invalid value x for cpuset mems"),
    ("--cpu-rt-period 10 --cpu-rt-runtime 20", "cpu real-time runtime cannot be higher"),
    ("--memory 5m", "Minimum memory limit allowed is 6MB"),
    ("--security-opt seccomp=/nosuch", "opening seccomp profile (/nosuch) failed"),
    ("--security-opt seccomp=/etc/passwd", "opening seccomp profile (/etc/passwd) failed"),
    ("--security-opt nosuch=1", 'invalid --security-opt 2: "nosuch=1"'),
    ("--security-opt nosuch", 'Invalid --security-opt: "nosuch"'),
    ("--security-opt label=type:x", "containers get no SELinux label"),
    ("--cap-add nosuch", 'invalid CapAdd: unknown capability: "CAP_NOSUCH"'),
    ("--sysctl kernel.pid_max=3", "sysctl 'kernel.pid_max' is not allowed"),
    ("--network host --sysctl net.ipv4.ip_forward=1", "not allowed in host network namespace"),
    ("--volumes-from nosuch", "No such container: nosuch"),
    ("--mount type=foo,target=/x", 'invalid mount config for type "foo": mount type unknown'),
    ("--mount type=bind,source=/tmp,target=/x,bind-recursive=writable", "requires 'readonly'"),
    ("-v /tmp:/x:nocopy", "field VolumeOptions must not be specified"),
    ("-v vol:/x:rslave", "a volume has no propagation"),
    ("--gpus size=2", "unexpected key 'size'"),
    ("--runtime runc", "unknown or invalid runtime name: runc"),
    ("--isolation hyperv", "linux only supports 'default'"),
    ("--volume-driver nfs", 'plugin "nfs" not found'),
]


def test_a_wrong_value_is_one_message_and_leaves_nothing(box: Program) -> None:
    for words, message in REFUSED:
        plain = [word for word in ONE if "--network" not in words or word not in ("--network", "none")]
        result = box(*plain, *words.split(), "box", "true", status=125)
        lines = [line for line in result.stderr.decode().splitlines() if not line.startswith("  hint: ")]
        assert (words, len(lines), message in lines[0], result.stdout) == (words, 1, True, b"")
        assert box("create", *words.split(), "box", "true", status=125).stderr == result.stderr
    assert box.text("ps", "-aq") == box.text("volume", "ls", "-q") == ""


def test_one_id_is_enough(busybox: Path, open_directory: Path, missing: Callable[[str], None]) -> None:
    """Root of a user namespace with one id, as `unshare -r` makes it, has all that needs no other id."""
    from tests.users import USER_WITHOUT_RANGE, become

    if os.geteuid() != 0:
        missing("the superuser")
    home = open_directory / "home"
    home.mkdir()
    os.chown(home, USER_WITHOUT_RANGE, USER_WITHOUT_RANGE)
    program = Program(home=home).command()
    words = [*become(USER_WITHOUT_RANGE), "env", f"HOME={home}", "unshare", "--user", "--map-root-user", *program]
    subprocess.run(
        [*words, "import", "-", "box"], input=busybox.read_bytes(), check=True, cwd=home, capture_output=True
    )
    ran = subprocess.run([*words, *ONE, "box", "id", "-u"], check=False, cwd=home, capture_output=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"0\n", b"")
