"""Take from a cache of another machine: what a build asks for, layer by layer, each verified; or all of it.

A record is believed as far as its key goes: whoever may write the cache says what a step leads to. What it leads to is
compared: a blob with its digest, a layer with its diff ID, and its content with the record's.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from builder.cachetransfer.document import ARTIFACT_TYPE, CONFIG_TYPE, LIMIT, CacheDocument, SharedMount, decode
from builder.imagestate import INLINE_CACHE
from builder.keys import next_content
from builder.records import Record, Records
from frozen import Frozen, replace
from runtime.errors import BlobMissing, Cancelled, DigestMismatch, PybuildError
from runtime.oci.digests import ChainID, Digest, sha256_of
from runtime.oci.documents import CONFIG_TYPES, Descriptor, Manifest, decode_config, layer_compression
from runtime.oci.fields import MANIFEST_LIMIT
from runtime.store.layerblobs import LayerBlobs
from runtime.store.locks import Lock

if TYPE_CHECKING:
    from builder.cachetransfer.document import SharedLayer
    from builder.cachetransfer.places import Place
    from runtime.store.facade import Store


class Offered(Frozen):
    """One cache: its document, where it lies, and its blobs by digest."""

    document: CacheDocument
    place: Place
    blobs: dict[Digest, Descriptor]


def read_cache(place: Place) -> Offered | None:
    """Read the document of a cache, or the one in an image; None where there is none. Raises PybuildError."""
    manifest = place.manifest()
    if manifest is None:
        return None
    if manifest.config.media_type in CONFIG_TYPES:
        return _inline(place, manifest)
    if manifest.config.media_type != CONFIG_TYPE:
        raise PybuildError(
            f"{place.title} is no cache of pybuild ({manifest.artifact_type or manifest.config.media_type})",
            hint=f"its type would be {ARTIFACT_TYPE}",
        )
    data = _whole(place, manifest.config, LIMIT)
    return Offered(
        document=decode(data, place.title), place=place, blobs={blob.digest: blob for blob in manifest.layers}
    )


def _inline(place: Place, manifest: Manifest) -> Offered | None:
    """Find the cache in an image's config; the image's layers are its blobs."""
    import base64
    import zlib

    config = decode_config(_whole(place, manifest.config, MANIFEST_LIMIT))
    text = config.extra.get(INLINE_CACHE)
    if not isinstance(text, str):
        return None
    try:
        plain = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), LIMIT)
    except (ValueError, zlib.error) as error:
        raise PybuildError(f"the cache in the image {place.title} is damaged: {error}") from error
    document = decode(plain, place.title)
    by_diff = dict(zip(config.diff_ids, manifest.layers, strict=False))
    layers = tuple(
        replace(layer, blob=by_diff[layer.diff_id].digest if layer.diff_id in by_diff else None)
        for layer in document.layers
    )
    blobs = {blob.digest: blob for blob in manifest.layers}
    return Offered(document=replace(document, layers=layers), place=place, blobs=blobs)


def _whole(place: Place, descriptor: Descriptor, limit: int) -> bytes:
    with place.open(descriptor) as file:
        parts: list[bytes] = []
        size = 0
        while size <= limit and (data := file.read(1 << 20)):
            parts.append(data)
            size += len(data)
    found = b"".join(parts)
    if sha256_of(found) != descriptor.digest:
        raise DigestMismatch(f"cache {place.title}", expected=descriptor.digest, actual=sha256_of(found))
    return found


class SharedCache:
    """What caches of other machines offer to one build. Thread-safe."""

    def __init__(self, store: Store, offered: Sequence[Offered]) -> None:
        self._store = store
        self._records: dict[Digest, Record] = {}
        self._aliases: dict[Digest, Digest] = {}
        self._layers: dict[ChainID, tuple[SharedLayer, Offered]] = {}
        self._bad: set[ChainID] = set()
        self._lock = threading.Lock()
        self.taken = 0
        """Layers that were fetched."""
        for offer in offered:
            for layer in offer.document.layers:
                known = self._layers.get(layer.chain)
                if known is None or known[0].blob is None:
                    self._layers[layer.chain] = (layer, offer)
            for record in offer.document.records:
                self._records.setdefault(record.key, record)
            self._aliases.update(offer.document.aliases)

    def lookup(self, key: Digest) -> Record | None:
        """Return what is said of a key."""
        return self._records.get(key)

    def aliased(self, alias: Digest) -> Record | None:
        """Return what is said of a key by its alias."""
        key = self._aliases.get(alias)
        return None if key is None else self._records.get(key)

    def diff_id(self, chain: ChainID) -> str | None:
        """Return the diff ID of a layer that is offered."""
        found = self._layers.get(chain)
        return None if found is None else found[0].diff_id

    def layer(self, chain: ChainID) -> tuple[SharedLayer, Descriptor | None] | None:
        """Return a layer that is offered, with its blob if that came along."""
        found = self._layers.get(chain)
        if found is None or chain in self._bad:
            return None
        layer, offer = found
        return layer, None if layer.blob is None else offer.blobs.get(layer.blob)

    def bring(self, descriptor: Descriptor) -> None:
        """Have a blob of one of the caches in the store, verified. Raises PybuildError."""
        if self._store.blobs.has(descriptor.digest):
            return
        for _, offer in self._layers.values():
            if descriptor.digest in offer.blobs:
                self._fetch_blob(descriptor, offer)
                return

    def take(self, record: Record) -> Record | None:
        """Fetch the layers of a record and keep it; None where that cannot be. Raises what fetching raises."""
        if record.chain is not None and not self.fetch(record.chain):
            return None
        self._compare(record)
        return Records(self._store).store(record)

    def fetch(self, chain: ChainID) -> bool:
        """Have a tree in the store; False where a layer of it did not come along. Raises PybuildError."""
        missing: list[ChainID] = []
        current: ChainID | None = chain
        while current is not None and self._store.snapshots.get(current) is None:
            found = self._layers.get(current)
            if found is None or found[0].blob is None or current in self._bad:
                return False
            missing.append(current)
            current = found[0].parent
        for one in reversed(missing):
            layer, offer = self._layers[one]
            try:
                self._unpack(layer, offer)
            except Cancelled:
                raise
            except PybuildError:
                with self._lock:
                    self._bad.add(one)
                raise
        return True

    def _unpack(self, layer: SharedLayer, offer: Offered) -> None:
        assert layer.blob is not None
        descriptor = offer.blobs.get(layer.blob)
        if descriptor is None or layer_compression(descriptor.media_type) is None:
            raise BlobMissing(layer.blob, hint=f"{offer.place.title} is not complete")
        self._fetch_blob(descriptor, offer)
        blobs = self._store.blobs
        layers: LayerBlobs = self._store.images.layers
        layers.unpack(layer.parent, layer.diff_id, layer.chain, lambda: blobs.open(descriptor.digest))
        layers.remember(layer.diff_id, descriptor)
        with self._lock:
            self.taken += 1

    def _fetch_blob(self, descriptor: Descriptor, offer: Offered) -> None:
        digest = descriptor.digest
        blobs = self._store.blobs
        with self._store.locked("blob", digest):
            if blobs.has(digest):
                return
            with offer.place.open(descriptor) as source, blobs.writer(digest, descriptor.size or None) as sink:
                while data := source.read(1 << 20):
                    self._store.context.cancel.check()
                    sink.write(data)
                sink.commit()

    def _compare(self, record: Record) -> None:
        """Refuse a record whose layer does not hold what the record says."""
        if record.chain is None:
            return
        snapshot = self._store.snapshots.get(record.chain)
        assert snapshot is not None
        content = snapshot.content_digest
        if record.parent is not None:
            content = next_content(record.parent, content)
        if content != record.content:
            with self._lock:
                self._bad.add(record.chain)
                self._records.pop(record.key, None)
            raise DigestMismatch("content of a layer of the cache", expected=record.content, actual=content)


def import_all(store: Store, offered: Offered) -> tuple[int, int, tuple[str, ...]]:
    """Take a whole cache: its records with their layers, and cache mounts that this machine does not have.

    Gives how many records and mounts came, and sentences about those that could not.
    """
    shared = SharedCache(store, (offered,))
    records, problems = 0, []
    for record in offered.document.records:
        store.context.cancel.check()
        try:
            records += shared.take(record) is not None
        except Cancelled:
            raise
        except PybuildError as error:
            problems.append(f"{record.statement or record.key}: {error.message}")
    known = Records(store)
    for alias, key in offered.document.aliases.items():
        if known.lookup(key) is not None:
            known.add_alias(alias, key)
    mounts = 0
    for mount in offered.document.mounts:
        try:
            mounts += _take_mount(store, offered, mount)
        except Cancelled:
            raise
        except PybuildError as error:
            problems.append(f"cache mount {mount.id}: {error.message}")
    return records, mounts, tuple(problems)


def _take_mount(store: Store, offered: Offered, mount: SharedMount) -> bool:
    """Fill a cache mount that is not there yet; one that is stays as it is."""
    from builder.steps.cachemounts import entry_of

    path = entry_of(store.context, mount.id, variant=mount.variant)
    lock = Lock(path / "lock")
    try:
        if (path / "data").exists() or not lock.try_acquire(exclusive=True):
            return False
        descriptor = offered.blobs.get(mount.blob)
        if descriptor is None:
            raise BlobMissing(mount.blob, hint=f"{offered.place.title} is not complete")
        _unpack_mount(store, offered, mount, descriptor, path)
    finally:
        lock.close()
    return True


def _unpack_mount(store: Store, offered: Offered, mount: SharedMount, descriptor: Descriptor, path: Path) -> None:
    from runtime.store.compression import decompressed
    from runtime.store.layers.unpack import apply_layer
    from runtime.store.trees import remove_tree

    new = path / f"new-{os.getpid()}-{os.urandom(4).hex()}"
    packed = store.workspace() / f"mount-{store.context.token(8)}"
    new.mkdir()
    try:
        with offered.place.open(descriptor) as source, packed.open("xb") as sink:
            from hashlib import sha256

            digest = sha256()
            while data := source.read(1 << 20):
                store.context.cancel.check()
                digest.update(data)
                sink.write(data)
        if f"sha256:{digest.hexdigest()}" != descriptor.digest:
            raise DigestMismatch(
                "cache mount", expected=descriptor.digest, actual=Digest(f"sha256:{digest.hexdigest()}")
            )
        fd = os.open(new, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with packed.open("rb") as file:
                stats = apply_layer(decompressed(file, f"cache mount {mount.id}"), fd, whiteouts=False)
        finally:
            os.close(fd)
        if stats.diff_id != mount.diff_id:
            raise DigestMismatch("cache mount", expected=mount.diff_id, actual=stats.diff_id)
        with suppress(PermissionError):
            os.chown(new, mount.uid, mount.gid)
        new.chmod(mount.mode & 0o7777)
        new.rename(path / "data")
    finally:
        packed.unlink(missing_ok=True)
        if new.exists():
            remove_tree(new)


def read_offers(places: Iterable[Place], warn: Callable[[str], None]) -> list[Offered]:
    """Read what caches offer; one that cannot be had is told and passed over: a build goes on without it."""
    found = []
    for place in places:
        try:
            offered = read_cache(place)
        except Cancelled:
            raise
        except PybuildError as error:
            warn(f"cache {place.title} cannot be used: {error.message}")
            continue
        if offered is None:
            warn(f"there is no cache at {place.title} yet")
        elif offered.document.foreign:
            warn(f"the cache at {place.title} was written by another version of pybuild and is not used")
        else:
            found.append(offered)
    return found
