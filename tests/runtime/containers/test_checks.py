"""What no container can have is refused before anything is made."""

from __future__ import annotations

from typing import cast

import pytest

from runtime.containers.checks import check_config, check_sysctl, normal_capabilities
from runtime.containers.documents import Config, HostConfig
from runtime.errors import UsageError

CONFIG: Config = {"Cmd": ["true"]}


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ({"Memory": 5 << 20}, "Minimum memory limit allowed is 6MB"),
        ({"MemorySwap": 1 << 30}, "always set the Memory limit"),
        ({"Memory": 1 << 30, "MemorySwap": 1 << 29}, "larger than memory limit"),
        ({"Memory": 1 << 30, "MemoryReservation": 1 << 31}, "less than memory reservation"),
        ({"MemorySwappiness": 101}, "Valid memory swappiness range is 0-100"),
        ({"NanoCpus": 1, "CpuQuota": 5000}, "Nano CPUs and CPU Quota cannot both be set"),
        ({"NanoCpus": 1, "CpuPeriod": 5000}, "Nano CPUs and CPU Period cannot both be set"),
        ({"NanoCpus": 10**15}, "range of CPUs is from 0.01 to"),
        ({"CpuPeriod": 999}, "CPU cfs period"),
        ({"CpuPeriod": 1_000_001}, "CPU cfs period"),
        ({"CpuQuota": 999}, "CPU cfs quota"),
        ({"CpuShares": -1}, "invalid CPU shares"),
        ({"CpuShares": 1}, "the minimum allowed cpu-shares is 2"),
        ({"CpuShares": 262145}, "the maximum allowed cpu-shares is 262144"),
        ({"MemoryReservation": 1 << 20}, "Minimum memory reservation allowed is 6MB"),
        ({"CpuRealtimePeriod": 1, "CpuRealtimeRuntime": 2}, "real-time runtime cannot be higher"),
        ({"CpusetCpus": "0,99999"}, "Requested CPUs are not available - requested 0,99999"),
        ({"CpusetCpus": "1-0"}, "Invalid value 1-0 for cpuset cpus"),
        ({"CpusetMems": "x"}, "Invalid value x for cpuset mems"),
        ({"BlkioWeight": 1001}, "blkio weight"),
        ({"BlkioWeightDevice": [{"Path": "/dev/x", "Weight": 9}]}, "blkio weight"),
        ({"OomScoreAdj": 1001}, "range for oom score adj"),
        ({"ShmSize": -1}, "SHM size"),
        ({"AutoRemove": True, "RestartPolicy": {"Name": "always", "MaximumRetryCount": 0}}, "--restart and --rm"),
        ({"PidMode": "container:"}, "invalid PID mode"),
        ({"IpcMode": "none "}, "invalid IPC mode"),
        ({"Sysctls": {"kernel.hostname": "x"}}, "sysctl 'kernel.hostname' is not allowed"),
        ({"Sysctls": {"net.x": "1"}, "NetworkMode": "host"}, "host network namespace"),
        ({"Sysctls": {"kernel.shmmax": "1"}, "IpcMode": "host"}, "hosts ipc namespace"),
        ({"SecurityOpt": ["nosuch"]}, "invalid --security-opt"),
    ],
)
def test_settings_that_nobody_can_have_are_refused(host: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_config(CONFIG, cast(HostConfig, host))


@pytest.mark.parametrize(
    "host",
    [
        {},
        {"CpuQuota": -1, "CpuPeriod": 1000, "CpuShares": 0, "CpusetCpus": "0", "CpusetMems": "0"},
        {"Memory": 6 << 20, "MemorySwap": -1, "MemorySwappiness": 0},
        {"BlkioWeight": 0, "BlkioWeightDevice": [{"Path": "/dev/x", "Weight": 0}]},
        {
            "PidMode": "container:x",
            "IpcMode": "none",
            "UTSMode": "host",
            "UsernsMode": "host",
            "CgroupnsMode": "private",
        },
        {"Sysctls": {"net.ipv4.ip_forward": "1", "kernel.shmmax": "1", "fs.mqueue.msg_max": "5"}},
    ],
)
def test_what_can_be_had_passes(host: dict[str, object]) -> None:
    check_config(CONFIG, cast(HostConfig, host))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "no command specified"),
        ({"Cmd": ["x"], "WorkingDir": "a"}, "working directory 'a' is invalid"),
        ({"Cmd": ["x"], "StopSignal": "FOO"}, "invalid signal: FOO"),
    ],
)
def test_what_a_container_cannot_be_is_refused(config: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_config(cast(Config, config), {})


def test_capabilities_are_written_as_the_engine_does() -> None:
    asked: HostConfig = {"CapAdd": ["net_admin", "CAP_CHOWN", "Net_Admin"], "CapDrop": ["all"]}
    found = normal_capabilities(asked)
    assert (found["CapAdd"], found["CapDrop"]) == (["CAP_NET_ADMIN", "CAP_CHOWN"], ["ALL"])
    with pytest.raises(UsageError, match='invalid CapDrop: unknown capability: "CAP_NOSUCH"'):
        normal_capabilities({"CapDrop": ["nosuch"]})


@pytest.mark.parametrize("name", ["kernel.msgmax", "fs.mqueue.queues_max", "net.core.somaxconn"])
def test_parameters_of_namespaces_can_be_set(name: str) -> None:
    check_sysctl(name)
