"""Keep the store's state in one SQLite database that several processes and threads use at once.

Every thread has a connection of its own, which no forked child ever touches. The journal is a WAL: readers never
wait. Writes are `BEGIN IMMEDIATE` and short: nothing runs, downloads or copies inside one. `synchronous` is NORMAL: a
power cut may lose the last transactions but never breaks the file; of content that was recorded and not synced, blobs
and snapshots know by themselves that it is to be compared.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from runtime.context import Cancel
from runtime.errors import StoreError

Row = sqlite3.Row
"""A row, by position and by column name."""

_BUSY_SLICE_MS = 250
_BUSY_LIMIT = 60.0
"""Seconds that a write waits for other processes before it gives up."""

_SHARED_MEMORY = 1 << 16
"""Bytes that the connections of a database share in a file of their own: two pieces of it."""

_COMPONENTS = "CREATE TABLE IF NOT EXISTS components(name TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID"


class Database:
    """The SQLite file `path`, made on first use; `close` ends the connections of all threads."""

    def __init__(self, path: Path, cancel: Cancel) -> None:
        self.path = path
        self._cancel = cancel
        self._local = threading.local()
        self._guard = threading.Lock()
        self._connections: list[tuple[threading.Thread, sqlite3.Connection]] = []
        self._inherited: list[object] = []
        self._process = os.getpid()
        self._versions: dict[str, int] = {}

    def ensure(
        self,
        component: str,
        version: int,
        ddl: Sequence[str],
        *,
        migrations: Mapping[int, Sequence[str]] | None = None,
    ) -> None:
        """Create or migrate the tables of one room in one transaction.

        `ddl` are statements that may run again (`CREATE … IF NOT EXISTS`). An older database first gets the
        statements of `migrations[N]`, which lead from version N to N+1. Raises StoreError where the tables were made
        by a newer program.
        """
        found = self._versions.get(component)
        if found is None:
            self._load_versions()
            found = self._versions.get(component, 0)
        if found == version:
            return
        with self.write() as connection:
            connection.execute(_COMPONENTS)
            row = connection.execute("SELECT version FROM components WHERE name = ?", (component,)).fetchone()
            found = int(row[0]) if row else 0
            if found > version:
                raise StoreError(
                    f"{self.path} was written by a newer pybuild ({component} {found}, this one knows {version})",
                    hint="use that version, or another --root",
                )
            if found < version:
                for step in range(found, version) if found else ():
                    for statement in (migrations or {}).get(step, ()):
                        connection.execute(statement)
                for statement in ddl:
                    connection.execute(statement)
                connection.execute("INSERT OR REPLACE INTO components VALUES(?, ?)", (component, version))
        self._versions[component] = version

    def read(self, sql: str, *params: object) -> list[Row]:
        """Run one query and return all its rows; inside a `write` block it sees what was written there."""
        with self._explained():
            return self._connection().execute(sql, params).fetchall()

    def one(self, sql: str, *params: object) -> Row | None:
        """Run one query and return its first row, None where there is none."""
        with self._explained():
            row: Row | None = self._connection().execute(sql, params).fetchone()
            return row

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Run a transaction that commits at the end of the block and is undone by an exception.

        A block inside another one of the same thread is part of the outer transaction. IntegrityError passes as it
        is, so that a caller can use a constraint to claim a name; other errors of SQLite become StoreError.
        """
        connection = self._connection()
        with self._explained():
            if connection.in_transaction:
                yield connection
                return
            self._begin(connection)
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # after a full disk SQLite has undone it itself
                    connection.execute("ROLLBACK")
                raise

    @property
    def is_writing(self) -> bool:
        """Whether this thread is inside a `write` block."""
        return self._connection().in_transaction

    def check(self) -> list[str]:
        """Let SQLite verify the file; returns its complaints, none for a sound one."""
        try:
            rows = self.read("PRAGMA integrity_check(20)")
        except StoreError as error:
            return [error.message]
        return [f"{self.path}: {row[0]}" for row in rows if row[0] != "ok"]

    def close(self) -> None:
        """Close every thread's connection; in a forked child it only forgets them."""
        with self._guard:
            connections, self._connections = self._connections, []
        if os.getpid() == self._process:
            for _, connection in connections:
                connection.close()
        self._local = threading.local()

    def _connection(self) -> sqlite3.Connection:
        if os.getpid() != self._process:
            # Closing a parent's connection would drop the parent's file locks: it stays referenced, and untouched.
            self._process = os.getpid()
            self._local = threading.local()
            self._guard = threading.Lock()
            self._inherited.extend(self._connections)
            self._connections = []
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._connect()
            self._local.connection = connection
            self._keep(connection)
        return connection

    def _keep(self, connection: sqlite3.Connection) -> None:
        """Note a new connection, and close those of threads that have ended."""
        with self._guard:
            ended = [pair for pair in self._connections if not pair[0].is_alive()]
            self._connections = [pair for pair in self._connections if pair[0].is_alive()]
            self._connections.append((threading.current_thread(), connection))
        for _, old in ended:
            old.close()

    def _connect(self) -> sqlite3.Connection:
        with self._explained():
            connection = sqlite3.connect(
                self.path, timeout=_BUSY_SLICE_MS / 1000, isolation_level=None, check_same_thread=False
            )
            connection.row_factory = sqlite3.Row
            deadline = time.monotonic() + _BUSY_LIMIT
            while True:
                try:
                    # The switch to WAL needs the file alone for a moment, and SQLite does not wait for that by itself.
                    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                        connection.execute("PRAGMA journal_mode = WAL")
                    break
                except sqlite3.OperationalError as error:
                    if not _is_busy(error) or time.monotonic() > deadline:
                        connection.close()
                        raise
                    self._cancel.check()
                    time.sleep(0.005)
                except sqlite3.DatabaseError:
                    connection.close()
                    raise
            connection.execute("PRAGMA synchronous = NORMAL")
            return connection

    def _begin(self, connection: sqlite3.Connection) -> None:
        deadline = time.monotonic() + _BUSY_LIMIT
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or time.monotonic() > deadline:
                    raise
                self._cancel.check()

    def _load_versions(self) -> None:
        try:
            rows = self._connection().execute("SELECT name, version FROM components").fetchall()
        except sqlite3.OperationalError:
            return  # a new database
        except sqlite3.DatabaseError as error:
            raise self._explain(error) from error
        self._versions.update({str(row[0]): int(row[1]) for row in rows})

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError):
            raise
        except sqlite3.DatabaseError as error:
            raise self._explain(error) from error

    def _explain(self, error: sqlite3.DatabaseError) -> StoreError:
        if _is_busy(error):
            return StoreError(
                f"{self.path} is locked by another command for more than {_BUSY_LIMIT:.0f} s",
                hint="look for a pybuild process that hangs",
            )
        if "malformed" in str(error) or "not a database" in str(error):
            return StoreError(f"{self.path} is damaged: {error}", hint="`pybuild system check` names what is wrong")
        if "full" in str(error) or ("disk I/O" in str(error) and self._is_disk_full()):
            return StoreError(
                f"{self.path}: {error} (No space left on device)",
                hint="make room on its disk; `pybuild system df` shows what takes the space, where it has some still",
            )
        return StoreError(f"{self.path}: {error}")

    def _is_disk_full(self) -> bool:
        """Tell whether the disk has no room for the memory that connections share, which SQLite does not say."""
        try:
            disk = os.statvfs(self.path.parent)
            return disk.f_bavail * disk.f_frsize < _SHARED_MEMORY
        except OSError:
            return False


def _is_busy(error: sqlite3.Error) -> bool:
    return "locked" in str(error) or "busy" in str(error)
