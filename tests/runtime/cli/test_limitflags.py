"""Flags of limits and of parts of the machine become the Engine API's fields."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.cli import create, update
from runtime.cli.arguments import Arguments, read_arguments
from runtime.cli.limitflags import read_further_limits, read_limits
from runtime.cli.machineflags import read_choices, read_devices, read_modes, read_security_options
from runtime.errors import UsageError


def _args(*words: str) -> Arguments:
    return read_arguments(create.VERB, [*words, "image"])


def test_nothing_asked_for_is_nothing() -> None:
    assert read_limits(_args()) == read_further_limits(_args()) == read_devices(_args()) == read_choices(_args()) == {}


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        ("--blkio-weight 300", "BlkioWeight", 300),
        ("--blkio-weight 0", "BlkioWeight", 0),
        ("-m 64m", "Memory", 64 << 20),
        ("--cpu-rt-period 5 --cpu-rt-runtime 4", "CpuRealtimePeriod", 5),
        ("-c 3", "CpuShares", 3),
        ("--cpuset-mems 0-1", "CpusetMems", "0-1"),
    ],
)
def test_limits_that_can_be_changed(words: str, field: str, value: object) -> None:
    assert read_limits(_args(*words.split()))[field] == value  # type: ignore[literal-required]
    assert read_limits(read_arguments(update.VERB, [*words.split(), "one"]))[field] == value  # type: ignore[literal-required]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            "--blkio-weight-device /dev/a:30 --blkio-weight-device /dev/b:0",
            {"BlkioWeightDevice": [{"Path": "/dev/a", "Weight": 30}, {"Path": "/dev/b", "Weight": 0}]},
        ),
        ("--device-read-bps /dev/a:1mb", {"BlkioDeviceReadBps": [{"Path": "/dev/a", "Rate": 1 << 20}]}),
        ("--device-write-bps /dev/a:5", {"BlkioDeviceWriteBps": [{"Path": "/dev/a", "Rate": 5}]}),
        ("--device-read-iops /dev/a:5", {"BlkioDeviceReadIOps": [{"Path": "/dev/a", "Rate": 5}]}),
        ("--device-write-iops /dev/a:5", {"BlkioDeviceWriteIOps": [{"Path": "/dev/a", "Rate": 5}]}),
        ("--memory-swappiness 0", {"MemorySwappiness": 0}),
        ("--memory-swappiness -1", {}),
        ("--oom-kill-disable", {"OomKillDisable": True}),
        ("--oom-kill-disable=false", {}),
    ],
)
def test_limits_of_a_new_container(words: str, expected: dict[str, object]) -> None:
    assert read_further_limits(_args(*words.split())) == expected


@pytest.mark.parametrize(
    "words",
    [
        "--blkio-weight x",
        "--blkio-weight 65536",
        "--blkio-weight -1",
        "--memory x",
        "--memory-swap -2",
        "--cpus x",
    ],
)
def test_a_wrong_limit_is_named_with_its_flag(words: str) -> None:
    flag, value = words.split()
    with pytest.raises(UsageError, match=f'invalid argument "{value}" for ".*{flag}" flag'):
        read_limits(_args(flag, value))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--blkio-weight-device /dev/a", "bad format: /dev/a"),
        ("--blkio-weight-device /dev/a:1001", "invalid weight for device"),
        ("--device-read-bps /dev/a:", "bad format"),
        ("--device-read-bps a:1", "bad format for device path"),
        ("--device-read-bps /dev/a:x", "can be kb, mb, or gb"),
        ("--device-read-iops /dev/a:1mb", "Number must be a positive integer"),
    ],
)
def test_a_wrong_rate_is_named(words: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_further_limits(_args(*words.split()))


def test_devices_and_described_devices_are_apart() -> None:
    host = read_devices(_args("--device", "/dev/a:/dev/b:r", "--device", "v.x/c=d", "--gpus", "all"))
    assert [device["PathInContainer"] for device in host["Devices"]] == ["/dev/b"]
    assert [request["Driver"] for request in host["DeviceRequests"]] == ["cdi", ""]


def test_modes_are_kept_where_they_were_given() -> None:
    plain = {"IpcMode": "", "PidMode": "", "UTSMode": "", "UsernsMode": ""}
    assert read_modes(_args()) == plain
    given = _args("--pid", "host", "--cgroupns", "host", "--cgroup-parent", "/a")
    assert read_modes(given) == {**plain, "PidMode": "host", "CgroupnsMode": "host", "CgroupParent": "/a"}


def test_open_system_paths_are_no_option() -> None:
    host = read_security_options(_args("--security-opt", "systempaths=unconfined", "--security-opt", "label=disable"))
    assert host == {"SecurityOpt": ["label=disable"], "MaskedPaths": [], "ReadonlyPaths": []}
    assert read_security_options(_args()) == {"SecurityOpt": []}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--runtime pybuild", {"Runtime": "pybuild"}),
        ("--isolation default", {"Isolation": "default"}),
        ("--volume-driver local", {"VolumeDriver": "local"}),
        ("--volumes-from a --volumes-from b:ro", {"VolumesFrom": ["a", "b:ro"]}),
    ],
)
def test_what_is_done_here_can_be_named(words: str, expected: dict[str, object]) -> None:
    assert read_choices(_args(*words.split())) == expected


def test_relative_profiles_are_read_from_where_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "p.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert read_security_options(_args("--security-opt", "seccomp=p.json"))["SecurityOpt"] == ["seccomp={}"]
