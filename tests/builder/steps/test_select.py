"""Steps are chosen for instructions, with what the build's options change in them."""

from __future__ import annotations

from typing import cast

from builder.options import BuildOptions
from builder.stepclient import StepServer
from builder.steps.run import RunStep
from builder.steps.select import step_of
from grammar.instructions import Env, Mount, Run

RUN = Run(command="x", mounts=(Mount(type="cache", id="a", target="/a"), Mount(type="bind", id="b", target="/b")))


def chosen(options: BuildOptions) -> Run:
    step = step_of(RUN, options, cast(StepServer, None))
    assert isinstance(step, RunStep)
    return step.instruction


def test_a_namespace_stands_before_the_ids_of_cache_mounts_alone() -> None:
    assert [mount.id for mount in chosen(BuildOptions(cache_namespace="n")).mounts] == ["n/a", "b"]
    assert chosen(BuildOptions()) == RUN


def test_what_only_changes_the_configuration_has_no_step() -> None:
    assert step_of(Env(variables=(("a", "b"),)), BuildOptions(), cast(StepServer, None)) is None
