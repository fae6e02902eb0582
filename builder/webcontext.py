"""Take a build context from the URL of an archive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.archives import archive_kind
from builder.remote.words import without_password
from builder.unpacked import UnpackedContext, unpack_context
from runtime.errors import PybuildError

if TYPE_CHECKING:
    from pathlib import Path

    from builder.remote.sources import Remotes
    from runtime.store.facade import Store


def is_archive(path: Path) -> bool:
    """Tell whether a file is a tar, compressed or not, by its content."""
    with path.open("rb") as file:
        return archive_kind(file, path.name) is not None


def open_archive_at(url: str, store: Store, remotes: Remotes, title: str) -> UnpackedContext:
    """Download an archive and unpack it. Raises PybuildError where it is none."""
    file = remotes.verified(remotes.file(url), url, None)
    with file.path.open("rb") as stream:
        if archive_kind(stream, file.name) is None:
            raise PybuildError(f"{without_password(url)} is no archive", hint="a context is a tar, compressed or not")
        stream.seek(0)
        return unpack_context(store, stream, title)
