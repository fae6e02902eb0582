"""Write an image as an OCI layout in a directory: `type=oci,tar=false`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from builder.cachetransfer.places import DirectoryPlace
from frozen import replace
from runtime.oci.documents import CONTAINERD_NAME, INDEX_TYPES, REF_NAME, Descriptor, decode_index, decode_manifest
from runtime.oci.fields import MANIFEST_LIMIT

if TYPE_CHECKING:
    from runtime.oci.references import Reference
    from runtime.store.facade import Store


def write_layout(store: Store, directory: Path, top: Descriptor, names: Sequence[Reference]) -> None:
    """Add what `top` needs to the layout in `directory`, and `top` under each name; what else it holds stays.

    Raises PybuildError.
    """
    place = DirectoryPlace(directory)
    pending = [top]
    while pending:
        descriptor = pending.pop()
        store.context.cancel.check()
        if not place.has(descriptor.digest):
            digest = descriptor.digest
            place.put(digest, descriptor.size, lambda digest=digest: store.blobs.open(digest))  # type: ignore[misc]
        data = store.blobs.read(descriptor.digest, MANIFEST_LIMIT) if _is_document(descriptor) else b""
        if descriptor.media_type in INDEX_TYPES:
            pending += decode_index(data).manifests
        elif data:
            manifest = decode_manifest(data)
            pending += (manifest.config, *manifest.layers)
    entries = [
        replace(top, annotations={**top.annotations, CONTAINERD_NAME: str(name), REF_NAME: name.tag or "latest"})
        for name in names
    ]
    place.add_entries(entries or [top])


def _is_document(descriptor: Descriptor) -> bool:
    return descriptor.media_type in INDEX_TYPES or descriptor.media_type.endswith(
        ("image.manifest.v1+json", "distribution.manifest.v2+json")
    )
