"""Lease the addresses of a root's subnet: rows of the database, each owned by a process.

A lease whose process is gone is free: it is taken over when its turn comes, and dropped with the bridge. Addresses
are given in turn, not the lowest first, so that the veth of a namespace that the kernel still clears away, and the
caches of its neighbours, do not meet a new container. IPv6 addresses, of 32 hex digits, have a table of their own; they
go with those of IPv4, whose place in the subnet they share.
"""

from __future__ import annotations

from collections.abc import Collection

from runtime.errors import NetworkError
from runtime.network.subnets import Subnet, dotted, text, text6
from runtime.store.leases import is_alive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sqlite3 import Connection

    from runtime.store.database import Database

_VERSION = 2
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
    """CREATE TABLE IF NOT EXISTS network_leases6(
        address TEXT PRIMARY KEY,
        owner TEXT NOT NULL,
        process TEXT NOT NULL) WITHOUT ROWID""",
)
_TRIES6 = 4096
"""Addresses that are looked at for a free one, of the many that a subnet has."""
_BOTH = ("network_leases", "network_leases6")


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
    excluded: Collection[int] = (),
    wanted: int = 0,
) -> int:
    """Lease the next free address of `subnet` to `process` (written as runtime.store.leases.own_name does).

    `span` are the first and last address that containers get, by default all but the lowest, which is the bridge's own;
    `excluded` are never leased. `wanted` asks for one address. Raises NetworkError where there is none that no living
    process uses.
    """
    network, prefix = subnet
    first, last = span or (network + 2, network + (1 << (32 - prefix)) - 2)
    with database.write() as connection:
        _drop_dead_steps(connection)
        if wanted:
            if wanted in excluded or not _is_free(connection, wanted):
                raise NetworkError(f"Address already in use: {dotted(wanted)} is another container's, or kept free")
            address = wanted
        else:
            address = _next(connection, subnet, (first, last), excluded)
        connection.execute("INSERT OR REPLACE INTO network_leases VALUES(?, ?, ?)", (address, owner, process))
        if span is None:
            connection.execute("INSERT OR REPLACE INTO network_bridge VALUES(1, ?, ?, ?)", (network, prefix, address))
    return address


def take6(
    database: Database,
    span: tuple[int, int],
    *,
    owner: str,
    process: str,
    preferred: int,
    excluded: Collection[int] = (),
    wanted: int = 0,
) -> int:
    """Lease an IPv6 address: `wanted`, else the first free one from `preferred` on within `span` (first and last).

    Raises NetworkError where there is none that no living process uses.
    """
    first, last = span
    with database.write() as connection:
        address = wanted or min(max(preferred, first), last)
        tries = min(last - first + 1, _TRIES6)
        while address in excluded or not _is_free(connection, _hex(address), "network_leases6"):
            tries -= 1
            if wanted or tries <= 0:
                reason = (
                    f"{text6(address)} is another container's, or kept free" if wanted else "no IPv6 address is free"
                )
                raise NetworkError(f"Address already in use: {reason}")
            address = first if address >= last else address + 1
        connection.execute("INSERT OR REPLACE INTO network_leases6 VALUES(?, ?, ?)", (_hex(address), owner, process))
    return address


def _hex(address: int) -> str:
    return f"{address:032x}"


def _next(connection: Connection, subnet: Subnet, span: tuple[int, int], excluded: Collection[int]) -> int:
    """Find the next free address of a span after the one that was given last."""
    first, last = span
    row = connection.execute("SELECT last FROM network_bridge WHERE network = ? AND prefix = ?", subnet).fetchone()
    start = row[0] + 1 if row and first <= row[0] < last else first
    for step in range(last - first + 1):
        address = first + (start - first + step) % (last - first + 1)
        if address not in excluded and _is_free(connection, address):
            return int(address)
    raise NetworkError(f"all addresses of {text(subnet)} are in use by running containers", hint="stop some of them")


def _is_free(connection: Connection, address: int | str, table: str = "network_leases") -> bool:
    holder = connection.execute(f"SELECT process FROM {table} WHERE address = ?", (address,)).fetchone()
    return holder is None or not is_alive(holder[0])


def hand_over(database: Database, *, process: str, to: str) -> None:
    """Let the leases of a process be those of another."""
    with database.write() as connection:
        for table in _BOTH:
            connection.execute(f"UPDATE {table} SET process = ? WHERE process = ?", (to, process))


def release(database: Database, *, process: str) -> None:
    """Give back what a process (by its name, that has a token for each endpoint) has leased."""
    with database.write() as connection:
        for table in _BOTH:
            connection.execute(f"DELETE FROM {table} WHERE process = ?", (process,))


def release_address(database: Database, owner: str, address: int, address6: int = 0) -> None:
    """Give back the addresses that a container or step has in one network."""
    with database.write() as connection:
        connection.execute("DELETE FROM network_leases WHERE address = ? AND owner = ?", (address, owner))
        if address6:
            connection.execute("DELETE FROM network_leases6 WHERE address = ? AND owner = ?", (_hex(address6), owner))


def release_owner(database: Database, owner: str) -> None:
    """Give back what a container or step has leased, whichever process holds it."""
    ensure_tables(database)
    if database.one("SELECT 1 FROM network_leases WHERE owner = ?", owner):
        with database.write() as connection:
            for table in _BOTH:
                connection.execute(f"DELETE FROM {table} WHERE owner = ?", (owner,))


def _drop_dead_steps(connection: Connection) -> None:
    """Drop the leases of killed builds: nobody looks after their end as containers do after each other's."""
    for table in _BOTH:
        rows = connection.execute(f"SELECT address, process FROM {table} WHERE owner GLOB 'step:*'").fetchall()
        dead = [(row[0],) for row in rows if not is_alive(row[1])]
        connection.executemany(f"DELETE FROM {table} WHERE address = ?", dead)
