"""Keep layers as directories named by their chain ID, make new ones, and give their tars again.

::

    ROOT/snapshots/HEX/fs             an overlayfs upperdir: one layer; its root has the metadata of the image's root
    ROOT/tmp/OWNER/layer.TOKEN/       a layer in the making
        snapshot/fs                   its upperdir; `snapshot` is what gets renamed to HEX
        work                          its workdir

A layer that has all that another one has, most of it unchanged, needs not hold it twice: it stands on that one, its
*backing*. The layer is then both directories on top of each other, its own first, for overlayfs as for everyone else:
only what is new or other lies in its own, and nothing there says that a file of the backing is gone.

A layer has a name once it is whole: the directory is renamed and recorded in one transaction. A record without its
directory is a miss. Nobody waits for the disk: what was written under another boot and never synced, of which a power
cut may have taken a part, is read and compared before it is used, and a miss if it is not what was recorded.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from frozen import Frozen, replace
from runtime.errors import DigestMismatch, StoreError
from runtime.oci.digests import ChainID, DiffID, Digest, algorithm_of, chain_ids, hex_of, sha256_of
from runtime.store.layers.walk import opened
from runtime.store.once import once
from runtime.store.trees import remove_tree
from runtime.store.view import MergedView

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    # imported where a layer is made or read: a build that changes nothing only looks layers up
    from runtime.context import Cancel
    from runtime.store.database import Row
    from runtime.store.facade import Store
    from runtime.store.layers.writer import LayerDigests, Sink
    from runtime.store.preparation import Preparation

__all__ = ["Snapshot", "SnapshotStore", "next_chain"]

_SNAPSHOTS = """CREATE TABLE IF NOT EXISTS snapshots(
        chain_id TEXT PRIMARY KEY,
        parent TEXT,
        diff_id TEXT NOT NULL,
        content_digest TEXT NOT NULL,
        size INTEGER NOT NULL,
        tar_size INTEGER NOT NULL,
        unpacked INTEGER NOT NULL,
        boot TEXT,
        backing TEXT,
        own_size INTEGER NOT NULL,
        checks BLOB NOT NULL)"""
"""`checks` stands last: it may be long, and SQLite has to walk through it to what stands behind it."""
_TABLES = (
    _SNAPSHOTS,
    "CREATE INDEX IF NOT EXISTS snapshots_by_parent ON snapshots(parent)",
    "CREATE TABLE IF NOT EXISTS snapshot_modes(boot TEXT PRIMARY KEY, overlay INTEGER NOT NULL) WITHOUT ROWID",
)
_VERSION = 3
_COLUMNS = "chain_id, parent, diff_id, content_digest, size, tar_size, unpacked, boot, backing, own_size"
_MIGRATIONS = {
    1: (
        "ALTER TABLE snapshots ADD COLUMN backing TEXT",
        "ALTER TABLE snapshots ADD COLUMN own_size INTEGER NOT NULL DEFAULT 0",
        "UPDATE snapshots SET own_size = size",
    ),
    2: (
        "ALTER TABLE snapshots RENAME TO snapshots_before",
        _SNAPSHOTS,
        f"INSERT INTO snapshots({_COLUMNS}, checks) SELECT {_COLUMNS}, checks FROM snapshots_before ORDER BY rowid",
        "DROP TABLE snapshots_before",
    ),
}
_STACK = """WITH RECURSIVE stack(chain_id, parent, backing, depth) AS (
    SELECT chain_id, parent, backing, 0 FROM snapshots WHERE chain_id = ?
    UNION ALL SELECT s.chain_id, s.parent, s.backing, depth + 1 FROM snapshots s
    JOIN stack ON s.chain_id = stack.parent)
    SELECT chain_id, parent, backing FROM stack ORDER BY depth"""
_UNSETTLED = "SELECT chain_id FROM snapshots WHERE boot = ? ORDER BY rowid"


class Snapshot(Frozen):
    """One layer on disk. `paths`: its upperdir, and its backing's. `tar_size`: bytes of its tar.

    `size`: bytes of file content, `own_size`: those that are not its backing's.
    """

    chain_id: ChainID
    parent: ChainID | None
    diff_id: DiffID
    content_digest: Digest
    paths: tuple[Path, ...]
    size: int
    tar_size: int
    own_size: int
    backing: ChainID | None = None

    @property
    def path(self) -> Path:
        """The directory that is its own."""
        return self.paths[0]


class SnapshotStore:
    """The layers of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._turns = threading.Lock()
        self._database = store.database
        self._database.ensure("snapshots", _VERSION, _TABLES, migrations=_MIGRATIONS)

    def get(self, chain_id: ChainID) -> Snapshot | None:
        """Look up a layer; None where there is no record, no directory, or no trust (see the module)."""
        row = self._database.one(f"SELECT {_COLUMNS} FROM snapshots WHERE chain_id = ?", chain_id)
        if row is None or (row["backing"] is not None and self.get(row["backing"]) is None):
            return None
        return self._usable(row) or (self._recovered(row) if self._is_doubtful(row) else None)

    def list(self) -> tuple[Snapshot, ...]:
        """Give all layers, parents before what lies on them, also those that are to be compared before their use."""
        rows = self._database.read(f"SELECT {_COLUMNS} FROM snapshots ORDER BY rowid")
        return tuple(found for row in rows if (found := self._existing(row)) is not None)

    def stack(self, chain_id: ChainID) -> tuple[Path, ...]:
        """Give the directories of a layer and those below it, topmost first, as overlayfs' lowerdirs.

        Raises StoreError where one is missing.
        """
        rows = self._database.read(_STACK, chain_id)
        paths = tuple(path for row in rows for path in self._paths(row))
        whole = bool(rows) and rows[-1]["parent"] is None
        if not whole or not all(map(os.path.isdir, paths)):
            raise StoreError(
                f"layer {chain_id} is not complete in the store",
                hint="build, pull or load the image again; `pybuild system check` names what is missing",
            )
        return paths

    def view(self, chain_id: ChainID | None, *, later: bool = False) -> MergedView:
        """Give the merged tree of a layer and those below it; an empty one for None. The caller closes it.

        With `later` the layers are looked for at the first look into it, which many a tree never gets.
        """
        if chain_id is None:
            return MergedView(())
        return MergedView(partial(self.stack, chain_id) if later else self.stack(chain_id))

    @contextmanager
    def prepare(self, parent: ChainID | None, *, backing: Snapshot | None = None) -> Iterator[Preparation]:
        """Begin a layer on top of `parent`; at the end of the block it is removed unless it was committed.

        `backing` is a layer whose files this one may share.
        """
        from runtime.store.preparation import Preparation

        directory = self._store.workspace() / f"layer.{self._store.context.token(12)}"
        directory.mkdir(mode=0o700)
        try:
            yield Preparation(self, parent, directory, backing)
        finally:
            remove_tree(directory)

    def apply(
        self,
        parent: ChainID | None,
        stream: BinaryIO,
        *,
        expected: DiffID | None = None,
        ready: Callable[[], None] | None = None,
    ) -> Snapshot:
        """Unpack an uncompressed layer tar on top of `parent`; `stream` is read to its end.

        With `ready`, `parent` need not be here yet: `ready` returns when it is, and is called where the archive cannot
        be unpacked further without, at its end in any case. Raises LayerError for a bad archive, DigestMismatch where
        its diff ID is not `expected`; nothing is left then.
        """
        # lazy: 3 ms that a build on known layers does not need
        from runtime.store.layers.content import digest_tree, read_content
        from runtime.store.layers.unpack import Turn, apply_layer
        from runtime.store.layers.writer import LayerDigests
        from runtime.store.underlay import Below

        algorithm = algorithm_of(expected) if expected is not None else "sha256"
        early = parent is not None and ready is not None
        with ExitStack() as stack:
            preparation = stack.enter_context(self.prepare(None if early else parent))
            (fd,) = stack.enter_context(opened(preparation.upperdir))
            turn = stack.enter_context(Turn(self._turns))
            lower = None if parent is None else stack.enter_context(Below(self, parent, ready, turn))
            plain = _Watched(stream, self._store.context.cancel)
            stats = apply_layer(plain, fd, turn=turn, lower=lower, algorithm=algorithm)
            if expected is not None and stats.diff_id != expected:
                raise DigestMismatch("layer", expected=expected, actual=stats.diff_id)
            contents = stats.contents
            content = digest_tree((fd,), lambda path, at, name: contents.get(path) or read_content(path, at, name))
            digests = LayerDigests(
                diff_id=stats.diff_id,
                content_digest=content.digest(),
                size=stats.size,
                tar_size=stats.tar_size,
                checks=content.checks(),
            )
            if lower is not None and early:
                preparation.put_on(lower.wait(), dress=not stats.root)
            return self.publish(preparation, digests, unpacked=True)

    def restack(self, parent: ChainID, layer: Snapshot) -> Snapshot | None:
        """Put a layer that was made over nothing on top of `parent`, too: it stands on itself. None if it cannot."""
        from runtime.store.layers.writer import LayerDigests

        row = self._recorded(layer.chain_id)
        with self.prepare(parent, backing=layer) as preparation:
            if preparation.backing is None:
                return None
            preparation.stand_on_backing(layer.size)
            digests = LayerDigests(
                diff_id=layer.diff_id,
                content_digest=layer.content_digest,
                size=layer.size,
                tar_size=layer.tar_size,
                checks=row["checks"],
            )
            return self.publish(preparation, digests, unpacked=bool(row["unpacked"]))

    def publish(self, preparation: Preparation, digests: LayerDigests, *, unpacked: bool) -> Snapshot:
        """Rename a prepared layer to its name and record it; used by `Preparation.commit` and `apply`."""
        parent = preparation.parent
        backing = None if preparation.stands_on is None else preparation.stands_on.chain_id
        chain_id = next_chain(parent, digests.diff_id)
        directory = self._path(chain_id).parent
        doomed = self._store.trash_name()
        with self._database.write() as connection:
            existing = self._found(chain_id)
            if existing is not None:
                return existing
            for below in (parent, backing):
                if below is not None and self._found(below) is None:
                    raise StoreError(
                        f"layer {below} was removed while a layer was made on it", hint="run the command again"
                    )
            if directory.exists():  # of a process that died before its record, or that is not trusted any more
                os.rename(directory, doomed)
            os.rename(preparation.upperdir.parent, directory)
            connection.execute(
                f"""INSERT INTO snapshots({_COLUMNS}, checks) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                ON CONFLICT(chain_id) DO UPDATE SET content_digest = excluded.content_digest, size = excluded.size,
                    tar_size = excluded.tar_size, unpacked = excluded.unpacked, boot = excluded.boot,
                    checks = excluded.checks, backing = excluded.backing,
                    own_size = excluded.own_size""",  # keeps the place before its children
                (
                    chain_id,
                    parent,
                    digests.diff_id,
                    digests.content_digest,
                    digests.size,
                    digests.tar_size,
                    int(unpacked),
                    self._boot,
                    backing,
                    digests.size - preparation.shared,
                    digests.checks,
                ),
            )
        remove_tree(doomed)
        found = self.get(chain_id)
        if found is None:
            raise StoreError(f"layer {chain_id} was removed as soon as it was made", hint="run the command again")
        return found

    def unsettled(self) -> tuple[ChainID, ...]:
        """List the layers that came under this boot and may not be on the disk yet, the latest last."""
        return tuple(ChainID(row[0]) for row in self._database.read(_UNSETTLED, self._boot))

    def settled(self, chain_ids: Iterable[ChainID]) -> None:
        """Hear that layers are on the disk."""
        with self._database.write() as connection:
            connection.executemany("UPDATE snapshots SET boot = NULL WHERE chain_id = ?", [(c,) for c in chain_ids])

    def write_tar(self, chain_id: ChainID, sink: Sink | None = None) -> LayerDigests:
        """Write the layer's tar again, and compare it to what was recorded.

        Raises StoreError, which names the file that is not what it was; `sink` has got wrong bytes then. A layer that
        was unpacked from another program's tar has other bytes here: its blob is needed.
        """
        from runtime.store.layers.writer import write_layer

        row = self._recorded(chain_id)
        paths = self._paths(row)
        algorithm = algorithm_of(row["diff_id"])
        digests = write_layer(paths, self.watched_sink(sink), algorithm=algorithm, content=False)
        if digests.diff_id == row["diff_id"]:  # so its content is what was recorded, too
            return replace(digests, content_digest=Digest(row["content_digest"]), checks=row["checks"])
        digests = write_layer(paths, self.watched_sink(), algorithm=algorithm)
        self._refuse_changed(chain_id, paths, row["checks"], digests.checks)
        if row["unpacked"]:
            raise StoreError(
                f"layer {row['diff_id']} was unpacked from a tar of another writer and cannot be written again",
                hint="pull or load the image again to have its blobs",
            )
        raise StoreError(f"layer {chain_id} gives another tar than when it was made ({digests.diff_id})")

    def verify(self, chain_id: ChainID) -> None:
        """Read a layer and compare it to what was recorded; raises StoreError, which names the file that changed."""
        from runtime.store.layers.content import digest_tree, read_content

        row = self._recorded(chain_id)
        paths = self._paths(row)
        with opened(*paths) as fds:
            content = digest_tree(fds, read_content)
        self._refuse_changed(chain_id, paths, row["checks"], content.checks())
        if content.digest() != row["content_digest"]:
            raise StoreError(f"layer {chain_id} has other content than when it was made")

    def remove(self, chain_id: ChainID) -> None:
        """Delete a layer; one that does not exist is fine. Raises StoreError while other layers lie on it."""
        doomed = self._store.trash_name()
        with self._database.write() as connection:
            child = self._database.one(
                "SELECT chain_id FROM snapshots WHERE parent = ? OR backing = ?", chain_id, chain_id
            )
            if child is not None:
                raise StoreError(f"layer {chain_id} is below layer {child[0]}", hint="remove that one first")
            connection.execute("DELETE FROM snapshots WHERE chain_id = ?", (chain_id,))
            try:
                os.rename(self._path(chain_id).parent, doomed)
            except FileNotFoundError:
                return
        remove_tree(doomed)

    def detach(self, chain_ids: Iterable[ChainID]) -> tuple[Path, ...]:
        """Take layers, and all that nobody recorded, out of the store in one transaction, for the sweep of garbage.

        Returns what is now in `ROOT/trash` and the caller's to delete. The exclusive store lock is held, and no layer
        that stays lies on one that goes.
        """
        gone = []
        with self._database.write() as connection:
            connection.executemany("DELETE FROM snapshots WHERE chain_id = ?", [(chain_id,) for chain_id in chain_ids])
            kept = {hex_of(row[0]) for row in connection.execute("SELECT chain_id FROM snapshots")}
            for name in sorted(set(os.listdir(self._store.layout.snapshots)) - kept):
                doomed = self._store.trash_name()
                os.rename(self._store.layout.snapshots / name, doomed)
                gone.append(doomed)
        return tuple(gone)

    @once
    def overlay(self) -> bool:
        """Whether overlayfs can be mounted with an upperdir in this store; tried once a boot."""
        row = self._database.one("SELECT overlay FROM snapshot_modes WHERE boot = ?", self._boot)
        if row is not None:
            return bool(row[0])
        from runtime.store.plain import overlay_works  # lazy: starts a process

        works = overlay_works(self._store.workspace())
        if works is None:
            return False  # whoever asks next tries again
        with self._database.write() as connection:
            connection.execute("DELETE FROM snapshot_modes")
            connection.execute("INSERT INTO snapshot_modes VALUES(?, ?)", (self._boot, int(works)))
        return works

    def watched_sink(self, sink: Sink | None = None) -> Sink:
        """Wrap a sink, or none, so that writing to it raises Cancelled once the user interrupts."""
        return _WatchedSink(sink, self._store.context.cancel)

    def _refuse_changed(self, chain_id: ChainID, paths: Sequence[Path], recorded: bytes, found: bytes) -> None:
        """Raise StoreError with the first entry whose check is not what it was."""
        if recorded == found:
            return
        from runtime.store.layers.content import CHECK_SIZE, entry_at

        index = 0
        while recorded[index : index + CHECK_SIZE] == found[index : index + CHECK_SIZE]:
            index += CHECK_SIZE
        with opened(*paths) as fds:
            entry = entry_at(fds, index // CHECK_SIZE)
        if entry is None:
            what = "a file is missing at its end"
        else:
            what = f"{os.fsdecode(entry)!r} is not what it was, or something before it is missing"
        raise StoreError(
            f"layer {chain_id} changed on disk: {what}", hint=f"something wrote to {paths[0]}; build it again"
        )

    def _recorded(self, chain_id: ChainID) -> Row:
        row = self._database.one(f"SELECT {_COLUMNS}, checks FROM snapshots WHERE chain_id = ?", chain_id)
        if row is None or not os.path.isdir(self._path(chain_id)):
            raise StoreError(f"layer {chain_id} is not in the store", hint="build, pull or load the image again")
        return row

    def _found(self, chain_id: ChainID) -> Snapshot | None:
        """Look up a layer as `get` does, and read nothing: for the inside of a transaction."""
        row = self._database.one(f"SELECT {_COLUMNS} FROM snapshots WHERE chain_id = ?", chain_id)
        return self._usable(row) if row is not None else None

    def _is_doubtful(self, row: Row) -> bool:
        return row["boot"] not in {None, self._boot}

    def _recovered(self, row: Row) -> Snapshot | None:
        """Compare a layer that another boot left unsynced with its record; what is read now came from the disk."""
        chain_id, parent = ChainID(row["chain_id"]), row["parent"]
        if parent is not None and self.get(parent) is None:
            return None
        try:
            self.verify(chain_id)
        except (StoreError, OSError):
            return None
        self.settled((chain_id,))
        return self._found(chain_id)

    def _usable(self, row: Row) -> Snapshot | None:
        backing = row["backing"]
        if self._is_doubtful(row) or (backing is not None and self._found(backing) is None):
            return None
        return self._existing(row)

    def _existing(self, row: Row) -> Snapshot | None:
        chain_id = ChainID(row["chain_id"])
        if not os.path.isdir(self._path(chain_id)):
            return None
        return Snapshot(
            chain_id=chain_id,
            parent=row["parent"],
            diff_id=DiffID(row["diff_id"]),
            content_digest=Digest(row["content_digest"]),
            paths=self._paths(row),
            size=row["size"],
            tar_size=row["tar_size"],
            own_size=row["own_size"],
            backing=row["backing"],
        )

    def _paths(self, row: Row) -> tuple[Path, ...]:
        """Give the directories that are a layer together, topmost first."""
        paths = [self._path(row["chain_id"])]
        below: Row | None = row
        while below is not None and below["backing"] is not None:
            paths.append(self._path(below["backing"]))
            below = self._database.one("SELECT backing FROM snapshots WHERE chain_id = ?", below["backing"])
        return tuple(paths)

    def _path(self, chain_id: str) -> Path:
        return self._store.layout.snapshots / hex_of(chain_id) / "fs"

    @once
    def _boot(self) -> str:
        from runtime.store.leases import boot_mark

        return boot_mark()


class _Watched:
    """A stream that can be interrupted: each read looks whether the user wants to stop."""

    def __init__(self, stream: BinaryIO, cancel: Cancel) -> None:
        self._stream = stream
        self._cancel = cancel

    def read(self, size: int = -1) -> bytes:
        self._cancel.check()
        return self._stream.read(size)


class _WatchedSink:
    def __init__(self, sink: Sink | None, cancel: Cancel) -> None:
        self._sink = sink
        self._cancel = cancel

    def write(self, data: bytes) -> None:
        self._cancel.check()
        if self._sink is not None:
            self._sink.write(data)


def next_chain(parent: ChainID | None, diff_id: DiffID) -> ChainID:
    """Name a layer on top of `parent` (OCI image-spec, config.md § Layer ChainID)."""
    return ChainID(sha256_of(f"{parent} {diff_id}".encode())) if parent is not None else chain_ids((diff_id,))[0]
