"""What a further command of a container is, told by what its first process is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from runtime.containers import processfile
from runtime.containers.execute import Command, describe
from runtime.containers.records import Container, Containers
from runtime.context import Context
from runtime.store import Store
from tests.runtime.containers.rows import make

FIRST = {
    "seccomp": "/filter",
    "spec": {
        "process": {
            "args": ["first"],
            "env": ["PATH=/bin", "HOME=/home/www", "A=1"],
            "cwd": "/first",
            "terminal": False,
            "user": {"uid": 33, "gid": 33},
            "capabilities": {"effective": ["CAP_CHOWN"]},
            "noNewPrivileges": True,
        }
    },
}


@pytest.fixture
def containers(context: Context) -> Iterator[Containers]:
    with Store.open(context) as store:
        yield Containers(store)


def _running(containers: Containers, **config: Any) -> Container:
    container = make(containers, "web", config={"Image": "app", "Hostname": "host", **config})
    processfile.write(containers.directory(container.id), FIRST)
    return container


def _process(containers: Containers, container: Container, command: Command) -> dict[str, Any]:
    request: Any = describe(containers, container, command)
    process: dict[str, Any] = request["spec"]["process"]
    return process


def test_a_command_of_the_same_user_is_what_the_first_process_is(containers: Containers) -> None:
    container = _running(containers, Env=["PATH=/bin", "A=1"], WorkingDir="/work")
    process = _process(containers, container, Command(args=("ls", "-l")))
    assert process["user"] == {"uid": 33, "gid": 33}
    assert process["capabilities"] == {"effective": ["CAP_CHOWN"]}
    assert process["noNewPrivileges"] is True
    assert (process["args"], process["cwd"], process["terminal"]) == (["ls", "-l"], "/work", False)
    assert process["env"] == ["PATH=/bin", "HOSTNAME=host", "A=1", "HOME=/home/www"]
    assert describe(containers, container, Command(args=("ls",)))["seccomp"] == "/filter"


@pytest.mark.parametrize(
    ("config", "command", "term"),
    [
        ({}, {}, None),
        ({"Tty": True}, {}, None),
        ({}, {"tty": True}, "TERM=xterm"),
        ({"Env": ["TERM=own"]}, {}, "TERM=own"),
        ({"Env": ["TERM=own"]}, {"tty": True}, "TERM=own"),
        ({"Env": ["TERM=own"]}, {"tty": True, "env": ("TERM=asked",)}, "TERM=asked"),
    ],
)
def test_the_terminal_is_named_by_who_has_one_and_by_who_asked(
    containers: Containers, config: dict[str, Any], command: dict[str, Any], term: str | None
) -> None:
    process = _process(containers, _running(containers, **config), Command(args=("env",), **command))
    assert next((entry for entry in process["env"] if entry.startswith("TERM=")), None) == term


def test_variables_of_the_command_come_last_and_a_path_is_always_there(containers: Containers) -> None:
    process = _process(containers, _running(containers, Env=["A=1"]), Command(args=("env",), env=("A=2", "B=3")))
    assert process["env"][0].startswith("PATH=/usr/local/sbin:")
    assert process["env"][1:] == ["HOSTNAME=host", "A=2", "HOME=/home/www", "B=3"]


def test_a_file_that_is_no_use_is_none(containers: Containers) -> None:
    container = _running(containers)
    (containers.directory(container.id) / "process").write_text("{")
    assert processfile.read(containers.directory(container.id)) is None
