"""Runtime-spec documents: Docker's defaults, and what is asked for on top."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runtime.errors import UsageError
from runtime.oci import runtimespec
from runtime.oci.runtimespec import Resources, User, bind, container_spec, resolve_capabilities, tmpfs
from runtime.sandbox import privileges

SAFE = ["nosuid", "noexec", "nodev"]


def document(**options: Any) -> dict[str, Any]:
    return container_spec(args=["true"], **options)


def mount(spec: dict[str, Any], destination: str) -> dict[str, Any]:
    (found,) = [entry for entry in spec["mounts"] if entry["destination"] == destination]
    return dict(found)


def test_a_document_can_be_written_as_json() -> None:
    spec = document(resources=Resources(memory=1 << 20), rlimits=[("nofile", 1, -1)], user=User(groups=(1, 2)))
    assert json.loads(json.dumps(spec)) == spec


def test_the_default_capabilities_are_docker_fourteen() -> None:
    assert len(runtimespec.DEFAULT_CAPABILITIES) == 14
    assert privileges.mask_of(list(runtimespec.DEFAULT_CAPABILITIES)) == 0xA80425FB


def test_the_names_of_capabilities_are_the_launcher_own() -> None:
    assert runtimespec.CAPABILITIES == privileges.CAPABILITIES


def test_capabilities_are_bounding_permitted_and_effective_and_not_inheritable() -> None:
    sets = document()["process"]["capabilities"]
    assert sets["bounding"] == sets["permitted"] == sets["effective"] == list(runtimespec.DEFAULT_CAPABILITIES)
    assert not sets.get("inheritable")
    assert not sets.get("ambient")


@pytest.mark.parametrize(
    ("add", "drop", "expected"),
    [
        (["net_admin"], [], {*runtimespec.DEFAULT_CAPABILITIES, "CAP_NET_ADMIN"}),
        (["CAP_NET_ADMIN"], ["NET_RAW"], {*runtimespec.DEFAULT_CAPABILITIES, "CAP_NET_ADMIN"} - {"CAP_NET_RAW"}),
        ([], ["ALL"], set()),
        (["chown"], ["all"], {"CAP_CHOWN"}),
        (["ALL"], ["SYS_ADMIN"], set(runtimespec.CAPABILITIES) - {"CAP_SYS_ADMIN"}),
        (["ALL"], ["ALL"], set(runtimespec.CAPABILITIES)),
        (["CHOWN"], ["CHOWN"], set(runtimespec.DEFAULT_CAPABILITIES)),
    ],
)
def test_capabilities_are_added_and_dropped(add: list[str], drop: list[str], expected: set[str]) -> None:
    assert set(resolve_capabilities(add=add, drop=drop)) == expected


def test_an_unknown_capability_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="invalid capability: 'NET_ADMN'") as caught:
        resolve_capabilities(add=["NET_ADMN"])
    assert caught.value.hint == "did you mean CAP_NET_ADMIN?"


@pytest.mark.parametrize(
    ("destination", "fstype", "options"),
    [
        ("/proc", "proc", SAFE),
        ("/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        ("/dev/pts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
        ("/sys", "sysfs", [*SAFE, "ro"]),
        ("/sys/fs/cgroup", "cgroup", [*SAFE, "ro"]),
        ("/dev/mqueue", "mqueue", SAFE),
        ("/dev/shm", "tmpfs", [*SAFE, "mode=1777", "size=67108864"]),
    ],
)
def test_default_mounts_are_docker_own(destination: str, fstype: str, options: list[str]) -> None:
    found = mount(document(), destination)
    assert (found["type"], found["options"]) == (fstype, options)


def test_a_mount_at_a_default_place_replaces_it() -> None:
    found = mount(document(mounts=[tmpfs("/dev/shm/", size=1)]), "/dev/shm/")
    assert "size=1" in found["options"]
    assert not [
        entry for entry in document(mounts=[tmpfs("/dev/shm/")])["mounts"] if entry["destination"] == "/dev/shm"
    ]


def test_shm_has_the_size_given() -> None:
    assert "size=1024" in mount(document(shm_size=1024), "/dev/shm")["options"]


def test_parents_are_mounted_before_what_lies_below() -> None:
    spec = document(mounts=[tmpfs("/a/b/c"), tmpfs("/a"), tmpfs("/a//b/")])
    assert [entry["destination"] for entry in spec["mounts"]][-3:] == ["/a", "/a//b/", "/a/b/c"]


def test_a_privileged_container_hides_and_locks_nothing() -> None:
    spec = document(privileged=True)
    assert "maskedPaths" not in spec["linux"]
    assert "readonlyPaths" not in spec["linux"]
    assert spec["linux"]["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert "rw" in mount(spec, "/sys")["options"]
    paths = {device["path"] for device in spec["linux"]["devices"]}
    assert "/dev/null" in paths
    assert not [path for path in paths if path.startswith(("/dev/pts/", "/dev/shm/")) or path == "/dev/console"]


def test_namespaces_are_new_unless_said_otherwise() -> None:
    spec = document(namespaces={"pid": "/proc/1/ns/pid", "uts": "host"})
    assert sorted(spec["linux"]["namespaces"], key=lambda entry: entry["type"]) == [
        {"type": "cgroup"},
        {"type": "ipc"},
        {"type": "mount"},
        {"type": "network"},
        {"type": "pid", "path": "/proc/1/ns/pid"},
    ]


def test_network_sysctls_come_only_with_an_own_network() -> None:
    assert document(network="host")["linux"]["sysctl"] == {}
    assert document()["linux"]["sysctl"]["net.ipv4.ip_unprivileged_port_start"] == "0"
    assert "net.ipv4.ping_group_range" not in document(rootless=True)["linux"]["sysctl"]


def test_a_given_sysctl_wins() -> None:
    spec = document(sysctl={"net.ipv4.ip_unprivileged_port_start": "1024"})
    assert spec["linux"]["sysctl"]["net.ipv4.ip_unprivileged_port_start"] == "1024"


def test_only_limits_that_were_asked_for_are_there() -> None:
    assert set(document()["linux"]["resources"]) == {"devices"}
    found = document(resources=Resources(memory=4096, swap=-1, pids=7))["linux"]["resources"]
    assert (found["memory"], found["pids"]) == ({"limit": 4096, "swap": -1}, {"limit": 7})


@pytest.mark.parametrize("name", ["nofile", "NOFILE", "RLIMIT_NOFILE", "rlimit_nofile"])
def test_a_limit_is_named_short_or_long(name: str) -> None:
    (limit,) = document(rlimits=[(name, 10, -1)])["process"]["rlimits"]
    assert limit == {"type": "RLIMIT_NOFILE", "soft": 10, "hard": 0xFFFFFFFFFFFFFFFF}


def test_an_unknown_limit_is_refused() -> None:
    with pytest.raises(UsageError, match="invalid ulimit type: nofiles"):
        document(rlimits=[("nofiles", 1, 1)])


def test_a_bind_is_recursive_and_private() -> None:
    assert bind("/a", "/b")["options"] == ["rbind", "rw", "rprivate"]
    assert bind("/a", "/b", readonly=True)["options"] == ["rbind", "ro", "rro", "rprivate"]
    assert bind("/a", "/b", options=["rslave"])["options"] == ["rbind", "rw", "rslave"]


def test_options_of_a_tmpfs_win_over_arguments() -> None:
    options = tmpfs("/t", size=10, options=["size=20", "exec"])["options"]
    assert options == ["noexec", "nosuid", "nodev", "size=20", "exec"]
