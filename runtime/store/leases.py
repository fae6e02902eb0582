"""Say who owns what has no name yet, and keep the garbage collector from what is in use.

An owner is a process, written `PID-STARTTIME-BOOTID8-TOKEN`, so that a later command can tell by the name whether it
still lives: temporary directories and trash carry it as file name, leases as owner of their pins. A process in another
pid namespace is known by the lock on its temporary directory.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from runtime.errors import StoreError
from runtime.store.locks import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Literal

    from runtime.context import Context
    from runtime.store import Store
    from runtime.store.database import Database

    PinKind = Literal["snapshot", "blob", "image"]

_PREFIX = "lease:"
_START_TIME_FIELD = 19
"""Index of `starttime` in /proc/PID/stat after the command name (proc(5): field 22)."""


def boot_mark() -> str:
    """Give the first eight digits of this boot's id."""
    with open("/proc/sys/kernel/random/boot_id", "rb") as file:
        return file.read(8).decode()


def start_time(pid: int | str) -> str | None:
    """Give a process' start time in clock ticks since boot, None where there is no such process or it is a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in {b"Z", b"X"} else fields[_START_TIME_FIELD].decode()


def own_name(context: Context) -> str:
    """Name this process, with a token of its own for each call."""
    return f"{os.getpid()}-{start_time('self')}-{boot_mark()}-{context.token(12)}"


def is_alive(name: str, *, boot: str | None = None) -> bool:
    """Tell whether the process in an owner's name still runs; what is no owner's name is dead."""
    pid, _, rest = name.partition("-")
    started, _, rest = rest.partition("-")
    mark = rest.partition("-")[0]
    if not (pid.isdecimal() and pid.isascii()) or mark != (boot or boot_mark()):
        return False
    return start_time(pid) == started


def is_locked(path: Path) -> bool:
    """Tell whether somebody holds a lock on a workspace: a process that this pid namespace does not show, then."""
    if not path.is_dir() or path.is_symlink():
        return False
    try:
        lock = Lock(path)
    except StoreError:
        return False
    try:
        return not lock.try_acquire(exclusive=True)
    finally:
        lock.close()


class Lease:
    """Pins that hold for the length of a piece of work; taken before the content exists."""

    def __init__(self, database: Database, owner: str) -> None:
        self.owner = owner
        self._database = database

    def pin(self, kind: PinKind, *targets: str) -> None:
        """Keep snapshots (by chain ID), blobs (by digest) or images (by id) from being collected."""
        add_pins(self._database, self.owner, kind, *targets)


@contextmanager
def lease(store: Store) -> Iterator[Lease]:
    """Hold a lease for the length of a `with` block; if the process dies, the next command drops it."""
    store.workspace()  # by its lock others know that we live
    held = Lease(store.database, f"{_PREFIX}{store.owner}.{store.context.token(8)}")
    try:
        yield held
    finally:
        drop_pins(store.database, held.owner)


def add_pins(database: Database, owner: str, kind: PinKind, *targets: str) -> None:
    """Make `targets` roots of collection for `owner`; those it pins already stay."""
    with database.write() as connection:
        connection.executemany(
            "INSERT OR IGNORE INTO pins(owner, kind, target) VALUES(?, ?, ?)",
            [(owner, kind, target) for target in targets],
        )


def drop_pins(database: Database, owner: str) -> None:
    """Take away everything that `owner` pins."""
    if database.one("SELECT 1 FROM pins WHERE owner = ?", owner):
        with database.write() as connection:
            connection.execute("DELETE FROM pins WHERE owner = ?", (owner,))


def pinned_by(database: Database, kind: PinKind, target: str) -> tuple[str, ...]:
    """List the owners that pin one thing, sorted."""
    rows = database.read("SELECT owner FROM pins WHERE kind = ? AND target = ? ORDER BY owner", kind, target)
    return tuple(row[0] for row in rows)


def sweep_leases(database: Database, boot: str, unseen: Collection[str]) -> None:
    """Drop the leases of processes that are gone; `unseen` are owners that live all the same."""
    rows = database.read("SELECT DISTINCT owner FROM pins WHERE owner >= 'lease:' AND owner < 'lease;'")
    for row in rows:
        owner = str(row[0]).removeprefix(_PREFIX).partition(".")[0]
        if owner not in unseen and not is_alive(owner, boot=boot):
            drop_pins(database, str(row[0]))
