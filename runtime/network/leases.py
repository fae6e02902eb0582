"""Lease the addresses of a root's subnet: rows of the database, each owned by a process.

A lease whose process is gone is free: it is taken over when its turn comes, and dropped by the next sweep. Addresses
are given in turn, not the lowest first, so that the veth of a namespace that the kernel still clears away, and the
caches of its neighbours, do not meet a new container.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.errors import NetworkError
from runtime.network.subnets import Subnet, text
from runtime.store.leases import boot_mark, is_alive

if TYPE_CHECKING:
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


def take(database: Database, subnet: Subnet, *, owner: str, process: str) -> int:
    """Lease the next free address of `subnet` to `process` (written as runtime.store.leases.own_name does).

    The first address is the bridge's own. Raises NetworkError where all are in use by living processes.
    """
    network, prefix = subnet
    first, last = network + 2, network + (1 << (32 - prefix)) - 2
    with database.write() as connection:
        row = connection.execute("SELECT last FROM network_bridge WHERE network = ? AND prefix = ?", subnet).fetchone()
        start = row[0] + 1 if row and first <= row[0] < last else first
        for step in range(last - first + 1):
            address = first + (start - first + step) % (last - first + 1)
            holder = connection.execute("SELECT process FROM network_leases WHERE address = ?", (address,)).fetchone()
            if holder is None or not is_alive(holder[0]):
                break
        else:
            raise NetworkError(
                f"all addresses of {text(subnet)} are in use by running containers", hint="stop some of them"
            )
        connection.execute("INSERT OR REPLACE INTO network_leases VALUES(?, ?, ?)", (address, owner, process))
        connection.execute("INSERT OR REPLACE INTO network_bridge VALUES(1, ?, ?, ?)", (network, prefix, address))
    return address


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


def owners(database: Database) -> dict[int, str]:
    """List the addresses that living processes hold, and their owners, as "container:ID"."""
    boot = boot_mark()
    rows = database.read("SELECT address, owner, process FROM network_leases ORDER BY address")
    return {row[0]: row[1] for row in rows if is_alive(row[2], boot=boot)}


def drop_dead(database: Database) -> None:
    """Drop the leases of processes that are gone."""
    boot = boot_mark()
    rows = database.read("SELECT address, process FROM network_leases")
    dead = [tuple(row) for row in rows if not is_alive(row[1], boot=boot)]
    if dead:
        with database.write() as connection:
            connection.executemany("DELETE FROM network_leases WHERE address = ? AND process = ?", dead)
