"""docs/run-flags.md has a row for each flag of `docker run`, and each row says the truth."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from runtime.cli import create, exec, run, update  # noqa: A004  the verb's name
from runtime.cli.arguments import read_arguments
from runtime.cli.containerflags import REFUSED, refuse_unsupported
from runtime.cli.declare import Flag, Verb
from runtime.errors import UsageError

ROOT = Path(__file__).parents[3]

DOCKER = """
    add-host annotation attach blkio-weight blkio-weight-device cap-add cap-drop cgroup-parent cgroupns cidfile
    cpu-period cpu-quota cpu-rt-period cpu-rt-runtime cpu-shares cpus cpuset-cpus cpuset-mems detach detach-keys device
    device-cgroup-rule device-read-bps device-read-iops device-write-bps device-write-iops disable-content-trust dns
    dns-option dns-search domainname entrypoint env env-file expose gpus group-add health-cmd health-interval
    health-retries health-start-interval health-start-period health-timeout help hostname init interactive ip ip6 ipc
    isolation kernel-memory label label-file link link-local-ip log-driver log-opt mac-address memory memory-reservation
    memory-swap memory-swappiness mount name network network-alias no-healthcheck oom-kill-disable oom-score-adj pid
    pids-limit platform privileged publish publish-all pull quiet read-only restart rm runtime security-opt shm-size
    sig-proxy stop-signal stop-timeout storage-opt sysctl tmpfs tty ulimit use-api-socket user userns uts volume
    volume-driver volumes-from workdir
""".split()
"""The flags of `docker run --help`, 28.5."""

SHORT = {"attach": "a", "cpu-shares": "c", "detach": "d", "env": "e", "hostname": "h", "interactive": "i", "label": "l"}
SHORT |= {"memory": "m", "publish": "p", "publish-all": "P", "quiet": "q", "tty": "t", "user": "u", "volume": "v"}
SHORT |= {"workdir": "w"}


class Row(NamedTuple):
    names: tuple[str, ...]
    parsed: str
    field: str
    force: str
    test: str

    @property
    def is_refused(self) -> bool:
        return self.force.startswith("refused: ")


def _rows() -> dict[str, Row]:
    found = {}
    for line in (ROOT / "docs/run-flags.md").read_text().splitlines():
        if line.startswith("| `--"):
            first, *others = (cell.strip() for cell in line.strip("|").split("|"))
            row = Row(tuple(first.replace("`", "").split(", ")), *others)
            assert row.names[0] not in found
            found[row.names[0]] = row
    return found


ROWS = _rows()


def _flags(verb: Verb) -> dict[str, Flag]:
    return {f"--{flag.name}": flag for flag in verb.flags}


def test_each_flag_of_docker_has_a_row_and_no_other_has() -> None:
    assert sorted(ROWS) == sorted(f"--{name}" for name in DOCKER)


def test_each_flag_that_is_declared_has_a_row_with_its_names() -> None:
    declared = {name: tuple(sorted(flag.names, reverse=True)) for name, flag in _flags(run.VERB).items()}
    assert declared == {name: tuple(sorted(row.names, reverse=True)) for name, row in ROWS.items() if name != "--help"}


def test_short_forms_are_dockers() -> None:
    flags = _flags(run.VERB)
    short = {name: flag.names for name, flag in flags.items() if any(len(word) == 2 for word in flag.names)}
    assert {name: f"-{SHORT[name[2:]]}" in names for name, names in short.items()} == dict.fromkeys(short, True)
    assert set(short) == {f"--{name}" for name in SHORT}


def test_create_lacks_what_is_about_a_command_that_is_started() -> None:
    assert set(_flags(run.VERB)) - set(_flags(create.VERB)) == {"--detach", "--detach-keys", "--sig-proxy"}


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        (exec.VERB, "detach detach-keys env env-file interactive privileged tty user workdir"),
        (
            update.VERB,
            "blkio-weight cpu-period cpu-quota cpu-rt-period cpu-rt-runtime cpu-shares cpus cpuset-cpus cpuset-mems "
            "memory memory-reservation memory-swap pids-limit restart",
        ),
    ],
)
def test_exec_and_update_have_dockers_flags(verb: Verb, words: str) -> None:
    assert sorted(_flags(verb)) == [f"--{word}" for word in words.split()]


def _functions(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def test_each_flag_in_force_names_a_test_that_there_is() -> None:
    missing = []
    for name, row in ROWS.items():
        path, _, function = row.test.strip("`").partition("::")
        if not row.is_refused and (not (ROOT / path).is_file() or function not in _functions(ROOT / path)):
            missing.append((name, row.test))
    assert missing == []


def test_a_row_says_read_where_it_is_in_force() -> None:
    assert {row.parsed for row in ROWS.values() if row.is_refused} == {"no"}
    assert {row.parsed for row in ROWS.values() if not row.is_refused} == {"yes"}


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.is_refused])
def test_a_refused_flag_is_refused_with_its_reason(name: str) -> None:
    value = [] if next(flag for flag in REFUSED if f"--{flag.name}" == name).kind == "switch" else ["x"]
    reason = ROWS[name].force.removeprefix("refused: ")
    for verb in (run.VERB, create.VERB):
        assert (verb.usage_status, verb.failure_status) == (125, 125)
        with pytest.raises(UsageError, match=re.escape(f"{name} cannot be had: {reason}")):
            refuse_unsupported(read_arguments(verb, [name, *value, "image"]))


def test_every_flag_of_run_is_in_the_help(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {flag.name for flag in run.VERB.flags if not flag.hidden}
    assert {name[2:] for name, row in ROWS.items() if not row.is_refused} - shown == {"help", "disable-content-trust"}
    assert all(flag.help for flag in run.VERB.flags if not flag.hidden)


def test_the_fields_of_inspect_are_known() -> None:
    from runtime.containers.documents import Config, HostConfig

    known = {f"HostConfig.{name}" for name in HostConfig.__annotations__}
    known |= {f"Config.{name}" for name in Config.__annotations__}
    known |= {"Mounts", "Name", "Image", "NetworkSettings", "NetworkSettings.Networks", "Config.MacAddress", "–"}
    for row in ROWS.values():
        above = ""
        for field in row.field.replace("`", "").split(", "):
            name = field if "." in field or field in known else f"{above}.{field}"
            above = name.rpartition(".")[0]
            assert name in known or name.rpartition(".")[0] in known, (row.names[0], name)
