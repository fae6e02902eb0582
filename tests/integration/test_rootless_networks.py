"""An unprivileged user's networks: their namespace is held, healed, and gone with the last container."""

from __future__ import annotations

import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.programs import Program, kill, settle
from tests.integration.test_published_ports import SERVER, _get, _until
from tests.ports import free_ports
from tests.users import find_user

pytestmark = [pytest.mark.root, pytest.mark.netadmin, pytest.mark.overlay, pytest.mark.userns]

SLEEP = ("sleep", "1000")


@pytest.fixture
def box(open_directory: Path, busybox: Path, missing: Callable[[str], None]) -> Iterator[Program]:
    """Return the program as a user, with an image `box`; nothing is left when the containers are removed."""
    program = Program(home=open_directory / "home", user=find_user(missing).pw_name)
    program.home.mkdir()
    program.own(program.home)
    program("import", "-", "box", input=busybox.read_bytes())
    yield program
    ids = program.text("ps", "-aq").split()
    if ids:
        program("rm", "-f", *ids)
    assert not settle(program)
    _until(lambda: not _holder(program))


def _holder(box: Program) -> list[str]:
    try:
        return (box.root / "locks" / "network.holder").read_text().split()
    except FileNotFoundError:
        return []


def test_containers_share_one_namespace_that_ends_with_the_last(box: Program) -> None:
    box("run", "-d", "--name", "one", "box", *SLEEP)
    held = _holder(box)
    box("run", "-d", "--name", "two", "box", *SLEEP)
    assert _holder(box) == held
    pid, number = held[0].partition("-")[0], held[1]
    assert os.readlink(f"/proc/{pid}/fd/{number}") == f"net:[{held[2]}]"
    assert os.readlink(f"/proc/{pid}/ns/net") == os.readlink("/proc/self/ns/net")


def test_a_killed_holder_is_followed_by_one_with_the_same_namespace(box: Program) -> None:
    box("network", "create", "net")
    box("run", "-d", "--name", "web", "--network", "net", "box", *SERVER)
    held = _holder(box)
    kill(int(held[0].partition("-")[0]))
    ask = ("sh", "-c", "for i in $(seq 200); do wget -qO- http://web/ && break; sleep 0.2; done")
    assert box.text("run", "--rm", "--network", "net", "box", *ask) == "page"
    assert _holder(box)[0] != held[0]
    assert _holder(box)[2] == held[2]


def test_a_killed_helper_is_started_again(box: Program) -> None:
    box("run", "-d", "--name", "one", "box", *SLEEP)
    holder = int(_holder(box)[0].partition("-")[0])
    children = Path(f"/proc/{holder}/task/{holder}/children")
    (keeper,) = children.read_text().split()
    os.kill(int(keeper), signal.SIGKILL)
    _until(lambda: children.read_text().split() not in ([], [keeper]))


def test_what_a_killed_holder_leaves_is_gone_after_the_next_command(box: Program) -> None:
    box("run", "-d", "--name", "one", "box", *SLEEP)
    kill(int(_holder(box)[0].partition("-")[0]))
    box("rm", "-f", "one")
    box("ps")
    _until(lambda: not _holder(box))


@pytest.mark.parametrize("network", ["bridge", "slirp4netns"])
def test_ports_are_published_where_there_is_no_pasta(box: Program, network: str) -> None:
    poor = replace(box, hidden=("pasta",))
    port = free_ports()
    poor("run", "-d", "--name", "web", "--network", network, "-p", f"{port}:80", "box", *SERVER)
    assert _get("127.0.0.1", port) == "page"
    poor("rm", "-f", "web")


_ASK = """
import socket, struct, sys
to, flags = sys.argv[1], int(sys.argv[2])
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
raw.connect((to, 0))
raw.settimeout(int(sys.argv[3]))
source = raw.getsockname()[0]
head = struct.pack(">HHIIBBHHH", 40000, 9, 1, 1, 5 << 4, flags, 1000, 0, 0)
words = socket.inet_aton(source) + socket.inet_aton(to) + struct.pack(">HH", 6, 20) + head
total = sum(struct.unpack(f">{len(words) // 2}H", words))
total = (total & 0xFFFF) + (total >> 16)
raw.send(head[:16] + struct.pack(">H", 0xFFFF & ~(total + (total >> 16))) + head[18:])
try:
    print(raw.recv(100)[33] & 4 and "reset")
except TimeoutError:
    print("silence")
"""
"""Send one segment of TCP with some flags to a closed port and say what comes back within some seconds."""


def test_a_segment_of_no_connection_is_not_answered(box: Program) -> None:
    """pasta sends one without flags before a slow answer; a reset would end the container's connection."""
    box("run", "-d", "--name", "one", "box", *SLEEP)
    pid, gateway = box.text(
        "inspect", "-f", "{{.State.Pid}} {{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}", "one"
    ).split()

    def ask(flags: int, seconds: int) -> str:
        net = f"--net=/proc/{pid}/ns/net"
        words = ("nsenter", net, sys.executable, "-c", _ASK, gateway, str(flags), str(seconds))
        return subprocess.run(words, check=True, capture_output=True, text=True, timeout=90).stdout.strip()

    assert ask(2, 60) == "reset"  # the beginning of a connection to a port where nobody listens
    assert ask(0, 1) == "silence"


def test_the_hosts_loopback_is_closed(box: Program) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ask = "for to in 127.0.0.1 $(ip route | grep default | cut -d' ' -f3); do nc -w 1 $to " + f"{port} </dev/null"
        ask += " && echo open; done; true"
        assert box.text("run", "--rm", "box", "sh", "-c", ask) == ""


def _own_address(missing: Callable[[str], None]) -> str:
    """Return the address by which this machine goes out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))
        except OSError:
            missing("a way out of this machine")
        return str(sock.getsockname()[0])


class _Page(http.server.BaseHTTPRequestHandler):
    """Answers with a page whose length it says: pasta of 2023 does not always tell of the end of a connection."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"host")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as it is overridden
        pass


@pytest.mark.parametrize("network", ["bridge", "net", "pasta", "slirp4netns"])
def test_the_host_is_asked_at_its_own_address_alone(box: Program, network: str, missing: Callable[[str], None]) -> None:
    address = _own_address(missing)
    box("network", "create", "net")
    with (
        http.server.ThreadingHTTPServer((address, 0), _Page) as own,
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page) as closed,
    ):
        for server in (own, closed):
            threading.Thread(target=server.serve_forever, daemon=True).start()
        ask = f"wget -qO- http://me:{own.server_port}/; echo; wget -qO- http://{address}:{own.server_port}/; echo;"
        ask += f"timeout 3 wget -qO- http://me:{closed.server_port}/ || echo closed"
        words = ("run", "--rm", "--network", network, "--add-host", "me:host-gateway", "box", "sh", "-c", ask)
        assert box.text(*words).split() == ["host", "host", "closed"]
        own.shutdown()
        closed.shutdown()
    box("network", "rm", "net")


def test_a_published_port_is_reached_by_the_hosts_address_from_another_network(
    box: Program, missing: Callable[[str], None]
) -> None:
    address, port = _own_address(missing), free_ports()
    box("network", "create", "net")
    box("network", "create", "other")
    box("run", "-d", "--name", "web", "--network", "net", "-p", f"{port}:80", "box", *SERVER)
    assert _get("127.0.0.1", port) == "page"
    for network in ("net", "other", "bridge"):
        ask = ("wget", "-qO-", f"http://{address}:{port}/")
        assert box.text("run", "--rm", "--network", network, "box", *ask) == "page"
    box("rm", "-f", "web")
    box("network", "rm", "net", "other")
