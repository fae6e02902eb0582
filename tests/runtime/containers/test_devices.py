"""Flags of devices become nodes, rules and rates."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from runtime.containers import devices
from runtime.containers.documents import DeviceRequest, HostConfig
from runtime.errors import NotFound, PybuildError, UsageError
from runtime.oci import cdi


@pytest.mark.parametrize(
    ("text", "host", "inside", "access"),
    [
        ("/dev/a", "/dev/a", "/dev/a", "rwm"),
        ("/dev/a:/dev/b", "/dev/a", "/dev/b", "rwm"),
        ("/dev/a:r", "/dev/a", "/dev/a", "r"),
        ("/dev/a:/dev/b:mw", "/dev/a", "/dev/b", "mw"),
    ],
)
def test_a_device_is_read(text: str, host: str, inside: str, access: str) -> None:
    assert devices.described_device(text) is None
    assert devices.parse_device(text) == {
        "PathOnHost": host,
        "PathInContainer": inside,
        "CgroupPermissions": access,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "a is not an absolute path"),
        ("/dev/a:b/c", "b/c is not an absolute path"),
        ("/dev/a:/dev/b:rx", "bad mode specified: rx"),
        ("/dev/a:/dev/b:rr", "bad mode specified: rr"),
        ("/dev/a:/dev/b:r:w", "invalid device specification"),
        ("", "bad format for path"),
    ],
)
def test_a_wrong_device_is_named(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        devices.parse_device(text)


def test_a_qualified_name_is_a_described_device() -> None:
    request = devices.described_device("vendor.com/class=name")
    assert request == {
        "Driver": "cdi",
        "Count": 0,
        "DeviceIDs": ["vendor.com/class=name"],
        "Capabilities": None,
        "Options": None,
    }


@pytest.mark.parametrize("text", ["c 1:3 rwm", "a *:* m", "b 8:* r"])
def test_rules_are_taken(text: str) -> None:
    assert devices.check_rule(text) == text


@pytest.mark.parametrize("text", ["", "c 1:3", "x 1:3 r", "c 1:3 rwmx", "c 1 r", "c -1:3 r", "c 1:3 r "])
def test_wrong_rules_are_named(text: str) -> None:
    with pytest.raises(UsageError, match=f"invalid device cgroup format '{text}'"):
        devices.check_rule(text)


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("all", {"Count": -1}),
        ("2", {"Count": 2}),
        ("count=3,driver=x", {"Count": 3, "Driver": "x"}),
        ("device=0", {"DeviceIDs": ["0"]}),
        ('"device=0,1",capabilities=utility', {"DeviceIDs": ["0", "1"], "Capabilities": [["utility", "gpu"]]}),
        ("driver=x", {"Driver": "x", "Count": 1}),
        ('1,"options=a=b,c"', {"Count": 1, "Options": {"a": "b", "c": ""}}),
    ],
)
def test_gpus_are_read_as_docker_does(text: str, changed: dict[str, object]) -> None:
    plain = {"Driver": "", "Count": 0, "DeviceIDs": None, "Capabilities": [["gpu"]], "Options": {}}
    assert devices.parse_gpus(text) == plain | changed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("many", "invalid count \\(many\\)"),
        ("1,count=2", "can be specified only once"),
        ("size=1", "unexpected key 'size'"),
    ],
)
def test_wrong_gpus_are_named(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        devices.parse_gpus(text)


def test_a_device_becomes_a_node_and_a_rule() -> None:
    host: HostConfig = {
        "Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/x", "CgroupPermissions": "r"}],
        "DeviceCgroupRules": ["c 10:* w"],
    }
    found = devices.devices_of(host)
    assert found.nodes == (
        {
            "path": "/dev/x",
            "hostPath": "/dev/null",
            "type": "c",
            "major": 1,
            "minor": 3,
            "fileMode": 0o666,
            "uid": 0,
            "gid": 0,
        },
    )
    assert found.rules == (
        {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "r"},
        {"allow": True, "type": "c", "access": "w", "major": 10},
    )
    assert devices.needs_rules(host) == "--device-cgroup-rule c 10:* w"
    assert devices.needs_rules({"Devices": host["Devices"]}) == "--device /dev/null:/dev/x:r"


def test_a_directory_gives_the_devices_below_it(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/link").symlink_to("/dev/null")
    (tmp_path / "file").touch()
    host: HostConfig = {
        "Devices": [{"PathOnHost": str(tmp_path), "PathInContainer": "/dev/d", "CgroupPermissions": "rwm"}]
    }
    with pytest.raises(NotFound, match="not a device node"):
        devices.devices_of(host)
    if os.geteuid() == 0:
        os.mknod(tmp_path / "sub/node", 0o20600, os.makedev(1, 3))
        assert [node["path"] for node in devices.devices_of(host).nodes] == ["/dev/d/sub/node"]


@pytest.fixture
def described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Describe three GPUs and all of them."""
    names = ["0", "1", "2", "all"]
    entries = [{"name": name, "containerEdits": {"env": [f"GPU{name}=1"]}} for name in names]
    document = {"cdiVersion": "0.6.0", "kind": "nvidia.com/gpu", "devices": entries}
    (tmp_path / "gpu.json").write_text(json.dumps(document))
    known = cdi.read([tmp_path])
    monkeypatch.setattr(cdi, "read", lambda: known)


@pytest.mark.parametrize(
    ("text", "variables"),
    [("all", ["GPUall"]), ("2", ["GPU0", "GPU1"]), ("device=1", ["GPU1"]), ('"device=0,2"', ["GPU0", "GPU2"])],
)
@pytest.mark.usefixtures("described")
def test_gpus_are_described_devices(text: str, variables: list[str]) -> None:
    found = devices.devices_of({"DeviceRequests": [devices.parse_gpus(text)]})
    assert [name for name, _ in found.environment] == variables


@pytest.mark.parametrize("text", ["4", "device=9"])
@pytest.mark.usefixtures("described")
def test_gpus_that_are_not_there_are_missed(text: str) -> None:
    with pytest.raises(PybuildError, match=r"could not select 4 GPUs|unresolvable CDI devices nvidia.com/gpu=9"):
        devices.devices_of({"DeviceRequests": [devices.parse_gpus(text)]})


def test_without_descriptions_a_request_names_its_capabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cdi, "read", dict)
    request: DeviceRequest = devices.parse_gpus("all")
    with pytest.raises(NotFound, match=r'could not select device driver "" with capabilities: \[\[gpu\]\]'):
        devices.devices_of({"DeviceRequests": [request]})


def test_rates_are_of_block_devices_alone() -> None:
    with pytest.raises(UsageError, match="/dev/null is no block device"):
        devices.block_io({"BlkioDeviceReadBps": [{"Path": "/dev/null", "Rate": 1}]})
    with pytest.raises(NotFound, match="stat /dev/nosuch: no such file"):
        devices.block_io({"BlkioWeightDevice": [{"Path": "/dev/nosuch", "Weight": 10}]})
    assert devices.block_io({"BlkioWeight": 10}) == {"weight": 10}
