"""Capabilities, system calls, names and parameters of the kernel.

Everything runs as root and as an ordinary user. docs/run-flags.md names the test of each flag.
"""

from __future__ import annotations

import json

import pytest

from tests.integration.programs import Program
from tests.integration.run_flags.helpers import SLEEP, refusal, shell, started

pytestmark = [pytest.mark.root, pytest.mark.overlay]


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
    found = shell(box, *words, command=command)
    assert [line.rpartition(": ")[2] for line in found] == [
        "Function not implemented",
        "Operation not permitted",
        "Permission denied",
        "Permission denied",
        "killed",
    ]
    assert shell(box, *words, "--cap-add", "SYS_ADMIN", command="mkdir /x && echo made") == ["made"]
    assert shell(box, *words, "--privileged", command="mkdir /x && chmod 1 /x 2>&1 || true")[0].endswith(
        "not permitted"
    )
    shown = box.text("create", *words, "box", "true")
    (option,) = json.loads(box.text("inspect", "-f", "{{json .HostConfig.SecurityOpt}}", shown))
    assert json.loads(option.removeprefix("seccomp=")) == PROFILE


def test_the_default_profile_can_be_left_out(box: Program) -> None:
    command = "grep Seccomp: /proc/self/status | tr -d ' \\t'"
    assert shell(box, command=command) == ["Seccomp:2"]
    assert shell(box, "--security-opt", "seccomp=builtin", command=command) == ["Seccomp:2"]
    assert shell(box, "--security-opt", "seccomp=unconfined", command=command) == ["Seccomp:0"]
    assert shell(box, "--privileged", command=command) == ["Seccomp:0"]


def test_a_privileged_exec_has_all_capabilities_and_the_containers_filter(box: Program) -> None:
    started(box, "one", "box", *SLEEP)
    command = "grep -E 'CapEff|Seccomp:' /proc/self/status | cut -f2; mount -t tmpfs none /tmp 2>/dev/null || echo no"
    effective, filtered, mounted = box.text("exec", "--privileged", "one", "sh", "-c", command).splitlines()
    plain = box.text("exec", "one", "sh", "-c", command).splitlines()
    assert (filtered, mounted, plain[1]) == ("2", "no", "2")
    assert int(effective, 16) > int(plain[0], 16)
    started(box, "two", "--privileged", "box", *SLEEP)
    assert box.text("exec", "two", "sh", "-c", command).splitlines() == [effective, "0"]


def test_an_exec_has_the_profile_of_its_container(box: Program) -> None:
    box.directory("profiles", {"p.json": json.dumps(PROFILE)})
    started(box, "one", "--security-opt", "seccomp=profiles/p.json", "box", *SLEEP)
    assert "Function not implemented" in box("exec", "one", "mkdir", "/x", status=1).stderr.decode()


def test_no_new_privileges_and_open_system_paths(box: Program) -> None:
    command = "grep NoNewPrivs /proc/self/status | tr -d ' \\t'"
    assert shell(box, "--security-opt", "no-new-privileges", command=command) == ["NoNewPrivs:1"]
    assert shell(box, "--security-opt", "no-new-privileges=false", command=command) == ["NoNewPrivs:0"]
    mounts = "awk '$5 ~ \"^/(proc|sys)/\"' /proc/self/mountinfo | grep -vc /sys/fs/cgroup"
    assert int(shell(box, command=f"{mounts} || true")[0]) > 3
    opened = shell(box, "--security-opt", "systempaths=unconfined", command=f"{mounts} || true")
    assert opened == ["0"]


def test_privileged_gives_devices_capabilities_and_mounts(box: Program) -> None:
    command = "grep CapEff /proc/self/status | cut -f2; ls /dev | wc -l; mount -t tmpfs none /tmp && echo mounted"
    effective, devices, mounted = shell(box, "--privileged", command=command)
    plain = shell(box, command="grep CapEff /proc/self/status | cut -f2; ls /dev | wc -l")
    assert int(effective, 16) > int(plain[0], 16)
    assert int(devices) > int(plain[1])
    assert mounted == "mounted"


@pytest.mark.cgroup
def test_control_groups_are_writable_where_asked(box: Program) -> None:
    command = "grep ' - cgroup' /proc/self/mountinfo | cut -d' ' -f6 | cut -d, -f1 | sort -u"
    assert shell(box, "--security-opt", "writable-cgroups=true", command=command) in (["rw"], [])
    assert shell(box, command=command) in (["ro"], [])


def test_parameters_of_the_kernel_are_those_of_its_namespaces(box: Program) -> None:
    words = ("--sysctl", "kernel.shmmax=12345", "--sysctl", "net.ipv4.ip_forward=1")
    command = "cat /proc/sys/kernel/shmmax /proc/sys/net/ipv4/ip_forward"
    assert shell(box, *words, command=command) == ["12345", "1"]


def test_groups_are_added_by_name_and_number(box: Program) -> None:
    assert shell(box, "--group-add", "staff", "--group-add", "55", command="id -G") == ["0 50 55"]
    assert "unable to find group nosuch" in refusal(box, "--group-add", "nosuch", "box", "true")


def test_names_of_host_and_domain(box: Program) -> None:
    found = shell(
        box, "--hostname", "me", "--domainname", "example.org", command="hostname; cat /proc/sys/kernel/domainname"
    )
    assert found == ["me", "example.org"]
