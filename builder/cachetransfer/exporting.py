"""Write a cache to its place: only the blobs that are not there yet."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from builder.cachetransfer.document import (
    ARTIFACT_TYPE,
    CONFIG_TYPE,
    MOUNT_TYPE,
    CacheDocument,
    SharedLayer,
    SharedMount,
    decode,
)
from builder.steps.cachemounts import labels_of
from frozen import Frozen, replace
from runtime.errors import PybuildError, StoreError
from runtime.oci.digests import ChainID, DiffID, Digest, sha256_of
from runtime.oci.documents import Descriptor, Manifest
from runtime.store.compression import Compression, Compressor
from runtime.store.layers.writer import write_layer
from runtime.store.locks import Lock

if TYPE_CHECKING:
    from builder.cachetransfer.importing import SharedCache
    from builder.cachetransfer.places import Opener, Place
    from builder.records import Record
    from runtime.store.facade import Store

_MOUNT_COMPRESSION: Compression = "gzip"


class Packing(Frozen, kw_only=False):
    """How layers become blobs: those that are compressed already stay as they are, unless by `force`."""

    compression: Compression = "gzip"
    level: int | None = None
    force: bool = False


class Sent(Frozen):
    """What an export wrote: bytes in all that the cache has, and of those the bytes that were new."""

    digest: Digest
    total: int
    written: int
    left_out: tuple[str, ...] = ()
    """Sentences about what could not come along."""


def describe_layers(
    store: Store,
    records: Iterable[Record],
    *,
    more: Iterable[ChainID] = (),
    without: Collection[str] = (),
    wanted: Collection[str] | None = None,
    packing: Packing | None = None,
    make: bool = True,
    elsewhere: SharedCache | None = None,
) -> tuple[tuple[SharedLayer, ...], tuple[Descriptor, ...]]:
    """Describe all layers that records (and the trees `more`) stand on, those `without` left out; gives their blobs.

    Only the `wanted` ones come along as blobs, all by default; none without `make`. Layers that nobody needed here are
    passed on as `elsewhere` has them.
    """
    chains: dict[ChainID, SharedLayer] = {}
    blobs: dict[Digest, Descriptor] = {}
    pending = [record.chain for record in records if record.chain is not None] + list(more)
    for start in pending:
        chain: ChainID | None = start
        while chain is not None and chain not in chains and chain not in without:
            snapshot = store.snapshots.get(chain)
            if snapshot is None:
                passed = None if elsewhere is None else elsewhere.layer(chain)
                if passed is None:
                    break
                layer, descriptor = passed
                kept = make and descriptor is not None and (wanted is None or chain in wanted)
                if kept and descriptor is not None:
                    blobs[descriptor.digest] = descriptor
                chains[chain] = layer if kept else replace(layer, blob=None)
                chain = layer.parent
                continue
            blob = None
            if make and (wanted is None or chain in wanted):
                blob = _blob(store, snapshot.diff_id, chain, packing or Packing())
            if blob is not None:
                blobs[blob.digest] = blob
            chains[chain] = SharedLayer(
                chain=chain,
                parent=snapshot.parent,
                diff_id=snapshot.diff_id,
                content=snapshot.content_digest,
                blob=None if blob is None else blob.digest,
            )
            chain = snapshot.parent
    return tuple(chains.values()), tuple(blobs.values())


def send(
    store: Store,
    place: Place,
    document: CacheDocument,
    layers: Iterable[Descriptor],
    *,
    mounts: bool = False,
    elsewhere: SharedCache | None = None,
) -> Sent:
    """Write a cache; with `mounts` the cache mounts come along. Raises PybuildError.

    A blob that is neither here nor there is brought from `elsewhere`.
    """
    total = written = 0
    left_out: list[str] = []
    found = {blob.digest: blob for blob in layers}
    for blob in sorted(found.values(), key=lambda blob: blob.digest):
        store.context.cancel.check()
        total += blob.size
        if not place.has(blob.digest):
            if elsewhere is not None:
                elsewhere.bring(blob)
            place.put(blob.digest, blob.size, _opener(store, blob.digest))
            written += blob.size
    carried: list[SharedMount] = []
    if mounts:
        before = _mounts_there(place)
        for path in _mount_directories(store):
            mount, packed, new = _send_mount(store, place, path, before, left_out)
            if mount is not None and packed is not None:
                carried.append(mount)
                found[packed.digest] = packed
                total += packed.size
                written += new
    data = CacheDocument(
        records=document.records, aliases=document.aliases, layers=document.layers, mounts=tuple(carried)
    ).encode()
    config = Descriptor(media_type=CONFIG_TYPE, digest=sha256_of(data), size=len(data))
    total += len(data)
    if not place.has(config.digest):
        place.put(config.digest, config.size, lambda: BytesIO(data))
        written += len(data)
    manifest = Manifest(
        config=config,
        layers=tuple(sorted(found.values(), key=lambda blob: blob.digest)),
        artifact_type=ARTIFACT_TYPE,
    )
    place.finish(manifest)
    return Sent(digest=sha256_of(manifest.encode()), total=total, written=written, left_out=tuple(left_out))


def _blob(store: Store, diff_id: DiffID, chain: ChainID, packing: Packing) -> Descriptor | None:
    layers = store.images.layers
    with suppress(StoreError):  # its tar cannot be written again: who needs it has to make it
        known = layers.remembered(diff_id, packing.compression) if packing.force else layers.remembered(diff_id)
        return known or layers.make(diff_id, chain, packing.compression, packing.level)
    return None


def _opener(store: Store, digest: Digest) -> Opener:
    return lambda: store.blobs.open(digest)


def _mounts_there(place: Place) -> Mapping[tuple[str, str], tuple[SharedMount, Descriptor]]:
    """Read which cache mounts the place has already; an unreadable place has none."""
    with suppress(PybuildError):
        manifest = place.manifest()
        if manifest is not None and manifest.config.media_type == CONFIG_TYPE:
            with place.open(manifest.config) as file:
                document = decode(file.read(), place.title)
            blobs = {blob.digest: blob for blob in manifest.layers}
            return {mount.key: (mount, blobs[mount.blob]) for mount in document.mounts if mount.blob in blobs}
    return {}


def _mount_directories(store: Store) -> list[Path]:
    try:
        return sorted(path for path in store.layout.cache_mounts.iterdir() if "." not in path.name)
    except FileNotFoundError:
        return []


def _send_mount(
    store: Store,
    place: Place,
    path: Path,
    before: Mapping[tuple[str, str], tuple[SharedMount, Descriptor]],
    left_out: list[str],
) -> tuple[SharedMount | None, Descriptor | None, int]:
    """Send one cache mount, unless the place has it as it is; nobody works in it meanwhile."""
    data = path / "data"
    try:
        labels = labels_of(path)
        status = data.stat()
    except FileNotFoundError:
        return None, None, 0
    if labels is None or not is_text("".join(labels)):
        reason = "an id that is no text" if labels else "a beginning that is not known"
        left_out.append(f"cache mount {path.name} has {reason}, and was left out")
        return None, None, 0
    identifier, variant = labels
    lock = Lock(path / "lock")
    try:
        if not lock.try_acquire(exclusive=True):
            left_out.append(f"cache mount {identifier} is in use, and was left out")
            return None, None, 0
        digests = write_layer(data)
        known = before.get((identifier, variant))
        unchanged = known is not None and known[0].diff_id == digests.diff_id and place.has(known[0].blob)
        blob = known[1] if known is not None and unchanged else _pack_mount(store, place, data, digests.diff_id)
        mount = SharedMount(
            id=identifier,
            variant=variant,
            diff_id=digests.diff_id,
            blob=blob.digest,
            mode=status.st_mode & 0o7777,
            uid=status.st_uid,
            gid=status.st_gid,
        )
        return mount, blob, 0 if unchanged else blob.size
    except OSError as error:
        left_out.append(f"cache mount {identifier} cannot be read and was left out: {error.strerror}")
        return None, None, 0
    finally:
        lock.close()


def is_text(text: str) -> bool:
    """Tell whether a name can stand in a document: some are bytes that are no UTF-8."""
    return not any("\udc80" <= letter <= "\udcff" for letter in text)


def _pack_mount(store: Store, place: Place, data: Path, diff_id: DiffID) -> Descriptor:
    from hashlib import sha256

    path = store.workspace() / f"mount-{store.context.token(8)}"
    try:
        with path.open("xb") as file:
            compressor = Compressor(file, _MOUNT_COMPRESSION, None)
            if write_layer(data, store.snapshots.watched_sink(compressor)).diff_id != diff_id:
                raise PybuildError(f"{data} changed while it was being read")
            compressor.close()
        digest = sha256()
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
        found = Digest(f"sha256:{digest.hexdigest()}")
        size = os.path.getsize(path)
        if not place.has(found):
            place.put(found, size, lambda: path.open("rb"))
        return Descriptor(media_type=f"{MOUNT_TYPE}+{_MOUNT_COMPRESSION}", digest=found, size=size)
    finally:
        path.unlink(missing_ok=True)
