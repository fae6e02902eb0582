"""What `inspect` shows, and what is refused.

Everything runs as root and as an ordinary user. docs/run-flags.md names the test of each flag.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.programs import Program
from tests.integration.run_flags.helpers import ONE

pytestmark = [pytest.mark.root, pytest.mark.overlay]


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
