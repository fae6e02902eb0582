"""Lease the addresses of a root's subnet: rows of the database, each owned by a process.

A lease whose process is gone is free: it is taken over when its turn comes, and dropped with the bridge. Addresses
are given in turn, not the lowest first, so that the veth of a namespace that the kernel still clears away, and the
caches of its neighbours, do not meet a new container.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.errors import NetworkError
from runtime.network.subnets import Subnet, dotted, text
from runtime.store.leases import is_alive

if TYPE_CHECKING:
    from sqlite3 import Connection

    from runtime.store.database import Database

_VERSION = 1
_TABLES = (
    """CREATE TABLE IF NOT EXISTS network_leases(
        address INTEGER PRIMARY KEY,
        owner TEXT NOT NULL,
        process TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS network_bridge(
        one INTEGER PRIMARY KEY CHECK (one = 1),
        network INTEGER NOT NULL,
        prefix INTEGER NOT NULL,
        last INTEGER NOT NULL)""",
)


def ensure_tables(database: Database) -> None:
    """Create or migrate this room's tables."""
    database.ensure("network", _VERSION, _TABLES)


def recorded_subnet(database: Database) -> Subnet | None:
    """Return the subnet that the bridge had last."""
    row = database.one("SELECT network, prefix FROM network_bridge")
    return (row[0], row[1]) if row else None


def take(
    database: Database,
    subnet: Subnet,
    *,
    owner: str,
    process: str,
    span: tuple[int, int] | None = None,
    gateway: int = 0,
    wanted: int = 0,
) -> int:
    """Lease the next free address of `subnet` to `process` (written as runtime.store.leases.own_name does).

    `span` are the first and last address that containers get, by default all but the lowest, which is the bridge's own;
    `gateway` is never leased. `wanted` asks for one address. Raises NetworkError where there is none that no living
    process uses.
    """
    network, prefix = subnet
    first, last = span or (network + 2, network + (1 << (32 - prefix)) - 2)
    with database.write() as connection:
        _drop_dead_steps(connection)
        if wanted:
            if not _is_free(connection, wanted):
                raise NetworkError(f"Address already in use: {dotted(wanted)} is another container's")
            address = wanted
        else:
            address = _next(connection, subnet, (first, last), gateway)
        connection.execute("INSERT OR REPLACE INTO network_leases VALUES(?, ?, ?)", (address, owner, process))
        if span is None:
            connection.execute("INSERT OR REPLACE INTO network_bridge VALUES(1, ?, ?, ?)", (network, prefix, address))
    return address


def _next(connection: Connection, subnet: Subnet, span: tuple[int, int], gateway: int) -> int:
    """Find the next free address of a span after the one that was given last."""
    first, last = span
    row = connection.execute("SELECT last FROM network_bridge WHERE network = ? AND prefix = ?", subnet).fetchone()
    start = row[0] + 1 if row and first <= row[0] < last else first
    for step in range(last - first + 1):
        address = first + (start - first + step) % (last - first + 1)
        if address != gateway and _is_free(connection, address):
            return int(address)
    raise NetworkError(f"all addresses of {text(subnet)} are in use by running containers", hint="stop some of them")


def _is_free(connection: Connection, address: int) -> bool:
    holder = connection.execute("SELECT process FROM network_leases WHERE address = ?", (address,)).fetchone()
    return holder is None or not is_alive(holder[0])


def hand_over(database: Database, address: int, *, process: str, to: str) -> None:
    """Let the lease of `address` be that of another process."""
    with database.write() as connection:
        connection.execute(
            "UPDATE network_leases SET process = ? WHERE address = ? AND process = ?", (to, address, process)
        )


def release(database: Database, address: int, *, process: str) -> None:
    """Give a lease back; nothing happens if it is another process' by now."""
    with database.write() as connection:
        connection.execute("DELETE FROM network_leases WHERE address = ? AND process = ?", (address, process))


def release_owner(database: Database, owner: str) -> None:
    """Give back what a container or step has leased, whichever process holds it."""
    ensure_tables(database)
    if database.one("SELECT 1 FROM network_leases WHERE owner = ?", owner):
        with database.write() as connection:
            connection.execute("DELETE FROM network_leases WHERE owner = ?", (owner,))


def _drop_dead_steps(connection: Connection) -> None:
    """Drop the leases of killed builds: nobody looks after their end as containers do after each other's."""
    rows = connection.execute("SELECT address, process FROM network_leases WHERE owner GLOB 'step:*'").fetchall()
    dead = [(row[0],) for row in rows if not is_alive(row[1])]
    connection.executemany("DELETE FROM network_leases WHERE address = ?", dead)
