"""Ports of containers on the host: every form of `-p`, who reaches them, and that they are free at every end."""

from __future__ import annotations

import http.client
import json
import socket
import sqlite3
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.programs import Program, kill
from tests.ports import free_ports

pytestmark = [pytest.mark.root, pytest.mark.netadmin, pytest.mark.overlay]

SERVER = ("sh", "-c", "mkdir -p /www && echo page > /www/index.html && exec httpd -f -p 80 -h /www")


def _get(address: str, port: int, seconds: float = 60) -> str:
    """Fetch the page, as soon as the server is up; the name of the error where it never is."""
    host = f"[{address}]" if ":" in address else address
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(f"http://{host}:{port}/", timeout=5) as answer:
                return str(answer.read().decode().strip())
        except (OSError, http.client.HTTPException) as error:
            if time.monotonic() > deadline:
                return type(error).__name__
            time.sleep(0.05)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that were closed linger
        try:
            probe.bind(("0.0.0.0", port))
            probe.listen()
        except OSError:
            return False
    return True


def _until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.02)


def _monitor(program: Program, name: str) -> int:
    with sqlite3.connect(program.root / "state.db") as database:
        row = database.execute("SELECT monitor FROM containers WHERE name = ?", (name,)).fetchone()
    database.close()
    return int(row[0].partition("-")[0])


@pytest.fixture
def host_address() -> str:
    """Return an address of this machine that is not the loopback's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))
        except OSError:
            pytest.skip("this machine has no address but the loopback's")
        return str(probe.getsockname()[0])


def test_a_published_port_answers_on_the_loopback_and_the_hosts_address(box: Program, host_address: str) -> None:
    port = free_ports()
    box("run", "-d", "--name", "web", "-p", f"{port}:80", "box", *SERVER)
    assert [_get("127.0.0.1", port), _get(host_address, port)] == ["page", "page"]
    assert f"0.0.0.0:{port}->80/tcp" in box.text("ps")
    assert box.text("port", "web", "80").splitlines()[0] == f"0.0.0.0:{port}"
    ports = json.loads(box.text("inspect", "-f", "{{json .NetworkSettings.Ports}}", "web"))
    assert {"HostIp": "0.0.0.0", "HostPort": str(port)} in ports["80/tcp"]
    box("rm", "-f", "web")
    assert _is_free(port)


def test_a_container_reaches_a_published_port_by_the_hosts_address(
    pybuild: Program, busybox: Path, host_address: str
) -> None:
    pybuild("import", "-", "box", input=busybox.read_bytes())
    port = free_ports()
    pybuild("run", "-d", "--name", "web", "-p", f"{port}:80", "box", *SERVER)
    assert _get(host_address, port) == "page"
    # Not nc(1), which says first that it has nothing more to say: pasta of 2023 then repeats the answer for ever.
    ask = ("wget", "-q", "-O", "-", f"http://{host_address}:{port}/")
    assert "page" in pybuild.text("run", "--rm", "box", *ask)
    assert "page" in pybuild.text("exec", "web", *ask)  # itself
    pybuild("rm", "-f", "web")


def test_a_port_for_one_address_answers_there_alone(box: Program, host_address: str) -> None:
    port = free_ports()
    box("run", "-d", "--name", "web", "-p", f"127.0.0.1:{port}:80", "box", *SERVER)
    assert _get("127.0.0.1", port) == "page"
    assert _get(host_address, port, seconds=0) in ("URLError", "ConnectionRefusedError")
    box("rm", "-f", "web")


def test_a_used_port_is_a_clear_error_and_leaves_nothing(box: Program) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        result = box("run", "--name", "late", "-p", f"{port}:80", "box", "true", status=125)
    assert b"port is already allocated" in result.stderr
    assert box.text("ps", "-aq") == ""


def test_all_exposed_ports_get_one_of_the_hosts(box: Program) -> None:
    box("run", "-d", "--name", "web", "-P", "--expose", "80", "box", *SERVER)
    place = box.text("port", "web", "80/tcp").splitlines()[0]
    assert _get("127.0.0.1", int(place.rpartition(":")[2])) == "page"
    box("rm", "-f", "web")


def test_ports_are_free_after_the_monitor_was_killed(box: Program) -> None:
    port = free_ports()
    box("run", "-d", "--name", "web", "-p", f"{port}:80", "box", *SERVER)
    assert _get("127.0.0.1", port) == "page"
    kill(_monitor(box, "web"))
    _until(lambda: _is_free(port))
    assert box.text("ps", "-a", "--format", "{{.State}}") == "exited"
    box("run", "-d", "--name", "next", "-p", f"{port}:80", "box", *SERVER)
    assert _get("127.0.0.1", port) == "page"
    box("rm", "-f", "web", "next")


def test_a_range_is_published_port_by_port(box: Program) -> None:
    port = free_ports(2)
    box("run", "-d", "--name", "two", "-p", f"{port}-{port + 1}:80-81", "box", "sleep", "1000")
    shown = box.text("port", "two")
    assert f"80/tcp -> 0.0.0.0:{port}" in shown
    assert f"81/tcp -> 0.0.0.0:{port + 1}" in shown
    box("rm", "-f", "two")


@pytest.mark.slow
def test_of_ten_thousand_short_requests_none_is_lost(box: Program) -> None:
    port = free_ports()
    box("run", "-d", "--name", "web", "-p", f"{port}:80", "box", *SERVER)
    assert _get("127.0.0.1", port) == "page"

    def ask(count: int) -> int:
        answered = 0
        for _ in range(count):
            with socket.create_connection(("127.0.0.1", port), 30) as connection:
                connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                answered += b"page" in b"".join(iter(lambda: connection.recv(4096), b""))
        return answered

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(ask, [625] * 16)) == 10_000
    box("rm", "-f", "web")
    assert _is_free(port)
