"""A step with limits has a control group of its own, of which nothing is left afterwards."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builder.options import BuildOptions
from builder.stepgroups import check_parent, step_group, sweep_groups
from runtime.context import Context
from runtime.errors import StepFailed, UsageError
from runtime.oci.runtimespec import Resources
from runtime.sandbox.cgroups import hierarchies
from tests.builder.benches import Bench

_PARENT = f"pybuild-test-{os.getpid()}"
LIMITED = Resources(memory=64 << 20, swap=64 << 20, pids=200, cpu_quota=50_000, cpu_period=100_000)
MEMORY = "FROM localhost/base\nRUN x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ${#x}\n"


def groups(context: Context, parent: str = "") -> list[Path]:
    """List the groups of this root in every hierarchy, and what is left of `parent`."""
    places = [Path(found.directory) for found in hierarchies()]
    found = [path for place in places for path in (place / parent).glob(f"pybuild-{context.layout.key}-*")]
    return found + [place / parent for place in places if parent and (place / parent).exists()]


@pytest.mark.root
@pytest.mark.overlay
@pytest.mark.cgroup
def test_a_step_that_wants_more_memory_than_it_may_have_is_killed(bench: Bench) -> None:
    with pytest.raises(StepFailed) as caught:
        bench.build(MEMORY, options=BuildOptions(network="none", limits=LIMITED))
    assert caught.value.exit_code == 137
    assert groups(bench.context) == []


@pytest.mark.root
@pytest.mark.overlay
@pytest.mark.cgroup
def test_limits_are_no_part_of_a_key(bench: Bench) -> None:
    text = "FROM localhost/base\nRUN echo x >/x\n"
    bench.build(text, options=BuildOptions(network="none", limits=LIMITED, cgroup_parent=f"{_PARENT}/deep"))
    assert groups(bench.context, f"{_PARENT}/deep") == []
    assert not any(Path(found.directory, _PARENT).exists() for found in hierarchies())
    assert bench.build(text, options=BuildOptions(network="none")).executed == 0


@pytest.mark.root
@pytest.mark.cgroup
def test_a_parent_that_was_there_before_stays(context: Context) -> None:
    place = Path(next(found.directory for found in hierarchies() if "memory" in found.controllers or not found.key))
    (place / _PARENT).mkdir()
    try:
        with step_group(context, f"{_PARENT}/new") as name, step_group(context, f"{_PARENT}/new"):
            assert (place / name).is_dir()
        assert (place / _PARENT).exists()
        assert not (place / _PARENT / "new").exists()
    finally:
        (place / _PARENT).rmdir()


@pytest.mark.root
@pytest.mark.cgroup
def test_what_a_killed_build_left_is_swept(context: Context) -> None:
    with step_group(context, _PARENT) as name:
        mark = next((context.layout.run / "groups").iterdir())
        mark.rename(mark.with_name("1-0-0-dead"))
        sweep_groups(context)
        assert groups(context, _PARENT) == []
    assert name.startswith(f"{_PARENT}/pybuild-{context.layout.key}-step-")


@pytest.mark.parametrize(("text", "parent"), [("/a/b/", "a/b"), ("a", "a"), ("/", ""), (".", "")])
def test_a_parent_is_relative_to_the_top(text: str, parent: str) -> None:
    assert check_parent(text) == parent


@pytest.mark.parametrize("text", ["../x", "a/../../b", "user.slice"])
def test_a_parent_elsewhere_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="invalid argument"):
        check_parent(text)
