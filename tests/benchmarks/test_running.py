from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.benchmarks import running
from tests.benchmarks.cases import CASES, TOGETHER
from tests.benchmarks.tools import RUNNING, Tool


@contextmanager
def answering(answer: bytes) -> Iterator[tuple[str, int]]:
    """Serve one answer to everybody, each over a connection of its own."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                connection, _ = server.accept()
                with connection:
                    if not connection.recv(1 << 16):
                        return  # the last one asks nothing
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()
        finally:
            with socket.create_connection(server.getsockname()):
                pass
            thread.join()


def test_every_case_that_is_kept_from_somebody_is_one() -> None:
    assert set(CASES) >= RUNNING | TOGETHER


@pytest.mark.parametrize("case", CASES)
def test_buildah_runs_no_containers_and_moves_nothing(case: str) -> None:
    assert Tool(name="buildah", command=()).can(case) == (case not in {*RUNNING, "move"})
    assert Tool(name="docker", command=()).can(case)


def test_whole_answers_are_counted() -> None:
    with answering(b"HTTP/1.0 200 OK\r\n\r\na page of some bytes\n") as address:
        assert running.ask_often(address, 9) > 0


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.0 404 Not Found\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\na page of"])
def test_one_answer_that_is_not_whole_is_a_failure(answer: bytes) -> None:
    with answering(answer) as address, pytest.raises(RuntimeError, match="answered"):
        running.ask_often(address, 3)


def test_a_fleet_of_which_one_does_not_start_is_a_failure() -> None:
    assert running.start_fleet(Tool(name="all", command=("true",)), "image", 3) > 0
    script = 'case "$*" in *bench-fleet-1*) echo no room >&2; exit 1;; esac'
    with pytest.raises(RuntimeError, match=r"some: 1 of 3 did not start: .*no room"):
        running.start_fleet(Tool(name="some", command=("sh", "-c", script, "tool")), "image", 3)


def test_a_tool_that_fails_is_quoted() -> None:
    tool = Tool(name="tool", command=("sh", "-c", "echo out; echo what it said >&2; exit $1", "sh"))
    assert tool.output("0") == "out\n"
    tool.attempt("3")
    with pytest.raises(RuntimeError, match="tool 3: out\nwhat it said"):
        tool.time("3")


def test_the_keeper_of_a_process_is_weighed() -> None:
    with subprocess.Popen(["sleep", "600"]) as child:
        try:
            tool = Tool(name="tool", command=("sh", "-c", f"echo {child.pid}"))
            assert running.keeper_memory(tool, "name") > 1 << 20
        finally:
            child.kill()
