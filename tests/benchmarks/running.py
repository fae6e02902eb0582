"""Work with containers that run: commands in them, many at once, requests and bytes over networks, their keepers."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.tools import LIMIT, Tool
from tests.ports import free_ports

FLEET = 20
REQUESTS = 2000
_CLIENTS = 4
_PAGE = "a page of some bytes\n"
_PORT = 8000
"""Where servers listen in their containers; machines that lead all of port 80 through a proxy are not rare."""
_PATIENCE = 60.0
"""Seconds that a server may take until it answers."""

_READER = f"""
import socket, sys, time
end = time.monotonic() + {_PATIENCE}
while True:
    try:
        source = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout={_PATIENCE})
        break
    except OSError:
        if time.monotonic() > end:
            raise
        time.sleep(0.05)
begin = time.perf_counter()
source.sendall(b"GET /file HTTP/1.0\\r\\n\\r\\n")
buffer, total = bytearray(1 << 20), 0
while count := source.recv_into(buffer):
    total += count
if total < 1 << 20:
    sys.exit(f"{{total}} bytes came")
print(time.perf_counter() - begin)
"""


@contextmanager
def container(tool: Tool, name: str, image: str, *command: str, options: tuple[str, ...]) -> Iterator[str]:
    """Run a container in the background for the length of a block; gives its name."""
    tool.attempt("rm", "-f", name)  # of a run that was killed
    tool.time("run", "-d", "--name", name, *options, image, *command)
    try:
        yield name
    finally:
        tool.attempt("rm", "-f", name)


@contextmanager
def network(tool: Tool, name: str) -> Iterator[str]:
    """Make a network for the length of a block; gives its name."""
    tool.attempt("network", "rm", name)
    tool.time("network", "create", name)
    try:
        yield name
    finally:
        tool.attempt("network", "rm", name)


def start_fleet(tool: Tool, image: str, count: int) -> float:
    """Start containers all at the same time, return the seconds until the last is there, and remove them."""
    names = [f"bench-fleet-{number}" for number in range(count)]
    begin = time.perf_counter()
    starts = [
        tool.begin("run", "-d", "--name", name, "--network", "none", image, "/bin/sleep", "600") for name in names
    ]
    try:
        told = [b"".join(start.communicate(timeout=LIMIT)) for start in starts]
        seconds = time.perf_counter() - begin
    finally:
        for start in starts:
            if start.poll() is None:
                start.kill()
                start.communicate()
        tool.attempt("rm", "-f", *names)
    failed = [text for start, text in zip(starts, told, strict=True) if start.returncode]
    if failed:
        raise RuntimeError(f"{tool.name}: {len(failed)} of {count} did not start: {failed[0][-600:]!r}")
    return seconds


@contextmanager
def web_server(tool: Tool, image: str) -> Iterator[tuple[str, int]]:
    """Run a web server with a port that is published on a loopback address; gives that address once it answers."""
    address = "127.0.0.1", free_ports()  # one that a tool chose may be another program's
    script = f"echo -n '{_PAGE}' >/tmp/index.html; exec httpd -f -p {_PORT} -h /tmp"
    options = ("-p", f"{address[0]}:{address[1]}:{_PORT}")
    with container(tool, "bench-web", image, "/bin/sh", "-c", script, options=options):
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                ask(address)
                break
            except (OSError, RuntimeError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield address


def ask(address: tuple[str, int]) -> None:
    """Ask for the page over a connection of its own; raises RuntimeError or OSError where it does not come whole."""
    with socket.create_connection(address, timeout=_PATIENCE) as connection:
        connection.sendall(b"GET /index.html HTTP/1.0\r\n\r\n")
        answer = b""
        while piece := connection.recv(1 << 16):
            answer += piece
    if not answer.startswith(b"HTTP/1.") or not answer.endswith(_PAGE.encode()):
        raise RuntimeError(f"{address[0]}:{address[1]} answered {answer[:200]!r}")


def ask_often(address: tuple[str, int], count: int) -> float:
    """Ask `count` times, by a few clients at once; returns the seconds. One answer that is lost is a failure."""
    begin = time.perf_counter()
    with ThreadPoolExecutor(_CLIENTS) as clients:
        list(clients.map(ask, [address] * count))
    return time.perf_counter() - begin


@contextmanager
def source(tool: Tool, image: str, joined: str, mebibytes: int) -> Iterator[tuple[str, int]]:
    """Run a container on a network that serves a file of zeros; gives its address there."""
    script = f"dd if=/dev/zero of=/tmp/file bs=1M count=0 seek={mebibytes} && exec httpd -f -p {_PORT} -h /tmp"
    with container(tool, "bench-source", image, "/bin/sh", "-c", script, options=("--network", joined)) as name:
        form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        yield tool.output("inspect", "-f", form, name).strip(), _PORT


def receive(tool: Tool, name: str, address: tuple[str, int]) -> float:
    """Read the file within the network namespace of the container `name`; returns the seconds. Needs root.

    The reader is a program of this machine's: nothing that a small image has takes bytes as fast as they come.
    """
    first = tool.output("inspect", "-f", "{{.State.Pid}}", name).strip()
    words = ["nsenter", f"--net=/proc/{first}/ns/net", sys.executable, "-c", _READER, address[0], str(address[1])]
    done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{tool.name}: {' '.join(done.stderr.splitlines()[-1:])}")
    return float(done.stdout)


def keeper_memory(tool: Tool, name: str) -> float:
    """Return the bytes of memory (PSS) of the process that keeps a container: what its first process is a child of."""
    first = int(tool.output("inspect", "-f", "{{.State.Pid}}", name))
    keeper = _field(Path(f"/proc/{first}/status"), "PPid:")
    return float(_field(Path(f"/proc/{keeper}/smaps_rollup"), "Pss:") << 10)


def _field(path: Path, name: str) -> int:
    return next(int(line.split()[1]) for line in path.read_text().splitlines() if line.startswith(name))
