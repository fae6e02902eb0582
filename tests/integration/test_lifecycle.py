"""The life of containers from outside: made, started, entered, attached to, stopped and started again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.programs import Program

pytestmark = [pytest.mark.root, pytest.mark.overlay]

FOREVER = ("sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.1; done")


@pytest.fixture
def running(box: Program) -> Iterator[Program]:
    """Return the program with a container `one` that runs until it gets SIGTERM."""
    box("run", "-d", "--network", "none", "--name", "one", "box", *FOREVER)
    yield box
    box("rm", "-f", "-v", "one", status=None)


@pytest.mark.parametrize(
    ("words", "status"), [(("sh", "-c", "exit 5"), 5), (("nosuch",), 127), (("/etc/passwd",), 126)]
)
def test_exec_ends_as_its_command_does(running: Program, words: tuple[str, ...], status: int) -> None:
    running("exec", "one", *words, status=status)


def test_exec_is_in_the_namespaces_of_the_container(running: Program) -> None:
    script = "for n in mnt pid ipc uts net cgroup; do readlink /proc/1/ns/$n; readlink /proc/self/ns/$n; done"
    inner = running.text("exec", "one", "sh", "-c", script)
    lines = inner.splitlines()
    assert lines[::2] == lines[1::2]
    assert len(lines) == 12


def test_exec_takes_user_directory_variables_and_input(running: Program) -> None:
    words = ("exec", "-i", "-u", "www", "-w", "/tmp", "-e", "A=b", "one", "sh", "-c", "cat; id -u; pwd; echo $A $HOME")
    assert running(*words, input=b"in\n").stdout == b"in\n33\n/tmp\nb /var/www\n"


def test_exec_sees_no_descriptor_of_the_host(running: Program) -> None:
    assert running.text("exec", "one", "sh", "-c", "echo /proc/self/fd/*").split() == [
        f"/proc/self/fd/{number}" for number in range(4)
    ]


def test_exec_refuses_a_working_directory_through_descriptors(running: Program) -> None:
    result = running("exec", "-w", "/proc/self/fd/7", "one", "true", status=None)
    assert result.returncode in (126, 127, 125, 1)


def test_exec_needs_a_container_that_runs(running: Program) -> None:
    running("stop", "one")
    assert b"is not running" in running("exec", "one", "true", status=1).stderr
    assert b"No such container" in running("exec", "none", "true", status=1).stderr


def test_a_detached_exec_goes_on_by_itself(running: Program) -> None:
    running("exec", "-d", "one", "sleep", "1234")
    assert "sleep 1234" in running.text("exec", "one", "ps")


def test_a_made_container_starts_stops_and_starts_again(box: Program) -> None:
    box("create", "--network", "none", "--name", "one", "box", "sh", "-c", "echo run >>/log; cat /log")
    assert box.text("start", "-a", "one") == "run"
    assert box.text("start", "-a", "one") == "run\nrun"
    assert box.text("start", "one") == "one"
    box("wait", "one")
    assert box.text("logs", "one").splitlines() == ["run"] * 6
    box("rm", "one")


def test_restart_gives_a_new_process(running: Program) -> None:
    running("exec", "one", "touch", "/kept")
    assert running.text("restart", "-t", "1", "one") == "one"
    assert running.text("exec", "one", "ls", "/kept") == "/kept"


def test_attach_shows_what_is_written_from_now_on_and_ends_as_the_container(box: Program) -> None:
    box("run", "-d", "-i", "--network", "none", "--name", "one", "box", "sh", "-c", "read line; echo got $line; exit 4")
    assert box("attach", "one", input=b"word\n", status=4).stdout == b"got word\n"
    box("rm", "one")
