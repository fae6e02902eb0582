"""The monitor as a process of its own, around plain commands."""

from __future__ import annotations

import fcntl
import marshal
import os
import select
import signal
import socket
import subprocess
import sys
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from runtime.containers import protocol
from runtime.containers.exits import read_exit
from runtime.containers.protocol import Frames, frame, number

PACKAGES = Path(__file__).resolve().parents[3]
FAKE = Path(__file__).with_name("fake_monitor.py")


class Starter:
    """The side of the command that starts a container, spoken by hand."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.sock, theirs = socket.socketpair()
        self.sock.settimeout(60)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(FAKE), str(PACKAGES), str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                env={},
                stdin=subprocess.DEVNULL,
            )
        self.frames = Frames()
        self.queue: list[tuple[int, bytes]] = []

    def start(self, *args: str, tty: bool = False, stdin: bool = False, attached: int = 7, **more: object) -> None:
        plan = {
            "request": {"args": list(args), "tty": tty},
            "network": None,
            "tty": tty,
            "stdin": stdin,
            "stdin_once": stdin,
            "attached": attached,
            "stop_signal": 15,
            "final_signals": [9, 15],
            "stop_timeout": 0.3,
            "auto_remove": False,
            "remover": [],
            **more,
        }
        alive = os.open(self.directory / "alive", os.O_RDWR | os.O_CREAT)
        fcntl.flock(alive, fcntl.LOCK_EX)
        directory = os.open(self.directory, os.O_RDONLY)
        data = frame(protocol.START, marshal.dumps(plan))
        self.sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [alive, directory]))])
        os.close(alive)
        os.close(directory)

    def send(self, kind: int, payload: bytes = b"") -> None:
        self.sock.sendall(frame(kind, payload))

    def next(self) -> tuple[int, bytes]:
        while not self.queue:
            data = self.sock.recv(1 << 16)
            if not data:
                return 0, b""
            self.queue.extend(self.frames.feed(data))
        return self.queue.pop(0)

    def until(self, kind: int) -> tuple[bytes, dict[int, bytes]]:
        """Read frames up to one of `kind`; returns its payload and what the streams brought meanwhile."""
        streams = {protocol.STDOUT: b"", protocol.STDERR: b"", protocol.WINDOW: b""}
        while True:
            got, payload = self.next()
            if got == kind:
                return payload, streams
            assert got in (*streams, protocol.STARTED), f"unexpected frame {got}: {payload!r}"
            if got in streams:
                streams[got] += payload

    def log(self) -> bytes:
        return (self.directory / "log").read_bytes()

    def is_held(self) -> bool:
        with open(self.directory / "alive") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False


@pytest.fixture
def starter(tmp_path: Path) -> Iterator[Starter]:
    starter = Starter(tmp_path)
    yield starter
    starter.sock.close()
    try:
        starter.process.wait(60)
    finally:
        starter.process.kill()
        starter.process.wait()


SH = "/bin/sh"


def _await(starter: Starter, text: bytes, count: int = 1) -> None:
    """Wait until the container has written something so often."""
    end = time.monotonic() + 60
    while not (starter.directory / "log").exists() or starter.log().count(text) < count:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_output_of_both_streams_and_the_status_arrive(starter: Starter) -> None:
    starter.start(SH, "-c", "echo out; echo err >&2; exit 3")
    payload, streams = starter.until(protocol.EXITED)
    assert payload[0] == 3
    assert streams[protocol.STDOUT] == b"out\n"
    assert streams[protocol.STDERR] == b"err\n"


def test_the_end_is_written_down_before_it_is_told_and_the_lock_is_free(starter: Starter) -> None:
    starter.start(SH, "-c", "kill -9 $$")
    payload, _ = starter.until(protocol.EXITED)
    how = read_exit(starter.directory)
    assert (payload[0], how and how.code) == (137, 137)
    assert not starter.is_held()


def test_the_log_has_every_line_with_time_stream_and_tag(starter: Starter) -> None:
    starter.start(SH, "-c", "printf 'one\\ntwo'; read x; printf ' three\\n'", stdin=True)
    _await(starter, b"two")
    starter.send(protocol.STDIN, b"\n")
    starter.until(protocol.EXITED)
    lines = [line.split(b" ", 3) for line in starter.log().splitlines()]
    assert [line[1:] for line in lines] == [
        [b"stdout", b"F", b"one"],
        [b"stdout", b"P", b"two"],
        [b"stdout", b"F", b" three"],
    ]
    assert all(len(line[0]) == len("2026-01-01T00:00:00.000000000Z") for line in lines)


def test_standard_input_is_passed_on_and_its_end_as_well(starter: Starter) -> None:
    starter.start("/bin/cat", stdin=True)
    starter.send(protocol.STDIN, b"hello")
    starter.send(protocol.STDIN_END)
    payload, streams = starter.until(protocol.EXITED)
    assert (payload[0], streams[protocol.STDOUT]) == (0, b"hello")
    assert int.from_bytes(streams[protocol.WINDOW], "big") == 5


def test_without_stdin_the_container_reads_an_end_at_once(starter: Starter) -> None:
    starter.start("/bin/cat")
    assert starter.until(protocol.EXITED)[0][0] == 0


def test_standard_input_that_is_for_several_goes_on_after_one_of_them_ends(starter: Starter) -> None:
    starter.start(SH, "-c", "read a; read b; echo $a $b", stdin=True, attached=0, stdin_once=False)
    starter.until(protocol.STARTED)
    for text in (b"one\n", b"two\n"):
        with _connect(starter) as client:
            client.sendall(frame(protocol.ATTACH, bytes((protocol.IN,))) + frame(protocol.STDIN, text))
            client.sendall(frame(protocol.STDIN_END))
            frames = Frames()
            while protocol.WINDOW not in [kind for kind, _ in frames.feed(client.recv(100))]:
                pass
    assert starter.until(protocol.EXITED)[0][0] == 0
    assert starter.log().endswith(b"one two\n")


def test_standard_input_ends_when_its_starter_goes_away(starter: Starter) -> None:
    starter.start("/bin/cat", stdin=True)
    starter.until(protocol.STARTED)
    starter.sock.close()
    starter.process.wait(60)
    how = read_exit(starter.directory)
    assert how is not None
    assert how.code == 0


def test_a_signal_gets_through_while_standard_input_is_full(starter: Starter) -> None:
    starter.start(SH, "-c", "trap 'exit 42' USR1; echo ready; while :; do sleep 0.05; done", stdin=True)
    while starter.next()[0] != protocol.STDOUT:
        pass
    starter.send(protocol.STDIN, bytes(protocol.WINDOW_SIZE))
    starter.send(protocol.SIGNAL, number(signal.SIGUSR1, 1))
    assert starter.until(protocol.EXITED)[0][0] == 42


def test_a_command_that_is_not_there_is_a_failure_with_127(starter: Starter) -> None:
    starter.start("/no/such/command")
    payload, _ = starter.until(protocol.FAILED)
    assert payload[0] == 127
    assert b"No such file" in payload[1:]
    assert not starter.is_held()


def test_a_terminal_has_the_size_it_was_given_and_one_stream(starter: Starter) -> None:
    starter.start(SH, "-c", "read x; stty size; echo err >&2", tty=True, stdin=True)
    starter.until(protocol.STARTED)
    starter.send(protocol.RESIZE, number(17, 2) + number(93, 2))
    starter.send(protocol.STDIN, b"\n")
    _, streams = starter.until(protocol.EXITED)
    assert b"17 93\r\nerr\r\n" in streams[protocol.STDOUT]
    assert streams[protocol.STDERR] == b""


def test_a_reader_that_has_gone_breaks_the_containers_pipe(starter: Starter) -> None:
    starter.start("/usr/bin/yes")
    starter.until(protocol.STARTED)
    starter.send(protocol.CLOSED, number(protocol.OUT, 1))
    assert starter.until(protocol.EXITED)[0][0] == 128 + signal.SIGPIPE


def test_the_container_outlives_its_starter_and_the_log_goes_on(starter: Starter) -> None:
    starter.start(SH, "-c", "sleep 0.3; echo late; exit 5")
    starter.until(protocol.STARTED)
    starter.sock.close()
    starter.process.wait(60)
    how = read_exit(starter.directory)
    assert how is not None
    assert how.code == 5
    assert starter.log().endswith(b"stdout F late\n")


def test_a_client_that_reads_nothing_stops_the_output_and_loses_none(starter: Starter) -> None:
    size = 8 << 20
    starter.start(SH, "-c", f"head -c {size} /dev/zero; echo done >&2")
    _await(starter, b"\0")
    time.sleep(0.5)
    assert (starter.directory / "log").stat().st_size < 4 << 20
    _, streams = starter.until(protocol.EXITED)
    assert len(streams[protocol.STDOUT]) == size
    assert streams[protocol.STDERR] == b"done\n"


def test_another_client_attaches_over_the_socket(starter: Starter) -> None:
    starter.start(SH, "-c", "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done", attached=0)
    _await(starter, b"ready")
    fd = os.open(starter.directory, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        client.connect(f"/proc/self/fd/{fd}/socket")
        os.close(fd)
        client.sendall(frame(protocol.ATTACH, number(protocol.OUT, 1)))
        client.sendall(frame(protocol.SIGNAL, number(signal.SIGTERM, 1)))
        received = b""
        while data := client.recv(4096):
            received += data
    kinds = [kind for kind, _ in Frames().feed(received)]
    assert kinds == [protocol.STARTED, protocol.STDOUT, protocol.EXITED]


def test_nonsense_from_a_client_drops_it_and_nothing_else(starter: Starter) -> None:
    starter.start(SH, "-c", "exec sleep 1000", attached=0)
    starter.until(protocol.STARTED)
    fd = os.open(starter.directory, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        client.connect(f"/proc/self/fd/{fd}/socket")
        os.close(fd)
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert client.recv(100) == b""
    starter.send(protocol.SIGNAL, number(signal.SIGKILL, 1))
    assert starter.until(protocol.EXITED)[0][0] == 137


def test_a_terminated_monitor_stops_its_container_and_kills_what_stays(starter: Starter) -> None:
    starter.start(SH, "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done")
    while starter.next()[0] != protocol.STDOUT:
        pass
    starter.process.terminate()
    assert starter.until(protocol.EXITED)[0][0] == 137


@contextmanager
def _connect(starter: Starter) -> Iterator[socket.socket]:
    fd = os.open(starter.directory, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        try:
            client.connect(f"/proc/self/fd/{fd}/socket")
        finally:
            os.close(fd)
        yield client


def test_a_container_is_started_again_by_its_policy_and_not_after_it_was_stopped(starter: Starter) -> None:
    starter.start(SH, "-c", "echo run; exit 3", attached=0, restart=("always", 0))
    assert starter.until(protocol.EXITED)[0][0] == 3
    _await(starter, b"run", 2)
    assert starter.is_held()
    while starter.process.poll() is None:
        with suppress(OSError), _connect(starter) as client:  # as `stop` does, until it has ended for good
            client.sendall(frame(protocol.ATTACH, b"\0") + frame(protocol.SIGNAL, number(10, 1) + b"\1"))
            client.recv(100)
    how = read_exit(starter.directory)
    assert how is not None
    assert how.code in (3, 138)
    assert (starter.directory / "stopped").exists()


def test_a_signal_that_asks_for_no_end_does_not_stop_it_from_being_started_again(starter: Starter) -> None:
    starter.start(SH, "-c", "echo run; exec sleep 1000", attached=0, restart=("on-failure", 1))
    starter.until(protocol.STARTED)
    _await(starter, b"run")
    starter.send(protocol.SIGNAL, number(signal.SIGUSR1, 1))
    _await(starter, b"run", 2)
    with _connect(starter) as client:
        client.sendall(frame(protocol.SIGNAL, number(signal.SIGKILL, 1)))
    assert starter.process.wait(60) == 0
    how = read_exit(starter.directory)
    assert how is not None
    assert how.code == 137


def test_a_monitor_that_gets_no_plan_ends(starter: Starter) -> None:
    starter.sock.close()
    assert starter.process.wait(60) == 0


def test_a_monitor_stays_under_twelve_megabytes(starter: Starter) -> None:
    starter.start(SH, "-c", "head -c 30000000 /dev/zero; read x", stdin=True)
    received = 0
    while received < 30_000_000:
        kind, payload = starter.next()
        received += len(payload) if kind == protocol.STDOUT else 0
    status = Path(f"/proc/{starter.process.pid}/status").read_text()
    kilobytes = int(status.split("VmRSS:")[1].split()[0])
    starter.send(protocol.STDIN_END)
    starter.until(protocol.EXITED)
    assert kilobytes < 14_000, status


def test_orphans_of_the_container_are_collected(starter: Starter) -> None:
    starter.start(SH, "-c", "(sh -c 'echo $$; sleep 0.1' &); read x", attached=protocol.IN, stdin=True)
    _await(starter, b"\n")
    orphan = Path("/proc", starter.log().split()[-1].decode())
    end = time.monotonic() + 60
    while orphan.exists():
        assert time.monotonic() < end, (orphan / "stat").read_text()
        time.sleep(0.01)
    assert starter.process.poll() is None
    starter.send(protocol.STDIN_END)
    starter.until(protocol.EXITED)


def test_everything_is_closed_after_the_end(starter: Starter) -> None:
    starter.start(SH, "-c", "exit 0")
    starter.until(protocol.EXITED)
    assert select.select([starter.sock], [], [], 60)[0]
    assert starter.next() == (0, b"")
