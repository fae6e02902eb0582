"""What a command in a container or a step sees of the machine, and what it cannot reach: as root and as a user."""

from __future__ import annotations

import http.server
import io
import os
import shutil
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.programs import Program

pytestmark = [pytest.mark.root, pytest.mark.userns, pytest.mark.overlay]

RUN = ("run", "--rm", "--network", "none")
DEFAULT_CAPABILITIES = 0x00000000A80425FB
"""What Docker gives: chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service net_raw sys_chroot
mknod audit_write setfcap."""


def inside(program: Program, script: str, *words: str) -> str:
    """Run a shell script in a container, and return what it prints."""
    return program.text(*RUN, *words, "box", "sh", "-c", script)


def in_step(program: Program, script: str) -> str:
    """Run a shell script as a RUN, and return what it prints."""
    text = f"FROM box\nRUN --network=none <<'EOF'\n( {script}\n) > /out 2>&1\nEOF\n"
    context = program.directory("step", {"Dockerfile": text})
    program("build", "-q", "--no-cache", "-t", "step", context)
    return program.text(*RUN, "step", "cat", "/out")


@pytest.fixture(params=[inside, in_step], ids=["run", "step"])
def sh(request: pytest.FixtureRequest, box: Program) -> Callable[[str], str]:
    """Return a function that runs a shell script, once in a container and once in a step of a build."""
    return lambda script: request.param(box, script)


def test_the_first_process_is_the_command_and_shows_nothing_of_ours(box: Program, sh: Callable[[str], str]) -> None:
    text = sh(
        "tr '\\0' '\\n' < /proc/1/environ; tr '\\0' ' ' < /proc/1/cmdline; readlink /proc/1/exe; ls /proc/1/fd; ps"
    )
    assert str(box.home) not in text
    assert not any(word in text.lower() for word in ("python", "pybuild", "site-packages", "sudo"))
    assert "/bin/busybox" in text


def test_rights_are_dockers(sh: Callable[[str], str]) -> None:
    text = sh("grep -E '^(Cap|Seccomp:|NoNewPrivs|Groups)' /proc/self/status")
    status = {line.split(":")[0]: line.split(":")[1].strip() for line in text.splitlines()}
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == int(status["CapBnd"], 16) == DEFAULT_CAPABILITIES
    assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
    assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "0")


def test_no_new_privileges_are_had_where_that_is_asked(box: Program) -> None:
    assert inside(box, "grep NoNewPrivs /proc/self/status", "--security-opt", "no-new-privileges").endswith("1")
    assert inside(box, "grep CapEff /proc/self/status", "-u", "www").endswith("0" * 16)


def test_the_kernels_switches_are_read_only_and_its_secrets_masked(sh: Callable[[str], str]) -> None:
    script = (
        "for f in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /proc/sys/vm/drop_caches /sys/kernel/uevent_helper"
        " /proc/irq/default_smp_affinity; do ( echo x > $f ) 2>/dev/null && echo wrote $f; done;"
        " cat /proc/kcore /proc/keys /proc/timer_list /proc/sched_debug /proc/latency_stats 2>/dev/null | wc -c;"
        " ls -A /proc/acpi /proc/scsi /sys/firmware 2>/dev/null | grep -v ':$' | grep . ; true"
    )
    assert sh(script) == "0"


def test_devices_of_the_machine_cannot_be_made_or_read(sh: Callable[[str], str]) -> None:
    disk = os.stat("/").st_dev
    script = (
        f"mknod /disk b {os.major(disk)} {os.minor(disk)} 2>/dev/null; mknod /mem c 1 1 2>/dev/null;"
        " for f in /disk /mem /dev/mem /dev/kmsg /dev/sda /dev/vda /dev/loop0 /dev/loop-control; do"
        " head -c 1 $f >/dev/null 2>&1 && echo read $f; done;"
        " rm -f /disk /mem; ls /dev | grep -v core | sort | tr '\\n' ' '"
    )
    devices = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
    assert sh(script) == devices


def test_mounts_show_no_way_to_the_machine(box: Program, sh: Callable[[str], str]) -> None:
    given = ("/etc/resolv.conf", "/etc/hosts", "/etc/hostname")
    for line in sh("cat /proc/self/mountinfo").splitlines():
        fields, _, kind = line.partition(" - ")
        _, _, _, source, target, options = fields.split()[:6]
        if options.startswith("ro,") or target in given or target.startswith("/dev/"):
            continue
        assert source == "/null" or kind.split()[0] in ("overlay", "proc", "tmpfs", "devpts", "mqueue"), line


def test_namespaces_cannot_be_entered_or_made(sh: Callable[[str], str]) -> None:
    script = (
        "for n in mnt net pid user uts ipc; do nsenter -t 1 --$n true 2>/dev/null && echo entered $n; done;"
        " unshare -m true 2>/dev/null && echo unshared; unshare -U true 2>/dev/null && echo user;"
        " mount -t tmpfs none /mnt 2>/dev/null && echo mounted; mount -o remount,rw /sys 2>/dev/null && echo remounted;"
        " umount /proc/sys 2>/dev/null && echo unmasked; chroot / true && echo chroot"
    )
    words = sh(script).split()
    assert [word for word in words if word not in ("entered", "mnt", "net", "pid", "user", "uts", "ipc")] == ["chroot"]


def test_other_processes_of_the_machine_are_not_seen(sh: Callable[[str], str]) -> None:
    assert int(sh("ls -d /proc/[0-9]* | wc -l")) < 6
    assert sh("kill -9 -1 2>/dev/null; echo alive") == "alive"


@pytest.fixture
def secret(box: Program) -> Path:
    """Return a file of this machine that no image may get hold of."""
    return box.directory("outside", {"secret": "of this machine"}) / "secret"


def test_links_of_an_image_lead_into_the_image(box: Program, secret: Path) -> None:
    outside = secret.parent
    text = (
        f"FROM box\nRUN --network=none mkdir -p /d && ln -s {outside} /out && ln -s ../../../../../../..{outside} /d/up"
        f" && ln -s / /root-link && rm -rf /var && ln -s {outside} /var\n"
        "COPY new /out/new\nCOPY new /d/up/other\nCOPY new /root-link/third\nWORKDIR /out/work\nWORKDIR /var/x\n"
        "ADD new /out/added\nRUN --network=none echo x > /out/ran\n"
        "RUN --network=none --mount=type=cache,target=/out/cache --mount=type=tmpfs,target=/d/up/t true\n"
    )
    context = box.directory("links", {"Dockerfile": text, "new": "new"})
    box("build", "-q", "-t", "links", context)
    assert [path.name for path in outside.iterdir()] == ["secret"]
    assert box.text(*RUN, "links", "ls", str(outside)).split() == ["added", "new", "other", "ran", "work", "x"]
    box(
        *RUN,
        "-v",
        "/out/volume",
        "--tmpfs",
        "/out/t2",
        "-v",
        f"{context}:/out/bound:ro",
        "-w",
        "/out/w",
        "links",
        "true",
    )
    assert [path.name for path in outside.iterdir()] == ["secret"]
    result = box(*RUN, "links", "cat", f"/out/../{secret}", status=None)
    assert b"of this machine" not in result.stdout


def test_links_of_a_context_do_not_leave_it(box: Program, secret: Path) -> None:
    context = box.directory("ctx", {"Dockerfile": "FROM scratch\nCOPY . /all\n", "dir/file": "x"})
    (context / "secret").symlink_to(secret)
    (context / "away").symlink_to(secret.parent)
    (context / "dir/up").symlink_to("../../outside/secret")
    tree = box("build", "-o", "-", context).stdout
    with tarfile.open(fileobj=io.BytesIO(tree)) as tar:
        assert tar.getmember("all/secret").issym()
        assert all(b"of this machine" not in (tar.extractfile(m) or io.BytesIO()).read() for m in tar if m.isreg())
    for source in ("secret", "away/secret", "dir/up", "../outside/secret", "away/"):
        (context / "Dockerfile").write_text(f"FROM scratch\nCOPY {source} /got\n")
        result = box("build", "-o", "-", context, status=None)
        assert b"of this machine" not in result.stdout
        assert b"of this machine" not in result.stderr


def test_the_dockerfile_is_not_read_through_a_link_by_the_ignore_file(box: Program, secret: Path) -> None:
    context = box.directory("ctx", {"Dockerfile": "FROM scratch\nCOPY . /\n", "file": "x"})
    (context / ".dockerignore").symlink_to(secret)
    result = box("build", "-o", "-", context, status=None)
    assert b"of this machine" not in result.stderr


def test_links_between_stages_and_images_stay_in_them(box: Program, secret: Path) -> None:
    text = (
        f"FROM box AS one\nRUN --network=none ln -s {secret} /s && ln -s {secret.parent} /dir\n"
        "FROM box\nCOPY --from=one /s /dir/secret /got/\n"
    )
    context = box.directory("stages", {"Dockerfile": text})
    result = box("build", "-q", "-t", "x", context, status=None)
    assert b"of this machine" not in result.stderr
    text = text.replace(
        "COPY --from=one /s /dir/secret /got/", "RUN --mount=type=bind,from=one,source=/dir,target=/m cat /m/*"
    )
    (context / "Dockerfile").write_text(text.replace("RUN --mount", "RUN --network=none --mount"))
    result = box("build", "--progress", "plain", context, status=None)
    assert b"of this machine" not in result.stderr


def test_a_user_database_that_is_a_link_is_the_images(box: Program, secret: Path) -> None:
    outside = secret.parent
    (outside / "passwd").write_text("intruder:x:77:77::/:/bin/sh\n")
    text = f"FROM box\nRUN --network=none rm /etc/passwd && ln -s {outside}/passwd /etc/passwd\n"
    context = box.directory("users", {"Dockerfile": text})
    box("build", "-q", "-t", "users", context)
    assert b"77" not in box(*RUN, "-u", "intruder", "users", "id", status=125).stdout


@pytest.mark.netadmin
def test_services_on_the_loopback_of_the_machine_are_not_reached(
    box: Program, loopback_service: int, missing: Callable[[str], None]
) -> None:
    if box.user and shutil.which("pasta") is None and shutil.which("slirp4netns") is None:
        missing("pasta or slirp4netns")
    script = (
        f"for a in 127.0.0.1 10.0.2.2 169.254.1.1 169.254.2.2 $(ip route | awk '/default/ {{print $3}}'); do"
        f" timeout 5 wget -q -O - http://$a:{loopback_service}/ 2>/dev/null; done; echo end"
    )
    assert box.text("run", "--rm", "box", "sh", "-c", script) == "end"


@pytest.fixture
def loopback_service() -> Iterator[int]:
    """Return the port of a web server that listens on 127.0.0.1 alone."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"reached\n")

        def log_message(self, *_words: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_a_named_volume_cannot_be_a_way_out(box: Program, secret: Path) -> None:
    box(*RUN, "-v", "vol:/data", "box", "ln", "-s", str(secret.parent), "/data/way")
    box(*RUN, "-v", "vol:/data", "box", "sh", "-c", "echo x > /data/way/new", status=1)
    assert [path.name for path in secret.parent.iterdir()] == ["secret"]
    result = box(*RUN, "-v", "a/b:/data", "box", "true", status=125)
    assert b"a/b" in result.stderr
