from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path

import pytest

from runtime.context import Cancel
from runtime.errors import StoreError
from runtime.store.database import Database

DDL = ("CREATE TABLE IF NOT EXISTS t(x INTEGER PRIMARY KEY)",)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


def test_what_one_writes_another_reads(path: Path) -> None:
    first, second = Database(path, Cancel()), Database(path, Cancel())
    first.ensure("t", 1, DDL)
    second.ensure("t", 1, DDL)
    with first.write() as connection:
        connection.execute("INSERT INTO t VALUES(7)")
    assert [row["x"] for row in second.read("SELECT x FROM t")] == [7]
    assert second.one("SELECT x FROM t WHERE x = ?", 8) is None
    first.close()
    second.close()


def test_an_exception_undoes_the_whole_block(path: Path) -> None:
    database = Database(path, Cancel())
    database.ensure("t", 1, DDL)
    with pytest.raises(KeyError), database.write() as connection:
        connection.execute("INSERT INTO t VALUES(1)")
        with database.write() as inner:
            inner.execute("INSERT INTO t VALUES(2)")
        raise KeyError
    assert database.read("SELECT * FROM t") == []
    database.close()


def test_a_violated_constraint_is_the_callers_to_see(path: Path) -> None:
    database = Database(path, Cancel())
    database.ensure("t", 1, DDL)
    with pytest.raises(sqlite3.IntegrityError), database.write() as connection:
        connection.execute("INSERT INTO t VALUES(1)")
        connection.execute("INSERT INTO t VALUES(1)")
    database.close()


def test_tables_of_a_newer_program_are_refused(path: Path) -> None:
    database = Database(path, Cancel())
    database.ensure("t", 2, DDL)
    database.close()
    older = Database(path, Cancel())
    with pytest.raises(StoreError, match="newer pybuild"):
        older.ensure("t", 1, DDL)
    older.close()


def test_an_older_table_is_migrated_step_by_step(path: Path) -> None:
    database = Database(path, Cancel())
    database.ensure("t", 1, DDL)
    database.close()
    newer = Database(path, Cancel())
    steps = {1: ("ALTER TABLE t ADD COLUMN y DEFAULT 5",), 2: ("ALTER TABLE t RENAME COLUMN y TO z",)}
    newer.ensure("t", 3, DDL, migrations=steps)
    with newer.write() as connection:
        connection.execute("INSERT INTO t(x) VALUES(1)")
    row = newer.one("SELECT z FROM t")
    assert row is not None
    assert row["z"] == 5
    newer.close()


def test_threads_write_at_the_same_time(path: Path) -> None:
    database = Database(path, Cancel())
    database.ensure("t", 1, DDL)

    def work(start: int) -> None:
        for number in range(start, start + 25):
            with database.write() as connection:
                connection.execute("INSERT INTO t VALUES(?)", (number,))

    threads = [threading.Thread(target=work, args=(100 * n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(database.read("SELECT * FROM t")) == 150
    database.close()


def test_threads_that_ended_hold_no_files(path: Path) -> None:
    database = Database(path, Cancel())
    database.ensure("t", 1, DDL)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        thread = threading.Thread(target=database.read, args=("SELECT * FROM t",))
        thread.start()
        thread.join()
    assert len(os.listdir("/proc/self/fd")) <= before + 6
    database.close()


def test_a_forked_child_uses_a_connection_of_its_own(path: Path) -> None:
    database = Database(path, Cancel())
    database.ensure("t", 1, DDL)
    pid = os.fork()
    if pid == 0:
        with database.write() as connection:
            connection.execute("INSERT INTO t VALUES(3)")
        database.close()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    with database.write() as connection:
        connection.execute("INSERT INTO t VALUES(4)")
    assert len(database.read("SELECT * FROM t")) == 2
    assert database.check() == []
    database.close()


def test_a_damaged_file_is_said_to_be_damaged(path: Path) -> None:
    path.write_bytes(b"no database at all" * 300)
    database = Database(path, Cancel())
    with pytest.raises(StoreError, match="damaged"):
        database.ensure("t", 1, DDL)
    assert database.check()
    database.close()


def test_a_disk_without_room_for_shared_memory_is_told_as_full(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = os.statvfs(path.parent)

    def connect(*_args: object, **_more: object) -> sqlite3.Connection:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(sqlite3, "connect", connect)
    with pytest.raises(StoreError) as plain:
        Database(path, Cancel()).read("SELECT 1")
    assert "No space left" not in plain.value.message
    monkeypatch.setattr(os, "statvfs", lambda _path: os.statvfs_result((*disk[:4], 1, *disk[5:])))
    with pytest.raises(StoreError, match="No space left on device"):
        Database(path, Cancel()).read("SELECT 1")
