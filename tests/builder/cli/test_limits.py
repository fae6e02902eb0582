"""Limits of steps are read from either kind of flag, and a wrong one is named."""

from __future__ import annotations

import pytest

from builder.cli import build
from builder.cli.limits import read_limits
from runtime.cli.arguments import read_arguments
from runtime.errors import UsageError
from runtime.oci.runtimespec import Resources


@pytest.mark.parametrize(
    ("words", "limits"),
    [
        ([], None),
        (["-m", "1g"], Resources(memory=1 << 30)),
        (["--memory=512m", "--memory-swap", "-1"], Resources(memory=512 << 20, swap=-1)),
        (["--resource", "memory=1g,cpus=1.5"], Resources(memory=1 << 30, cpu_quota=150_000, cpu_period=100_000)),
        (["--resource", "pids-limit=100", "--resource", "cpuset-cpus=0-1"], Resources(pids=100, cpuset_cpus="0-1")),
        (
            ["-c", "512", "--cpu-quota", "5000", "--cpu-period", "10000"],
            Resources(cpu_shares=512, cpu_quota=5000, cpu_period=10000),
        ),
    ],
)
def test_flags_become_limits(words: list[str], limits: Resources | None) -> None:
    assert read_limits(read_arguments(build.VERB, [*words, "."])) == limits


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--resource", "gpu=1"], 'invalid argument "gpu=1" for "--resource" flag'),
        (["--resource", "memory"], 'invalid argument "memory" for "--resource" flag'),
        (["--resource", "cpus=many"], 'invalid argument "many" for "--resource" flag: cpus'),
        (["-m", "x"], 'invalid argument "x" for "--memory" flag'),
        (["--cpu-shares", "x"], "'x' is no whole number"),
    ],
)
def test_a_wrong_limit_is_named(words: list[str], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_limits(read_arguments(build.VERB, [*words, "."]))
    assert said in caught.value.message
