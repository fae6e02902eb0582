"""List and delete what the build cache holds: layers of records, cache mounts, and what came from elsewhere.

An entry's size is what it holds itself; a layer that an image has as well is *shared* and would not be freed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from builder.records import Records
from builder.remote import storage
from frozen import Frozen
from runtime.oci.digests import Digest, chain_ids, hex_of
from runtime.store.collect import disk_usage
from runtime.store.locks import Lock
from runtime.store.trees import remove_tree

if TYPE_CHECKING:
    from runtime.store.facade import Store

REGULAR = "regular"
CACHE_MOUNT = "exec.cachemount"
TYPES = (REGULAR, CACHE_MOUNT, storage.FILE, storage.REPOSITORY)
"""What kinds there are, by BuildKit's names."""
_ID_LENGTH = 24


class CacheEntry(Frozen):
    """One thing that the cache holds. Times are ns since the epoch; `size` is bytes; `order` sorts by last use.

    `shared`: an image has the same layer. `in_use`: somebody works with it now. Of entries with one layer, one has its
    size.
    """

    id: str
    type: str
    description: str
    created: int
    used: int
    uses: int
    size: int
    shared: bool
    in_use: bool
    order: tuple[int, int]
    key: Digest | None = None
    path: Path | None = None

    @property
    def freeable(self) -> int:
        """The bytes that deleting it alone would free."""
        return 0 if self.shared or self.in_use else self.size


def entries(store: Store) -> tuple[CacheEntry, ...]:
    """List all entries, the one least recently used first; of those used together the one made last comes first."""
    found = (*_records(store), *_mounts(store), *_remote(store))
    return tuple(sorted(found, key=lambda entry: entry.order))


def delete(store: Store, chosen: Iterable[CacheEntry]) -> tuple[CacheEntry, ...]:
    """Forget records, empty cache mounts, delete the rest; gives what went. Layers go with the next collection."""
    gone: list[CacheEntry] = []
    keys: list[Digest] = []
    remote: list[CacheEntry] = []
    for entry in chosen:
        if entry.key is not None:
            keys.append(entry.key)
            gone.append(entry)
        elif entry.type in (storage.FILE, storage.REPOSITORY):
            remote.append(entry)
        elif entry.path is not None and _empty(store, entry.path):
            gone.append(entry)
    if remote:
        removed = storage.remove(store, [entry.path for entry in remote if entry.path is not None])
        gone += [entry for entry in remote if entry.path in removed]
    if keys:
        Records(store).forget(keys)
    return tuple(gone)


def oldest_beyond(found: Sequence[CacheEntry], keep: int) -> tuple[CacheEntry, ...]:
    """Choose from the front of `found` until what is left takes at most `keep` bytes."""
    total = sum(entry.freeable for entry in found)
    chosen: list[CacheEntry] = []
    for entry in found:
        if total <= keep:
            break
        if not entry.in_use:
            chosen.append(entry)
            total -= entry.freeable
    return tuple(chosen)


def _records(store: Store) -> list[CacheEntry]:
    _ = Records(store), store.snapshots  # their tables exist
    of_images = _image_layers(store)
    counted: set[str] = set()
    rows = store.database.read(
        """SELECT r.key, r.chain, r.created, r.used, r.uses, r.turn, r.sequence, r.statement, s.own_size
        FROM builder_records r LEFT JOIN snapshots s ON s.chain_id = r.chain ORDER BY r.sequence"""
    )
    found = []
    for row in rows:
        chain = row["chain"]
        size = 0 if chain in counted else row["own_size"] or 0
        counted.add(chain)
        found.append(
            CacheEntry(
                id=hex_of(Digest(row["key"]))[:_ID_LENGTH],
                type=REGULAR,
                description=" ".join(row["statement"].split()),
                created=row["created"],
                used=row["used"] or row["created"],
                uses=row["uses"],
                size=size,
                shared=chain in of_images,
                in_use=False,
                order=(row["used"] or row["created"], -row["sequence"]),
                key=Digest(row["key"]),
            )
        )
    return found


def _image_layers(store: Store) -> set[str]:
    """Give the layers of all images, and those that they stand on."""
    found: set[str] = set()
    for image in store.images.list():
        found.update(chain_ids(image.config.diff_ids))
    backed = store.database.read("SELECT chain_id, backing FROM snapshots WHERE backing IS NOT NULL")
    return found | {row["backing"] for row in backed if row["chain_id"] in found}


def _mounts(store: Store) -> list[CacheEntry]:
    found = []
    try:
        paths = sorted(store.layout.cache_mounts.iterdir())
    except FileNotFoundError:
        return []
    for path in paths:
        data = path / "data"
        if not data.is_dir():
            continue
        identifier = path.name
        with suppress(OSError):
            identifier = (path / "id").read_bytes().decode(errors="replace")
        made, used = _times(path)
        found.append(
            CacheEntry(
                id=sha256(path.name.encode()).hexdigest()[:_ID_LENGTH],
                type=CACHE_MOUNT,
                description=f"cache mount {identifier}",
                created=made,
                used=used,
                uses=0,
                size=disk_usage([data]),
                shared=False,
                in_use=_is_held(path),
                order=(used, 0),
                path=path,
            )
        )
    return found


def _remote(store: Store) -> list[CacheEntry]:
    busy = storage.in_use(store)
    return [
        CacheEntry(
            id=sha256(os.fsencode(kept.path)).hexdigest()[:_ID_LENGTH],
            type=kept.type,
            description=kept.description,
            created=kept.used,
            used=kept.used,
            uses=0,
            size=kept.size,
            shared=False,
            in_use=busy,
            order=(kept.used, 0),
            path=kept.path,
        )
        for kept in storage.stored(store)
    ]


def _times(path: Path) -> tuple[int, int]:
    """Give when a cache mount was made and when a step last had it: the times of its two small files."""
    made = used = 0
    with suppress(OSError):
        made = os.stat(path / "id").st_mtime_ns
        used = os.stat(path / "lock").st_mtime_ns
    return made, max(made, used)


def _is_held(path: Path) -> bool:
    lock = Lock(path / "lock")
    try:
        return not lock.try_acquire(exclusive=True)
    finally:
        lock.close()


def _empty(store: Store, path: Path) -> bool:
    """Take a cache mount's content away unless a step has it; the lock file stays, as every lock file does."""
    lock = Lock(path / "lock")
    try:
        if not lock.try_acquire(exclusive=True):
            return False
        doomed = store.trash_name()
        with suppress(FileNotFoundError):
            os.rename(path / "data", doomed)
    finally:
        lock.close()
    remove_tree(doomed)
    return True
