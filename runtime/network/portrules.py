"""Put the published ports of a container into the firewall, and take them out again.

A port belongs to whoever holds its socket (publish.reserve), so an element of the maps that is in the way was left by
a container that is no more. Standard library alone, and usable under `python -I -S`.
"""

from __future__ import annotations

import _socket

from runtime.network import nftables
from runtime.network.nftables import IPV4, IPV6, Family, Nftables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

Where = tuple[int, int, int]
"""The host's address as a number (0 for all), the protocol's number, the port."""
Forward = tuple[Where, int]
"""And the port inside."""


def put(key: str, table: str, address: int, forwards: list[Forward], family: Family = IPV4) -> None:
    """Send ports of the host to `address`: `forwards` are (where, port inside). Raises OSError, with nothing done.

    An address of 0 is none, and nothing is sent there.
    """
    if not forwards or not address:
        return
    with Nftables() as rules:
        messages = [nftables.new_port(table, where, (address, inner), family) for where, inner in forwards]
        try:
            rules.commit(messages)
        except FileExistsError:
            _drop(rules, key, forwards, family)
            rules.commit(messages)
    _forget_flows(forwards, family)


def withdraw(document: dict[str, Any]) -> None:
    """Take out the ports of a plan's document; what is not there is no error."""
    for family, _, forwards in _sides(document):
        with Nftables() as rules:
            try:
                if document["table"]:
                    rules.commit([nftables.delete_port(document["table"], where, family) for where, _ in forwards])
            finally:
                _drop(rules, document["key"], forwards, family)


def publish(document: dict[str, Any]) -> None:
    """Put the ports of a plan's document into the tables of its bridge. Raises OSError."""
    for family, address, forwards in _sides(document):
        put(document["key"], document["table"], address, forwards, family)


def drop(key: str, forwards: list[Forward], family: Family = IPV4) -> None:
    """Take ports out of all tables of the root. Raises OSError."""
    if forwards:
        with Nftables() as rules:
            _drop(rules, key, forwards, family)


def _sides(document: dict[str, Any]) -> Iterator[tuple[Family, int, list[Forward]]]:
    """Yield for each version of IP the container's address and its ports; nothing where there are none."""
    for family, name, to in ((IPV4, "forwards", "to"), (IPV6, "forwards6", "to6")):
        forwards = [((where[0], where[1], where[2]), inner) for where, inner in document.get(name, ())]
        if forwards:
            yield family, document.get(to, 0), forwards


def _drop(rules: Nftables, key: str, forwards: list[Forward], family: Family) -> None:
    """Take ports out of all tables of the root, whichever network they were sent to."""
    for table in rules.tables(f"pybuild_{key}", family.number):
        for where, _ in forwards:
            rules.commit([nftables.delete_port(table, where, family)])
            if where[0]:
                rules.commit([nftables.delete_port(table, where, family, own=True)])


def _forget_flows(forwards: list[Forward], family: Family) -> None:
    """Let the kernel forget where it sent the datagrams of these ports: a client goes on as before, from one port."""
    ports = {where[2] for where, _ in forwards if where[1] == _socket.IPPROTO_UDP}
    if ports:
        from runtime.network import conntrack  # lazy: hardly any port is UDP's

        conntrack.forget(ports, family)
