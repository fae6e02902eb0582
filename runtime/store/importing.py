"""Make an image of one layer from a tar of a root file system."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO

from runtime.errors import LayerError, StoreError
from runtime.oci.changes import apply_changes
from runtime.oci.documents import ContainerConfig, History, ImageConfig
from runtime.oci.platforms import Platform, host_platform
from runtime.oci.references import Reference
from runtime.oci.times import rfc3339
from runtime.store.compression import decompressed
from runtime.store.layers.unpack import apply_layer
from runtime.store.placement import disk_error

if TYPE_CHECKING:
    from runtime.store.facade import Store
    from runtime.store.images import Image
    from runtime.store.snapshots import Snapshot


def import_tar(
    store: Store,
    stream: BinaryIO,
    changes: Sequence[str] = (),
    *,
    names: Sequence[Reference] = (),
    message: str = "",
    source: str = "-",
    platform: Platform | None = None,
) -> Image:
    """Take in a tar, compressed or not, read once to its end, as the one layer of a new image.

    The layer is the tree, not the tar: its diff ID is that of the tar that we write of it, so that the tar itself need
    not be kept, and equal trees are equal images.
    `changes` are Dockerfile instructions such as `CMD ["sh"]`. Raises UsageError for a wrong one, before the stream
    is read, and StoreError for what is no tar.
    """
    config = apply_changes(ContainerConfig(), changes)
    where = platform or host_platform()
    what = "standard input" if source == "-" else source
    snapshot = import_layer(store, decompressed(stream, what), what)
    created = rfc3339(store.context.now())
    document = ImageConfig(
        architecture=where.architecture,
        os=where.os,
        variant=where.variant,
        created=created,
        config=config,
        diff_ids=(snapshot.diff_id,),
        history=(History(created=created, comment=message or f"Imported from {source}"),),
    )
    return store.images.record(document.encode(), names)


def import_layer(store: Store, stream: BinaryIO, source: str) -> Snapshot:
    """Unpack an uncompressed tar as a layer on nothing, one whose tar can be written again from its files.

    Raises StoreError, which names `source`, for what is no tar, and where the disk is full.
    """
    with store.snapshots.prepare(None) as preparation:
        descriptor = os.open(preparation.upperdir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            apply_layer(stream, descriptor)
        except LayerError as error:
            raise StoreError(f"{source} cannot be imported: {error.message}", hint=error.hint) from error
        except OSError as error:
            raise disk_error(store.layout.root, f"unpacking {source}", error) from error
        finally:
            os.close(descriptor)
        return preparation.commit(preparation.measure())
