"""Delete what nothing needs: mark from the roots, take the rest out under the exclusive lock, delete afterwards.

Roots are image records and pins (containers, running transfers and builds, cache records, kept steps). A layer needs
those below it, an image its config, its manifest or index with all their blobs, and its layers. A layer that was
unpacked from another program's tar needs one of its blobs, since only that has the bytes of its diff ID.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from frozen import Frozen, replace
from runtime.errors import PybuildError
from runtime.oci import documents
from runtime.oci.digests import ChainID, Digest, chain_ids
from runtime.oci.fields import MANIFEST_LIMIT
from runtime.store.parts import drop_parts
from runtime.store.projection import project, stored_descriptor
from runtime.store.referrers import Referrers
from runtime.store.trees import remove_tree

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runtime.oci.documents import Descriptor
    from runtime.store.facade import Store


class Collected(Frozen):
    """What a collection deleted; `size` in bytes: blobs, and file content of layers."""

    snapshots: tuple[ChainID, ...] = ()
    blobs: tuple[Digest, ...] = ()
    size: int = 0


class _Marked:
    """What the roots need."""

    def __init__(self) -> None:
        self.snapshots: set[str] = set()
        self.blobs: set[str] = set()


def collect(store: Store, *, wait: bool = True) -> Collected:
    """Delete all blobs and layers that no root needs.

    Waits until no other process has the store open, and deletes what interrupted downloads left as well, after all
    was synced; without `wait` it leaves the work to a later collection if one has, and returns an empty result.
    """
    if wait:
        store.settle()
    with store.exclusive(wait=wait) as alone:
        if not alone:
            return Collected()
        doomed = unneeded(store)
        project(store)  # the index never lists a blob that is gone
        if wait:
            doomed = replace(doomed, size=doomed.size + drop_parts(store.layout))
        trash = store.snapshots.detach(doomed.snapshots)
        for digest in doomed.blobs:
            store.blobs.delete(digest)
        gone = [(digest,) for digest in doomed.blobs]
        with store.database.write() as connection:
            for table in ("layer_blobs", "referrers", "unsettled_blobs"):
                connection.executemany(f"DELETE FROM {table} WHERE digest = ?", gone)
    for path in trash:
        remove_tree(path)
    return doomed


def unneeded(store: Store) -> Collected:
    """Give what a collection would delete now, deleting nothing."""
    return _unmarked(store, _mark(store))


def _mark(store: Store) -> _Marked:
    """Follow everything from the roots."""
    marked = _Marked()
    _ = store.images.layers, store.snapshots  # their tables exist
    for row in store.database.read("SELECT id, manifest FROM images"):
        _mark_image(store, Digest(row["id"]), marked)
        if row["manifest"]:
            _mark_descriptor(store, stored_descriptor(row["manifest"]), marked)
    for row in store.database.read("SELECT target FROM names WHERE target IS NOT NULL"):
        _mark_descriptor(store, stored_descriptor(row["target"]), marked)
    for row in store.database.read("SELECT digest FROM repository_digests"):
        marked.blobs.add(row["digest"])  # the manifest or index that an image came by, perhaps with images that did not
    for row in store.database.read("SELECT kind, target FROM pins"):
        if row["kind"] == "snapshot":
            marked.snapshots.add(row["target"])
        elif row["kind"] == "blob":
            marked.blobs.add(row["target"])
        else:
            _mark_image(store, Digest(row["target"]), marked)
    _mark_referrers(store, marked)
    _mark_below(store, marked)
    _mark_only_copies(store, marked)
    return marked


def _mark_image(store: Store, image_id: Digest, marked: _Marked) -> None:
    marked.blobs.add(image_id)
    try:
        config = documents.decode_config(store.blobs.read(image_id, MANIFEST_LIMIT))
    except PybuildError:
        return  # damaged or gone: `system check` says so
    marked.snapshots.update(chain_ids(config.diff_ids))


def _mark_descriptor(store: Store, descriptor: Descriptor, marked: _Marked) -> None:
    pending = [descriptor]
    while pending:
        current = pending.pop()
        if current.digest in marked.blobs and current.media_type not in documents.CONFIG_TYPES:
            continue
        marked.blobs.add(current.digest)
        try:
            if current.media_type in documents.INDEX_TYPES:
                pending += documents.decode_index(store.blobs.read(current.digest, MANIFEST_LIMIT)).manifests
            elif current.media_type in documents.MANIFEST_TYPES:
                manifest = documents.decode_manifest(store.blobs.read(current.digest, MANIFEST_LIMIT))
                marked.blobs.update(blob.digest for blob in (manifest.config, *manifest.layers))
        except PybuildError:
            continue


def _mark_referrers(store: Store, marked: _Marked) -> None:
    """Add what speaks of a manifest that is needed, and what speaks of that."""
    referrers = Referrers(store)
    left = referrers.subjects()
    while found := left & marked.blobs:
        left -= found
        for subject in found:
            for descriptor in referrers.of(subject):
                _mark_descriptor(store, descriptor, marked)


def _mark_below(store: Store, marked: _Marked) -> None:
    """Add the layers below those that are needed, and those that they stand on."""
    below = {row[0]: row[1:] for row in store.database.read("SELECT chain_id, parent, backing FROM snapshots")}
    pending = list(marked.snapshots)
    while pending:
        for needed in below.get(pending.pop(), ()):
            if needed is not None and needed not in marked.snapshots:
                marked.snapshots.add(needed)
                pending.append(needed)


def _mark_only_copies(store: Store, marked: _Marked) -> None:
    """Add a blob for each needed layer whose tar we could not write again."""
    rows = store.database.read(
        """SELECT snapshots.chain_id, snapshots.diff_id, min(layer_blobs.digest) AS digest
        FROM snapshots JOIN layer_blobs ON layer_blobs.diff_id = snapshots.diff_id
        WHERE snapshots.unpacked = 1 GROUP BY snapshots.chain_id"""
    )
    for row in rows:
        if row["chain_id"] in marked.snapshots:
            held = store.database.read("SELECT digest FROM layer_blobs WHERE diff_id = ?", row["diff_id"])
            if not any(blob["digest"] in marked.blobs for blob in held):
                marked.blobs.add(row["digest"])


def _unmarked(store: Store, marked: _Marked) -> Collected:
    snapshots: list[ChainID] = []
    blobs: list[Digest] = []
    size = 0
    for row in store.database.read("SELECT chain_id, own_size FROM snapshots ORDER BY rowid DESC"):
        if row["chain_id"] not in marked.snapshots:
            snapshots.append(ChainID(row["chain_id"]))
            size += row["own_size"]
    for digest in store.blobs.digests():
        if digest not in marked.blobs:
            blobs.append(digest)
            size += store.blobs.size(digest)
    return Collected(snapshots=tuple(snapshots), blobs=tuple(blobs), size=size)


def disk_usage(paths: Iterable[Path]) -> int:
    """Add up what trees take on the disk, in bytes; files with several names within them count once."""
    seen: set[tuple[int, int]] = set()
    total = 0
    pending = [os.fspath(path) for path in paths]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    elif status.st_nlink > 1:
                        if (status.st_dev, status.st_ino) in seen:
                            continue
                        seen.add((status.st_dev, status.st_ino))
                    total += status.st_blocks * 512
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
    return total
