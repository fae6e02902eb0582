"""Pass on what comes to the published ports of a container where no rule of the firewall does.

Standard library alone, and usable under `python -I -S`.
"""

from __future__ import annotations

import json
import socket
import sqlite3
import threading
from contextlib import suppress

from runtime.network.dns import open_database
from runtime.network.namespaces import HERE, within
from runtime.network.ways import way_out
from runtime.sandbox import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

CHUNK = 1 << 16
_CONNECT_PATIENCE = 30.0
"""Seconds to wait until a container takes a connection."""
_CLIENTS = 1000
"""Clients whose datagrams are passed on at once; beyond that the one that was silent longest is forgotten."""
_BURST = 64
"""Datagrams that are passed on before others have their turn."""


class Target:
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

    def close(self) -> None:
        """Close the database."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _look(self) -> None:
        if self._connection is None:
            self._connection = open_database(self._path)
        version = self._connection.execute("PRAGMA data_version").fetchone()
        if version == self._version:
            return
        row = self._connection.execute("SELECT network FROM containers WHERE id = ?", (self._owner,)).fetchone()
        endpoints = json.loads(row[0]).get("networks") or {} if row else {}
        if name := way_out(endpoints):
            self._address = endpoints[name]["address"] or endpoints[name]["address6"]
        self._version = version


def carry(client: socket.socket, target: tuple[str, int], protocol: int, namespace: int) -> None:
    """Carry one connection to the container, each direction until its end; the thread is for it alone."""
    with client, suppress(OSError):
        if namespace != HERE:
            syscalls.setns(namespace, syscalls.CLONE_NEWNET)
        with socket.socket(_family(target[0]), socket.SOCK_STREAM, protocol) as inner:
            inner.settimeout(_CONNECT_PATIENCE)
            inner.connect(target)
            inner.settimeout(None)
            back = threading.Thread(target=_pump, args=(inner, client), daemon=True)
            back.start()
            _pump(client, inner)
            back.join()


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(CHUNK):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


class Datagrams:
    """Pass the datagrams of one port on, those of each client over a socket of its own, and the answers back.

    `watch` is told of each such socket and what to do when something came, and of its end (None).
    """

    def __init__(
        self,
        sock: socket.socket,
        target: Callable[[], tuple[str, int]],
        namespace: int,
        watch: Callable[[int, Callable[[], None] | None], None],
    ) -> None:
        self._sock = sock
        self._target = target
        self._namespace = namespace
        self._watch = watch
        self._clients: dict[Any, socket.socket] = {}
        """The one that was silent longest comes first."""

    def receive(self) -> None:
        """Pass on what clients have sent."""
        for _ in range(_BURST):
            try:
                data, client = self._sock.recvfrom(CHUNK)
            except BlockingIOError:
                return
            inner = self._clients.pop(client, None) or self._new(client)
            self._clients[client] = inner
            with suppress(OSError):  # nobody listens in the container: the client learns it by silence
                inner.send(data)

    def _new(self, client: Any) -> socket.socket:
        while len(self._clients) >= _CLIENTS:
            self._forget(next(iter(self._clients)))
        target = self._target()
        inner = within(self._namespace, lambda: socket.socket(_family(target[0]), socket.SOCK_DGRAM))
        inner.setblocking(False)
        inner.connect(target)
        self._watch(inner.fileno(), lambda: self._answer(inner, client))
        return inner

    def close(self) -> None:
        """Forget all clients."""
        for client in list(self._clients):
            self._forget(client)

    def _forget(self, client: Any) -> None:
        inner = self._clients.pop(client)
        self._watch(inner.fileno(), None)
        inner.close()

    def _answer(self, inner: socket.socket, client: Any) -> None:
        for _ in range(_BURST):
            try:
                self._sock.sendto(inner.recv(CHUNK), client)
            except BlockingIOError:
                return
