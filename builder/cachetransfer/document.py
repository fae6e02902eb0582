"""The document of a cache: which keys led to what, and which layers that takes.

It is the config of an OCI artifact of type `application/vnd.pybuild.cache.v1`, whose layers are the blobs. It holds no
times of use and no paths of the machine it comes from, so that an unchanged cache is an unchanged artifact::

    {"version": 1, "semantics": N,
     "records": [{"key", "keyword", "parent", "content", "chain", "created", "elapsed", "statement", "parts", "below"}],
     "aliases": {ALIAS: KEY},
     "layers": [{"chain", "parent", "diff", "content", "blob": DIGEST | absent}],
     "mounts": [{"id", "variant" | absent, "diff", "blob", "mode", "uid", "gid"}]}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from builder.explanation import Below
from builder.keys import SEMANTICS
from builder.records import Record
from frozen import Frozen, field
from runtime.errors import DocumentError
from runtime.oci.digests import ChainID, DiffID, Digest, canonical_json
from runtime.oci.fields import Reader, decode_object

ARTIFACT_TYPE = "application/vnd.pybuild.cache.v1"
CONFIG_TYPE = "application/vnd.pybuild.cache.v1+json"
MOUNT_TYPE = "application/vnd.pybuild.cache.mount.v1.tar"
"""A cache mount's tar; `+gzip` behind it where it is compressed."""
LIMIT = 256 << 20
"""Bytes that a document may have."""


class SharedLayer(Frozen):
    """One layer: what it lies on, what it holds, and the blob that has it, None where it did not come along."""

    chain: ChainID
    parent: ChainID | None
    diff_id: DiffID
    content: Digest
    blob: Digest | None


class SharedMount(Frozen):
    """One cache mount: the digest of its tar, the blob that has it, and its root directory's metadata.

    `variant` tells it from others of one id that began as something else.
    """

    id: str
    variant: str = ""
    diff_id: DiffID
    blob: Digest
    mode: int
    uid: int
    gid: int

    @property
    def key(self) -> tuple[str, str]:
        return self.id, self.variant


class CacheDocument(Frozen):
    """All that one cache says; nothing where it is `foreign`, of a version that does steps in another way."""

    foreign: bool = False
    records: tuple[Record, ...] = ()
    aliases: Mapping[Digest, Digest] = field(default_factory=dict)
    layers: tuple[SharedLayer, ...] = ()
    mounts: tuple[SharedMount, ...] = ()

    def encode(self, *, bare: bool = False) -> bytes:
        """Write it in canonical JSON; `bare` leaves out what only explains misses."""
        return canonical_json(
            {
                "version": 1,
                "semantics": SEMANTICS,
                "records": [
                    _record(record, bare=bare) for record in sorted(self.records, key=lambda record: record.key)
                ],
                "aliases": dict(self.aliases),
                "layers": [_layer(layer) for layer in sorted(self.layers, key=lambda layer: layer.chain)],
                "mounts": [_mount(mount) for mount in sorted(self.mounts, key=lambda mount: mount.key)],
            }
        )


def decode(data: bytes, what: str) -> CacheDocument:
    """Read a document; one of other semantics is `foreign`. Raises DocumentError, which names the field."""
    reader = Reader(decode_object(data, what, limit=LIMIT))
    if reader.integer("version") != 1:
        raise DocumentError(f"{what} is of a version that this pybuild does not know")
    if reader.integer("semantics") != SEMANTICS:
        return CacheDocument(foreign=True)
    aliases = reader.text_map("aliases")
    return CacheDocument(
        records=tuple(_read_record(item) for item in reader.items("records")),
        aliases={Digest(alias): Digest(key) for alias, key in aliases.items()},
        layers=tuple(_read_layer(item) for item in reader.items("layers")),
        mounts=tuple(_read_mount(item) for item in reader.items("mounts")),
    )


def _record(record: Record, *, bare: bool) -> dict[str, Any]:
    document: dict[str, Any] = {
        "key": record.key,
        "keyword": record.keyword,
        "parent": record.parent or "",
        "content": record.content,
        "chain": record.chain or "",
        "created": record.created,
        "elapsed": record.elapsed,
    }
    if not bare:
        document["statement"] = record.statement
        document["parts"] = record.parts
        document["below"] = json.loads(record.below.to_json())
    return document


def _layer(layer: SharedLayer) -> dict[str, Any]:
    document = {
        "chain": layer.chain,
        "parent": layer.parent or "",
        "diff": layer.diff_id,
        "content": layer.content,
    }
    return document if layer.blob is None else {**document, "blob": layer.blob}


def _mount(mount: SharedMount) -> dict[str, Any]:
    document: dict[str, Any] = {
        "id": mount.id,
        "diff": mount.diff_id,
        "blob": mount.blob,
        "mode": mount.mode,
        "uid": mount.uid,
        "gid": mount.gid,
    }
    return {**document, "variant": mount.variant} if mount.variant else document


def _read_record(reader: Reader) -> Record:
    parts = reader.value.get("parts")
    below = reader.value.get("below")
    return Record(
        key=reader.digest("key"),
        keyword=reader.text("keyword"),
        parent=reader.digest("parent") if reader.text("parent") else None,
        content=reader.digest("content"),
        chain=ChainID(reader.digest("chain")) if reader.text("chain") else None,
        created=reader.integer("created"),
        elapsed=reader.integer("elapsed"),
        site="",
        statement=reader.optional_text("statement") or "",
        parts=parts if isinstance(parts, dict) else {},
        below=Below.of_json(json.dumps(below)) if isinstance(below, dict) else Below(),
    )


def _read_layer(reader: Reader) -> SharedLayer:
    return SharedLayer(
        chain=ChainID(reader.digest("chain")),
        parent=ChainID(reader.digest("parent")) if reader.text("parent") else None,
        diff_id=DiffID(reader.digest("diff")),
        content=reader.digest("content"),
        blob=reader.digest("blob") if reader.optional_text("blob") else None,
    )


def _read_mount(reader: Reader) -> SharedMount:
    return SharedMount(
        id=reader.text("id"),
        variant=reader.optional_text("variant") or "",
        diff_id=DiffID(reader.digest("diff")),
        blob=reader.digest("blob"),
        mode=reader.integer("mode"),
        uid=reader.integer("uid"),
        gid=reader.integer("gid"),
    )
