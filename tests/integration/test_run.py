"""`pybuild run` from outside: streams, statuses, signals, terminals, and what is left after every end.

Every test runs as root and as an ordinary user; a fixture checks that no mount, process, cgroup, link or file stays.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import shlex
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

import pytest

from tests.integration.programs import Program, kill

pytestmark = [pytest.mark.root, pytest.mark.overlay]

RUN = ("run", "--rm", "--network", "none")


@contextmanager
def _started(box: Program, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start the program and wait for the first line of its output; at the end it is killed and its pipes are closed."""
    process = box.popen(*words)
    try:
        assert process.stdout is not None
        assert process.stdout.readline(), process.communicate(timeout=60)
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def _until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.02)


def _ids(box: Program) -> list[str]:
    try:
        return os.listdir(box.root / "containers")
    except FileNotFoundError:
        return []


def _monitor(box: Program, name: str) -> int:
    """Return the pid of a container's monitor."""
    import sqlite3

    with closing(sqlite3.connect(f"file:{box.root}/state.db?mode=ro", uri=True)) as connection:
        row = connection.execute("SELECT monitor FROM containers WHERE name = ?", (name,)).fetchone()
    return int(row[0].split("-")[0])


def test_streams_and_status_are_the_containers(box: Program) -> None:
    result = box(*RUN, "box", "sh", "-c", "echo out; echo err >&2; exit 3", status=3)
    assert (result.stdout, result.stderr) == (b"out\n", b"err\n")
    assert _ids(box) == []


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("box", "nosuch"), 127, '"nosuch": executable file not found'),
        (("box", "/nosuch"), 127, "/nosuch"),
        (("box", "/etc"), 126, "is a directory"),
        (("box", "/etc/passwd"), 126, "ermission denied"),
        (("nosuch", "true"), 125, "Unable to find image 'nosuch:latest' locally"),
        (("--bogus", "box"), 125, "unknown flag: --bogus"),
        (("-u", "nobodyx", "box", "id"), 125, "unable to find user nobodyx: no matching entries in passwd file"),
        (("-w", "rel", "box", "pwd"), 125, "needs to be an absolute path"),
        (("--gpus", "all", "box", "true"), 125, "could not select device driver"),
        (("--cap-add", "nope", "box", "true"), 125, "capability"),
        (("--mount", "type=bind,src=/no/such,dst=/x", "box", "true"), 125, "bind source path does not exist: /no/such"),
        (("-it", "box", "sh"), 125, "the input device is not a TTY"),
        (("--pull", "sometimes", "box", "true"), 125, "invalid pull option"),
    ],
)
def test_what_cannot_be_run_is_one_message_and_leaves_nothing(
    box: Program, words: tuple[str, ...], status: int, message: str
) -> None:
    result = box(*RUN, *words, status=status)
    assert message in result.stderr.decode()
    assert b"Traceback" not in result.stderr
    assert _ids(box) == []


def test_a_failed_start_without_rm_keeps_its_record(box: Program) -> None:
    box("run", "--network", "none", "--name", "broken", "box", "nosuch", status=127)
    assert "Created" in box.text("ps", "-a", "--filter", "name=broken")
    box("rm", "broken")


def test_the_environment_is_the_images_and_what_was_asked_for(box: Program) -> None:
    lines = box.text(*RUN, "-e", "A=1", "-h", "web", "box", "env").splitlines()
    assert {"A=1", "HOSTNAME=web", "HOME=/root"} <= set(lines)
    assert any(line.startswith("PATH=/usr/local/sbin:") for line in lines)
    assert not any(line.startswith(("PYTHON", "PYBUILD", "USER=")) for line in lines)


def test_user_groups_and_working_directory(box: Program) -> None:
    text = box.text(*RUN, "-u", "www", "-w", "/new/dir", "box", "sh", "-c", "id; pwd; stat -c %U /new/dir")
    assert text.splitlines() == ["uid=33(www) gid=33(www) groups=33(www),50(staff)", "/new/dir", "root"]


def test_hosts_hostname_and_resolver_are_the_containers(box: Program) -> None:
    text = box.text(*RUN, "-h", "web", "--add-host", "db:10.1.2.3", "box", "cat", "/etc/hosts", "/etc/hostname")
    assert "10.1.2.3\tdb" in text
    assert text.endswith("web")


def test_a_bind_is_the_hosts_directory_and_read_only_where_asked(box: Program) -> None:
    source = box.directory("shared", {"file": "hello"})
    script = "cat /in/file && ! echo x 2>/dev/null >/in/file && echo y >/out/new"
    assert box.text(*RUN, "-v", f"{source}:/in:ro", "-v", f"{source}:/out", "box", "sh", "-c", script) == "hello"
    assert (source / "new").read_text() == "y\n"


def test_a_missing_host_directory_is_made_by_v(box: Program) -> None:
    box(*RUN, "-v", f"{box.home}/made/here:/data", "box", "touch", "/data/x")
    assert (box.home / "made/here/x").exists()


def test_a_named_volume_keeps_what_was_written_and_begins_with_the_images_content(box: Program) -> None:
    assert "www" in box.text(*RUN, "-v", "conf:/etc", "box", "cat", "/etc/passwd")
    box(*RUN, "-v", "conf:/etc", "box", "sh", "-c", "echo mine >/etc/mine; rm /etc/passwd")
    script = "cat /data/mine; head -1 /data/group; test -e /data/passwd || echo gone"
    assert box.text(*RUN, "-v", "conf:/data", "box", "sh", "-c", script) == "mine\nroot:x:0:\ngone"


def test_an_anonymous_volume_goes_with_its_container(box: Program) -> None:
    box(*RUN, "-v", "/data", "box", "touch", "/data/x")
    assert os.listdir(box.root / "volumes") == []


def test_tmpfs_and_read_only_root(box: Program) -> None:
    script = "touch /tmp/ok && ! touch /bad 2>/dev/null && df /tmp | tail -1 | awk '{print $2}'"
    assert box.text(*RUN, "--read-only", "--tmpfs", "/tmp:size=1m", "box", "sh", "-c", script) == "1024"


def test_capabilities_follow_the_flags(box: Program) -> None:
    script = ("box", "grep", "CapEff", "/proc/self/status")
    everything = int(box.text(*RUN, "--cap-drop", "ALL", *script).split()[1], 16)
    some = int(box.text(*RUN, "--cap-drop", "ALL", "--cap-add", "net_admin", *script).split()[1], 16)
    assert (everything, some) == (0, 1 << 12)


def test_the_command_is_the_first_process_and_init_comes_before_it_where_asked(box: Program) -> None:
    assert box.text(*RUN, "box", "sh", "-c", "echo $$") == "1"
    assert box.text(*RUN, "--init", "box", "sh", "-c", "echo $$") != "1"


def test_a_name_can_be_used_once(box: Program) -> None:
    box("run", "--network", "none", "--name", "web", "box", "true")
    result = box(*RUN, "--name", "web", "box", "true", status=125)
    assert b'Conflict. The container name "/web" is already in use by container "' in result.stderr
    box("rm", "web")
    box(*RUN, "--name", "web", "box", "true")


def test_megabytes_of_input_and_output_pass_unharmed(box: Program) -> None:
    data = os.urandom(1 << 20) * 5
    assert box(*RUN, "-i", "box", "cat", input=data).stdout == data


def test_without_i_the_container_has_no_input(box: Program) -> None:
    assert box(*RUN, "box", "cat", input=b"abc").stdout == b""


def test_a_reader_that_leaves_ends_the_container(box: Program) -> None:
    with _started(box, *RUN, "box", "yes") as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(60) != 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_signals_reach_the_container(box: Program, number: signal.Signals) -> None:
    name = number.name.removeprefix("SIG")
    script = f"trap 'exit 9' {name}; echo ready; while :; do sleep 0.05; done"
    with _started(box, *RUN, "box", "sh", "-c", script) as process:
        process.send_signal(number)
        assert process.wait(60) == 9


def test_a_container_that_ignores_signals_is_killed_by_the_third(box: Program) -> None:
    with _started(box, *RUN, "box", "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done") as process:
        sent = 0
        while process.poll() is None:  # two that come before it looks are one; one that comes after the end is its own
            process.send_signal(signal.SIGTERM)
            sent += 1
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.1 if sent < 3 else 20)
        assert process.returncode == 137
        assert sent >= 3


def test_without_signal_proxy_the_container_goes_on(box: Program) -> None:
    words = ("run", "--network", "none", "--name", "on", "--sig-proxy=false", "box", "sh", "-c", "echo ready; sleep 99")
    with _started(box, *words) as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert box.text("ps", "--format", "{{.Names}}") == "on"
    box("rm", "-f", "on")


def _on_terminal(box: Program, *words: str, typed: bytes, ready: bytes) -> tuple[bytes, int, bool]:
    """Run with a terminal, type when `ready` was read; returns output, status, and whether the modes came back."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 101, 0, 0))
    before = termios.tcgetattr(slave)
    process = subprocess.Popen(box.command(*words), stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    output = b""
    end = time.monotonic() + 60
    try:
        while time.monotonic() < end:
            ended = process.poll() is not None  # before the look: what it wrote last is there then
            if select.select([master], [], [], 0.05)[0]:
                output += os.read(master, 65536)
            elif ended:
                break
            if typed and ready in output:
                os.write(master, typed)
                typed = b""
        restored = termios.tcgetattr(slave) == before
        return output, process.wait(60), restored
    finally:
        process.kill()
        process.wait()
        os.close(master)
        os.close(slave)


def test_a_terminal_has_size_and_echo_and_its_modes_come_back(box: Program) -> None:
    output, status, restored = _on_terminal(
        box,
        *RUN,
        "-it",
        "box",
        "sh",
        "-c",
        "stty size; echo ready; read x; echo got $x; exit 5",
        typed=b"hi\n",
        ready=b"ready",
    )
    assert output == b"33 101\r\nready\r\nhi\r\ngot hi\r\n"
    assert (status, restored) == (5, True)


def test_control_c_on_a_terminal_is_the_containers(box: Program) -> None:
    script = "trap 'echo caught; exit 6' INT; echo ready; while :; do sleep 0.05; done"
    output, status, restored = _on_terminal(box, *RUN, "-it", "box", "sh", "-c", script, typed=b"\x03", ready=b"ready")
    assert b"caught" in output
    assert (status, restored) == (6, True)


def test_the_detach_keys_leave_the_container_running(box: Program) -> None:
    words = ("run", "--network", "none", "--name", "left", "-it", "box", "sh", "-c", "echo ready; read x; exit 7")
    _, status, restored = _on_terminal(box, *words, typed=b"\x10\x11", ready=b"ready")
    assert (status, restored) == (0, True)
    assert box.text("ps", "--format", "{{.Names}} {{.State}}") == "left running"
    box("rm", "-f", "left")


def test_a_detached_container_has_log_status_and_end(box: Program) -> None:
    identity = box.text(
        "run", "-d", "--network", "none", "--name", "bg", "box", "sh", "-c", "echo one; sleep 0.3; echo two >&2; exit 4"
    )
    assert len(identity) == 64
    assert box.text("wait", "bg") == "4"
    result = box("logs", "bg")
    assert (result.stdout, result.stderr) == (b"one\n", b"two\n")
    assert box.text("ps", "-a", "--format", "{{.Status}}").startswith("Exited (4)")
    box("rm", "bg")


def test_stop_asks_first_and_kills_later(box: Program) -> None:
    loop = "echo ready; while :; do sleep 0.05; done"
    box("run", "-d", "--network", "none", "--name", "kind", "box", "sh", "-c", f"trap 'exit 8' TERM; {loop}")
    box("run", "-d", "--network", "none", "--name", "deaf", "box", "sh", "-c", f"trap '' TERM; {loop}")
    _until(lambda: box.text("logs", "kind") == box.text("logs", "deaf") == "ready")
    assert box.text("stop", "-t", "60", "kind") == "kind"
    assert box.text("stop", "-t", "1", "deaf") == "deaf"
    assert box.text("stop", "kind", "deaf") == "kind\ndeaf"
    states = box.text("ps", "-a", "--format", "{{.Names}} {{.Status}}")
    assert "kind Exited (8)" in states
    assert "deaf Exited (137)" in states
    box("rm", "kind", "deaf")


def test_a_detached_container_with_rm_goes_by_itself(box: Program) -> None:
    wait = "until [ -e /go ]; do sleep 0.05; done"
    box("run", "-d", "--rm", "-v", "/data", "--network", "none", "--name", "bg", "box", "sh", "-c", wait)
    assert len(_ids(box)) == 1
    box("exec", "bg", "touch", "/go", status=None)  # its end may come before that of the command
    _until(lambda: not _ids(box))
    assert os.listdir(box.root / "volumes") == []


def test_a_killed_client_leaves_the_container_to_its_end_and_rm_still_holds(box: Program) -> None:
    script = "echo ready; until [ -e /go ]; do sleep 0.05; done; exit 3"
    with _started(box, *RUN, "--name", "alone", "box", "sh", "-c", script) as process:
        process.kill()
        process.wait()
        assert len(_ids(box)) == 1
    box("exec", "alone", "touch", "/go", status=None)
    _until(lambda: not _ids(box))


def test_a_killed_monitor_takes_its_container_along(box: Program) -> None:
    words = ("run", "--network", "none", "--name", "orphan", "box", "sh", "-c", "echo ready; sleep 1000")
    with _started(box, *words) as process:
        kill(_monitor(box, "orphan"))
        assert process.wait(60) == 137
        assert process.stderr is not None
        assert b"monitor of container orphan was killed" in process.stderr.read()
    assert "Exited (137)" in box.text("ps", "-a")
    box("rm", "orphan")


@pytest.mark.parametrize("words", [("--rm",), ()])
def test_after_both_are_killed_the_next_command_finds_the_truth(box: Program, words: tuple[str, ...]) -> None:
    run = ("run", *words, "--network", "none", "--name", "both", "box", "sh", "-c", "echo ready; sleep 1000")
    with _started(box, *run) as process:
        monitor = _monitor(box, "both")
        process.kill()
        kill(monitor)
        process.wait()
    listed = box.text("ps", "-a", "--format", "{{.Status}}")
    assert listed.startswith("Exited (137)") if not words else listed == ""
    if not words:
        box("rm", "both")
    assert _ids(box) == []


def test_what_runs_inside_sees_no_descriptor_of_ours(box: Program) -> None:
    assert box.text(*RUN, "box", "sh", "-c", "ls /proc/self/fd | wc -l") == "4"  # 0 1 2 and the directory itself


def test_closed_streams_do_no_harm(box: Program) -> None:
    command = shlex.join(box.command(*RUN, "-i", "box", "cat"))
    for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
        result = subprocess.run(["sh", "-c", f"{command} {closed}"], stdin=subprocess.DEVNULL, timeout=60, check=False)
        assert result.returncode == 0, closed


def test_a_full_disk_at_standard_output_is_told(box: Program) -> None:
    with open("/dev/full", "wb") as full:
        result = subprocess.run(
            box.command(*RUN, "box", "echo", "hi"), stdout=full, stderr=subprocess.PIPE, timeout=60, check=False
        )
    assert result.returncode == 125
    assert b"No space left on device" in result.stderr


def test_names_that_are_no_text_pass_as_they_are(box: Program) -> None:
    result = subprocess.run(
        [os.fsencode(word) for word in box.command(*RUN, "-e")]
        + [b"A=\xff", b"box", b"sh", b"-c", b'echo "$A$1"', b"x", b"\xfe"],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, b"\xff\xfe\n")


@pytest.mark.slow
def test_a_stopped_monitor_does_not_save_its_container(box: Program) -> None:
    box("run", "-d", "--network", "none", "--name", "hung", "box", "sleep", "60")
    os.kill(_monitor(box, "hung"), signal.SIGSTOP)
    box("stop", "-t", "0", "hung")
    assert box.text("ps", "-a", "--format", "{{.Status}}").startswith("Exited (137)")
    box("rm", "hung")


def test_the_output_after_a_signal_is_not_lost(box: Program) -> None:
    script = "trap 'yes | head -c 300000; exit 9' TERM; echo ready; while :; do sleep 0.05; done"
    with _started(box, *RUN, "box", "sh", "-c", script) as process:
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        assert len(process.stdout.read()) == 300000
        assert process.wait(60) == 9
