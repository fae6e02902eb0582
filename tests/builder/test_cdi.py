"""Devices are found as the Container Device Interface describes them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from builder.cdi import choose
from grammar.instructions import Device
from runtime.errors import PybuildError

ALL = frozenset(("device",))
NULL = {"path": "/dev/other", "hostPath": "/dev/null", "permissions": "rw"}
EDITS = {
    "env": ["A=1=2"],
    "deviceNodes": [NULL],
    "mounts": [{"hostPath": "/etc", "containerPath": "/mnt", "options": ["ro"]}],
    "additionalGids": [5],
}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    devices = [{"name": "one", "containerEdits": EDITS}, {"name": "two", "annotations": {"x": "y"}}]
    describe(tmp_path, "a", kind="v.test/c", containerEdits={"env": ["COMMON=1"]}, devices=devices)
    free = {"org.mobyproject.buildkit.device.autoallow": "true", "org.mobyproject.buildkit.device.class": "free"}
    describe(tmp_path, "b", kind="v.test/free", annotations=free, devices=[{"name": "z"}])
    return tmp_path


def describe(directory: Path, name: str, **document: object) -> None:
    (directory / f"{name}.json").write_text(json.dumps({"cdiVersion": "0.6.0", **document}))


def environment(directory: Path, *names: str, required: bool = True) -> dict[str, str]:
    wanted = [Device(name=name, required=required) for name in names]
    return dict(choose(wanted, ALL, directories=[directory]).environment)


def test_a_device_brings_variables_nodes_mounts_and_groups(directory: Path) -> None:
    edits = choose([Device(name="v.test/c=one")], ALL, directories=[directory])
    assert edits.environment == (("COMMON", "1"), ("A", "1=2"))
    assert [(node["path"], node["type"], node["major"], node["minor"]) for node in edits.nodes] == [
        ("/dev/other", "c", 1, 3)
    ]
    assert edits.rules == ({"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rw"},)
    assert edits.mounts == ({"destination": "/mnt", "type": "bind", "source": "/etc", "options": ["ro", "rbind"]},)
    assert edits.groups == (5,)


@pytest.mark.parametrize(("name", "has_a"), [("v.test/c=two", False), ("v.test/c", True), ("v.test/c=*", True)])
def test_a_kind_means_its_first_device_and_a_star_all(directory: Path, name: str, has_a: bool) -> None:
    assert ("A" in environment(directory, name)) == has_a


def test_a_device_that_is_not_there_counts_only_if_it_is_required(directory: Path) -> None:
    assert environment(directory, "v.test/c=three", required=False) == {}
    with pytest.raises(PybuildError, match=r'required device "v\.test/c=three" is not registered'):
        environment(directory, "v.test/c=three")


def test_a_device_has_to_be_allowed_unless_it_says_otherwise(directory: Path) -> None:
    choose([Device(name="free", required=True)], frozenset(), directories=[directory])
    choose([Device(name="v.test/c=two")], frozenset(("device=v.test/c",)), directories=[directory])
    with pytest.raises(PybuildError, match=r"granting entitlement device v\.test/c=two is not allowed"):
        choose([Device(name="v.test/c=two")], frozenset(("device=v.test/c=one",)), directories=[directory])


@pytest.mark.parametrize(
    "devices",
    [
        [{"name": "h", "containerEdits": {"hooks": [{"path": "/x"}]}}],
        [{"name": "h", "containerEdits": {"deviceNodes": [{"path": "/no/such"}]}}],
        [{"name": "h", "containerEdits": {"env": 5}}],
    ],
)
def test_what_cannot_be_done_is_refused(tmp_path: Path, devices: list[object]) -> None:
    describe(tmp_path, "x", kind="v.test/h", devices=devices)
    with pytest.raises(PybuildError, match=r"v\.test/h=h"):
        environment(tmp_path, "v.test/h=h")


def test_a_file_that_is_no_description_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("[")
    with pytest.raises(PybuildError, match=r"bad\.json is no description of devices"):
        environment(tmp_path, "v.test/h=h")


YAML = """
---
cdiVersion: 0.6.0
kind: v.test/y
containerEdits:
  env: [COMMON=1]
devices:
- name: 0
  containerEdits:
    deviceNodes:
    - path: /dev/other
      hostPath: /dev/null
- name: hooked
  containerEdits:
    hooks: [{hookName: createContainer, path: /bin/true}]
- name: throttled
  containerEdits:
    intelRdt: {closID: one}
"""


@pytest.mark.parametrize("suffix", ["yaml", "yml"])
def test_a_description_may_be_yaml(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a.{suffix}").write_text(YAML)
    (tmp_path / "README").write_text("not read")
    edits = choose([Device(name="v.test/y=0")], ALL, directories=[tmp_path])
    assert edits.environment == (("COMMON", "1"),)
    assert [(node["path"], node["hostPath"], node["major"]) for node in edits.nodes] == [("/dev/other", "/dev/null", 1)]


@pytest.mark.parametrize(("name", "what"), [("hooked", "a hook"), ("throttled", "intelRdt")])
def test_what_a_device_needs_and_cannot_have_is_named(tmp_path: Path, name: str, what: str) -> None:
    (tmp_path / "a.yaml").write_text(YAML)
    with pytest.raises(PybuildError, match=rf"device v\.test/y={name} needs {what}, which is not supported"):
        choose([Device(name=f"v.test/y={name}")], ALL, directories=[tmp_path])


@pytest.mark.parametrize("text", ["a: [", "- 1", "!!python/object/apply:os.getcwd []", "kind: x", ""])
def test_a_faulty_yaml_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(PybuildError, match=r"a\.yaml is no description of devices"):
        choose([Device(name="v.test/y=0", required=True)], ALL, directories=[tmp_path])


def test_without_the_package_the_message_says_how_to_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.yaml").write_text(YAML)
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(PybuildError, match="needs the Python package pyyaml") as caught:
        choose([Device(name="v.test/y=0")], ALL, directories=[tmp_path])
    assert "pip install" in str(caught.value.hint)
