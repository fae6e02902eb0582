"""Mounts of a container are chosen by what its namespaces may mount."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from runtime.sandbox import cgroups, mounts, preparation
from runtime.sandbox import syscalls as sys

ENTRY = {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "ro"]}


@pytest.fixture
def version_2(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a machine with version 2 alone; mounts are described and not made."""
    hierarchy = cgroups.Hierarchy(2, "", frozenset(), cgroups.MOUNT, cgroups.MOUNT)
    monkeypatch.setattr(cgroups, "hierarchies", lambda: [hierarchy])
    monkeypatch.setattr(mounts, "prepare", lambda entry: entry)


@pytest.mark.parametrize(
    ("new", "userns", "kind", "options"),
    [
        (sys.CLONE_NEWCGROUP, False, "cgroup2", ["nosuid", "ro"]),
        (sys.CLONE_NEWCGROUP, True, "cgroup2", ["nosuid", "ro"]),
        (0, False, "cgroup2", ["nosuid", "ro"]),
        (0, True, "bind", ["rbind", "nosuid", "ro", "rro"]),
    ],
)
@pytest.mark.usefixtures("version_2")
def test_the_machines_groups_are_bound_in_a_user_namespace(
    new: int, userns: bool, kind: str, options: list[str]
) -> None:
    setup: Any = SimpleNamespace(new=new, userns=userns, own_groups={"": "/a"})
    (found,) = preparation.prepared(setup, ENTRY)
    made: Any = found
    assert (made["type"], made["options"]) == (kind, options)


@pytest.mark.parametrize(
    ("kind", "source"), [("proc", "/proc"), ("sysfs", "/sys"), ("mqueue", "/dev/mqueue"), ("tmpfs", None)]
)
def test_what_a_user_namespace_may_not_mount_is_bound(kind: str, source: str | None) -> None:
    found = preparation._instead({"destination": "/x", "type": kind, "source": kind, "options": ["ro"]})
    assert (found or {}).get("source") == source
