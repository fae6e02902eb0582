"""Commands that are killed in the middle: the next one tells the truth, and nothing of them is left."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.programs import Program, kill, settle

pytestmark = [pytest.mark.root, pytest.mark.overlay]

NONE = ("--network", "none", "--name", "one")
FOREVER = ("box", "sleep", "1000")
DELAYS = (0.02, 0.05, 0.08, 0.12)

COMMANDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "run": ("", ("run", "-d", *NONE, *FOREVER)),
    "run in the foreground": ("", ("run", *NONE, "box", "sh", "-c", "echo out; sleep 0.1")),
    "run with --rm": ("", ("run", "--rm", *NONE, "box", "sh", "-c", "echo out; sleep 0.1")),
    "create": ("", ("create", *NONE, *FOREVER)),
    "start": ("create", ("start", "one")),
    "stop": ("run", ("stop", "-t", "0", "one")),
    "restart": ("run", ("restart", "-t", "0", "one")),
    "rm": ("run", ("rm", "-f", "one")),
    "exec": ("run", ("exec", "one", "sleep", "0.2")),
    "prune": ("create", ("container", "prune", "-f")),
    "commit": ("run", ("commit", "one", "made")),
    "cp": ("run", ("cp", "one:/bin", "out")),
}
"""What is there before (a container that was made, or runs), and the command that is killed."""


def _killed(box: Program, words: tuple[str, ...], delay: float) -> None:
    process = subprocess.Popen(
        box.command(*words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=box.home,
        start_new_session=True,
    )
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("what", COMMANDS)
def test_a_command_that_is_killed_leaves_the_truth_and_nothing_else(box: Program, what: str) -> None:
    before, words = COMMANDS[what]
    for delay in DELAYS:
        if before:
            box(before, *(("-d",) if before == "run" else ()), *NONE, *FOREVER)
        _killed(box, words, delay)
        found = box.text("ps", "-a", "--format", "{{.State}}")
        assert found in ("", "created", "running", "exited")
        if before == "run" and words[0] in ("exec", "commit", "cp"):
            assert found == "running"
            assert box.text("exec", "one", "echo", "answer") == "answer"
        if found == "exited":  # and may be about to go
            assert b"killed" not in box("inspect", "-f", "{{.State.Error}}", "one", status=None).stdout
        box("rm", "-f", "one", status=None)
        box("ps", "-a")
        assert not settle(box)


@pytest.mark.parametrize("network", ["none", "bridge"])
def test_a_killed_monitor_is_found_and_what_it_held_is_free(box: Program, network: str) -> None:
    if box.user and network == "bridge":
        return
    for _ in range(2):  # the second has the name, and the address
        box("run", "-d", "--network", network, "--name", "one", *FOREVER)
        kill(box.monitor_of("one"))
        form = "{{.State.Status}} {{.State.ExitCode}} {{.State.Error}} {{.State.Pid}}"
        assert box.text("inspect", "-f", form, "one") == "exited 137 the monitor was killed 0"
        assert box.text("start", "one") == "one"
        assert box.text("exec", "one", "echo", "answer") == "answer"
        box("rm", "-f", "one")
    assert not settle(box, but=("rules", "links"))


def test_who_serves_names_and_ports_is_replaced_where_he_is_killed(box: Program) -> None:
    if box.user:
        return
    box("network", "create", "own")
    served = "echo hello >/index.html; exec httpd -f -p 80 -h /"
    box("run", "-d", "--network", "own", "--name", "web", "box", "sh", "-c", served)
    box("run", "-d", "--network", "own", "--name", "one", *FOREVER)
    monitor, first = box.monitor_of("one"), box.text("inspect", "-f", "{{.State.Pid}}", "one")
    children = Path(f"/proc/{monitor}/task/{monitor}/children")
    for _ in range(2):
        for pid in {*children.read_text().split()} - {first}:
            with suppress(ProcessLookupError):  # who looked after the command before
                os.kill(int(pid), signal.SIGKILL)
        end = time.monotonic() + 60
        while box("exec", "one", "wget", "-q", "-O", "-", "http://web/", status=None).stdout != b"hello\n":
            assert time.monotonic() < end
    box("rm", "-f", "one", "web")
    box("network", "rm", "own")
    assert not settle(box)


def test_a_container_that_is_restarted_over_and_over_runs_on_while_others_look(box: Program) -> None:
    script = "trap 'exit 3' TERM; while :; do sleep 0.02; done"
    box("run", "-d", *NONE, "--restart", "always", "box", "sh", "-c", script)
    looks = [box.popen("ps", "-a"), box.popen("ps", "-a")]
    for _ in range(6):
        box("restart", "-t", "5", "one")
        assert box.text("inspect", "-f", "{{.State.Status}} {{.State.Error}}", "one") == "running"
        for number, look in enumerate(looks):
            if look.poll() is not None:
                look.communicate()
                looks[number] = box.popen("ps", "-a")
    for look in looks:
        look.communicate(timeout=60)
    box("rm", "-f", "one")


def test_after_a_start_of_the_machine_all_that_ran_is_known_and_what_is_to_run_runs(box: Program) -> None:
    box("network", "create", "own")
    for name, words in (
        ("always", ("--restart", "always", "-v", "/kept")),
        ("once", ("-p", "127.0.0.1::80")),
        ("gone", ("--rm", "-v", "/x")),
        ("stopped", ("--restart", "unless-stopped")),
    ):
        box("run", "-d", "--name", name, "--network", "own", *words, *FOREVER)
    box("stop", "-t", "0", "stopped")
    for monitor in [box.monitor_of(name) for name in ("always", "once", "gone")]:
        kill(monitor)  # nobody looks in between
    with suppress(FileNotFoundError, ValueError):  # of a user alone
        kill(int((box.root / "locks" / "network.holder").read_text().partition("-")[0]))
    (box.home / "boot").write_text("11111111-2222-3333-4444-555555555555\n")
    mount = f"mount --bind {box.home}/boot /proc/sys/kernel/random/boot_id"
    new = ("unshare", "--mount", "--propagation", "slave", "sh", "-c", f'{mount} && exec "$@"', "sh")

    def later(*words: str) -> str:
        line = [*new, *box.command(*words)]
        return subprocess.run(
            line, capture_output=True, text=True, check=True, timeout=120, cwd=box.home
        ).stdout.strip()

    state = "{{.Name}} {{.State.Status}} {{.State.ExitCode}} {{.State.Error}}"
    assert later("inspect", "-f", state, "always", "once", "stopped").splitlines() == [
        "/always exited 255 the machine was started anew while it ran",
        "/once exited 255 the machine was started anew while it ran",
        "/stopped exited 137",
    ]
    assert later("ps", "-aq", "--filter", "name=gone") == ""
    assert len(later("volume", "ls", "-q").split()) == 1
    assert "sound" in later("system", "check", "--repair")
    assert later("system", "start") == "always"
    assert later("ps", "--format", "{{.Names}}") == "always"
    assert later("exec", "always", "echo", "answer") == "answer"
    assert later("start", "once") == "once"
    assert "1 packets received" in later("exec", "once", "ping", "-c", "1", "always")
    later("rm", "-fv", "always", "once", "stopped")
    later("network", "rm", "own")
    later("ps", "-a")
    assert not settle(box)
