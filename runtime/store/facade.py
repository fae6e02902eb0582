"""Open a store and hand out its parts: `Store.open(context)` is where every verb begins that touches images."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

from runtime.errors import StoreError
from runtime.store import leases, placement, reserve
from runtime.store.database import Database
from runtime.store.locks import Lock, held
from runtime.store.once import once
from runtime.store.parts import sweep_parts
from runtime.store.trees import remove_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.context import Context, Layout
    from runtime.store.blobs import BlobStore
    from runtime.store.images import ImageStore
    from runtime.store.snapshots import SnapshotStore

FORMAT = 1
"""The version of the directories below the root; the tables have versions of their own."""

_LOCK_FILES = 4096
_UNPROJECTED = "unprojected-"
_TABLES = (
    "CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE IF NOT EXISTS pins(
        owner TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('snapshot', 'blob', 'image')),
        target TEXT NOT NULL,
        PRIMARY KEY (owner, kind, target)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS pins_by_target ON pins(kind, target)",
)


class Store:
    """One root directory in use by this process, which holds the shared store lock for as long.

    Usable by all threads of the process that opened it. A forked child may read through it, too, but leaves
    closing, and the workspace, to its parent.
    """

    def __init__(self, context: Context) -> None:
        self.context: Context = context
        self.layout: Layout = context.layout
        self.database = Database(context.layout.database, context.cancel)
        self.owner = leases.own_name(context)
        """What this process is called in names of temporary files and leases (see `leases`)."""
        self._lock: Lock | None = None
        self._workspace: Path | None = None
        self._workspace_lock: Lock | None = None
        self._process = os.getpid()
        self._guard = threading.Lock()

    @classmethod
    @contextmanager
    def open(cls, context: Context) -> Iterator[Store]:
        """Open the root of `context`, made if it is missing, and close it at the end of the block.

        Raises StoreError for a root on a network file system, of another uid, made under other id maps, or written
        by a newer version. What dead processes left in `ROOT/tmp`, and their leases, is swept first.
        """
        with ExitStack() as stack:
            store = cls(context)
            store._prepare_directories()
            reserve.see_to_it(context.layout.locks)
            stack.callback(store.database.close)
            store._lock = Lock(context.layout.locks / "store")
            stack.callback(store._lock.close)
            store._lock.acquire(context.cancel, exclusive=False)
            store._check_identity()
            store._sweep()
            stack.callback(store._drop_workspace)
            yield store

    @once
    def blobs(self) -> BlobStore:
        """The content store: blobs by digest."""
        from runtime.store.blobs import BlobStore  # lazy: a verb may need one part alone

        return BlobStore(self)

    @once
    def snapshots(self) -> SnapshotStore:
        """The layers as directories, by chain ID."""
        from runtime.store.snapshots import SnapshotStore  # lazy: 3 ms

        return SnapshotStore(self)

    @once
    def images(self) -> ImageStore:
        """The images and their names."""
        from runtime.store.images import ImageStore  # lazy: 13 ms of documents

        return ImageStore(self)

    def workspace(self) -> Path:
        """Give this process' own directory in `ROOT/tmp`, made on first use and removed when the store closes.

        Lies on the file system of blobs and snapshots, so that what is whole can be renamed there. A lock on it tells
        those who cannot see this process, from another pid namespace, that it lives.
        """
        with self._guard:
            if self._workspace is None:
                path = self.layout.tmp / self.owner
                path.mkdir(mode=0o700)
                self._workspace_lock = Lock(path)
                self._workspace_lock.acquire(self.context.cancel, exclusive=False)
                self._workspace = path
            return self._workspace

    @contextmanager
    def unprojected(self) -> Iterator[None]:
        """Note during the block that the database may be ahead of `index.json`.

        Where this process dies within, whoever opens the store next finds the note and writes the file.
        """
        note = self.workspace() / f"{_UNPROJECTED}{self.context.token(8)}"
        note.touch(mode=0o600)
        try:
            yield
        finally:
            note.unlink(missing_ok=True)

    def settle(self) -> None:
        """Sync all blobs and layers that are not on the disk for certain; this takes as long as the disk needs.

        It is for who has time. What stays unsettled is compared when it is used after the next start of the machine.
        Raises StoreError.
        """
        blobs, snapshots = self.blobs.unsettled(), self.snapshots.unsettled()
        if not blobs and not snapshots:
            return

        try:
            placement.sync_file_system(self.layout.root)
        except OSError as error:
            raise placement.disk_error(self.layout.root, "syncing", error) from error
        self.blobs.settled(blobs)
        self.snapshots.settled(snapshots)

    def trash_name(self) -> Path:
        """Give a new name in `ROOT/trash` to rename something to that is to be deleted."""
        return self.layout.trash / f"{self.owner}.{self.context.token(8)}"

    def locked(self, kind: str, key: str) -> AbstractContextManager[None]:
        """Hold the lock of one piece of work, as `("blob", digest)`: one process does it, others wait and look again.

        Two keys may share a file (there are 4096 for each kind), so a thread holds one lock of a kind at a time.
        """
        import hashlib  # lazy: 3 ms that a command which holds no such lock does without

        number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") % _LOCK_FILES
        return held(self.layout.locks / f"{kind}-{number:03x}", self.context.cancel)

    @contextmanager
    def exclusive(self, *, wait: bool = True) -> Iterator[bool]:
        """Hold the store lock alone: no other process has the store open meanwhile. Waits for those that have.

        Gives True; without `wait`, and where another has the store open, False, and the block has only the shared lock.
        While it waits, and at the end of the block, others may get the lock alone: what was read before is to be read
        again.
        """
        if self._lock is None:
            raise StoreError("the store is not open")
        alone = self._lock.try_acquire(exclusive=True)
        try:
            if not alone:
                # A refused change of mode has lost the shared lock, see flock(2).
                self._lock.acquire(self.context.cancel, exclusive=wait)
            yield alone or wait
        finally:
            self._lock.acquire(self.context.cancel, exclusive=False)

    def is_alone(self) -> bool:
        """Tell whether no other process (or other Store of this one) has the root open at this moment."""
        with self.exclusive(wait=False) as alone:
            return alone

    @contextmanager
    def idle(self) -> Iterator[None]:
        """Let the sweep of garbage pass during the block, which touches nothing of the store but what is pinned."""
        if self._lock is None:
            raise StoreError("the store is not open")
        self._lock.release()
        try:
            yield
        finally:
            self._lock.acquire(self.context.cancel, exclusive=False)

    def _prepare_directories(self) -> None:
        layout = self.layout
        new = not layout.locks.is_dir()
        placement.ensure_root(layout.root)
        if not new:
            return
        placement.refuse_network_file_system(layout.root)
        try:
            for path in (layout.images, layout.snapshots, layout.tmp, layout.trash, layout.locks):
                path.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{error.filename} cannot be made: {error.strerror}") from error

    def _check_identity(self) -> None:
        """Compare what the root was made with to what we are; a new root is marked."""
        self.database.ensure("store", 1, _TABLES)
        meta = {row[0]: row[1] for row in self.database.read("SELECT name, value FROM meta")}
        us = {"format": str(FORMAT), "identity": placement.identity(), "device": str(os.stat(self.layout.root).st_dev)}
        if meta == us:
            return
        if int(meta.get("format", FORMAT)) > FORMAT:
            raise StoreError(
                f"{self.layout.root} was made by a newer pybuild (format {meta['format']}, this one knows {FORMAT})",
                hint="use that version, or another --root",
            )
        if meta.get("identity", us["identity"]) != us["identity"]:
            raise StoreError(
                f"{self.layout.root} was made under other id ranges: its files belong to "
                f"({meta['identity']}), and now the uid, uid map and gid map are ({us['identity']})",
                hint="restore the ranges in /etc/subuid and /etc/subgid, or start a new store with --root",
            )
        placement.refuse_network_file_system(self.layout.root)  # new here, or the file system is mounted anew
        with self.database.write() as connection:
            connection.executemany("INSERT OR REPLACE INTO meta VALUES(?, ?)", sorted(us.items()))

    def _sweep(self) -> None:
        """Delete what processes that no longer live left without a name."""
        boot = leases.boot_mark()
        unseen = set()
        for directory in (self.layout.tmp, self.layout.trash):
            for name in os.listdir(directory):
                owner = name.partition(".")[0]
                if leases.is_alive(owner, boot=boot) or owner in unseen:
                    continue
                if leases.is_locked(directory / name):
                    unseen.add(owner)
                    continue
                if not self._is_projected(directory / name):
                    continue
                doomed = self.trash_name()
                with suppress(FileNotFoundError):  # another command sweeps as well
                    os.rename(directory / name, doomed)
                    remove_tree(doomed)
        leases.sweep_leases(self.database, boot, unseen)
        sweep_parts(self.layout, boot, time.time())

    def _is_projected(self, left: Path) -> bool:
        """Write `index.json` where a dead process' directory says that it is behind; False where that fails.

        Then the note stays for the next command: on a full disk this one may be what makes room.
        """
        if left.parent != self.layout.tmp or not any(left.glob(f"{_UNPROJECTED}*")):
            return True
        from runtime.store.projection import project  # lazy: 13 ms of documents

        try:
            project(self)
        except StoreError:
            return False
        return True

    def _drop_workspace(self) -> None:
        if self._workspace is not None and os.getpid() == self._process:
            remove_tree(self._workspace)
            self._workspace = None
            if self._workspace_lock is not None:
                self._workspace_lock.close()
