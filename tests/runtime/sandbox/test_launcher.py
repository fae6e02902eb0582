"""What a command finds around itself, launched as root and as an ordinary user."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.oci import runtimespec

pytestmark = [pytest.mark.root, pytest.mark.overlay]


def status_field(text: str, name: str) -> str:
    return next(line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith(name + ":"))


def test_the_command_is_process_one_and_alone(sandbox: Any) -> None:
    outcome = sandbox("sh", "-c", "echo $$; ls -d /proc/[0-9]*")
    assert outcome.lines[0] == "1"
    assert set(outcome.lines[1:]) <= {"/proc/1", "/proc/2"}


def test_the_exit_status_of_the_command_is_returned(sandbox: Any) -> None:
    assert sandbox("sh", "-c", "exit 42").status == 42


def test_a_command_ended_by_a_signal_has_128_and_its_number(sandbox: Any) -> None:
    outcome = sandbox("sleep", "60", order={"signal": signal.SIGKILL})
    assert outcome.status == 128 + signal.SIGKILL


def test_every_namespace_is_a_new_one(sandbox: Any) -> None:
    outcome = sandbox("sh", "-c", "for n in pid mnt ipc uts net cgroup; do readlink /proc/self/ns/$n; done")
    host = [os.readlink(f"/proc/self/ns/{name}") for name in ("pid", "mnt", "ipc", "uts", "net", "cgroup")]
    assert len(outcome.lines) == 6
    assert not set(outcome.lines) & set(host)


def test_the_host_network_is_shared_only_when_asked(sandbox: Any) -> None:
    outcome = sandbox("readlink", "/proc/self/ns/net", network="host")
    assert outcome.lines == [os.readlink("/proc/self/ns/net")]


def test_attach_sees_the_namespaces_of_the_child(sandbox: Any) -> None:
    outcome = sandbox("readlink", "/proc/self/ns/net", order={"attach": "look"})
    assert outcome.raw["attached"]["net"] == outcome.lines[0]


def test_what_attach_raises_undoes_the_launch(sandbox: Any) -> None:
    outcome = sandbox("true", order={"attach": "fail"})
    assert outcome.raw["raised"] == "no network"


def test_the_environment_is_exactly_the_one_given(sandbox: Any) -> None:
    outcome = sandbox("cat", "/proc/self/environ", env=["PATH=/bin", "B=2", "A=1 \u00e4"])
    assert outcome.output == "PATH=/bin\0B=2\0A=1 \u00e4\0"


def test_no_descriptor_above_two_is_open(sandbox: Any) -> None:
    outcome = sandbox("ls", "/proc/self/fd")
    assert outcome.lines == ["0", "1", "2", "3"]  # 3 is the listing itself


def test_every_signal_has_its_default_action_and_none_is_blocked(sandbox: Any) -> None:
    text = sandbox("cat", "/proc/self/status").output
    assert {status_field(text, name) for name in ("SigBlk", "SigIgn", "SigCgt")} == {"0" * 16}


def test_capabilities_are_docker_defaults(sandbox: Any) -> None:
    text = sandbox("cat", "/proc/self/status").output
    assert {status_field(text, name) for name in ("CapPrm", "CapEff", "CapBnd")} == {"00000000a80425fb"}
    assert {status_field(text, name) for name in ("CapInh", "CapAmb")} == {"0" * 16}


def test_another_user_has_no_capabilities_but_the_same_bound(sandbox: Any) -> None:
    user = runtimespec.User(uid=33, gid=33, groups=(33, 50))
    text = sandbox("sh", "-c", "id; cat /proc/self/status", user=user).output
    assert text.startswith("uid=33 gid=33 groups=33,50")
    assert status_field(text, "CapEff") == "0" * 16
    assert status_field(text, "CapBnd") == "00000000a80425fb"


def test_dropping_all_capabilities_leaves_none(sandbox: Any) -> None:
    text = sandbox("cat", "/proc/self/status", capabilities=()).output
    assert {status_field(text, name) for name in ("CapPrm", "CapEff", "CapBnd")} == {"0" * 16}


def test_no_new_privileges_is_set_when_asked(sandbox: Any) -> None:
    text = sandbox("cat", "/proc/self/status", no_new_privileges=True).output
    assert status_field(text, "NoNewPrivs") == "1"


def test_device_nodes_are_those_of_a_container(sandbox: Any) -> None:
    outcome = sandbox("sh", "-c", "cd /dev; stat -c '%n %F %t:%T %a' null zero full random urandom tty; ls")
    assert outcome.lines[:6] == [
        f"{name} character special file {major}:{minor} 666"
        for name, major, minor in (
            ("null", 1, 3),
            ("zero", 1, 5),
            ("full", 1, 7),
            ("random", 1, 8),
            ("urandom", 1, 9),
            ("tty", 5, 0),
        )
    ]
    expected = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero".split()
    assert outcome.lines[6:] == expected


def test_devices_can_be_used(sandbox: Any) -> None:
    outcome = sandbox("sh", "-c", "echo x >/dev/null && head -c 3 /dev/zero | wc -c && head -c 2 /dev/urandom | wc -c")
    assert outcome.lines == ["3", "2"]


def test_mounts_have_the_places_types_and_flags_of_docker(sandbox: Any) -> None:
    outcome = sandbox("cat", "/proc/self/mountinfo")
    found = {}
    for line in outcome.lines:
        fields, _, kind = line.partition(" - ")
        words = fields.split()
        found[words[4]] = (kind.split()[0], words[5])
    assert found["/"] == ("overlay", "rw,nodev,relatime" if not sandbox.rootless else "rw,relatime")
    assert found["/proc"] == ("proc", "rw,nosuid,nodev,noexec,relatime")
    assert found["/sys"] == ("sysfs", "ro,nosuid,nodev,noexec,relatime")
    assert found["/dev"][0] == "tmpfs"
    assert found["/dev/pts"][0] == "devpts"
    assert found["/dev/mqueue"] == ("mqueue", "rw,nosuid,nodev,noexec,relatime")
    assert found["/dev/shm"] == ("tmpfs", "rw,nosuid,nodev,noexec,relatime")
    assert found["/sys/fs/cgroup"][0] in ("tmpfs", "cgroup2")
    for path in ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"):
        assert found[path] == ("proc", "ro,nosuid,nodev,noexec,relatime")


def test_no_path_of_the_host_shows_in_mountinfo(sandbox: Any) -> None:
    text = sandbox("cat", "/proc/self/mountinfo").output
    assert str(sandbox.base) not in text


def test_masked_files_are_empty_and_masked_directories_too(sandbox: Any) -> None:
    outcome = sandbox("sh", "-c", "cat /proc/keys /proc/timer_list /proc/interrupts | wc -c; ls /sys/firmware | wc -l")
    assert outcome.lines == ["0", "0"]


def test_proc_sys_cannot_be_written(sandbox: Any) -> None:
    outcome = sandbox("sh", "-c", "echo 1 >/proc/sys/kernel/hostname")
    assert outcome.status != 0
    assert "Read-only file system" in outcome.output


def test_loopback_is_up(sandbox: Any) -> None:
    outcome = sandbox("cat", "/sys/class/net/lo/operstate", "/sys/class/net/lo/flags")
    assert outcome.lines[1] == "0x9"


def test_hostname_is_set(sandbox: Any) -> None:
    assert sandbox("hostname", hostname="box").lines == ["box"]


def test_files_land_in_the_upper_directory(sandbox: Any) -> None:
    assert sandbox("sh", "-c", "echo hello >/etc/greeting; rm /bin/true; mkdir /new").status == 0
    assert (sandbox.upper / "etc/greeting").read_text() == "hello\n"
    whiteout = (sandbox.upper / "bin/true").lstat()
    assert stat.S_ISCHR(whiteout.st_mode)
    assert whiteout.st_rdev == 0


def test_made_mount_points_are_reported_and_those_inside_mounts_are_not(sandbox: Any) -> None:
    mount = runtimespec.tmpfs("/var/cache/x")
    outcome = sandbox("true", mounts=[mount])
    assert outcome.raw["mountpoints"] == ["/proc", "/dev", "/sys", "/var", "/var/cache", "/var/cache/x"]


def test_a_missing_working_directory_is_made(sandbox: Any) -> None:
    outcome = sandbox("sh", "-c", "pwd; stat -c '%a %u' .", cwd="/work/deep")
    assert outcome.lines == ["/work/deep", "755 0"]


def test_a_working_directory_behind_a_descriptor_is_refused(sandbox: Any) -> None:
    for number in range(3, 16):
        outcome = sandbox("pwd", cwd=f"/proc/self/fd/{number}")
        text = outcome.raw.get("output", "") + str(outcome.raw.get("failure", ""))
        assert "failure" in outcome.raw or outcome.output.startswith("/proc"), text


def test_a_command_that_does_not_exist_is_127(sandbox: Any) -> None:
    failure = sandbox("nosuch").failure
    assert failure["exit_code"] == 127
    assert failure["text"] == 'exec: "nosuch": executable file not found in $PATH'


def test_a_path_that_does_not_exist_is_127(sandbox: Any) -> None:
    assert sandbox("/no/such").failure["exit_code"] == 127


def test_a_directory_is_126(sandbox: Any) -> None:
    failure = sandbox("/etc").failure
    assert (failure["exit_code"], failure["text"]) == (126, 'exec: "/etc": is a directory: permission denied')


def test_a_file_that_is_not_executable_is_126(sandbox: Any) -> None:
    (sandbox.lower / "etc/data").write_text("x")
    assert sandbox("/etc/data").failure["exit_code"] == 126


def test_a_file_of_no_known_format_is_126(sandbox: Any) -> None:
    program = sandbox.lower / "etc/data"
    program.write_text("no program")
    program.chmod(0o755)
    failure = sandbox("/etc/data").failure
    assert failure["exit_code"] == 126
    assert "exec format error" in failure["text"]


def test_a_missing_interpreter_is_named_as_such(sandbox: Any) -> None:
    program = sandbox.lower / "etc/script"
    program.write_text("#!/no/shell\n")
    program.chmod(0o755)
    failure = sandbox("/etc/script").failure
    assert failure["exit_code"] == 127
    assert "interpreter" in failure["text"]


def test_path_comes_from_the_environment_of_the_command(sandbox: Any) -> None:
    assert sandbox("true", env=["PATH=/nowhere"]).failure["exit_code"] == 127


@pytest.mark.parametrize("content", ["#!/proc/self/exe\n", None], ids=["interpreter", "link"])
def test_the_interpreter_of_the_host_cannot_be_started(sandbox: Any, content: str | None) -> None:
    program = sandbox.lower / "bin/attack"
    if content:
        program.write_text(content)
        program.chmod(0o755)
    else:
        program.symlink_to("/proc/self/exe")
    outcome = sandbox("attack", "-c", "print(open('/proc/self/maps').read())")
    assert "python" not in str(outcome.raw)


def test_rlimits_are_set(sandbox: Any) -> None:
    text = sandbox("cat", "/proc/self/limits", rlimits=[("nofile", 100, 200), ("core", 0, 0)]).output
    line = next(line for line in text.splitlines() if line.startswith("Max open files"))
    assert line.split()[3:5] == ["100", "200"]


@pytest.mark.parametrize("limit", [("nofile", 3, 3), ("fsize", 0, 0), ("as", 8 << 20, 8 << 20), ("nproc", 0, 0)])
def test_limits_too_small_for_the_launcher_itself_do_not_hinder_it(sandbox: Any, limit: tuple[str, int, int]) -> None:
    # Nobody else's: the kernel counts all processes of a user, those of other containers and tests as well.
    user = runtimespec.User(uid=40254, gid=40254)
    assert sandbox("true", rlimits=[limit], user=user).status == 0
    assert sandbox("true", rlimits=[limit], user=user, request={"init": limit[0] != "nproc"}).status == 0


def test_a_limit_that_cannot_be_raised_is_refused_with_the_reason(sandbox: Any) -> None:
    if not sandbox.rootless:
        pytest.skip("root may raise limits where it has CAP_SYS_RESOURCE")
    failure = sandbox("true", rlimits=[("nofile", 1 << 30, 1 << 30)]).failure
    assert failure["exit_code"] == 125
    assert "nofile" in failure["text"]
    assert "CAP_SYS_RESOURCE" in failure["text"]


def test_a_sysctl_of_the_network_namespace_is_set(sandbox: Any) -> None:
    assert sandbox("cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start").lines == ["0"]


@pytest.mark.parametrize("name", ["kernel.hostname", "vm.swappiness", "kernel.core_pattern", "fs.file-max"])
def test_a_sysctl_of_the_machine_is_refused(sandbox: Any, name: str) -> None:
    failure = sandbox("true", sysctl={name: "1"}).failure
    assert failure["step"] == "sysctl"


def test_a_network_sysctl_is_refused_in_the_host_network(sandbox: Any) -> None:
    failure = sandbox("true", network="host", sysctl={"net.ipv4.ip_forward": "1"}).failure
    assert failure["step"] == "sysctl"


def test_a_read_only_root_refuses_writes_and_leaves_mounts_writable(sandbox: Any) -> None:
    outcome = sandbox(
        "sh", "-c", "touch /x; touch /tmp/y && touch /dev/shm/z", readonly=True, mounts=[runtimespec.tmpfs("/tmp")]
    )
    assert outcome.status == 0
    assert "Read-only file system" in outcome.output


def test_umask_is_0022_or_as_asked(sandbox: Any) -> None:
    assert sandbox("sh", "-c", "umask").lines == ["0022"]
    assert sandbox("sh", "-c", "umask", umask=0o77).lines == ["0077"]


def test_oom_score_adj_is_set(sandbox: Any) -> None:
    assert sandbox("cat", "/proc/self/oom_score_adj", oom_score_adj=500).lines == ["500"]


def test_a_terminal_controls_the_session_and_has_the_size_given(sandbox: Any) -> None:
    outcome = sandbox(
        "sh", "-c", "tty; stty size; ls -l /dev/console; echo hi >/dev/tty", terminal=True, request={"window": [33, 99]}
    )
    assert outcome.status == 0
    assert outcome.lines[:2] == ["/dev/pts/0", "33 99"]
    assert "136,   0" in outcome.lines[2]
    assert outcome.lines[3] == "hi"


def test_a_terminal_passes_input(sandbox: Any) -> None:
    outcome = sandbox("sh", "-c", "read line; echo got $line", terminal=True, order={"terminal_input": "hello\n"})
    assert outcome.lines == ["hello", "got hello"]


def test_control_c_on_the_terminal_interrupts_the_command(sandbox: Any) -> None:
    script = "trap 'exit 9' INT; echo ready; while :; do sleep 0.1; done"
    outcome = sandbox(
        "sh", "-c", script, terminal=True, order={"expect": "ready", "terminal_input": "\x03"}, request={"init": False}
    )
    assert outcome.status == 9


def test_control_c_reaches_a_command_behind_an_init(sandbox: Any) -> None:
    script = "echo ready; sleep 30"
    order = {"expect": "ready", "terminal_input": "\x03"}
    assert sandbox("sh", "-c", script, terminal=True, order=order, request={"init": True}).status == 130


def test_an_init_reaps_forwards_and_exits_like_the_command(sandbox: Any) -> None:
    script = "trap 'echo term; exit 5' TERM; echo ready; sleep 20 & wait"
    outcome = sandbox("sh", "-c", script, request={"init": True}, order={"expect": "ready", "signal": signal.SIGTERM})
    assert outcome.status == 5
    assert outcome.lines == ["ready", "term"]


def test_an_init_shows_nothing_of_the_host(sandbox: Any) -> None:
    script = (
        "readlink /proc/1/exe; cat /proc/1/comm; ls /proc/1/fd | wc -l; tr '\\0' ' ' </proc/1/cmdline; cat /proc/1/maps"
    )
    outcome = sandbox("sh", "-c", script.replace("tr '\\0' ' ' <", "cat "), request={"init": True})
    assert outcome.lines[0] == "/memfd:init (deleted)"
    assert "python" not in outcome.output
    assert "\n3\n" in outcome.output


def test_an_init_reports_a_command_that_is_not_there(sandbox: Any) -> None:
    assert sandbox("nosuch", request={"init": True}).failure["exit_code"] == 127


def test_null_on_standard_input_is_the_container_own_device(sandbox: Any) -> None:
    outcome = sandbox("sh", "-c", "stat -L -c %d /proc/self/fd/0 /dev/null", order={"null_input": True})
    assert len(set(outcome.lines)) == 1


def test_another_user_can_open_its_streams_again(sandbox: Any) -> None:
    outcome = sandbox("sh", "-c", "echo again >/dev/stdout", user=runtimespec.User(uid=1000, gid=1000))
    assert outcome.lines == ["again"]


def test_nul_in_an_argument_is_refused(sandbox: Any) -> None:
    assert "null byte" in sandbox("echo", "a\0b").failure["text"]


def test_a_missing_layer_is_named(sandbox: Any) -> None:
    rootfs = {**sandbox.rootfs(), "lowerdirs": ["/no/such/layer", str(sandbox.lower)]}
    failure = sandbox("true", request={"rootfs": rootfs}).failure
    assert failure["step"] == "rootfs"


def test_a_plain_directory_can_be_the_root(sandbox: Any) -> None:
    outcome = sandbox(
        "sh", "-c", "cat /proc/self/mountinfo | grep ' / / ' ; ls /", request={"rootfs": {"path": str(sandbox.lower)}}
    )
    assert outcome.status == 0
    assert Path(sandbox.lower, "proc").is_dir()


def test_five_hundred_layers_can_be_mounted(sandbox: Any) -> None:
    layers = []
    for number in range(498):
        layer = sandbox.base / "many" / str(number)
        layer.mkdir(parents=True)
        layers.append(str(layer))
    rootfs = sandbox.rootfs()
    rootfs["lowerdirs"] = [*layers, str(sandbox.lower)]
    assert sandbox("true", request={"rootfs": rootfs}).status == 0


def test_the_command_dies_with_its_launcher(sandbox: Any) -> None:
    marker = f"7{os.getpid()}"
    document = runtimespec.container_spec(args=["sleep", marker], env=["PATH=/bin"], rootless=sandbox.rootless)
    request = {"spec": document, "rootfs": sandbox.rootfs(), "seccomp": None, "cgroup": None, "init": False}
    driver = subprocess.Popen(sandbox.command(), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert driver.stdin
    json.dump({"request": request}, driver.stdin)
    driver.stdin.close()
    wanted = f"sleep\0{marker}\0".encode()
    wait_until(lambda: wanted in command_lines())
    driver.kill()
    driver.wait()
    wait_until(lambda: wanted not in command_lines())


def command_lines() -> list[bytes]:
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            found.append(Path("/proc", name, "cmdline").read_bytes())
        except OSError:
            continue
    return found


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_process_namespace_of_another_can_be_joined(root_sandbox: Any) -> None:
    outcome = root_sandbox("readlink", "/proc/self/ns/pid", namespaces={"pid": "/proc/self/ns/pid"})
    assert outcome.lines == [os.readlink("/proc/self/ns/pid")]


def test_the_host_processes_are_seen_only_when_asked(sandbox: Any) -> None:
    outcome = sandbox("ls", "/proc", namespaces={"pid": "host"})
    assert str(os.getpid()) in outcome.lines


def test_a_network_namespace_is_joined_by_path(root_sandbox: Any) -> None:
    outcome = root_sandbox("readlink", "/proc/self/ns/net", network="/proc/self/ns/net")
    assert outcome.lines == [os.readlink("/proc/self/ns/net")]


def test_a_mount_namespace_cannot_be_joined(root_sandbox: Any) -> None:
    document = runtimespec.container_spec(args=["true"])
    document["linux"]["namespaces"] = [{"type": "mount", "path": "/proc/self/ns/mnt"}]
    request = {"spec": document, "rootfs": root_sandbox.rootfs()}
    assert root_sandbox.launch(request, {}).failure["step"] == "namespaces"


def test_a_user_namespace_of_its_own_maps_root_to_another_id(root_sandbox: Any) -> None:
    document = runtimespec.container_spec(args=["cat", "/proc/self/uid_map"], env=["PATH=/bin"], rootless=True)
    document["linux"]["namespaces"].append({"type": "user"})
    extent = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    document["linux"] |= {"uidMappings": extent, "gidMappings": extent}
    rootfs = root_sandbox.rootfs()
    for path in (root_sandbox.lower, root_sandbox.base / "empty", rootfs["upperdir"], rootfs["workdir"]):
        subprocess.run(["chown", "-R", "100000:100000", str(path)], check=True)
    outcome = root_sandbox.launch({"spec": document, "rootfs": rootfs}, {})
    assert outcome.output.split() == ["0", "100000", "65536"]


def test_a_privileged_container_has_the_devices_and_all_capabilities(root_sandbox: Any) -> None:
    outcome = root_sandbox(
        "sh", "-c", "ls /dev/kmsg; touch /proc/sys/x; cat /proc/self/status", privileged=True,
        capabilities=runtimespec.CAPABILITIES,
    )  # fmt: skip
    assert outcome.lines[0] == "/dev/kmsg"
    own = status_field(Path("/proc/self/status").read_text(), "CapPrm")
    assert status_field(outcome.output, "CapEff") == own


def test_a_wrong_document_is_refused_and_not_a_crash(root_sandbox: Any) -> None:
    document = runtimespec.container_spec(args=["true"])
    document["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE"}]
    failure = root_sandbox.launch({"spec": document, "rootfs": root_sandbox.rootfs()}, {}).failure
    assert failure["exit_code"] == 125
    assert "description is wrong" in failure["text"]


def test_a_kernel_without_lowerdir_mounts_all_the_same(sandbox: Any) -> None:
    outcome = sandbox("sh", "-c", "echo x >/made; cat /proc/self/mountinfo", order={"old_kernel": True})
    assert (sandbox.upper / "made").read_text() == "x\n"
    assert str(sandbox.base) not in outcome.output


def test_more_layers_than_an_old_kernel_takes_are_refused_with_the_reason(root_sandbox: Any) -> None:
    layers = []
    for number in range(300):
        layers.append(str(root_sandbox.base / f"layer{number}"))
        Path(layers[-1]).mkdir()
    rootfs = {**root_sandbox.rootfs(), "lowerdirs": [*layers, str(root_sandbox.lower)]}
    failure = root_sandbox("true", request={"rootfs": rootfs}, order={"old_kernel": True}).failure
    assert "301 layers are too many for this kernel" in failure["text"]


def test_without_a_stub_commands_run_and_the_host_interpreter_still_does_not(sandbox: Any) -> None:
    order = {"no_stub": True}
    (sandbox.lower / "bin/attack").symlink_to("/proc/self/exe")
    script = sandbox.lower / "bin/script"
    script.write_text("#!/proc/self/exe\n")
    script.chmod(0o755)
    assert sandbox("sh", "-c", "exit 3", order=order).status == 3
    assert sandbox("nosuch", order=order).failure["exit_code"] == 127
    for name in ("attack", "script"):
        assert "failure" in sandbox(name, "-c", "print(1)", order=order).raw
    assert "init" in sandbox("true", order=order, request={"init": True}).failure["text"]


def test_a_profile_of_apparmor_that_cannot_be_had_stops_the_start(sandbox: Any) -> None:
    document = runtimespec.container_spec(args=["true"], env=["PATH=/bin"], rootless=sandbox.rootless)
    document["process"]["apparmorProfile"] = "nosuch-profile"
    failure = sandbox("true", request={"spec": document}).failure
    assert (failure["step"], failure["exit_code"]) == ("apparmor", 125)
    assert "AppArmor profile nosuch-profile" in failure["text"]


def test_rules_of_devices_need_a_group_that_keeps_them(sandbox: Any) -> None:
    failure = sandbox("true", request={"device_rules": "--device /dev/x:r"}).failure
    assert failure["step"] == "devices"
    assert failure["text"].startswith("--device /dev/x:r: ")


def test_all_paths_and_writable_groups_leave_system_files_open(sandbox: Any) -> None:
    locked = sandbox("sh", "-c", "grep -c ' /proc/' /proc/mounts || true").lines
    opened = sandbox("sh", "-c", "grep -c ' /proc/' /proc/mounts || true", all_paths=True).lines
    assert int(locked[0]) > int(opened[0]) == 0
    options = sandbox("sh", "-c", "grep ' /sys/fs/cgroup ' /proc/mounts", writable_groups=True).output.split()[3]
    assert options.split(",")[0] == "rw"


def test_default_mounts_can_be_left_out(sandbox: Any) -> None:
    assert "shm" not in sandbox("ls", "/dev", without=["/dev/shm"]).lines


def test_names_of_the_machine_are_never_changed(sandbox: Any) -> None:
    for names in ({"hostname": "other"}, {"domainname": "other"}):
        failure = sandbox("true", namespaces={"uts": "host"}, **names).failure
        assert failure["step"] == "hostname"


def test_a_tree_without_a_pid_namespace_ends_with_its_first_process(sandbox: Any) -> None:
    marker = f"7{os.getpid()}{int(sandbox.rootless)}"
    outcome = sandbox("sh", "-c", f"setsid sleep {marker} >/dev/null 2>&1 & exit 3", namespaces={"pid": "host"})
    assert outcome.status == 3
    assert not any(f"sleep\0{marker}\0".encode() in line for line in command_lines())
