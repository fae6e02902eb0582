"""Undo what can be undone of what `check` finds: take out what is damaged, and make it again where its bytes are here.

What a container uses is left as it is: to lose a layer is worse than to have one of whose files one was changed. What
goes is what would else stand in the way of getting it again, by a pull or a build.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import PybuildError
from runtime.oci import documents
from runtime.oci.digests import HEX_LENGTHS, ChainID, DiffID, Digest, chain_ids, is_digest
from runtime.oci.fields import MANIFEST_LIMIT
from runtime.store.check import missing_below
from runtime.store.projection import LAYOUT, project, stored_descriptor
from runtime.store.removal import containers_of_id
from runtime.store.trees import remove_tree

if TYPE_CHECKING:
    from runtime.store.facade import Store


def repair(store: Store) -> tuple[str, ...]:
    """Repair a store; returns what was done. Waits until no other command has it open.

    A damaged database is beyond this. What remains wrong is what the next check says.
    """
    if store.database.check():
        return ()
    _ = store.images.layers, store.snapshots  # their tables exist
    with store.exclusive():
        trash: list[Path] = []
        done = [
            *_stray_files(store, trash),
            *_damaged_blobs(store),
            *_wrong_layer_blobs(store),
            *_damaged_layers(store, trash),
            *_images(store),
            *_documents(store),
        ]
    for path in trash:
        remove_tree(path)
    return (*done, *_unpack_again(store))


def _stray_files(store: Store, trash: list[Path]) -> Iterator[str]:
    """Take away what lies among the blobs and is none."""
    directory = store.layout.images / "blobs"
    for algorithm in sorted(os.listdir(directory) if directory.is_dir() else ()):
        place = directory / algorithm
        strays = [place]
        if algorithm in HEX_LENGTHS:
            names = sorted(os.listdir(place))
            strays = [place / name for name in names if not is_digest(f"{algorithm}:{name}") or _is_odd(place / name)]
        for path in strays:
            trash.append(store.trash_name())
            os.rename(path, trash[-1])
            yield f"{path}: removed"


def _is_odd(path: Path) -> bool:
    return path.is_symlink() or not path.is_file()


def _damaged_blobs(store: Store) -> Iterator[str]:
    for digest in tuple(store.blobs.digests()):
        try:
            store.blobs.verify(digest)
        except PybuildError:
            store.blobs.delete(digest)
            yield f"blob {digest}: removed, it was damaged"


def _wrong_layer_blobs(store: Store) -> Iterator[str]:
    """Forget which layer a blob is for where that is not true, or where the blob has gone."""
    for row in store.database.read("SELECT diff_id, digest FROM layer_blobs ORDER BY diff_id, digest"):
        digest = Digest(row["digest"])
        there = store.blobs.has(digest)
        if there:
            try:
                store.images.layers.compare(DiffID(row["diff_id"]), store.blobs.path(digest))
                continue
            except PybuildError:
                pass
        with store.database.write() as connection:
            connection.execute("DELETE FROM layer_blobs WHERE diff_id = ? AND digest = ?", (row["diff_id"], digest))
        if there:
            yield f"blob {digest}: no longer taken for layer {row['diff_id']}, which it is not"


def _damaged_layers(store: Store, trash: list[Path]) -> Iterator[str]:
    """Take out layers that are not what was recorded, with all that lies on them; and directories without a record."""
    doomed: dict[ChainID, str] = {}
    for row in store.database.read("SELECT chain_id, parent, backing FROM snapshots ORDER BY rowid"):
        chain_id = ChainID(row["chain_id"])
        if row["parent"] in doomed or row["backing"] in doomed:
            doomed[chain_id] = "it lies on one that was damaged"
        elif store.snapshots.get(chain_id) is not None and not _is_whole(store, chain_id):
            user = _user_of(store, chain_id)
            if user:
                yield f"layer {chain_id}: left as it is, since container {user[:12]} uses it"
            else:
                doomed[chain_id] = "it was damaged"
    strays = set(os.listdir(store.layout.snapshots)) - {
        str(row[0]).partition(":")[2] for row in store.database.read("SELECT chain_id FROM snapshots")
    }
    trash += store.snapshots.detach(reversed(doomed))
    yield from (f"{store.layout.snapshots / name}: removed" for name in sorted(strays))
    yield from (f"layer {chain_id}: removed, {reason}" for chain_id, reason in doomed.items())


def _is_whole(store: Store, chain_id: ChainID) -> bool:
    try:
        store.snapshots.verify(chain_id)
    except (PybuildError, OSError):
        return False
    return True


def _user_of(store: Store, chain_id: ChainID) -> str:
    """Return a container whose image has this layer, nothing where there is none."""
    for row in store.database.read("SELECT id FROM images"):
        users = containers_of_id(store, Digest(row["id"]))
        if users and chain_id in chain_ids(_layers_of(store, Digest(row["id"])) or ()):
            return users[0]
    return ""


def _layers_of(store: Store, image: Digest) -> tuple[DiffID, ...] | None:
    """Return the layers of an image, None where its config cannot be read."""
    try:
        return documents.decode_config(store.blobs.read(image, MANIFEST_LIMIT)).diff_ids
    except PybuildError:
        return None


def _images(store: Store) -> Iterator[str]:
    """Forget images of which something is lost, and manifests that can be made again."""
    for row in store.database.read("SELECT id, manifest FROM images ORDER BY seq"):
        image = Digest(row["id"])
        lost = _what_is_lost(store, image)
        users = containers_of_id(store, image)
        if lost and users:
            yield f"image {image}: left as it is, since container {users[0][:12]} uses it; {lost}"
        elif lost:
            with store.database.write() as connection:
                connection.execute("DELETE FROM names WHERE image = ?", (image,))
                connection.execute("DELETE FROM repository_digests WHERE image = ?", (image,))
                connection.execute("DELETE FROM images WHERE id = ?", (image,))
            yield f"image {image}: removed, {lost}; pull, load or build it again"
        elif row["manifest"] and missing_below(store, stored_descriptor(row["manifest"])):
            with store.database.write() as connection:
                connection.execute("UPDATE images SET manifest = NULL WHERE id = ?", (image,))
            yield f"image {image}: its manifest is made again when it is needed, as blobs of it are missing"
    for row in store.database.read("SELECT name, target FROM names WHERE target IS NOT NULL ORDER BY name"):
        if missing_below(store, stored_descriptor(row["target"])):
            with store.database.write() as connection:
                connection.execute("UPDATE names SET target = NULL WHERE name = ?", (row["name"],))
            yield f"name {row['name']}: stands for one image now, as blobs of its index are missing"
    with store.database.write() as connection:
        gone = connection.execute("DELETE FROM names WHERE image NOT IN (SELECT id FROM images) RETURNING name")
        names = [row[0] for row in gone.fetchall()]
    yield from (f"name {name}: removed, its image is missing" for name in names)


def _what_is_lost(store: Store, image: Digest) -> str:
    """Say why an image cannot be had any more; nothing where it can."""
    layers = _layers_of(store, image)
    if layers is None:
        return "its config is lost"
    for diff_id, chain_id in zip(layers, chain_ids(layers), strict=True):
        if store.snapshots.get(chain_id) is None and store.images.layers.remembered(diff_id) is None:
            return f"layer {diff_id} is lost"
    return ""


def _documents(store: Store) -> Iterator[str]:
    """Write the OCI layout's documents again where they are not what the database says."""
    images = store.layout.images
    before = [_read(images / name) for name in ("oci-layout", "index.json")]
    if before == [None, None] and not store.database.read("SELECT 1 FROM images LIMIT 1"):
        return
    if before[0] != LAYOUT:
        (images / "oci-layout").unlink(missing_ok=True)
    project(store)
    for name, content in zip(("oci-layout", "index.json"), before, strict=True):
        if content != _read(images / name):
            yield f"{images / name}: written again"


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _unpack_again(store: Store) -> Iterator[str]:
    """Unpack what was taken out and is there as a blob, so that containers and builds find it."""
    for image in store.images.list():
        missing = [chain_id for chain_id in chain_ids(image.config.diff_ids) if store.snapshots.get(chain_id) is None]
        if missing:
            store.images.unpacked(image)
            yield from (f"layer {chain_id}: unpacked again" for chain_id in missing)
