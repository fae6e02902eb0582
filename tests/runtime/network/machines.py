"""Network namespaces to play machines in, and what is asked of them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from runtime.network import bridge, rtnetlink
from runtime.network.nftables import Nftables
from runtime.network.rtnetlink import Rtnetlink
from runtime.sandbox import syscalls

OUTSIDE = "198.51.100.2"
UPLINK = "198.51.100.1"
KEY = "00c0ffee00"
SUBNET = (0x0AC80400, 22)
PORT = 8080

_SERVER = """
import socket, sys
server = socket.create_server(("", int(sys.argv[1])))
print(flush=True)
while True:
    client, address = server.accept()
    client.sendall(address[0].encode())
    client.close()
"""
_ASK = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3])) as connection:
        print(connection.recv(100).decode(), end="")
except OSError as error:
    print(type(error).__name__, end="")
"""


@contextmanager
def namespace() -> Iterator[None]:
    """Be in a new network namespace with its loopback up, and afterwards in the old one again."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscalls.unshare(syscalls.CLONE_NEWNET)
        try:
            with Rtnetlink() as links:
                links.transact([rtnetlink.link_up("lo")])
            yield
        finally:
            syscalls.setns(own, syscalls.CLONE_NEWNET)
    finally:
        os.close(own)


@contextmanager
def sleeper(*, separate: bool = True) -> Iterator[int]:
    """Give the pid of a process that waits in a network namespace of its own."""
    command = (
        ["unshare", "-n", "sh", "-c", "echo; exec sleep 1000"] if separate else ["sh", "-c", "echo; exec sleep 1000"]
    )
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process.pid
        finally:
            process.kill()


def ip(*words: str, pid: int | None = None) -> str:
    """Call ip(8), in the namespace of `pid`."""
    before = ("nsenter", "-n", "-t", str(pid)) if pid else ()
    return subprocess.run((*before, "ip", *words), check=True, capture_output=True, text=True).stdout


def ask(address: str, *, pid: int, port: int = PORT, seconds: float = 60) -> str:
    """Connect from the namespace of `pid`; returns what the server says, or the name of the error.

    Where nobody is to be reached, few `seconds` say so.
    """
    words = (_ASK, address, str(port), str(seconds))
    command = ("nsenter", "-n", "-t", str(pid), sys.executable, "-I", "-S", "-c", *words)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def silent(address: str, *, pid: int, port: int = PORT) -> bool:
    """Tell whether nothing at all comes back from there."""
    return ask(address, pid=pid, port=port, seconds=2) in ("TimeoutError", "OSError")


@contextmanager
def server(*, pid: int | None = None, port: int = PORT) -> Iterator[None]:
    """Run a server that tells who asks, on all addresses of the namespace of `pid`."""
    before = ("nsenter", "-n", "-t", str(pid)) if pid else ()
    command = (*before, sys.executable, "-I", "-S", "-c", _SERVER, str(port))
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield
        finally:
            process.kill()


def choose(_links: Rtnetlink) -> tuple[int, int, int]:
    return (*SUBNET, SUBNET[0] + 1)


def document(found: bridge.Bridge, *, number: int = 2, key: str = KEY) -> dict[str, object]:
    address = found.network + number
    return {
        "mode": "bridge",
        "locks": "",
        "key": key,
        "bridge": found.index,
        "port": bridge.port_name(key, address),
        "mac": bridge.mac_of(address),
        "address": address,
        "gateway": found.gateway,
        "prefix": found.prefix,
        "mtu": 1400,
    }


def left_over(key: str) -> list[str]:
    """List what is there of a root's network in this namespace."""
    with Rtnetlink() as links, Nftables() as rules:
        found = [link.name for link in links.links() if link.name.startswith(("br-pb", "pb"))]
        return found + [f"table {key}"] * rules.has_table(f"pybuild_{key}")


def eventually(condition: Callable[[], bool], *, seconds: float = 60) -> bool:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
