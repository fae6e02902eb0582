"""Whatever ends a command, and whenever: nothing is left, nothing is poisoned, and the next command works."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.integration.programs import Program, settle
from tests.integration.steps import build, rebuilt

pytestmark = [pytest.mark.root, pytest.mark.userns, pytest.mark.overlay]

RUN = ("run", "--rm", "--network", "none")
LIMIT = 60.0
"""Seconds within which an interrupted command ends, on whatever machine."""


@contextmanager
def started(program: Program, *words: str | Path, stdin: int = subprocess.DEVNULL) -> Iterator[subprocess.Popen[bytes]]:
    """Start the program in a session of its own; what still runs at the end of the block is killed."""
    process = subprocess.Popen(
        program.command(*words),
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=program.home,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stderr):
            if pipe is not None:
                pipe.close()


def until(condition: Callable[[], object], process: subprocess.Popen[bytes], seconds: float = 60.0) -> None:
    """Wait for something that a running command does."""
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.01)


def name_of(pid: int) -> str:
    """Return the name of a program; "" where it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def shown(process: subprocess.Popen[bytes], word: bytes) -> None:
    """Read the progress until a word is in it; the rest of it stays unread."""
    assert process.stderr is not None
    seen = b""
    while word not in seen:
        line = process.stderr.readline()
        assert line, seen
        seen += line


def interrupted(process: subprocess.Popen[bytes], number: signal.Signals) -> str:
    """Send a signal, and return the rest of standard error of what ended in time with the right status."""
    process.send_signal(number)
    status = process.wait(LIMIT)
    assert process.stderr is not None
    text = process.stderr.read().decode()
    assert status == 128 + number, text
    assert "Traceback" not in text
    return text


SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


@SIGNALS
def test_a_step_that_ignores_signals_ends_and_is_not_recorded(box: Program, number: signal.Signals) -> None:
    text = (
        "FROM box\nRUN --network=none echo one > /one\n"
        "RUN --network=none trap '' INT TERM HUP; echo half > /half; echo ready; while :; do sleep 1; done\n"
    )
    context = box.directory("deaf", {"Dockerfile": text})
    with started(box, "build", "--progress", "plain", context) as process:
        shown(process, b" ready\n")
        interrupted(process, number)
    assert not settle(box)
    (context / "Dockerfile").write_text(text.replace("while :; do sleep 1; done", "test -e /tmp/go"))
    result = box("build", "--progress", "plain", context, status=1)
    assert b"CACHED" in result.stderr
    box("system", "check")


@SIGNALS
def test_copying_many_files_can_be_interrupted(box: Program, number: signal.Signals) -> None:
    files = {f"many/{first}/{second}": b"x" * 2000 for first in range(30) for second in range(100)}
    context = box.directory("copying", {"Dockerfile": "FROM box\nCOPY many /many\n", **files})
    for wait in (0.0, 0.05, 0.15, 0.3):
        with started(box, "build", "--progress", "plain", "-t", "copied", context) as process:
            shown(process, b"\n")  # the interpreter answers a signal in its own way until the program has begun
            time.sleep(wait)
            process.send_signal(number)
            assert process.wait(LIMIT) in (128 + number, 0)
    box("build", "-q", "-t", "copied", context)
    assert box.text(*RUN, "copied", "sh", "-c", "find /many -type f | wc -l") == "3000"


@pytest.mark.parametrize("words", [("load",), ("import", "-"), ("build", "-"), ("build", "-f", "-", ".")])
@SIGNALS
def test_waiting_for_standard_input_can_be_interrupted(
    box: Program, words: tuple[str, ...], number: signal.Signals
) -> None:
    with started(box, *words, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(b"FROM box\n")
        process.stdin.flush()
        until(lambda: _waits(process.pid), process)
        interrupted(process, number)


def _waits(pid: int) -> bool:
    """Tell whether a process sleeps in read(2) of its standard input or in poll(2), by the numbers on x86 and ARM."""
    with suppress(OSError):
        words = Path("/proc", str(pid), "syscall").read_text().split()
        return words[:2] in (["0", "0x0"], ["63", "0x0"]) or words[0] in ("7", "73")
    return False


@SIGNALS
def test_a_container_that_ends_by_a_signal_gives_its_status(box: Program, number: signal.Signals) -> None:
    with started(box, *RUN, "box", "sh", "-c", "echo ready >&2; exec sleep 1000") as process:
        shown(process, b"ready")
        # The shell, which would end by itself, has become the other program.
        until(lambda: "sleep" in map(name_of, descendants(process.pid)), process)
        sent = 0
        while process.poll() is None and sent < 30:  # two that come before it looks are one; a late one is its own end
            process.send_signal(number)
            sent += 1
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.2 if sent < 3 else 20)
        assert process.wait(LIMIT) == 137
        # The first process of a container has no default action for it.
        assert sent >= 3


def test_a_signal_at_any_moment_of_a_start_ends_it_without_a_traceback(box: Program) -> None:
    context = box.directory("site", {"Dockerfile": "FROM box\nRUN --network=none echo a > /a\nCOPY x /x\n", "x": "x"})
    for step in range(12):
        with started(box, "build", "--progress", "plain", "--no-cache", context) as process:
            time.sleep(step * 0.025)
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            text = process.stderr.read().decode()
            status = process.wait(LIMIT)
            if "KeyboardInterrupt" in text and not re.search(r'cli/main\.py", line \d+, in main', text):
                continue  # the interpreter was not ours yet
            assert status in (130, -signal.SIGINT, 0), (step, text)
            assert "KeyboardInterrupt" not in text, (step, text)
    box("build", "-q", "-t", "site", context)
    assert box.text(*RUN, "site", "cat", "/a", "/x") == "a\nx"
    box("system", "check")


def descendants(pid: int) -> list[int]:
    """Return the processes below one, nearest first."""
    found = []
    with suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                found += [int(child), *descendants(int(child))]
    return found


@pytest.mark.parametrize("victim", ["program", "child", "everything"])
def test_what_kill_leaves_of_a_build_is_gone_after_the_next_command(box: Program, victim: str) -> None:
    text = "FROM box\nCOPY many /many\nRUN --network=none sleep 0.4; echo done > /done\nRUN --network=none true\n"
    files = {f"many/{number}": str(number) for number in range(300)}
    context = box.directory("site", {"Dockerfile": text, **files})
    for step in range(5):
        with started(box, "build", "--progress", "plain", "--no-cache", "-t", "site", context) as process:
            time.sleep(0.1 + step * 0.13)
            below = descendants(process.pid)
            targets = {"program": [process.pid], "child": below[:1] or [process.pid]}.get(victim, [process.pid, *below])
            for pid in targets:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait(LIMIT)
        box("images")
        assert not settle(box), step
    build(box, context, "-t", "site")
    assert rebuilt(build(box, context, "-t", "site")) == []
    assert box.text(*RUN, "site", "sh", "-c", "cat /done; ls /many | wc -l") == "done\n300"
    box("system", "check")


@pytest.mark.parametrize("victim", ["program", "everything"])
def test_what_kill_leaves_of_a_run_is_gone_after_the_next_command(box: Program, victim: str) -> None:
    for step in range(5):
        with started(box, *RUN, "-v", "/volume", "box", "sh", "-c", "echo ready; sleep 0.5") as process:
            time.sleep(0.06 + step * 0.06)
            below = descendants(process.pid)
            for pid in [process.pid, *below] if victim == "everything" else [process.pid]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait(LIMIT)
        # A monitor that was started meanwhile, or was not to be killed, sees its container to its own end.
        while box.text("ps", "-a", "-q"):
            time.sleep(0.1)
        assert not settle(box), step
    for name in ("containers", "volumes"):  # one that was killed early may have made neither
        assert list((box.root / name).glob("*")) == []


def test_saving_can_be_interrupted_and_leaves_no_part(box: Program) -> None:
    target = box.home / "box.tar"
    box("save", "box", "-o", target)
    whole = target.read_bytes()
    for wait in (0.1, 0.15, 0.2, 0.25):
        target.unlink(missing_ok=True)
        with started(box, "save", "box", "-o", target) as process:
            time.sleep(wait)
            process.send_signal(signal.SIGINT)
            process.wait(LIMIT)
        assert [path.name for path in box.home.iterdir() if path.name.startswith(".box")] == []
        if target.exists():  # the signal came too late
            assert target.read_bytes() == whole
    box("system", "check")
