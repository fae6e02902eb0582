"""Devices of the machine, and described ones.

Everything runs as root and as an ordinary user. docs/run-flags.md names the test of each flag.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.programs import Program
from tests.integration.run_flags.helpers import ONE, refusal, shell

pytestmark = [pytest.mark.root, pytest.mark.overlay]


def test_a_device_of_the_machine_is_given_under_a_name(box: Program) -> None:
    found = shell(
        box, "--device", "/dev/full:/dev/sub/full", command="ls -l /dev/sub/full; echo x > /dev/sub/full || echo no"
    )
    assert found[0].startswith("crw-rw-rw-")
    assert found[1:] == ["no"]
    missing = refusal(box, "--device", "/dev/nosuch", "box", "true")
    assert 'adding custom device "/dev/nosuch": no such file or directory' in missing
    assert "not a device node" in refusal(box, "--device", "/etc/passwd", "box", "true")


@pytest.mark.cgroup
def test_a_device_is_used_as_the_flag_allows(box: Program) -> None:
    words = ("--device", "/dev/loop-control:/dev/control:r")
    if not os.path.exists("/dev/loop-control"):
        pytest.skip("a device that no container has: /dev/loop-control")
    if box.user:
        assert "rules of devices need a control group" in refusal(box, *words, "box", "true")
        return
    tries = ": < /dev/control && echo read; (: > /dev/control) 2>/dev/null && echo written || true"
    assert shell(box, *words, command=tries) == ["read"]
    assert shell(box, "--device", "/dev/loop-control:/dev/control:rw", command=tries) == ["read", "written"]


@pytest.mark.cgroup
def test_a_rule_lets_a_container_use_a_device_that_it_makes(box: Program) -> None:
    if not os.path.exists("/dev/loop-control"):
        pytest.skip("a device that no container has: /dev/loop-control")
    number = os.stat("/dev/loop-control").st_rdev
    rule = f"c {os.major(number)}:{os.minor(number)} rw"
    if box.user:
        assert "rules of devices need a control group" in refusal(box, "--device-cgroup-rule", rule, "box", "true")
        return
    tries = f"mknod /tmp/d c {os.major(number)} {os.minor(number)}; : < /tmp/d && echo read"
    assert shell(box, "--device-cgroup-rule", rule, command=tries) == ["read"]
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
    document = {"cdiVersion": "0.6.0", "kind": kind, "devices": [{"name": "one", "containerEdits": edits}]}
    half = path.with_suffix(".half")
    half.write_text(json.dumps(document))
    half.rename(path)  # others of this machine read all that is there
    yield f"{kind}=one"
    path.unlink()


def test_a_described_device_brings_nodes_variables_mounts_and_groups(box: Program, described: str) -> None:
    command = "echo $DESCRIBED; id -G; ls /mnt/cdi | wc -l; echo x > /dev/other && ls -l /dev/other"
    found = shell(box, "--device", described, command=command)
    assert found[0] == "yes"
    assert "55" in found[1].split()
    assert int(found[2]) >= 1
    assert found[3].startswith("crw-rw-rw-")
    assert "unresolvable CDI devices" in refusal(box, "--device", "nosuch.test/null=one", "box", "true")


def test_gpus_are_described_devices(box: Program) -> None:
    assert 'could not select device driver "" with capabilities: [[gpu]]' in refusal(
        box, "--gpus", "all", "box", "true"
    )
    request = {"Driver": "", "Count": 0, "DeviceIDs": ["0", "1"], "Capabilities": [["x", "gpu"]], "Options": {}}
    container = box.text("create", "--gpus", '"device=0,1",capabilities=x', "box", "true")
    assert json.loads(box.text("inspect", "-f", "{{json .HostConfig.DeviceRequests}}", container)) == [request]
