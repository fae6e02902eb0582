"""The program through which commands are started, run by itself."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from fcntl import F_DUPFD_CLOEXEC, fcntl
from pathlib import Path

import pytest

from runtime.sandbox import stub

MACHINE = os.uname().machine
pytestmark = pytest.mark.skipif(not stub.available(MACHINE), reason="no code for this architecture")


class Started:
    """The stub in a process of its own, descriptor 3 connected to `control`; a context manager that ends it."""

    def __init__(self, *arguments: str) -> None:
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.output, writer = os.pipe()
        image = stub.sealed(MACHINE)
        # numbers that cannot be 3, or the duplicate would be closed again by execve
        high = [fcntl(fd, F_DUPFD_CLOEXEC, 20) for fd in (theirs.fileno(), writer, image)]
        self.pid = os.posix_spawn(
            f"/proc/self/fd/{high[2]}",
            arguments,
            {"A": "b", "PATH": "/usr/bin:/bin"},
            file_actions=[(os.POSIX_SPAWN_DUP2, high[0], 3), (os.POSIX_SPAWN_DUP2, high[1], 1)],
        )
        theirs.close()
        for fd in (writer, image, *high):
            os.close(fd)
        self.status: int | None = None

    def __enter__(self) -> Started:
        return self

    def __exit__(self, *_: object) -> None:
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()
        self.control.close()
        os.close(self.output)

    def wait(self) -> int:
        self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status

    def read(self) -> bytes:
        parts = []
        while part := os.read(self.output, 4096):
            parts.append(part)
        return b"".join(parts)


def test_it_becomes_the_command_with_its_arguments_and_environment() -> None:
    with Started("exec", "/bin/sh", "name", "-c", 'echo "$0 $1 $A"', "zero", "one") as started:
        assert started.read() == b"zero one b\n"
        assert started.wait() == 0
        assert started.control.recv(10) == b""


def test_the_control_descriptor_is_not_inherited() -> None:
    with Started("exec", "/bin/sh", "sh", "-c", "test ! -e /proc/self/fd/3") as started:
        assert started.wait() == 0


def test_a_failing_execve_is_reported_by_its_number() -> None:
    with Started("exec", "/no/such", "x") as started:
        assert int.from_bytes(started.control.recv(10), "little") == 2
        assert started.wait() == 127


@pytest.mark.parametrize(("script", "status"), [("exit 0", 0), ("exit 77", 77), ("kill -9 $$", 137), ("kill $$", 143)])
def test_an_init_ends_as_its_command(script: str, status: int) -> None:
    with Started("init", "/bin/sh", "sh", "-c", script) as started:
        assert started.wait() == status


def test_an_init_reports_a_failing_execve() -> None:
    with Started("init", "/no/such", "x") as started:
        assert int.from_bytes(started.control.recv(10), "little") == 2
        assert started.wait() == 127


def test_an_init_passes_signals_on() -> None:
    script = "trap 'exit 5' USR1; echo ready; while :; do sleep 0.05; done"
    with Started("init", "/bin/sh", "sh", "-c", script) as started:
        assert os.read(started.output, 10) == b"ready\n"
        os.kill(started.pid, signal.SIGUSR1)
        assert started.wait() == 5


def test_the_command_of_an_init_has_no_signal_blocked() -> None:
    with Started("init", "/bin/grep", "grep", "SigBlk", "/proc/self/status") as started:
        assert started.read() == b"SigBlk:\t0000000000000000\n"


@pytest.mark.parametrize("name", ["/proc/self/exe", "sh"])
def test_started_by_anybody_else_it_does_nothing(name: str) -> None:
    with Started(name, "/bin/sh", "sh", "-c", "exit 3") as started:
        assert started.wait() == 126


def test_nobody_can_write_to_it() -> None:
    fd = stub.sealed(MACHINE)
    with pytest.raises(PermissionError):
        os.write(fd, b"x")
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 0)
    os.close(fd)


def test_the_other_architectures_work_under_emulation(missing: Callable[[str], None], tmp_path: Path) -> None:
    emulator = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    if emulator is None:
        missing("qemu-aarch64 (package qemu-user)")
    path = tmp_path / "image"
    path.write_bytes(stub.image("aarch64"))
    path.chmod(0o755)
    for mode, script, status in (("exec", "exit 3", 3), ("init", "exit 9", 9), ("init", "kill -9 $$", 137)):
        words = [str(emulator), "-0", mode, str(path), "/bin/sh", "sh", "-c", script]
        assert subprocess.run(words, check=False).returncode == status
