"""Addresses: one holder each, free again whatever becomes of him."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from runtime.context import Context
from runtime.errors import NetworkError
from runtime.network import leases
from runtime.store import Store
from runtime.store.leases import boot_mark, own_name

SUBNET = (0x0AC80400, 22)
TINY = (0x0AC80400, 29)
DEAD = f"1-1-{boot_mark()}-0"


@pytest.fixture(autouse=True)
def tables(store: Store) -> None:
    leases.ensure_tables(store.database)


def take(store: Store, subnet: tuple[int, int] = SUBNET, owner: str = "container:a", process: str | None = None) -> int:
    holder = process or own_name(store.context)
    return leases.take(store.database, subnet, owner=owner, process=holder)


def rows(store: Store) -> list[tuple[int, str]]:
    return [(row[0], row[1]) for row in store.database.read("SELECT address, owner FROM network_leases")]


def test_the_first_address_after_the_bridges_own_is_given_first(store: Store) -> None:
    assert take(store) == SUBNET[0] + 2


def test_an_address_that_was_given_back_waits_for_its_turn(store: Store) -> None:
    process = own_name(store.context)
    first = take(store, process=process)
    leases.release(store.database, process=process)
    assert take(store) == first + 1


def test_after_the_last_address_the_first_free_one_follows(store: Store) -> None:
    taken = [take(store, TINY) for _ in range(5)]
    assert taken == [TINY[0] + number for number in range(2, 7)]
    store.database.one("SELECT 1")
    with store.database.write() as connection:
        connection.execute("DELETE FROM network_leases WHERE address = ?", (TINY[0] + 4,))
    assert take(store, TINY) == TINY[0] + 4


def test_where_all_addresses_are_in_use_nobody_loses_his(store: Store) -> None:
    for _ in range(5):
        take(store, TINY)
    with pytest.raises(NetworkError, match=r"all addresses of 10\.200\.4\.0/29"):
        take(store, TINY)
    assert len(rows(store)) == 5


def test_the_address_of_a_dead_process_is_free(store: Store) -> None:
    for _ in range(5):
        take(store, TINY, process=DEAD)
    assert take(store, TINY, owner="container:b") == TINY[0] + 2
    assert (TINY[0] + 2, "container:b") in rows(store)


def test_what_killed_builds_left_goes_with_the_next_lease(store: Store) -> None:
    take(store, owner="step:1", process=DEAD)
    take(store, owner="step:2")
    take(store)
    assert [owner for _, owner in rows(store)] == ["step:2", "container:a"]


def test_a_lease_that_was_handed_over_is_not_the_givers_to_release(store: Store) -> None:
    mine, other = own_name(store.context), own_name(store.context)
    take(store, process=mine)
    leases.hand_over(store.database, process=mine, to=other)
    leases.release(store.database, process=mine)
    assert len(rows(store)) == 1
    leases.release(store.database, process=other)
    assert rows(store) == []


def test_the_end_of_a_container_gives_back_what_it_had(store: Store) -> None:
    take(store, owner="container:a")
    take(store, owner="container:b")
    leases.release_owner(store.database, "container:a")
    assert [owner for _, owner in rows(store)] == ["container:b"]


def test_the_subnet_is_remembered(store: Store) -> None:
    assert leases.recorded_subnet(store.database) is None
    take(store)
    assert leases.recorded_subnet(store.database) == SUBNET


_TAKER = """
import os, sys
from pathlib import Path
from runtime.context import Context, Layout
from runtime.network import leases
from runtime.store import Store
from runtime.store.leases import own_name
root = Path(sys.argv[1])
context = Context(layout=Layout(root=root, run=root, key="0" * 10), environ=os.environ, rootless=os.geteuid() != 0)
with Store.open(context) as store:
    for _ in range(10):
        print(leases.take(store.database, (0x0AC80400, 22), owner="container:x", process=own_name(context)))
    print(flush=True)
    sys.stdin.read()
"""


def test_processes_that_lease_at_once_never_get_the_same_address(store: Store, context: Context) -> None:
    command = [sys.executable, "-c", _TAKER, str(context.layout.root)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    takers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(4)
    ]
    try:
        found = [line for taker in takers if taker.stdout for line in iter(taker.stdout.readline, "\n") if line]
        assert len(found) == len(set(found)) == 40
    finally:
        for taker in takers:
            taker.communicate()


def test_an_ipv6_address_is_the_next_free_one_from_where_it_is_sought(store: Store) -> None:
    network, process = 0xFD << 120, own_name(store.context)

    def take6(wanted: int = 0, preferred: int = 5) -> int:
        return (
            leases.take6(
                store.database,
                (network + 1, network + 7),
                owner="container:a",
                process=process,
                preferred=network + preferred,
                excluded=(network + 6,),
                wanted=wanted,
            )
            - network
        )

    assert [take6(), take6(), take6()] == [5, 7, 1]
    assert take6(wanted=network + 3) == 3
    for taken in (3, 6):
        with pytest.raises(NetworkError, match=f"Address already in use: fd00::{taken} "):
            take6(wanted=network + taken)
    take(store, process=process)
    leases.release_address(store.database, "container:a", SUBNET[0] + 2, network + 3)
    assert rows(store) == []


def test_addresses_of_both_versions_go_with_their_process(store: Store) -> None:
    network, mine, other = 0xFD << 120, own_name(store.context), own_name(store.context)
    take(store, process=mine)
    leases.take6(store.database, (network, network + 9), owner="container:a", process=mine, preferred=network)
    leases.hand_over(store.database, process=mine, to=other)
    leases.release(store.database, process=mine)
    assert store.database.one("SELECT process FROM network_leases6")[0] == other  # type: ignore[index]
    leases.release(store.database, process=other)
    assert (rows(store), store.database.one("SELECT 1 FROM network_leases6")) == ([], None)
