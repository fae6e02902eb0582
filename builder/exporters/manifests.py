"""Write the manifest of each image and the index of several, with the compression and annotations of an output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from builder.exporters.annotations import chosen
from frozen import Frozen, replace
from runtime.errors import UsageError
from runtime.oci.digests import DiffID, Digest
from runtime.oci.documents import (
    DOCKER_CONFIG,
    DOCKER_INDEX,
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Index,
    Manifest,
    layer_compression,
)
from runtime.oci.platforms import parse_platform

if TYPE_CHECKING:
    from builder.exporters.outputs import Output
    from runtime.store.compression import Compression
    from runtime.store.facade import Store

_COMPRESSIONS: Mapping[str, Compression] = {"gzip": "gzip", "zstd": "zstd", "uncompressed": "none"}


class Configured(Frozen):
    """One image that was built: its platform, its config and id, and its layers from the bottom."""

    platform: str
    config: bytes
    id: Digest
    diff_ids: tuple[DiffID, ...]


class Written(Frozen):
    """The documents of one output: a manifest an image, in the order of the images, and what a name stands for."""

    manifests: tuple[Descriptor, ...]
    top: Descriptor


def write_documents(store: Store, images: Sequence[Configured], output: Output) -> Written:
    """Make the blobs, the manifests and, for several images, the index. Raises UsageError, StoreError."""
    several = len(images) > 1 or output.index
    if not several and any(item.level.startswith("index") for item in output.annotations):
        raise UsageError(
            "index annotations are not supported for one platform", hint="annotate the manifest, or build several"
        )
    manifests = tuple(_manifest(store, image, output) for image in images)
    if not several:
        return Written(manifests=manifests, top=manifests[0])
    media_type = OCI_INDEX if output.oci else DOCKER_INDEX
    index = Index(manifests=manifests, media_type=media_type, annotations=chosen(output.annotations, "index"))
    data = index.encode()
    top = Descriptor(
        media_type=media_type,
        digest=store.blobs.put(data),
        size=len(data),
        annotations=chosen(output.annotations, "index-descriptor"),
    )
    return Written(manifests=manifests, top=top)


def _manifest(store: Store, image: Configured, output: Output) -> Descriptor:
    layers = store.images.layers.made(
        image.diff_ids, _COMPRESSIONS[output.compression or "gzip"], level=output.level, force=output.force
    )
    manifest = Manifest(
        config=Descriptor(
            media_type=OCI_CONFIG if output.oci else DOCKER_CONFIG,
            digest=store.blobs.put(image.config),
            size=len(image.config),
        ),
        layers=layers if output.oci else tuple(map(_as_docker, layers)),
        media_type=OCI_MANIFEST if output.oci else DOCKER_MANIFEST,
        annotations=chosen(output.annotations, "manifest", image.platform),
    )
    data = manifest.encode()
    return Descriptor(
        media_type=manifest.media_type,
        digest=store.blobs.put(data),
        size=len(data),
        platform=parse_platform(image.platform).normalised(),
        annotations=chosen(output.annotations, "manifest-descriptor", image.platform),
    )


def _as_docker(layer: Descriptor) -> Descriptor:
    """Give a layer the media type that Docker's manifests have for it."""
    compression = layer_compression(layer.media_type)
    return replace(layer, media_type=DOCKER_LAYER + ("" if compression in (None, "none") else f".{compression}"))
