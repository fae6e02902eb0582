"""Serve the network of one container while it runs: names on 127.0.0.11, and ports that no firewall rule reaches.

A process of its own, forked by the monitor when a container joins a user's network or publishes ports. It ends when the
container's first process does, also when the monitor was killed (the kernel kills the container with it), and takes
the container's published ports out of the firewall. Standard library alone, and usable under `python -I -S`.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sqlite3
import struct
import threading
from contextlib import suppress

from runtime.network import janitor, portrules
from runtime.network.dns import FORMERR, SERVFAIL, Names, Question, open_database
from runtime.network.namespaces import HERE, within
from runtime.network.ways import way_out
from runtime.sandbox import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_CHUNK = 1 << 16
_UPSTREAM_PATIENCE = 2.0
"""Seconds to wait for one of the host's name servers."""
_TCP_PATIENCE = 10.0
"""Seconds that a client of the name server over TCP may be silent."""
_IPPROTO_SCTP = 132
_CONNECT_PATIENCE = 30.0
"""Seconds to wait until a container takes a connection."""
_UDP_PATIENCE = 60.0
"""Seconds after which a silent conversation over UDP is forgotten."""
_WORKERS = 200
"""Questions that may wait for the host's name servers at once; the others are dropped, as UDP may be."""


def serve(document: dict[str, Any], container: int, ports: list[int], names: list[int], namespace: int = HERE) -> None:
    """Be the attendant; never returns. `container` is a pidfd, `ports` the bound sockets, `names` UDP and TCP.

    `namespace` is the network namespace from which the container is reached; the host's name servers are from here.
    """
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    with suppress(PermissionError):  # it leads a session already where it was spawned
        os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    syscalls.close_all_but((0, 1, 2, container, *ports, *names, *([namespace] if namespace != HERE else ())))
    try:
        _Attendant(document, container, ports, names, namespace).run()
    finally:
        with suppress(OSError):
            within(namespace, lambda: portrules.withdraw(document))
        janitor.leave(document["locks"], document["key"])
        os._exit(0)


class _Attendant:
    def __init__(
        self, document: dict[str, Any], container: int, ports: list[int], names: list[int], namespace: int
    ) -> None:
        self._container = container
        self._namespace = namespace
        self._actions: dict[int, Callable[[], None]] = {}
        self._workers = threading.BoundedSemaphore(_WORKERS)
        self._guard = threading.Lock()
        self._servers: list[str] = []
        self._target = _Target(document)
        for fd, (protocol, inner) in zip(ports, document.get("sockets", ()), strict=False):
            self._open_port(fd, protocol, inner)
        if names:
            dns = document["dns"]
            self._servers = dns["servers"]
            self._names = Names(dns["database"], dns["containers"], dns["container"], dns.get("networks"))
            udp = socket.socket(fileno=names[0])
            tcp = socket.socket(fileno=names[1])
            self._actions[names[0]] = lambda: self._ask(udp)
            self._actions[names[1]] = lambda: self._accept(tcp, self._talk)

    def run(self) -> None:
        """Serve until the container's first process has ended."""
        poller = select.poll()
        poller.register(self._container, select.POLLIN)
        for fd in self._actions:
            poller.register(fd, select.POLLIN)
        while True:
            for fd, _ in poller.poll():
                if fd == self._container:
                    return
                with suppress(OSError):
                    self._actions[fd]()

    def _open_port(self, fd: int, protocol: str, inner: int) -> None:
        sock = socket.socket(fileno=fd)
        sock.setblocking(False)
        if protocol in ("tcp", "sctp"):
            kind = socket.IPPROTO_TCP if protocol == "tcp" else _IPPROTO_SCTP
            self._actions[fd] = lambda: self._accept(
                sock, lambda client: self._relay(client, (self._target.address(), inner), kind)
            )
        elif protocol == "udp":
            peers: dict[Any, socket.socket] = {}
            self._actions[fd] = lambda: self._pass_datagram(sock, inner, peers)

    @staticmethod
    def _accept(listener: socket.socket, work: Callable[[socket.socket], None]) -> None:
        client, _ = listener.accept()
        client.setblocking(True)
        _start(work, client)

    def _ask(self, udp: socket.socket) -> None:
        """Answer one question over UDP."""
        message, client = udp.recvfrom(_CHUNK)
        answer = self._answer(message)
        if answer is not None:
            udp.sendto(answer, client)
        elif self._workers.acquire(blocking=False):
            _start(self._forward, udp, message, client)

    def _answer(self, message: bytes) -> bytes | None:
        """Answer from the names; None where the host's name servers are to be asked."""
        try:
            question = Question(message)
        except ValueError:
            return message[:2] + struct.pack(">HHHHH", 0x8000 | FORMERR, 0, 0, 0, 0)
        with self._guard:
            try:
                answer = self._names.answer(question)
            except (sqlite3.Error, ValueError, KeyError):
                return question.answer([], SERVFAIL)
            if answer is None and self._names.isolated:
                return question.answer([], SERVFAIL)
        return answer

    def _forward(self, udp: socket.socket, message: bytes, client: Any) -> None:
        try:
            answer = self._upstream(message, socket.SOCK_DGRAM)
            with suppress(OSError):
                udp.sendto(answer, client)
        finally:
            self._workers.release()

    def _upstream(self, message: bytes, kind: int) -> bytes:
        """Ask the host's name servers in turn; SERVFAIL where none answers."""
        for server in self._servers:
            family = socket.AF_INET6 if ":" in server else socket.AF_INET
            try:
                with socket.socket(family, kind) as sock:
                    sock.settimeout(_UPSTREAM_PATIENCE)
                    sock.connect((server, 53))
                    if kind == socket.SOCK_STREAM:
                        sock.sendall(struct.pack(">H", len(message)) + message)
                        answer = _read_framed(sock)
                    else:
                        sock.send(message)
                        answer = sock.recv(_CHUNK)
            except OSError:
                continue
            if answer[:2] == message[:2]:
                return answer
        return Question(message).answer([], SERVFAIL)

    def _talk(self, client: socket.socket) -> None:
        """Answer questions over one TCP connection."""
        with client, suppress(OSError):
            client.settimeout(_TCP_PATIENCE)
            while message := _read_framed(client):
                answer = self._answer(message) or self._upstream(message, socket.SOCK_STREAM)
                client.sendall(struct.pack(">H", len(answer)) + answer)

    def _relay(self, client: socket.socket, target: tuple[str, int], protocol: int) -> None:
        """Carry one connection to the container, each direction until its end; this thread is for it alone."""
        with client, suppress(OSError):
            if self._namespace != HERE:
                syscalls.setns(self._namespace, syscalls.CLONE_NEWNET)
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol) as inner:
                inner.settimeout(_CONNECT_PATIENCE)
                inner.connect(target)
                inner.settimeout(None)
                back = threading.Thread(target=_pump, args=(inner, client), daemon=True)
                back.start()
                _pump(client, inner)
                back.join()

    def _pass_datagram(self, sock: socket.socket, port: int, peers: dict[Any, socket.socket]) -> None:
        """Pass one datagram on, over a socket of the client's own, and its answers back."""
        data, client = sock.recvfrom(_CHUNK)
        inner = peers.get(client)
        if inner is None:
            if len(peers) >= _WORKERS:
                return
            inner = within(self._namespace, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            inner.settimeout(_UDP_PATIENCE)
            inner.connect((self._target.address(), port))
            peers[client] = inner
            _start(_answers, sock, inner, client, peers)
        inner.send(data)


class _Target:
    """The address at which a container is reached: that of its way out, which changes with the networks it is on."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._address = document.get("target", "")
        self._path = document.get("database", "")
        self._owner = document.get("owner", "")
        self._connection: sqlite3.Connection | None = None
        self._version: object = None
        self._guard = threading.Lock()

    def address(self) -> str:
        """Return it, as the record says where that has changed."""
        if self._path:
            with self._guard, suppress(sqlite3.Error, ValueError, KeyError):
                self._look()
        return str(self._address)

    def _look(self) -> None:
        if self._connection is None:
            self._connection = open_database(self._path)
        version = self._connection.execute("PRAGMA data_version").fetchone()
        if version == self._version:
            return
        row = self._connection.execute("SELECT network FROM containers WHERE id = ?", (self._owner,)).fetchone()
        endpoints = json.loads(row[0]).get("networks") or {} if row else {}
        if name := way_out(endpoints):
            self._address = endpoints[name]["address"]
        self._version = version


def _start(work: Callable[..., None], *words: object) -> None:
    with suppress(RuntimeError):  # no thread to be had: the client tries again
        threading.Thread(target=work, args=words, daemon=True).start()


def _read_framed(sock: socket.socket) -> bytes:
    """Read one message with its length before it; nothing at the end of the connection."""
    head = _read(sock, 2)
    return _read(sock, struct.unpack(">H", head)[0]) if len(head) == 2 else b""


def _read(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count and (piece := sock.recv(count - len(data))):
        data += piece
    return data


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(_CHUNK):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _answers(sock: socket.socket, inner: socket.socket, client: Any, peers: dict[Any, socket.socket]) -> None:
    with inner, suppress(OSError):
        while True:
            sock.sendto(inner.recv(_CHUNK), client)
    peers.pop(client, None)
