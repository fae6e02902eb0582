"""Modes of namespaces: which there are, what they make of the runtime document, and what is taken over from others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import cast

import pytest

from runtime.containers.documents import HostConfig
from runtime.containers.inheritance import inherited_mounts
from runtime.containers.mounts import wanted_mounts
from runtime.containers.namespaces import check_modes, resolved, spaces_of
from runtime.containers.records import Containers
from runtime.context import Context
from runtime.errors import Conflict, NotFound, UsageError
from runtime.store import Store
from tests.runtime.containers import rows


@pytest.fixture
def containers(context: Context) -> Iterator[Containers]:
    with Store.open(context) as store:
        yield Containers(store)


@pytest.mark.parametrize(
    ("field", "mode"),
    [
        ("PidMode", "private"),
        ("PidMode", "container:"),
        ("IpcMode", "container"),
        ("IpcMode", "Host"),
        ("UTSMode", "container:x"),
        ("UsernsMode", "private"),
        ("CgroupnsMode", "container:x"),
    ],
)
def test_a_mode_that_there_is_not_is_refused(field: str, mode: str) -> None:
    with pytest.raises(UsageError, match=r"invalid (PID|IPC|UTS|USER|CGROUP) mode"):
        check_modes(cast(HostConfig, {field: mode}))


def test_names_of_containers_become_ids(containers: Containers) -> None:
    other = rows.make(containers, "other")
    host: HostConfig = {"PidMode": "container:other", "IpcMode": f"container:{other.id[:8]}", "NetworkMode": "none"}
    wanted = f"container:{other.id}"
    assert resolved(containers, host) == {"PidMode": wanted, "IpcMode": wanted, "NetworkMode": "none"}
    with pytest.raises(NotFound, match="No such container: nosuch"):
        resolved(containers, {"PidMode": "container:nosuch"})


def test_the_machines_namespaces_are_named(containers: Containers) -> None:
    host: HostConfig = {"PidMode": "host", "IpcMode": "host", "UTSMode": "host", "CgroupnsMode": "host"}
    found = spaces_of(containers, host)
    assert found.modes == dict.fromkeys(("pid", "ipc", "uts", "cgroup"), "host")
    assert [mount["source"] for mount in found.mounts] == ["/dev/shm"]
    plain = spaces_of(containers, {"IpcMode": "private", "CgroupnsMode": "private"})
    assert (plain.modes, plain.mounts, plain.without) == ({}, (), ())
    assert spaces_of(containers, {"IpcMode": "none"}).without == ("/dev/shm",)


def test_another_container_shares_what_it_lets_others_have(
    containers: Containers, monkeypatch: pytest.MonkeyPatch
) -> None:
    donor = rows.make(containers, "donor", pid=os.getpid(), host_config={"IpcMode": "shareable"})
    alone = rows.make(containers, "alone")
    host: HostConfig = {"PidMode": f"container:{donor.id}", "IpcMode": f"container:{donor.id}"}
    with pytest.raises(Conflict, match=f"failed to join PID namespace: container {donor.id} is not running"):
        spaces_of(containers, host)
    monkeypatch.setattr(Containers, "is_running", lambda _self, _container: True)
    found = spaces_of(containers, host)
    assert {kind: path.rpartition("/")[2] for kind, path in found.modes.items()} == {"pid": "pid", "ipc": "ipc"}
    assert [(mount["type"], mount["destination"]) for mount in found.mounts] == [("foreign", "/dev/shm")]
    with pytest.raises(Conflict, match="non-shareable IPC"):
        spaces_of(containers, {"IpcMode": f"container:{alone.id}"})


def test_mounts_are_taken_over_with_their_names(containers: Containers) -> None:
    config: dict[str, object] = {"Volumes": {"/anonymous": {}}}
    host = {"Binds": ["named:/a", "/srv:/b:ro"], "Tmpfs": {"/own": ""}, "Mounts": [{"Type": "tmpfs", "Target": "/c"}]}
    points = ({"Type": "volume", "Name": "f" * 64, "Destination": "/anonymous"},)
    rows.make(containers, "donor", config=config, host_config=host, mounts=points)
    found = wanted_mounts({}, {"Inherited": inherited_mounts(containers, ["donor"])})
    assert [(mount.kind, mount.target, mount.source, mount.read_only) for mount in found] == [
        ("volume", "/a", "named", False),
        ("volume", "/anonymous", "f" * 64, False),
        ("bind", "/b", "/srv", True),
        ("tmpfs", "/c", "", False),
    ]
    assert not any(mount.copy for mount in found if mount.kind == "volume")
    closed = wanted_mounts({}, {"Inherited": inherited_mounts(containers, ["donor:ro"])})
    assert all(mount.read_only for mount in closed)


@pytest.mark.parametrize(("text", "error"), [("donor:x", UsageError), ("donor:ro,rw", UsageError), (":ro", UsageError)])
def test_wrong_donors_are_refused(containers: Containers, text: str, error: type[Exception]) -> None:
    with pytest.raises(error, match="invalid"):
        inherited_mounts(containers, [text])
