"""Remember the digests of files that did not change, so that an unchanged context is not read again.

An entry counts only if device, inode, size, mtime, ctime, mode and owner are as they were **and** the file's ctime
lies before the scan that read it: a file that changed again within one tick of the clock looks the same to stat(2).

What is known is kept folder by folder, so that a build loads what it asks for and writes what is new.
"""

from __future__ import annotations

import marshal
import os
import sys
import threading
import time
from collections.abc import Collection, Mapping
from hashlib import sha256
from pathlib import Path
from struct import Struct
from typing import TYPE_CHECKING

from runtime.store.placement import NETWORK_FILE_SYSTEMS, file_system_of

if TYPE_CHECKING:
    from runtime.context import Cancel
    from runtime.store.facade import Store

_FORMAT = f"2-{sys.implementation.cache_tag}"
"""marshal's form belongs to one Python: another one starts anew."""

_CLOCK_REALTIME_COARSE = 5
"""As linux/time.h numbers it; Python has no name for it."""

_DDL = (
    """CREATE TABLE IF NOT EXISTS statcache(
        directory BLOB NOT NULL,
        folder BLOB NOT NULL,
        format TEXT NOT NULL,
        entries BLOB NOT NULL,
        PRIMARY KEY (directory, folder))""",
)
_MIGRATIONS = {1: ("DROP TABLE statcache",), 2: ("DROP TABLE statcache",)}
_IDENTITY = Struct("=QQqqqIII")
_UNSAVED = 10_000
_CHUNK = 1 << 20
"""So many files are learned at most before they are written: memory is bounded, and an interrupted build keeps most."""

Known = Mapping[bytes, bytes]
"""What is known of the files in one folder, by name: an identity and, behind it, a digest."""


def identity_of(status: os.stat_result) -> bytes:
    """Return everything about a file that changes when its content may have."""
    return _IDENTITY.pack(
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_mode,
        status.st_uid,
        status.st_gid,
    )


def recognise(known: Known, name: bytes, status: os.stat_result) -> bytes:
    """Return the SHA-256 (raw, 32 bytes) of the file `name`, or nothing where it has to be read."""
    entry = known.get(name)
    if entry is None or not entry.startswith(identity_of(status)):
        return b""
    return entry[_IDENTITY.size :]


class StatCache:
    """The known digests of the files below one directory; threads may share it.

    `save` writes what was learned. `trusted` is False where the file system cannot be believed: then every file is read
    every time.
    """

    def __init__(self, store: Store, directory: Path) -> None:
        self._store = store
        self._directory = os.fsencode(directory)
        self._learned: dict[bytes, dict[bytes, bytes]] = {}
        self._gone: dict[bytes, Collection[bytes]] = {}
        self._unsaved = 0
        self._lock = threading.Lock()
        # File systems of this kernel stamp files by its coarse clock, which lags behind the fine one.
        self._scan_start = time.clock_gettime_ns(_CLOCK_REALTIME_COARSE)
        kind = file_system_of(directory)
        # Elsewhere the clock and the inodes are not this kernel's.
        self.trusted = kind not in NETWORK_FILE_SYSTEMS and not kind.startswith("fuse")
        store.database.ensure("statcache", 3, _DDL, migrations=_MIGRATIONS)

    def folder(self, path: bytes) -> Known:
        """Return what is known of the files in the folder `path`, for `recognise`."""
        if not self.trusted:
            return {}
        known = self._load(path)
        with self._lock:
            known.update(self._learned.get(path, {}))
        return known

    def learn(self, path: bytes, name: bytes, status: os.stat_result, digest: bytes) -> None:
        """Remember what a file's content was; `status` was taken from the open file after it was read."""
        if not self.trusted or status.st_ctime_ns >= self._scan_start:
            return
        with self._lock:
            self._learned.setdefault(path, {})[name] = identity_of(status) + digest
            self._unsaved += 1
            full = self._unsaved >= _UNSAVED
        if full:
            self.save()

    def forget(self, path: bytes, names: Collection[bytes]) -> None:
        """Drop files that are no longer in a folder."""
        with self._lock:
            self._gone[path] = names

    def save(self) -> None:
        """Write what was learned; a later save wins over an earlier one, and nothing is lost but speed."""
        with self._lock:
            learned, self._learned = self._learned, {}
            gone, self._gone = self._gone, {}
            self._unsaved = 0
        if not learned and not gone:
            return
        with self._store.database.write() as connection:
            for path in learned.keys() | gone.keys():
                entries = {**self._load(path), **learned.get(path, {})}
                for name in gone.get(path, ()):
                    entries.pop(name, None)
                row = (self._directory, path, _FORMAT, marshal.dumps(entries))
                connection.execute("INSERT OR REPLACE INTO statcache VALUES (?, ?, ?, ?)", row)

    def _load(self, path: bytes) -> dict[bytes, bytes]:
        row = self._store.database.one(
            "SELECT format, entries FROM statcache WHERE directory = ? AND folder = ?", self._directory, path
        )
        if row is None or row[0] != _FORMAT:
            return {}
        try:
            entries = marshal.loads(row[1])
        except (ValueError, EOFError, TypeError):
            return {}
        return entries if isinstance(entries, dict) else {}


def digest_stream(fd: int, cancel: Cancel | None = None, size: int | None = None) -> bytes:
    """Return the SHA-256 of what is left to read of `fd`, of `size` bytes at most.

    Raises Cancelled as soon as `cancel` is set.
    """
    digest = sha256()
    left = size
    while chunk := os.read(fd, _CHUNK if left is None else min(left, _CHUNK)):
        digest.update(chunk)
        if left is not None:
            left -= len(chunk)
        if cancel is not None:
            cancel.check()
    return digest.digest()
