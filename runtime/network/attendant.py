"""Serve the network of one container while it runs: names on 127.0.0.11, and ports that no firewall rule reaches.

A process of its own, forked by the monitor when a container joins a user's network or publishes ports. It ends when the
container's first process does, also when the monitor was killed (the kernel kills the container with it), and takes
the container's published ports out of the firewall. Standard library alone, and usable under `python -I -S`.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import sqlite3
import struct
import threading
from contextlib import suppress

from runtime.network import janitor, portrules
from runtime.network.dns import FORMERR, SERVFAIL, Names, Question, asks
from runtime.network.namespaces import HERE, within
from runtime.network.relay import CHUNK, Datagrams, Target, carry
from runtime.network.upstream import Upstream, read_framed
from runtime.sandbox import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_TCP_PATIENCE = 10.0
"""Seconds that a client of the name server over TCP may be silent."""
_IPPROTO_SCTP = 132
_SIOCGSKNS = 0x894C
"""Gives the network namespace of a socket (sockios.h)."""
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


def keep(locks: str, key: str) -> None:
    """Hold the descriptor 4, by which the bridges are in use, until the process of the pidfd 3 has ended."""
    poller = select.poll()
    poller.register(3, select.POLLIN)
    poller.poll()
    os.close(4)
    janitor.leave(locks, key)


class _Attendant:
    def __init__(
        self, document: dict[str, Any], container: int, ports: list[int], names: list[int], namespace: int
    ) -> None:
        self._container = container
        self._namespace = namespace
        self._actions: dict[int, Callable[[], None]] = {}
        self._workers = threading.BoundedSemaphore(_WORKERS)
        self._guard = threading.Lock()
        self._target = Target(document)
        self._poller = select.poll()
        for fd, (protocol, inner) in zip(ports, document.get("sockets", ()), strict=False):
            self._open_port(fd, protocol, inner)
        if names:
            dns = document["dns"]
            inside = fcntl.ioctl(names[0], _SIOCGSKNS) if dns.get("near") else HERE
            self._upstream = Upstream(dns["servers"], dns.get("near", ()), inside)
            self._names = Names(dns["database"], dns["containers"], dns["container"], dns.get("networks"))
            udp = socket.socket(fileno=names[0])
            tcp = socket.socket(fileno=names[1])
            self._actions[names[0]] = lambda: self._ask(udp)
            self._actions[names[1]] = lambda: self._accept(tcp, self._talk)

    def run(self) -> None:
        """Serve until the container's first process has ended."""
        self._poller.register(self._container, select.POLLIN)
        for fd in self._actions:
            self._poller.register(fd, select.POLLIN)
        while True:
            for fd, _ in self._poller.poll():
                if fd == self._container:
                    return
                if action := self._actions.get(fd):
                    with suppress(OSError):
                        action()

    def _watch(self, fd: int, action: Callable[[], None] | None) -> None:
        if action is None:
            self._poller.unregister(fd)
            del self._actions[fd]
        else:
            self._actions[fd] = action
            self._poller.register(fd, select.POLLIN)

    def _open_port(self, fd: int, protocol: str, inner: int) -> None:
        sock = socket.socket(fileno=fd)
        sock.setblocking(False)
        if protocol in ("tcp", "sctp"):
            kind = socket.IPPROTO_TCP if protocol == "tcp" else _IPPROTO_SCTP
            self._actions[fd] = lambda: self._accept(
                sock, lambda client: carry(client, (self._target.address(), inner), kind, self._namespace)
            )
        elif protocol == "udp":
            passing = Datagrams(sock, lambda: (self._target.address(), inner), self._namespace, self._watch)
            self._actions[fd] = passing.receive

    @staticmethod
    def _accept(listener: socket.socket, work: Callable[[socket.socket], None]) -> None:
        client, _ = listener.accept()
        client.setblocking(True)
        _start(work, client)

    def _ask(self, udp: socket.socket) -> None:
        """Answer one question over UDP."""
        message, client = udp.recvfrom(CHUNK)
        if not asks(message):
            return  # who answered an answer could be sent round in circles
        answer = self._answer(message, datagram=True)
        if answer is not None:
            udp.sendto(answer, client)
        elif self._workers.acquire(blocking=False):
            _start(self._forward, udp, message, client)

    def _answer(self, message: bytes, *, datagram: bool = False) -> bytes | None:
        """Answer from the names; None where other name servers are to be asked."""
        try:
            question = Question(message)
        except ValueError:
            return message[:2] + struct.pack(">HHHHH", 0x8000 | FORMERR, 0, 0, 0, 0)
        with self._guard:
            try:
                answer = self._names.answer(question)
            except (sqlite3.Error, ValueError, KeyError):
                return question.answer([], SERVFAIL)
            if answer is None and self._names.isolated and not self._upstream.near:
                return question.answer([], SERVFAIL)
        return question.cut(answer) if datagram and answer is not None else answer

    def _forward(self, udp: socket.socket, message: bytes, client: Any) -> None:
        try:
            answer = self._upstream.ask(message, socket.SOCK_DGRAM)
            with suppress(OSError):
                udp.sendto(answer, client)
        finally:
            self._workers.release()

    def _talk(self, client: socket.socket) -> None:
        """Answer questions over one TCP connection."""
        with client, suppress(OSError):
            client.settimeout(_TCP_PATIENCE)
            while asks(message := read_framed(client)):
                answer = self._answer(message) or self._upstream.ask(message, socket.SOCK_STREAM)
                client.sendall(struct.pack(">H", len(answer)) + answer)


def _start(work: Callable[..., None], *words: object) -> None:
    with suppress(RuntimeError):  # no thread to be had: the client tries again
        threading.Thread(target=work, args=words, daemon=True).start()
