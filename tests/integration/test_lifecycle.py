"""The life of containers from outside: made, started, entered, attached to, stopped and started again."""

from __future__ import annotations

import io
import json
import os
import signal
import stat
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.programs import Program, kill

pytestmark = [pytest.mark.root, pytest.mark.overlay]

FOREVER = ("sh", "-c", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.1; done")


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
    running("exec", "-d", "one", "sh", "-c", "until [ -e /go ]; do sleep 0.05; done")
    assert "until" in running.text("exec", "one", "ps")
    (identity,) = json.loads(running.text("inspect", "-f", "{{json .ExecIDs}}", "one"))
    running("exec", "one", "touch", "/go")
    _until(running, "{{json .ExecIDs}}", "null")
    words = ("events", "--since", "1h", "--until", "0s", "-f", "container=one")
    form = f'{{{{if eq .Actor.Attributes.execID "{identity}"}}}}{{{{.Action}}}}{{{{end}}}}'
    told = [line for line in running.text(*words, "--format", form).splitlines() if line]
    assert [line.partition(":")[0] for line in told] == ["exec_create", "exec_start", "exec_die"]


def test_a_made_container_starts_stops_and_starts_again(box: Program) -> None:
    box("create", "--network", "none", "--name", "one", "box", "sh", "-c", "echo run >>/log; cat /log")
    assert box.text("start", "-a", "one") == "run"
    assert box.text("start", "-a", "one") == "run\nrun"
    assert box.text("start", "one") == "one"
    box("wait", "one")
    assert box.text("logs", "one").splitlines() == ["run"] * 6
    box("rm", "one")


def test_commands_that_come_at_once_all_do_what_they_are_to(running: Program) -> None:
    running("stop", "-t", "0", "one")
    for verb in (("start",), ("restart", "-t", "0"), ("stop", "-t", "0")):
        processes = [running.popen(*verb, "one") for _ in range(4)]
        told = [process.communicate(timeout=60) for process in processes]
        assert [process.returncode for process in processes] == [0] * 4, told
        wanted = "exited" if verb[0] == "stop" else "running"
        assert running.text("inspect", "-f", "{{.State.Status}}", "one") == wanted
    assert b"cannot kill container: one: container " in running("kill", "one", status=1).stderr


def test_restart_gives_a_new_process(running: Program) -> None:
    running("exec", "one", "touch", "/kept")
    assert running.text("restart", "-t", "1", "one") == "one"
    assert running.text("exec", "one", "ls", "/kept") == "/kept"


def test_attach_shows_what_is_written_from_now_on_and_ends_as_the_container(box: Program) -> None:
    box("run", "-d", "-i", "--network", "none", "--name", "one", "box", "sh", "-c", "read line; echo got $line; exit 4")
    assert box("attach", "one", input=b"word\n", status=4).stdout == b"got word\n"
    box("rm", "one")


def test_rename_gives_the_name_free(running: Program) -> None:
    running("rename", "one", "two")
    assert running.text("inspect", "-f", "{{.Name}}", "two") == "/two"
    assert b"No such container" in running("rename", "one", "three", status=1).stderr
    running("rename", "two", "one")


def test_a_paused_container_stands_still_until_it_is_unpaused_or_stopped(running: Program) -> None:
    if running.user:
        assert b"no control group" in running("pause", "one", status=1).stderr
        return
    _until_ready(running)
    running("pause", "one")
    assert running.text("inspect", "-f", "{{.State.Status}}", "one") == "paused"
    assert running.text("ps", "--format", "{{.Status}}").endswith("(Paused)")
    assert b"Container one is paused" in running("exec", "one", "true", status=1).stderr
    running("unpause", "one")
    running("exec", "one", "true")
    running("pause", "one")
    running("stop", "-t", "60", "one")
    assert running.text("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "one") == "exited 3"


def test_what_a_killed_command_froze_for_a_moment_runs_on(running: Program) -> None:
    if running.user:
        return
    running("pause", "one")
    identity = running.text("inspect", "-f", "{{.Id}}", "one")
    (running.root / "containers" / identity / "paused").write_text("1-2-deadbeef-0")  # as `commit` does while it works
    assert running.text("inspect", "-f", "{{.State.Status}}", "one") == "running"
    running("exec", "one", "true")


def test_the_next_command_removes_control_groups_that_nobody_holds(box: Program) -> None:
    top = Path("/sys/fs/cgroup/pids")
    top = top if top.is_dir() else Path("/sys/fs/cgroup")
    if box.user or not os.access(top, os.W_OK):
        return
    group = top / f"pybuild-{box.key}-{'e' * 64}"
    group.mkdir()
    box("ps")
    assert not group.exists()


def test_an_exec_whose_keeper_is_killed_says_so_and_leaves_the_container(running: Program) -> None:
    monitor = running.monitor_of("one")
    # What /proc lists can lack a process while another one ends (proc_pid_children(5)): the first is named by itself.
    before = {int(running.text("inspect", "-f", "{{.State.Pid}}", "one")), *_children(monitor)}
    process = running.popen("exec", "one", "sleep", "1000")
    while not (after := set(_children(monitor)) - before):
        time.sleep(0.02)
    for pid in after:
        os.kill(pid, signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert b"what looked after the command was killed" in errors
    assert process.returncode == 137
    assert running.text("inspect", "-f", "{{.State.Status}}", "one") == "running"


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_top_lists_the_processes_of_the_container_alone(running: Program) -> None:
    running("exec", "-d", "one", "sleep", "4321")
    lines = running.text("top", "one").splitlines()
    assert lines[0].split() == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert any(line.endswith("sleep 4321") for line in lines)
    assert not any("monitor" in line for line in lines)


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (("name=on",), "one"),
        (("name=^one$", "status=running"), "one"),
        (("status=exited",), ""),
        (("ancestor=box",), "one"),
        (("label=nothing",), ""),
        (("network=none",), "one"),
        (("status=exited", "status=running"), "one"),
    ],
)
def test_filters_of_one_name_are_alternatives_and_names_add_up(
    running: Program, filters: tuple[str, ...], found: str
) -> None:
    words = [word for text in filters for word in ("-f", text)]
    assert running.text("ps", *words, "--format", "{{.Names}}") == found


def test_logs_keep_streams_apart_and_know_times(box: Program) -> None:
    box("run", "--network", "none", "--name", "one", "box", "sh", "-c", "echo out; echo err >&2")
    result = box("logs", "one")
    assert (result.stdout, result.stderr) == (b"out\n", b"err\n")
    assert box("logs", "--until", "1h", "one").stdout == b""
    assert box("logs", "--since", "1h", "-n", "1", "one").stderr == b"err\n"
    assert box.text("logs", "-t", "one").endswith("Z out")
    box("rm", "one")


def test_inspect_has_the_fields_of_the_engine(running: Program) -> None:
    form = "{{.State.Running}} {{.HostConfig.NetworkMode}} {{.Config.Image}} {{.RestartCount}} {{json .Mounts}}"
    assert running.text("inspect", "-f", form, "one") == "true none box 0 []"
    assert running.text("container", "inspect", "-f", "{{.State.Pid}}", "one") != "0"


def test_diff_commit_and_export_see_what_was_changed(box: Program) -> None:
    box("run", "--network", "none", "--name", "one", "box", "sh", "-c", "mkdir /new; echo 1 >/new/f; rm /etc/group")
    assert box.text("diff", "one").splitlines() == ["C /etc", "D /etc/group", "A /new", "A /new/f"]
    box("commit", "-c", 'CMD ["cat", "/new/f"]', "-a", "me", "-m", "why", "one", "made:1")
    assert box.text("run", "--rm", "--network", "none", "made:1") == "1"
    with tarfile.open(fileobj=io.BytesIO(box("export", "one").stdout)) as tar:
        names = tar.getnames()
    assert "new/f" in names
    assert "etc/group" not in names
    box("rm", "one")


def test_update_changes_limits_in_force(running: Program) -> None:
    if running.user:
        return
    running("update", "-m", "64m", "--memory-swap", "128m", "one")
    assert running.text("inspect", "-f", "{{.HostConfig.Memory}}", "one") == str(64 << 20)
    assert b"one or more flags" in running("update", "one", status=2).stderr


def test_events_tell_the_life_of_a_container(box: Program) -> None:
    box("run", "--network", "none", "--name", "one", "box", "true")
    box("rm", "one")
    words = ("events", "--since", "1h", "--until", "0s", "--format", "{{.Action}}", "-f", "container=one")
    assert box.text(*words).split() == ["create", "attach", "start", "die", "destroy"]


def test_prune_takes_what_does_not_run(running: Program) -> None:
    identity = running.text("create", "--name", "two", "box", "true")
    assert running.text("container", "prune", "-f").splitlines()[:2] == ["Deleted Containers:", identity]
    assert running.text("ps", "-aq", "--format", "{{.Names}}") != ""


def test_two_that_prune_at_once_and_one_that_starts_get_along(running: Program) -> None:
    words = ("create", "--network", "none", "box", "sleep", "600")
    ids = [running.text(*words) for _ in range(6)]
    started = running.popen("start", ids[3])
    prunes = [running.popen("container", "prune", "-f") for _ in range(2)]
    told = [line for process in prunes for line in process.communicate(timeout=60)[0].decode().splitlines()]
    started.communicate(timeout=60)
    assert started.returncode in (0, 1)
    gone = [line for line in told if line in ids]
    left = running.text("ps", "-aq", "--no-trunc", "-f", "status=running").splitlines()
    assert sorted([*gone, *(found for found in ids if found in left)]) == sorted(ids)
    running("rm", "-f", *left)


def test_many_are_removed_by_one_command_in_the_order_they_were_named(box: Program) -> None:
    for name in ("one", "two", "three"):
        box("create", "--network", "none", "--name", name, "box", "true")
    box("run", "-d", "--network", "none", "--name", "four", "box", "sleep", "600")
    result = box("rm", "three", "nobody", "one", "four", "two", "one", status=1)
    assert result.stdout.split() == [b"three", b"one", b"two"]
    assert [line for line in result.stderr.splitlines() if line.startswith(b"pybuild")] == [
        b"pybuild: No such container: nobody",
        b'pybuild: cannot remove container "four": container is running: stop the container before removing or force'
        b" remove",
        b"pybuild: No such container: one",
    ]
    assert box("rm", "-f", "four", "five").stdout.split() == [b"four"]


def test_a_prune_of_the_system_takes_what_nobody_uses(running: Program) -> None:
    identity = running.text("create", "--network", "none", "-v", "/v", "--name", "two", "box", "true")
    running("create", "--network", "none", "-v", "kept:/v", "--name", "three", "box", "true")
    running("tag", "box", "box:other")
    assert b"not supported" in running("system", "prune", "-f", "--volumes", "--filter", "until=1h", status=2).stderr
    lines = running.text("system", "prune", "-f", "--filter", "label=nothing").splitlines()
    assert [line.partition(":")[0] for line in lines] == ["Total reclaimed space"]
    lines = running.text("system", "prune", "-af", "--volumes").splitlines()
    assert lines[0] == "Deleted Containers:"
    assert identity in lines
    assert "Deleted Volumes:" in lines
    assert running.text("ps", "-a", "--format", "{{.Names}}") == "one"
    assert running.text("volume", "ls", "-q") == "kept"
    running("volume", "rm", "kept")
    assert running.text("images", "-q") != ""  # the one that runs


def test_volumes_outlive_containers_and_are_kept_while_in_use(box: Program) -> None:
    assert box.text("volume", "create", "--label", "a=b", "data") == "data"
    box("run", "--rm", "--network", "none", "-v", "data:/d", "box", "sh", "-c", "echo kept >/d/f")
    box("create", "--name", "one", "-v", "data:/d", "box", "true")
    assert b"volume is in use" in box("volume", "rm", "data", status=1).stderr
    box("rm", "one")
    assert box.text("volume", "ls", "-q", "-f", "label=a=b") == "data"
    box("volume", "rm", "data")
    assert b"No such volume" in box("volume", "inspect", "data", status=1).stderr


def test_a_volume_of_memory_is_mounted_as_asked(box: Program) -> None:
    box("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m", "mem")
    line = box.text("run", "--rm", "--network", "none", "-v", "mem:/m", "box", "grep", " /m ", "/proc/mounts")
    assert "tmpfs" in line
    assert "size=1024k" in line
    box("volume", "prune", "-af")
    assert box.text("volume", "ls", "-q") == ""


def _until_ready(box: Program) -> None:
    while "ready" not in box.text("logs", "one"):  # the first process of a container ignores a signal without trap
        time.sleep(0.05)


def _until(box: Program, form: str, wanted: str, *, name: str = "one", seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while (found := box.text("inspect", "-f", form, name)) != wanted:
        assert time.monotonic() < end, found
        time.sleep(0.1)


def test_a_failing_container_is_started_again_as_often_as_asked(box: Program) -> None:
    box(
        "run",
        "-d",
        "--network",
        "none",
        "--restart",
        "on-failure:2",
        "--name",
        "one",
        "box",
        "sh",
        "-c",
        "echo up; exit 7",
    )
    _until(box, "{{.State.Status}} {{.RestartCount}} {{.State.ExitCode}}", "exited 2 7")
    assert box.text("logs", "one").splitlines() == ["up"] * 3
    box("rm", "one")


def test_a_container_in_the_foreground_is_started_again_behind_the_back_of_who_ran_it(box: Program) -> None:
    flags = ("--network", "none", "--restart", "on-failure:2", "--name", "one")
    assert box("run", *flags, "box", "sh", "-c", "echo up; exit 7", status=7).stdout == b"up\n"
    _until(box, "{{.State.Status}} {{.RestartCount}} {{.State.ExitCode}} {{.State.Error}}", "exited 2 7")
    assert box.text("logs", "one").splitlines() == ["up"] * 3
    box("rm", "one")


def test_a_container_that_is_to_be_removed_waits_for_its_start(box: Program) -> None:
    box("create", "--rm", "--network", "none", "--name", "one", "box", "echo", "here")
    assert box.text("ps", "-a", "--format", "{{.Names}} {{.Status}}") == "one Created"
    assert box.text("start", "-a", "one") == "here"
    assert box.text("ps", "-aq") == ""


def test_a_container_that_was_stopped_is_not_started_again(box: Program) -> None:
    box("run", "-d", "--network", "none", "--restart", "always", "--name", "one", "box", *FOREVER)
    _until_ready(box)
    box("stop", "one")
    assert box.text("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "one") == "exited 3"
    assert (
        b"cannot specify both --restart and --rm"
        in box("run", "--rm", "--restart", "always", "box", "true", status=125).stderr
    )
    box("rm", "one")


def test_a_boot_starts_what_is_to_run_always(box: Program) -> None:
    flags = ("-d", "--network", "none", "--restart")
    for policy, name in (("always", "one"), ("unless-stopped", "two"), ("unless-stopped", "three"), ("no", "four")):
        box("run", *flags, policy, "--name", name, "box", "sleep", "1000")
    box("stop", "-t", "0", "three")
    for name in ("one", "two", "four"):
        kill(box.monitor_of(name))
    assert box.text("system", "start").splitlines() == ["one", "two"]
    assert box.text("system", "start") == ""
    os.kill(box.monitor_of("two"), signal.SIGTERM)  # as at the end of a boot
    _until(box, "{{.State.Status}}", "exited", name="two")
    assert box.text("system", "start") == "two"
    assert f"--root {box.root} system start" in box.text("system", "unit")
    assert box.text("info", "--format", "{{.Containers}} {{.ContainersRunning}}") == "4 2"
    box("rm", "-f", "one", "two", "three", "four")


def test_health_is_checked_and_shown(box: Program) -> None:
    flags = ("--health-cmd", "test -e /ok", "--health-interval", "200ms", "--health-retries", "2")
    box("run", "-d", "--network", "none", "--name", "one", *flags, "box", "sleep", "1000")
    _until(box, "{{.State.Health.Status}}", "unhealthy")
    box("exec", "one", "touch", "/ok")
    _until(box, "{{.State.Health.Status}} {{.State.Health.FailingStreak}}", "healthy 0")
    assert "(healthy)" in box.text("ps", "--format", "{{.Status}}")
    assert box.text("ps", "-q", "-f", "health=healthy") != ""
    box("rm", "-f", "one")


def test_a_log_is_rotated_and_its_rest_is_whole(box: Program) -> None:
    script = "i=0; while [ $i -lt 500 ]; do echo line $i; i=$((i+1)); done"
    options = ("--log-opt", "max-size=1k", "--log-opt", "max-file=3")
    box("run", "--network", "none", "--name", "one", *options, "box", "sh", "-c", script)
    lines = box.text("logs", "one").splitlines()
    assert lines[-1] == "line 499"
    assert lines == [f"line {number}" for number in range(500 - len(lines), 500)]
    box("rm", "one")


def test_files_are_copied_in_and_out_of_running_and_stopped_containers(running: Program) -> None:
    source = running.directory("source", {"sub/f": "text\n"})
    for _ in ("running", "stopped"):
        running("cp", source, "one:/copied")
        with tarfile.open(fileobj=io.BytesIO(running("cp", "one:/copied/sub/f", "-").stdout)) as tar:
            assert tar.getnames() == ["f"]
        running("cp", "one:/copied/sub/f", running.home / "back")
        assert (running.home / "back").read_text() == "text\n"
        assert b"Could not find the file /nosuch" in running("cp", "one:/nosuch", "-", status=1).stderr
        running("stop", "-t", "0", "one")


def test_copied_files_keep_owners_and_modes_inside_and_are_ours_outside(running: Program) -> None:
    source = running.directory("source", {"f": "text\n"})
    (source / "f").chmod(0o4751)
    if not running.user:
        os.chown(source / "f", 33, 44)
        (source / "f").chmod(0o4751)
    running("cp", source, "one:/copied")
    inner = running.text("exec", "one", "stat", "-c", "%a %u %g", "/copied/f")
    assert inner == ("4751 0 0" if running.user else "4751 33 44")
    running("cp", "one:/copied/f", running.home / "back")
    outer = (running.home / "back").stat()
    assert (outer.st_mode & 0o7777, outer.st_uid) == (0o4751, source.stat().st_uid)


def test_a_device_is_replaced_neither_here_nor_there(running: Program) -> None:
    device = running.home / "null"
    os.mknod(device, stat.S_IFCHR, os.makedev(1, 3))
    device.chmod(0o666)
    (running.home / "link").symlink_to(device)
    for place in (device, running.home / "link"):
        assert b"regular file: got a device" in running("cp", "one:/etc/passwd", place, status=1).stderr
    (running.home / "file").write_text("in")
    assert b"regular file: got a device" in running("cp", running.home / "file", "one:/dev/null", status=1).stderr
    running("export", "-o", device, "one")
    running("save", "-o", device, "box")
    assert device.is_char_device()
    assert running.text("exec", "one", "sh", "-c", "test -c /dev/null && echo still") == "still"


def test_what_cannot_be_copied_is_said(running: Program) -> None:
    for words, message in (
        (("one:/a", "one:/b"), b"copying between containers is not supported"),
        (("a", "b"), b"must specify at least one container source"),
        (("one:", "b"), b"source can not be empty"),
        (("one:/nosuch", "."), b"Could not find the file /nosuch in container one"),
        (("/etc", "one:/etc/passwd"), b"cannot copy directory"),
        (("/etc/hostname", "one:/nosuch/"), b"no such directory"),
    ):
        assert message in running("cp", *words, status=1).stderr
