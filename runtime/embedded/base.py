"""Make the image `localhost/base` out of this machine's programs, once, and find it again afterwards.

It needs no network and no rights. The layer is deterministic (sorted, fixed times, root's), so two stores on one
machine have the same image.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, BinaryIO

from runtime.errors import StoreError
from runtime.oci.documents import ContainerConfig, History, ImageConfig
from runtime.oci.platforms import host_platform
from runtime.oci.references import DEFAULT_TAG, Reference
from runtime.oci.times import rfc3339

if TYPE_CHECKING:
    from tarfile import TarFile, TarInfo

    from runtime.embedded.tree import Node
    from runtime.store import Store
    from runtime.store.images import Image

REFERENCE = Reference(domain="localhost", path="base", tag=DEFAULT_TAG)

CREATED = 1_577_836_800
"""Seconds since the epoch: the time of all files, and of the image (2020-01-01)."""

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def is_base(reference: Reference) -> bool:
    """Tell whether a name is `localhost/base` in one of its spellings."""
    return reference.tagged() == REFERENCE


def ensure_base(store: Store) -> Image:
    """Return what `localhost/base` names in this store; where nothing has that name, assemble it (half a second).

    One process assembles, others wait for it. Raises StoreError where this machine has no shell to take.
    """
    name = str(REFERENCE)
    image = store.images.resolve(name)
    if image is not None:
        return image
    with store.locked("base", name):
        return store.images.resolve(name) or _assemble(store)


def write_tree(tree: Mapping[str, Node], sink: BinaryIO) -> None:
    """Write a tree as an uncompressed tar. Raises StoreError for a program that cannot be read."""
    import tarfile  # lazy: 15 ms that only the first use pays

    with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, node in tree.items():
            member = tarfile.TarInfo(path)
            member.mtime, member.mode = CREATED, node.mode
            if node.target is not None:
                member.type = tarfile.LNKTYPE if node.hard else tarfile.SYMTYPE
                member.linkname = node.target
                archive.addfile(member)
            elif node.text is not None:
                member.size = len(node.text)
                archive.addfile(member, BytesIO(node.text))
            elif node.source is not None:
                _add_file(archive, member, node.source)
            else:
                member.type = tarfile.DIRTYPE
                archive.addfile(member)


def _add_file(archive: TarFile, member: TarInfo, source: Path) -> None:
    try:
        with source.open("rb") as file:
            member.size = os.fstat(file.fileno()).st_size
            archive.addfile(member, file)
    except OSError as error:
        raise StoreError(f"localhost/base cannot be made: {source}: {error.strerror or error}") from error


def _assemble(store: Store) -> Image:
    from runtime.embedded.tree import base_tree  # lazy: 10 ms that only the first use pays
    from runtime.store.importing import import_layer

    with TemporaryFile(dir=store.workspace()) as file:
        write_tree(base_tree(), file)
        file.seek(0)
        snapshot = import_layer(store, file, str(REFERENCE))
    platform = host_platform()
    created = rfc3339(CREATED * 1_000_000_000)
    document = ImageConfig(
        architecture=platform.architecture,
        os=platform.os,
        variant=platform.variant,
        created=created,
        config=ContainerConfig(env=(f"PATH={_PATH}",), cmd=("/bin/sh",)),
        diff_ids=(snapshot.diff_id,),
        history=(History(created=created, created_by="programs of this machine", comment="pybuild base"),),
    )
    return store.images.record(document.encode(), (REFERENCE,))
