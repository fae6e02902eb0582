"""Questions for names of containers, and their answers."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.network.dns import AAAA, NXDOMAIN, PTR, A, Names, Question


def ask(name: str, kind: int = A) -> bytes:
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split("."))
    return struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)


def addresses(answer: bytes | None) -> list[str] | None:
    """Return the addresses of an answer to a question of A, in their order."""
    if answer is None:
        return None
    count = struct.unpack_from(">H", answer, 6)[0]
    return [".".join(map(str, answer[len(answer) - 16 * n + 12 :][:4])) for n in range(count, 0, -1)]


class Machine:
    """A database and directories of containers, whose locks this process holds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database = sqlite3.connect(path / "state.db", isolation_level=None)
        self.database.execute("PRAGMA journal_mode=WAL")
        self.database.execute("CREATE TABLE containers(id TEXT, name TEXT, network TEXT, state TEXT)")
        self.locks: dict[str, int] = {}
        self._names: list[Names] = []

    def start(
        self,
        letter: str,
        name: str,
        address: str,
        *,
        network: str = "net",
        aliases: tuple[str, ...] = (),
        **more: object,
    ) -> None:
        number = letter * 64
        (self.path / number).mkdir()
        self.locks[letter] = os.open(self.path / number / "alive", os.O_RDWR | os.O_CREAT)
        fcntl.flock(self.locks[letter], fcntl.LOCK_EX)
        endpoint = {"id": f"id-{network}", "address": address, "aliases": aliases, **more}
        self.database.execute(
            "INSERT INTO containers VALUES(?, ?, ?, 'running')",
            (number, name, json.dumps({"networks": {network: endpoint}})),
        )

    def names(self, container: str, networks: dict[str, Any] | None = None) -> Names:
        """Give the names of a container, by its letter, or of what is in no row."""
        number = container * 64 if len(container) == 1 else container
        self._names.append(Names(str(self.path / "state.db"), str(self.path), number, networks))
        return self._names[-1]

    def close(self) -> None:
        for names in self._names:
            names.close()
        self.database.close()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    made.start("a", "web", "10.9.0.2", aliases=("svc",))
    made.start("b", "db", "10.9.0.3", aliases=("svc",))
    made.start("c", "far", "10.8.0.2", network="other")
    yield made
    made.close()
    for fd in made.locks.values():
        os.close(fd)


def answer(names: Names, name: str, kind: int = A) -> bytes | None:
    return names.answer(Question(ask(name, kind)))


@pytest.mark.parametrize("name", ["db", "DB", "db.net", "b" * 12])
def test_a_container_is_found_by_its_names(machine: Machine, name: str) -> None:
    assert addresses(answer(machine.names("a"), name)) == ["10.9.0.3"]


def test_an_alias_of_several_gives_all_of_them_in_turn(machine: Machine) -> None:
    names = machine.names("a")
    first, second = addresses(answer(names, "svc")), addresses(answer(names, "svc"))
    assert first is not None
    assert second == first[::-1]


def test_other_networks_are_not_seen(machine: Machine) -> None:
    assert answer(machine.names("a"), "far") is None


def test_an_address_has_the_name_of_its_container(machine: Machine) -> None:
    found = answer(machine.names("a"), "3.0.9.10.in-addr.arpa", PTR)
    assert found is not None
    assert found.endswith(b"\x02db\x03net\0")


def test_a_name_without_an_address_of_that_version_is_there_all_the_same(machine: Machine) -> None:
    found = answer(machine.names("a"), "db", AAAA)
    assert found is not None
    assert struct.unpack_from(">HHHHHH", found)[1] & 15 == 0
    assert addresses(found) == []


def test_a_new_container_is_found_at_once(machine: Machine) -> None:
    names = machine.names("a")
    assert answer(names, "new") is None
    machine.start("d", "new", "10.9.0.4")
    assert addresses(answer(names, "new")) == ["10.9.0.4"]


def test_one_that_has_ended_is_not_found_though_its_row_says_otherwise(machine: Machine) -> None:
    names = machine.names("a")
    assert addresses(answer(names, "db")) == ["10.9.0.3"]
    (machine.path / ("b" * 64) / "exit").touch()
    assert answer(names, "db") is None


def test_one_whose_monitor_was_killed_is_not_found(machine: Machine) -> None:
    fcntl.flock(machine.locks["b"], fcntl.LOCK_UN)
    assert answer(machine.names("a"), "db") is None


def test_an_answer_repeats_the_question() -> None:
    question = Question(ask("web"))
    made = question.answer([], NXDOMAIN)
    assert made[:2] == b"\0\7"
    assert made[12:] == ask("web")[12:]
    assert made[3] & 15 == NXDOMAIN


@given(st.binary(max_size=80))
def test_any_bytes_are_a_question_or_none(data: bytes) -> None:
    try:
        question = Question(data)
    except ValueError:
        return
    assert question.answer([])[12:] == question.raw


def test_a_container_with_ipv6_is_found_by_either_address(machine: Machine) -> None:
    machine.start("d", "six", "10.9.0.4", address6="fd00::4")
    names = machine.names("a")
    raw = b"\xfd" + bytes(14) + b"\x04"
    long = answer(names, "six", AAAA)
    assert long is not None
    assert struct.unpack_from(">H", long, 6)[0] == 1
    assert long.endswith(struct.pack(">H", 16) + raw)
    assert addresses(answer(names, "six")) == ["10.9.0.4"]
    reverse = answer(names, ".".join(reversed(raw.hex())) + ".ip6.arpa", PTR)
    assert reverse is not None
    assert reverse.endswith(b"\x03six\x03net\0")


def test_a_link_is_a_name_for_the_container_that_has_it_alone(machine: Machine) -> None:
    machine.start("d", "own", "10.9.0.4", links=[("store", "db"), ("gone", "nobody")])
    assert addresses(answer(machine.names("d"), "store")) == ["10.9.0.3"]
    assert answer(machine.names("d"), "gone") is None
    assert answer(machine.names("a"), "store") is None


def test_a_step_of_a_build_that_is_in_no_row_asks_for_the_names_of_its_networks(machine: Machine) -> None:
    own = {"other": {"id": "id-other", "address": "10.8.0.9"}}
    names = machine.names("step", own)
    assert addresses(answer(names, "far")) == ["10.8.0.2"]
    assert answer(names, "web") is None
    assert addresses(answer(names, "step.other")) is None


def _flags(message: bytes) -> tuple[bool, int]:
    """Return whether an answer says that it is cut, and how many records it has."""
    flags, _, records = struct.unpack_from(">HHH", message, 2)
    return bool(flags & 0x0200), records


def test_an_answer_that_does_not_fit_is_cut_and_says_so() -> None:
    plain = ask("many")
    option = b"\0" + struct.pack(">HHIH", 41, 1232, 0, 0)
    extended = plain[:10] + struct.pack(">H", 1) + plain[12:] + option
    records = [(A, bytes((10, 9, 0, number))) for number in range(40)]
    for message, limit, kept in ((plain, 512, 30), (extended, 1232, 40)):
        question = Question(message)
        whole = question.answer(records)
        assert question.limit == limit
        given = question.cut(whole)
        assert len(given) <= limit
        assert _flags(given) == (kept < 40, kept)
        assert whole.startswith(given[12:], 12)


def test_a_mixed_answer_that_does_not_fit_is_cut_to_nothing() -> None:
    question = Question(ask("many", 255))
    whole = question.answer([(A, bytes(4))] * 20 + [(AAAA, bytes(16))] * 20)
    assert _flags(question.cut(whole)) == (True, 0)


def test_a_container_is_found_by_its_host_name(machine: Machine) -> None:
    machine.start("d", "mail", "10.9.0.4")
    machine.database.execute(
        "UPDATE containers SET network = json_set(network, '$.hostname', 'Post.example') WHERE name = 'mail'"
    )
    assert addresses(answer(machine.names("a"), "post.example")) == ["10.9.0.4"]
    assert addresses(answer(machine.names("a"), "post.example.net")) == ["10.9.0.4"]
