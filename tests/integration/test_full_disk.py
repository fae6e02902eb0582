"""A disk without any room: what runs goes on, how it ends is known, and commands can make room."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.programs import Program, settle

pytestmark = [pytest.mark.root, pytest.mark.overlay]

_SIZE = 48 << 20
_FILL = "dd if=/dev/zero of=/a bs=64k; dd if=/dev/zero of=/b bs=512"
NONE = ("--network", "none")


@pytest.fixture
def small(open_directory: Path, busybox: Path, missing: Callable[[str], None]) -> Iterator[Program]:
    """Return the program with a root directory, and an image `box`, on a small disk of its own."""
    if os.geteuid() != 0:
        missing("the superuser")
    home = open_directory / "small"
    home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_SIZE},mode=755", "small", str(home)], check=True)
    try:
        program = Program(home=home)
        program("import", "-", "box", input=busybox.read_bytes())
        yield program
        for name in program.text("ps", "-aq").split():
            program("rm", "-f", name)
        assert not settle(program)
    finally:
        subprocess.run(["umount", "-l", str(home)], check=True)


def test_a_full_disk_can_be_looked_at_and_emptied(small: Program) -> None:
    forever = "trap 'exit 7' TERM; touch /t/ready; while :; do sleep 0.1; done"
    small("run", "-d", "--name", "stopped", *NONE, "--tmpfs", "/t", "box", "sh", "-c", forever)
    small("exec", "stopped", "sh", "-c", "until test -e /t/ready; do sleep 0.1; done")
    script = f"{_FILL}; {forever}"
    small("run", "-d", "--name", "filler", *NONE, "--tmpfs", "/t", "box", "sh", "-c", script)
    end = time.monotonic() + 60
    ready = ("exec", "filler", "test", "-e", "/t/ready")
    while small(*ready, status=None).returncode:  # it fails where the disk gets full meanwhile
        assert time.monotonic() < end
    with suppress(OSError), open(small.home / "rest", "wb", buffering=0) as rest:
        while True:
            rest.write(bytes(512))
    assert os.statvfs(small.home).f_bavail == 0
    state = "{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}"
    small("stop", "stopped")
    assert small.text("inspect", "-f", state, "stopped") == "exited 7"
    assert small.text("exec", "filler", "echo", "answer") == "answer"
    assert len(small.text("ps", "-aq").split()) == 2
    assert small.text("run", "--rm", *NONE, "box", "echo", "hi") == "hi"
    assert small.text("rm", "-f", "filler") == "filler"
    end = time.monotonic() + 60
    while os.statvfs(small.home).f_bavail * os.statvfs(small.home).f_frsize <= _SIZE // 2:
        assert time.monotonic() < end, "the kernel gives nothing back"  # it lets go of mounts a moment later
        time.sleep(0.05)
    small("rm", "stopped")


def test_a_log_that_fills_the_disk_ends_nothing_and_says_what_it_lacks(small: Program) -> None:
    line = "0123456789" * 8
    script = f"yes {line} | head -n 1000000; echo end >/end; echo last"
    small("run", "--name", "noisy", *NONE, "box", "sh", "-c", f"{script}; exit 3", status=3)
    found = small("logs", "noisy")
    lines = found.stdout.decode().splitlines()
    assert lines.count(line) >= len(lines) - 2  # where it begins to be lost a line may be cut
    assert len(lines) > 100_000
    assert "bytes of log were lost" in found.stderr.decode()
    assert small.text("cp", "noisy:/end", "-")
    small("rm", "noisy")
