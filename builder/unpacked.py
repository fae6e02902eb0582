"""See an archive that was unpacked as a build context: with the owners that it names, and nothing ignored."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from builder.trees import ImageTree, clean, plan_copy, resolve
from runtime.errors import PybuildError, StoreError
from runtime.store.compression import decompressed
from runtime.store.layers.unpack import apply_layer
from runtime.store.view import MergedView

if TYPE_CHECKING:
    from runtime.oci.digests import Digest
    from runtime.store.facade import Store


class UnpackedContext(ImageTree):
    """The tree of an archive, for as long as the store is open; threads may share it."""

    def digest(self, path: str) -> Digest:
        """Digest the content of the file or tree at `path`. Raises NotFound."""
        return plan_copy(self, resolve(self, clean(path))).digest

    def materialise(self, path: str, workspace: Path) -> tuple[Path, Digest]:
        """Copy the file or tree at `path` into a new entry of `workspace`; returns it and the digest of the copy."""
        from builder.layering import copy_out  # lazy: only for mounts of the context

        return copy_out(self, resolve(self, clean(path)), workspace)


def unpack_context(store: Store, stream: BinaryIO, title: str) -> UnpackedContext:
    """Unpack a tar, compressed or not, into the workspace. Raises PybuildError for one that cannot be read."""
    directory = store.workspace() / f"context-{store.context.token(12)}"
    directory.mkdir(mode=0o755)
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Its links lead where they lead inside the archive; names of whiteouts are names like others.
        apply_layer(decompressed(stream, title, garbage=True), fd, whiteouts=False)
    except (StoreError, OSError) as error:
        reason = error.message if isinstance(error, StoreError) else error.strerror
        raise PybuildError(f"{title} cannot be unpacked: {reason}", hint="give a tar, compressed or not") from error
    finally:
        os.close(fd)
    return UnpackedContext(MergedView((directory,)), title)
