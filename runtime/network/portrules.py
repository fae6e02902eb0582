"""Put the published ports of a container into the firewall, and take them out again.

A port belongs to whoever holds its socket (publish.reserve), so an element of the maps that is in the way was left by
a container that is no more. Standard library alone, and usable under `python -I -S`.
"""

from __future__ import annotations

from runtime.network import nftables
from runtime.network.nftables import Nftables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

Where = tuple[int, int, int]
"""The host's address as a number (0 for all), the protocol's number, the port."""


def put(key: str, table: str, address: int, forwards: list[tuple[Where, int]]) -> None:
    """Send ports of the host to `address`: `forwards` are (where, port inside). Raises OSError, with nothing done."""
    if not forwards:
        return
    with Nftables() as rules:
        messages = [nftables.new_port(table, where, (address, inner)) for where, inner in forwards]
        try:
            rules.commit(messages)
        except FileExistsError:
            _drop(rules, key, forwards)
            rules.commit(messages)


def withdraw(document: dict[str, Any]) -> None:
    """Take out the ports of a plan's document; what is not there is no error."""
    forwards = _forwards(document)
    if not forwards:
        return
    with Nftables() as rules:
        try:
            rules.commit([nftables.delete_port(document["table"], where) for where, _ in forwards])
        finally:
            _drop(rules, document["key"], forwards)


def publish(document: dict[str, Any]) -> None:
    """Put the ports of a plan's document into the table of its bridge. Raises OSError."""
    put(document["key"], document["table"], document["to"], _forwards(document))


def drop(key: str, forwards: list[tuple[Where, int]]) -> None:
    """Take ports out of all tables of the root. Raises OSError."""
    with Nftables() as rules:
        _drop(rules, key, forwards)


def _forwards(document: dict[str, Any]) -> list[tuple[Where, int]]:
    return [((where[0], where[1], where[2]), inner) for where, inner in document.get("forwards", ())]


def _drop(rules: Nftables, key: str, forwards: list[tuple[Where, int]]) -> None:
    """Take ports out of all tables of the root, whichever network they were sent to."""
    for table in rules.tables(f"pybuild_{key}"):
        for where, _ in forwards:
            rules.commit([nftables.delete_port(table, where)])
