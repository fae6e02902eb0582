"""pasta and slirp4netns as an unprivileged user has them, in a machine of the test's own."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.runtime.network.machines import OUTSIDE, UPLINK, ask, eventually, server
from tests.users import become

pytestmark = [pytest.mark.userns, pytest.mark.netadmin]

_AS_USER = """
set -e
mount -t tmpfs -o mode=755 none /mnt
mknod -m 666 /mnt/tun c 10 200
chmod 666 /mnt/tun
mount --bind /mnt/tun /dev/net/tun
umount -l /mnt
[ -z "$RESOLV_CONF" ] || mount --bind "$RESOLV_CONF" /etc/resolv.conf
"""

_CONNECT = """
import os, subprocess, sys
from pathlib import Path
from runtime.context import Context, Layout
from runtime.network import attach
from runtime.network.plan import plan
from runtime.sandbox import userns
mode, root = sys.argv[1], Path(sys.argv[2])
context = Context(layout=Layout(root=root, run=root / "run", key="0123456789"), environ=os.environ, rootless=True)
userns.enter(context)
secret = os.open("/etc/passwd", os.O_RDONLY)
os.set_inheritable(secret, True)
command = ["unshare", "-n", "sh", "-c", "ip link set lo up; echo; exec sleep 1000"]
with subprocess.Popen(command, stdout=subprocess.PIPE) as container:
    container.stdout.readline()
    with plan(context, None, mode, owner="container:a") as found:
        try:
            attach.attach(found.document, container.pid)
            print(container.pid, flush=True)
        except OSError as error:
            container.kill()
            print(error.strerror, flush=True)
        sys.stdin.read()
        container.kill()
        container.wait()
        print(flush=True)
        sys.stdin.read()
"""

_NAMES = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
    server.bind(("127.0.0.1", 53))
    print(flush=True)
    while True:
        question, address = server.recvfrom(512)
        server.sendto(question, address)
"""

_ASK_NAMES = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.settimeout(60)
    client.connect((sys.argv[1], 53))
    client.send(b"question?")
    print(client.recv(512).decode(), end="")
"""

Started = tuple["subprocess.Popen[str]", str]


@pytest.fixture(params=["pasta", "slirp4netns"])
def helper(request: pytest.FixtureRequest, ordinary_user: pwd.struct_passwd, missing: Callable[[str], None]) -> str:
    name = str(request.param)
    if shutil.which(name) is None:
        missing(name)
    if not Path("/dev/net/tun").exists():
        missing("/dev/net/tun")
    return name


@pytest.fixture
def home(open_directory: Path, ordinary_user: pwd.struct_passwd) -> Path:
    """Give a directory of the user's, with nothing but searchable ones above."""
    os.chown(open_directory, ordinary_user.pw_uid, ordinary_user.pw_gid)
    return open_directory


@contextmanager
def connected(mode: str, home: Path, *, resolv_conf: Path | None = None) -> Iterator[Started]:
    """Connect a container as the user; gives the process that did, and the container's pid or what went wrong."""
    command = [*become(os.stat(home).st_uid, before=_AS_USER), sys.executable, "-c", _CONNECT, mode, str(home)]
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)}
    environment["RESOLV_CONF"] = str(resolv_conf or "")
    answer = ""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd="/"
    ) as process:
        try:
            assert process.stdout is not None
            answer = process.stdout.readline().strip()
            yield process, answer
        finally:
            process.kill()
            if answer.isdecimal() and is_alive(int(answer)):
                os.kill(int(answer), signal.SIGKILL)


def helpers_of(pid: int, container: int) -> list[int]:
    """List the keeper and the helper that a process has started, and what they started."""
    found = []
    with suppress(FileNotFoundError, ProcessLookupError):  # what a helper has for a moment at its start
        for child in map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
            if child != container:
                found += [child, *helpers_of(child, container)]
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_container_reaches_the_outside_but_not_the_loopback_of_the_host(
    helper: str, home: Path, machine: int
) -> None:
    with connected(helper, home) as (_, answer), server(port=82):
        container = int(answer)
        assert ask(OUTSIDE, pid=container) == UPLINK
        for address in ("127.0.0.1", "10.0.2.2"):
            assert "Error" in ask(address, pid=container, port=82, seconds=2)


def test_nothing_of_the_helper_outlives_the_container(helper: str, home: Path, machine: int) -> None:
    with connected(helper, home) as (process, answer):
        assert answer.isdecimal()
        helpers = helpers_of(process.pid, int(answer))
        assert len(helpers) >= 2, "the keeper, the helper, and what that has for a moment at its start"
        os.kill(int(answer), signal.SIGKILL)
        assert eventually(lambda: not any(is_alive(pid) for pid in helpers))


def test_nothing_of_the_helper_outlives_its_caller(helper: str, home: Path, machine: int) -> None:
    with connected(helper, home) as (process, answer):
        helpers = helpers_of(process.pid, int(answer))
        assert len(helpers) >= 2, "the keeper, the helper, and what that has for a moment at its start"
        process.kill()
        assert eventually(lambda: not any(is_alive(pid) for pid in helpers))
        assert is_alive(int(answer)), "the container ends by other means"


def test_a_killed_keeper_takes_its_helper_with_it(helper: str, home: Path, machine: int) -> None:
    with connected(helper, home) as (process, answer):
        keeper, *others = helpers_of(process.pid, int(answer))
        assert others
        os.kill(keeper, signal.SIGKILL)
        assert eventually(lambda: not any(is_alive(pid) for pid in others))


def test_the_helper_holds_no_file_of_its_caller(helper: str, home: Path, machine: int) -> None:
    with connected(helper, home) as (process, answer):
        for pid in helpers_of(process.pid, int(answer)):
            open_files = set()
            with suppress(FileNotFoundError, ProcessLookupError):
                for entry in os.listdir(f"/proc/{pid}/fd"):
                    open_files.add(os.readlink(f"/proc/{pid}/fd/{entry}"))
            assert "/etc/passwd" not in open_files
            assert not any(name.startswith("pipe:") and name in pipes_of(process.pid) for name in open_files)


def pipes_of(pid: int) -> set[str]:
    return {name for number in (0, 1) if (name := os.readlink(f"/proc/{pid}/fd/{number}")).startswith("pipe:")}


def test_a_name_server_on_the_loopback_of_the_host_is_asked_through_the_helper(
    helper: str, home: Path, machine: int
) -> None:
    resolv_conf = home / "resolv.conf"
    resolv_conf.write_text("nameserver 127.0.0.1\n")
    with (
        subprocess.Popen((sys.executable, "-c", _NAMES), stdout=subprocess.PIPE) as names,
        connected(helper, home, resolv_conf=resolv_conf) as (_, answer),
    ):
        try:
            assert names.stdout is not None
            names.stdout.readline()
            address = {"pasta": "169.254.1.1", "slirp4netns": "10.0.2.3"}[helper]
            command = ("nsenter", "-n", "-t", answer, sys.executable, "-c", _ASK_NAMES, address)
            assert subprocess.run(command, capture_output=True, check=True).stdout == b"question?"
        finally:
            names.kill()


def test_what_a_helper_has_to_say_is_told(
    home: Path, machine: int, helper: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = home / helper
    broken.write_text("#!/bin/sh\necho it does not work today >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{home}:{os.environ['PATH']}")
    with connected(helper, home) as (_, answer):
        assert answer == f"{broken}: it does not work today"
