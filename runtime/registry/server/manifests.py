"""Read a manifest that somebody pushes: what it is, what it needs, what it refers to.

OCI image-spec: manifest.md, image-index.md; OCI distribution-spec § Pushing Manifests, § Listing Referrers.
"""

from __future__ import annotations

from collections.abc import Iterable

from frozen import Frozen
from runtime.errors import DocumentError
from runtime.oci.digests import Digest
from runtime.oci.documents import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    Descriptor,
    decode_index,
    decode_manifest,
    media_type_of,
)
from runtime.oci.fields import Reader, decode_object
from runtime.registry.server.errors import manifest_invalid

_UNSAID = frozenset(("", "application/octet-stream", "application/json", "text/plain"))
"""Content types of a client that did not say what it sends."""

_ELSEWHERE = ("application/vnd.oci.image.layer.nondistributable.", "application/vnd.docker.image.rootfs.foreign.")
"""Layers that are fetched from their own places and need not be here."""


class ManifestInfo(Frozen):
    """What there is to know of a manifest or index.

    `blobs` and `manifests` are what has to be in the repository, `optional` what may be. `annotations` and
    `artifact_type` ("" for none) are what a list of referrers says of it.
    """

    media_type: str
    blobs: tuple[Digest, ...] = ()
    optional: tuple[Digest, ...] = ()
    manifests: tuple[Digest, ...] = ()
    subject: Digest | None = None
    artifact_type: str = ""
    annotations: tuple[tuple[str, str], ...] = ()


def read_manifest(data: bytes, content_type: str) -> ManifestInfo:
    """Read a manifest; raises Refusal with MANIFEST_INVALID for what is none, or not what `content_type` says."""
    sent = content_type.partition(";")[0].strip().lower()
    try:
        written = Reader(decode_object(data, "manifest")).optional_text("mediaType")
        media_type = (written or media_type_of(data)) if sent in _UNSAID else sent
        if written and written != media_type:
            raise manifest_invalid(f"its mediaType is {written!a}, and it was sent as {media_type!a}")
        if media_type in MANIFEST_TYPES:
            return _image(data, media_type)
        if media_type in INDEX_TYPES:
            return _index(data, media_type)
    except DocumentError as error:
        raise manifest_invalid(error.message) from error
    raise manifest_invalid(f"{media_type!a} is not a type of manifest that is kept here")


def _image(data: bytes, media_type: str) -> ManifestInfo:
    manifest = decode_manifest(data)
    wanted = (manifest.config, *manifest.layers)
    return ManifestInfo(
        media_type=media_type,
        blobs=_digests(blob for blob in wanted if not blob.media_type.startswith(_ELSEWHERE)),
        optional=_digests(blob for blob in wanted if blob.media_type.startswith(_ELSEWHERE)),
        subject=manifest.subject.digest if manifest.subject else None,
        artifact_type=manifest.artifact_type or manifest.config.media_type,
        annotations=tuple(sorted(manifest.annotations.items())),
    )


def _index(data: bytes, media_type: str) -> ManifestInfo:
    index = decode_index(data)
    return ManifestInfo(
        media_type=media_type,
        manifests=_digests(index.manifests),
        subject=index.subject.digest if index.subject else None,
        artifact_type=index.artifact_type,
        annotations=tuple(sorted(index.annotations.items())),
    )


def _digests(descriptors: Iterable[Descriptor]) -> tuple[Digest, ...]:
    return tuple(dict.fromkeys(descriptor.digest for descriptor in descriptors))
