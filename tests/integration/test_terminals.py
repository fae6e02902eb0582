"""`exec -it` and `attach` on a real terminal: its size, its keys, its modes."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator

import pytest

from tests.integration.programs import Program

pytestmark = [pytest.mark.root, pytest.mark.overlay]


class Terminal:
    """A command of the program on a pseudo-terminal that controls it; what it wrote is `output`."""

    def __init__(self, box: Program, *words: str) -> None:
        self.master, self.slave = pty.openpty()
        self.resize(33, 101)
        self.modes = termios.tcgetattr(self.slave)
        self.output = b""
        line = ["setsid", "--ctty", "--wait", *box.command(*words)]
        self.process = subprocess.Popen(
            line, stdin=self.slave, stdout=self.slave, stderr=self.slave, start_new_session=True
        )

    def resize(self, rows: int, columns: int) -> None:
        """Change the size, as a window does."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: bytes) -> None:
        """Type."""
        os.write(self.master, text)

    def until(self, text: bytes, seconds: float = 60) -> None:
        """Read until `text` was written since the last look."""
        end = time.monotonic() + seconds
        while text not in self.output:
            assert time.monotonic() < end, self.output
            if select.select([self.master], [], [], 0.05)[0]:
                self.output += os.read(self.master, 65536)
        self.output = self.output.partition(text)[2]

    def end(self) -> int:
        """Wait for the end; returns the status. The terminal has its modes again."""
        status: int = self.process.wait(60)
        assert termios.tcgetattr(self.slave) == self.modes
        return status

    def close(self) -> None:
        """Kill what runs and close the terminal."""
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()


@pytest.fixture
def running(box: Program) -> Iterator[Program]:
    """Return the program with a container `one` that has a terminal and echoes what it reads."""
    script = "echo ready; while read x; do [ $x = size ] && stty size; echo got $x; done; exit 4"
    box("run", "-dit", "--network", "none", "--name", "one", "box", "sh", "-c", script)
    yield box
    box("rm", "-f", "one", status=None)


def test_exec_has_a_terminal_that_follows_the_size_of_ours(running: Program, terminals: list[Terminal]) -> None:
    script = "trap 'stty size' WINCH; tty; stty size; echo ready; while :; do read x; [ \"$x\" = end ] && exit 5; done"
    terminal = Terminal(running, "exec", "-it", "one", "sh", "-c", script)
    terminals.append(terminal)
    terminal.until(b"/dev/pts/")
    terminal.until(b"33 101\r\nready")
    terminal.resize(40, 120)
    terminal.type(b"x\r")
    terminal.until(b"40 120")
    terminal.type(b"end\r")
    assert terminal.end() == 5


def test_keys_of_exec_are_the_commands_and_an_interrupt_is_too(running: Program, terminals: list[Terminal]) -> None:
    terminal = Terminal(running, "exec", "-it", "one", "sh", "-c", "trap 'echo caught; exit 6' INT; echo ready; read x")
    terminals.append(terminal)
    terminal.until(b"ready")
    terminal.type(b"\x03")
    terminal.until(b"caught")
    assert terminal.end() == 6


def test_detaching_from_exec_leaves_its_command_running(running: Program, terminals: list[Terminal]) -> None:
    terminal = Terminal(
        running, "exec", "-it", "--detach-keys", "ctrl-a,z", "one", "sh", "-c", "echo ready; read x; sleep 4321"
    )
    terminals.append(terminal)
    terminal.until(b"ready")
    terminal.type(b"\x10\x11\r")  # Docker's keys are the command's then
    terminal.until(b"\r\n")
    terminal.type(b"\x01z")
    terminal.until(b"read escape sequence")
    assert terminal.end() == 1
    end = time.monotonic() + 60
    while "sleep 4321" not in running.text("top", "one"):  # the shell has read its line, and starts it
        assert time.monotonic() < end


def test_attach_is_the_containers_terminal_until_the_keys_are_typed(
    running: Program, terminals: list[Terminal]
) -> None:
    terminal = Terminal(running, "attach", "one")
    terminals.append(terminal)
    terminal.type(b"size\r")
    terminal.until(b"33 101")
    terminal.resize(50, 90)
    terminal.type(b"size\r")
    terminal.until(b"50 90")
    terminal.type(b"\x10\x11")
    terminal.until(b"read escape sequence")
    assert terminal.end() == 1
    assert running.text("ps", "--format", "{{.Names}} {{.State}}") == "one running"
    second = Terminal(running, "attach", "--detach-keys", "q", "one")
    terminals.append(second)
    second.type(b"word\r")
    second.until(b"got word")
    second.type(b"\x04")
    assert second.end() == 4
