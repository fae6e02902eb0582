"""Remember the digests of files that did not change, so that an unchanged context is not read again.

An entry counts only if device, inode, size, mtime, ctime, mode and owner are as they were **and** the file's ctime
lies before the scan that read it: a file that changed again within one tick of the clock looks the same to stat(2).
"""

from __future__ import annotations

import marshal
import os
import sys
import threading
import time
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.store.placement import NETWORK_FILE_SYSTEMS, file_system_of

if TYPE_CHECKING:
    from runtime.context import Cancel
    from runtime.store.facade import Store

_FORMAT = f"1-{sys.implementation.cache_tag}"
"""marshal's form belongs to one Python: another one starts anew."""

_CLOCK_REALTIME_COARSE = 5
"""As linux/time.h numbers it; Python has no name for it."""

_DDL = (
    "CREATE TABLE statcache (directory TEXT PRIMARY KEY, format TEXT NOT NULL, entries BLOB NOT NULL) WITHOUT ROWID",
)
Identity = tuple[int, ...]


def identity_of(status: os.stat_result) -> Identity:
    """Return everything about a file that changes when its content may have."""
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_mode,
        status.st_uid,
        status.st_gid,
    )


class StatCache:
    """The known digests of the files below one directory; threads may share it.

    Loaded at the first question, written back by `save`. `trusted` is False where the file system cannot be believed:
    then every file is read every time.
    """

    def __init__(self, store: Store, directory: Path) -> None:
        self._store = store
        self._directory = str(directory)
        self._known: dict[bytes, tuple[Identity, bytes]] | None = None
        self._changed = False
        self._lock = threading.Lock()
        # File systems of this kernel stamp files by its coarse clock, which lags behind the fine one.
        self._scan_start = time.clock_gettime_ns(_CLOCK_REALTIME_COARSE)
        kind = file_system_of(directory)
        # Elsewhere the clock and the inodes are not this kernel's.
        self.trusted = kind not in NETWORK_FILE_SYSTEMS and not kind.startswith("fuse")
        store.database.ensure("statcache", 1, _DDL)

    def look_up(self, path: bytes, status: os.stat_result) -> bytes | None:
        """Return the SHA-256 (raw, 32 bytes) of the file at `path`, or None where it has to be read."""
        if not self.trusted:
            return None
        entry = self._entries().get(path)
        return entry[1] if entry is not None and entry[0] == identity_of(status) else None

    def learn(self, path: bytes, status: os.stat_result, digest: bytes) -> None:
        """Remember what a file's content was; `status` was taken from the open file after it was read."""
        if self.trusted and status.st_ctime_ns < self._scan_start:
            self._entries()[path] = (identity_of(status), digest)
            self._changed = True

    def save(self) -> None:
        """Write what was learned; a later save wins over an earlier one, and nothing is lost but speed."""
        if not self._changed or self._known is None:
            return
        self._changed = False
        # a copy: another thread may learn while this one writes
        data = marshal.dumps(dict(self._known))
        with self._store.database.write() as connection:
            connection.execute("INSERT OR REPLACE INTO statcache VALUES (?, ?, ?)", (self._directory, _FORMAT, data))

    def _entries(self) -> dict[bytes, tuple[Identity, bytes]]:
        if self._known is None:
            with self._lock:
                if self._known is None:
                    self._known = self._load()
        return self._known

    def _load(self) -> dict[bytes, tuple[Identity, bytes]]:
        row = self._store.database.one("SELECT format, entries FROM statcache WHERE directory = ?", self._directory)
        if row is None or row[0] != _FORMAT:
            return {}
        try:
            entries = marshal.loads(row[1])
        except (ValueError, EOFError, TypeError):
            return {}
        return entries if isinstance(entries, dict) else {}


def digest_stream(fd: int, cancel: Cancel | None = None) -> bytes:
    """Return the SHA-256 of what is left to read of `fd`. Raises Cancelled as soon as `cancel` is set."""
    digest = sha256()
    while chunk := os.read(fd, 1 << 20):
        digest.update(chunk)
        if cancel is not None:
            cancel.check()
    return digest.digest()
