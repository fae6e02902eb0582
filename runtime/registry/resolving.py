"""Go from a tag or digest to the one image that is wanted: through indexes, by platform, with all limits kept.

OCI image-spec: image-index.md, manifest.md. What is asked is a registry, or anything else that has manifests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from frozen import Frozen
from runtime.errors import DigestMismatch, NotFound, RegistryError
from runtime.oci import documents
from runtime.oci.digests import Digest
from runtime.oci.documents import Descriptor, ImageConfig, Index, Manifest
from runtime.oci.fields import MANIFEST_LIMIT
from runtime.oci.platforms import Platform, best, host_platform, rank

DEPTH = 3
"""Indexes within indexes that are followed."""
LAYERS = 500
"""Layers of one image: as many lowerdirs as one overlay can have."""
_GUESSES = 16
"""Images of an index that are looked into, where it does not say what they run on."""
_ARTIFACTS = 16
"""Attestations of one image that are kept with it."""

_ATTESTED = "vnd.docker.reference.digest"
_ATTESTATION = "vnd.docker.reference.type"


class Source(Protocol):
    """Whatever has manifests and small blobs."""

    def get_manifest(self, target: str) -> tuple[Descriptor, bytes]:
        """Give a manifest or index by tag or digest, verified."""

    def read_blob(self, digest: Digest, size: int | None, *, limit: int) -> bytes:
        """Give a small blob, verified."""


class Document(Frozen):
    """A manifest or index with the bytes that its digest is of."""

    descriptor: Descriptor
    data: bytes


class Resolved(Frozen):
    """What a name led to.

    `top` is what the name stands for, `documents` all that led to the image, from the top down, its manifest last.
    `artifacts` are manifests of an index that speak of this image, such as attestations.
    """

    top: Document
    documents: tuple[Document, ...]
    manifest: Manifest
    artifacts: tuple[Descriptor, ...] = ()

    @property
    def chosen(self) -> Descriptor:
        """The descriptor of the image's manifest, with the platform that the index gives it."""
        return self.documents[-1].descriptor


def resolve(
    source: Source, target: str, platform: Platform | None = None, *, found: Document | None = None
) -> Resolved:
    """Find the image that `target` (a tag or digest) means for `platform`, else for this machine.

    `found` is the manifest of `target`, where it is known. Raises NotFound where the index has no such image,
    DocumentError, DigestMismatch, RegistryError for what is wrong with the documents.
    """
    top = found or _fetched(source, target)
    chain = [top]
    artifacts: tuple[Descriptor, ...] = ()
    while documents.media_type_of(chain[-1].data) in documents.INDEX_TYPES:
        if len(chain) > DEPTH:
            raise RegistryError(f"{target}: indexes are nested more than {DEPTH} deep")
        index = documents.decode_index(chain[-1].data)
        chosen = choose(source, index, platform or host_platform())
        artifacts = _speaking_of(index, chosen.digest)
        chain.append(child(source, chosen))
    manifest = documents.decode_manifest(chain[-1].data)
    if len(manifest.layers) > LAYERS:
        raise RegistryError(
            f"{target}: the image has {len(manifest.layers)} layers, more than the {LAYERS} that can be"
        )
    return Resolved(top=top, documents=tuple(chain), manifest=manifest, artifacts=artifacts)


def child(source: Source, descriptor: Descriptor) -> Document:
    """Fetch a manifest that a document names, and compare its size as well."""
    document = _fetched(source, descriptor.digest)
    if len(document.data) != descriptor.size:
        raise DigestMismatch(
            f"size of manifest {descriptor.digest}",
            expected=f"{descriptor.size} bytes",
            actual=f"{len(document.data)} bytes",
        )
    return Document(descriptor=descriptor, data=document.data)


def read_config(source: Source, manifest: Manifest) -> tuple[bytes, ImageConfig]:
    """Fetch the config of an image and compare it to the manifest.

    Raises RegistryError for what is no image (an artifact of another kind), and where the layers do not fit.
    """
    refuse_artifact(manifest)
    data = source.read_blob(manifest.config.digest, manifest.config.size, limit=MANIFEST_LIMIT)
    config = documents.decode_config(data)
    if len(config.diff_ids) != len(manifest.layers):
        raise RegistryError(
            f"image {manifest.config.digest} is refused: its config has {len(config.diff_ids)} diff IDs and its "
            f"manifest {len(manifest.layers)} layers"
        )
    return data, config


def refuse_artifact(manifest: Manifest) -> None:
    """Raise RegistryError where a manifest holds no image, with the media type that nothing is known of."""
    if manifest.is_image:
        return
    kind = manifest.artifact_type or manifest.config.media_type
    if manifest.config.media_type in documents.CONFIG_TYPES:
        kind = next(item.media_type for item in manifest.layers if documents.layer_compression(item.media_type) is None)
    raise RegistryError(
        f"unsupported media type {kind!a}: this is an artifact, not an image",
        hint="`pybuild copy` moves artifacts of every kind",
    )


def choose(source: Source, index: Index, platform: Platform) -> Descriptor:
    """Choose what serves `platform` best among the images of an index; raises NotFound in Docker's words."""
    images = [item for item in index.manifests if not is_attestation(item)]
    offered = _platforms(source, images)
    place = best(platform, offered)
    if place is None and len(images) == 1 and offered[0] is None:
        place = 0
    if place is None:
        there = ", ".join(sorted({str(item.normalised()) for item in offered if item is not None}))
        raise NotFound(
            f"no matching manifest for {platform} in the manifest list entries",
            hint=f"there are images for {there}: choose with --platform" if there else "the index holds no image",
        )
    return images[place]


def is_attestation(descriptor: Descriptor) -> bool:
    """Tell whether an entry of an index is no image but speaks of one, or is of a kind that is not known."""
    known = documents.MANIFEST_TYPES | documents.INDEX_TYPES | {""}
    unknown = descriptor.platform is not None and descriptor.platform.os == "unknown"
    return unknown or _ATTESTATION in descriptor.annotations or descriptor.media_type not in known


def refuse_other_platform(name: str, config: ImageConfig, platform: Platform | None) -> None:
    """Raise NotFound where somebody asked for another platform than the image, which has no index, is for."""
    if platform is not None and config.os and rank(platform, config.platform) is None:
        raise NotFound(
            f"image with reference {name} was found but its platform ({config.platform}) "
            f"does not match the specified platform ({platform.normalised()})",
            hint=f"there is one for {config.platform} only",
        )


def _fetched(source: Source, target: str) -> Document:
    descriptor, data = source.get_manifest(target)
    return Document(descriptor=descriptor, data=data)


def _platforms(source: Source, images: Sequence[Descriptor]) -> list[Platform | None]:
    """Give what each image runs on: what the index says, else, if there is a choice, what its config says."""
    offered = [item.platform if item.platform and item.platform.os else None for item in images]
    if len(images) > 1 and offered.count(None) <= _GUESSES:
        offered = [known or _look(source, item) for known, item in zip(offered, images, strict=True)]
    return offered


def _look(source: Source, descriptor: Descriptor) -> Platform | None:
    data = child(source, descriptor).data
    if documents.media_type_of(data) not in documents.MANIFEST_TYPES:
        return None
    manifest = documents.decode_manifest(data)
    if not manifest.is_image:
        return None
    return read_config(source, manifest)[1].platform


def _speaking_of(index: Index, digest: Digest) -> tuple[Descriptor, ...]:
    found = [
        item
        for item in index.manifests
        if item.annotations.get(_ATTESTED) == digest and item.media_type in documents.MANIFEST_TYPES
    ]
    return tuple(found[:_ARTIFACTS])


def closure(
    read: Callable[[Descriptor], bytes], top: Descriptor
) -> tuple[tuple[Descriptor, ...], tuple[Descriptor, ...]]:
    """List all below a manifest or index: the manifests, those that name others after them, and the blobs.

    `read` gives the bytes of a manifest. Each digest is listed once.
    """
    manifests: dict[Digest, Descriptor] = {}
    blobs: dict[Digest, Descriptor] = {}

    def walk(descriptor: Descriptor, depth: int) -> None:
        if descriptor.digest in manifests:
            return
        if depth > DEPTH:
            raise RegistryError(f"{top.digest}: indexes are nested more than {DEPTH} deep")
        data = read(descriptor)
        if documents.media_type_of(data) in documents.INDEX_TYPES:
            for item in documents.decode_index(data).manifests:
                walk(item, depth + 1)
        else:
            manifest = documents.decode_manifest(data)
            blobs.update((blob.digest, blob) for blob in (manifest.config, *manifest.layers))
        manifests[descriptor.digest] = descriptor

    walk(top, 0)
    return tuple(manifests.values()), tuple(blobs.values())
