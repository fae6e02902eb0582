"""Answer questions for the names of containers (RFC 1035): read a question, write an answer, find the names.

The names are those of the running containers that share a user's network with the one that asks: name, short id,
aliases, host name, each also with the network's name behind a point; several containers of one alias are given in turn.
Standard library alone, and usable under `python -I -S`.
"""

from __future__ import annotations

import _socket
import fcntl
import json
import os
import sqlite3
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

A, PTR, AAAA, ANY = 1, 12, 28, 255
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, REFUSED = 0, 1, 2, 3, 5
_IN = 1
_HEADER = struct.Struct(">HHHHHH")
_RESPONSE, _TRUNCATED, _RECURSION_DESIRED, _RECURSION_AVAILABLE = 0x8000, 0x0200, 0x0100, 0x0080
_PLAIN = 512
_OPT = b"\0\0\x29"
"""The root's name and the type that an OPT record begins with."""
_OPCODE = 0x7800
_TTL = 600
"""Seconds, as Docker says; programs that keep names ask again after a restart all the same."""
_REVERSE, _REVERSE6 = ".in-addr.arpa", ".ip6.arpa"


def asks(message: bytes) -> bool:
    """Tell whether a message asks, well or badly; what is an answer itself, or shorter than a header, gets none."""
    return len(message) >= _HEADER.size and not message[2] & 0x80


class Question:
    """The question of a message: `name` in lower case without the last point, `kind`, and the bytes that asked.

    `limit`: bytes that a datagram may have that answers it (RFC 6891 § 6.2.3; RFC 1035 § 4.2.1 without an OPT record).
    """

    __slots__ = ("flags", "identity", "kind", "limit", "name", "raw")

    def __init__(self, message: bytes) -> None:
        """Read a message. Raises ValueError where it is no question, or not one."""
        if len(message) < _HEADER.size:
            raise ValueError("short")
        self.identity, self.flags, questions, _, _, additional = _HEADER.unpack_from(message)
        if self.flags & (_RESPONSE | _OPCODE) or questions != 1:
            raise ValueError("no question")
        labels, offset = [], _HEADER.size
        while (length := message[offset] if offset < len(message) else 64) and length < 64:
            labels.append(message[offset + 1 : offset + 1 + length])
            offset += 1 + length
        if length or offset + 5 > len(message):
            raise ValueError("a broken name")
        self.name = b".".join(labels).decode("latin-1").lower()
        self.kind = struct.unpack_from(">H", message, offset + 1)[0]
        self.raw = message[_HEADER.size : offset + 5]
        self.limit = _PLAIN
        rest = message[offset + 5 :]
        if additional and rest[:3] == _OPT and len(rest) >= 5:
            self.limit = max(_PLAIN, struct.unpack_from(">H", rest, 3)[0])

    def answer(self, records: list[tuple[int, bytes]], code: int = NOERROR) -> bytes:
        """Write the answer: `records` are (type, data), all under the name that was asked for."""
        flags = _RESPONSE | _RECURSION_AVAILABLE | (self.flags & _RECURSION_DESIRED) | code
        body = b"".join(struct.pack(">HHHIH", 0xC00C, kind, _IN, _TTL, len(data)) + data for kind, data in records)
        return _HEADER.pack(self.identity, flags, 1, len(records), 0, 0) + self.raw + body

    def cut(self, answer: bytes) -> bytes:
        """Shorten an answer of `answer` that has more than `limit` bytes: it says so, and TCP gives the whole."""
        if len(answer) <= self.limit:
            return answer
        identity, flags, questions, records, _, _ = _HEADER.unpack_from(answer)
        start = _HEADER.size + len(self.raw)
        size = (len(answer) - start) // records  # all have one length, but not where A and AAAA are asked for
        kept = (self.limit - start) // size if self.kind != ANY else 0
        return (
            _HEADER.pack(identity, flags | _TRUNCATED, questions, kept, 0, 0)
            + answer[_HEADER.size : start + kept * size]
        )


class Names:
    """The names that one container can ask for, read from the database when it has changed."""

    def __init__(
        self, database: str, containers: str, container: str, networks: dict[str, dict[str, Any]] | None = None
    ) -> None:
        """`networks` are those of one that is in no row, as a step of a build: what `inspect` has of each, by name."""
        self._own = networks or {}
        self._path = database
        self._containers = containers
        self._container = container
        self._connection: sqlite3.Connection | None = None
        self._version: object = None
        self._names: dict[str, list[tuple[str, dict[int, bytes]]]] = {}
        self._reverse: dict[str, tuple[str, str]] = {}
        self._turn = 0
        self.isolated = False
        """Whether all networks of the container are internal: then nothing is asked outside."""

    def answer(self, question: Question) -> bytes | None:
        """Answer from the names; None where the question is for somebody else."""
        self._refresh()
        if question.name.endswith((_REVERSE, _REVERSE6)) and question.kind == PTR:
            container, name = self._reverse.get(question.name, ("", ""))
            if container and self._lives(container):
                return question.answer([(PTR, _encode(name))])
            return None
        found = self._names.get(question.name)
        if found is None:
            return None
        living = [addresses for container, addresses in found if self._lives(container)]
        if not living:
            return None
        self._turn += 1
        records = []
        for kind in (A, AAAA):
            if question.kind in (kind, ANY):
                raw = list(dict.fromkeys(addresses[kind] for addresses in living if kind in addresses))
                start = self._turn % len(raw) if raw else 0
                records += [(kind, address) for address in raw[start:] + raw[:start]]
        return question.answer(records)  # none where the name is there, without what was asked for

    def close(self) -> None:
        """Close the database."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _refresh(self) -> None:
        if self._connection is None:
            self._connection = open_database(self._path)
        version = self._connection.execute("PRAGMA data_version").fetchone()
        if version == self._version:
            return
        rows = self._connection.execute(
            "SELECT id, name, network FROM containers WHERE state NOT IN ('created', 'exited', 'dead')"
        ).fetchall()
        self._read([(row[0], row[1], json.loads(row[2])) for row in rows])
        self._version = version

    def _read(self, rows: list[tuple[str, str, dict[str, Any]]]) -> None:
        self._names, self._reverse = {}, {}
        own = next((facts.get("networks") or {} for number, _, facts in rows if number == self._container), self._own)
        self.isolated = bool(own) and all(endpoint.get("internal") for endpoint in own.values())
        for network, mine in own.items():
            if not mine.get("id"):
                continue  # the default network has no names
            for container, name, facts in rows:
                endpoint = (facts.get("networks") or {}).get(network)
                if endpoint is None or endpoint.get("id") != mine["id"]:
                    continue
                addresses = _addresses(endpoint)
                linked = [alias for alias, other in mine.get("links", ()) if other in (name, container)]
                host = [facts["hostname"]] if facts.get("hostname") else []
                words = (name, container[:12], *endpoint.get("aliases", ()), *host, *linked)
                for word in dict.fromkeys(words):
                    for full in (word.lower(), f"{word}.{network}".lower()):
                        self._names.setdefault(full, []).append((container, addresses))
                for reverse in map(_backwards, addresses.values()):
                    self._reverse[reverse] = container, f"{name}.{network}"

    def _lives(self, container: str) -> bool:
        """Tell whether a container runs: its row says so until somebody looks."""
        directory = f"{self._containers}/{container}"
        if container == self._container:
            return True
        try:
            fd = os.open(f"{directory}/alive", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return not os.path.exists(f"{directory}/exit")
        finally:
            os.close(fd)
        return False


def _addresses(endpoint: dict[str, Any]) -> dict[int, bytes]:
    """Return the addresses of a container in one network by the kind of record that they are."""
    found = {A: _socket.inet_pton(_socket.AF_INET, endpoint["address"])} if endpoint["address"] else {}
    if endpoint.get("address6"):
        found[AAAA] = _socket.inet_pton(_socket.AF_INET6, endpoint["address6"])
    return found


def _backwards(address: bytes) -> str:
    """Write the name under which an address is looked up."""
    if len(address) == 4:
        return ".".join(str(byte) for byte in reversed(address)) + _REVERSE
    return ".".join(reversed(address.hex())) + _REVERSE6


def open_database(path: str) -> sqlite3.Connection:
    """Open the database for reading, by one thread at a time."""
    return sqlite3.connect(f"file:{_quoted(path)}?mode=ro", uri=True, timeout=2, check_same_thread=False)


def _encode(name: str) -> bytes:
    labels = [label.encode("latin-1", "replace")[:63] for label in name.split(".") if label]
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def _quoted(path: str) -> str:
    for character, escape in (("%", "%25"), ("?", "%3f"), ("#", "%23")):
        path = path.replace(character, escape)
    return path
