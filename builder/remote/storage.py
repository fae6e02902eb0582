"""List and delete what was brought from elsewhere: downloaded files, and repositories.

A build that uses any of it holds `ROOT/locks/remote` shared; nothing is deleted meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from builder.remote.words import without_password
from frozen import Frozen
from runtime.store.collect import disk_usage
from runtime.store.locks import Lock
from runtime.store.trees import remove_tree

if TYPE_CHECKING:
    from runtime.context import Context
    from runtime.store.facade import Store

FILE = "source.http"
REPOSITORY = "source.git"


class Stored(Frozen):
    """One file or repository: `type` is FILE or REPOSITORY, times are ns since the epoch, `size` bytes on the disk."""

    type: str
    description: str
    used: int
    size: int
    path: Path


def lock_path(context: Context) -> Path:
    """Return the file whose lock says that what was brought is in use."""
    return context.layout.locks / "remote"


def stored(store: Store) -> tuple[Stored, ...]:
    """List all that is kept, in no order; it may be gone a moment later."""
    return (*_files(store), *_repositories(store))


def remove(store: Store, paths: Iterable[Path]) -> tuple[Path, ...]:
    """Delete what lies at `paths`; gives those that went: none while a build uses any of it."""
    gone = []
    with _alone(store.context) as alone:
        for path in paths if alone else ():
            doomed = store.trash_name()
            with suppress(FileNotFoundError):
                os.rename(path, doomed)
                remove_tree(doomed) if doomed.is_dir() else doomed.unlink()
                gone.append(path)
    return tuple(gone)


def in_use(store: Store) -> bool:
    """Tell whether a build uses what was brought."""
    if not lock_path(store.context).exists():
        return False
    with _alone(store.context) as alone:
        return not alone


@contextmanager
def _alone(context: Context) -> Iterator[bool]:
    lock = Lock(lock_path(context))
    try:
        yield lock.try_acquire(exclusive=True)
    finally:
        lock.close()


def _files(store: Store) -> Iterator[Stored]:
    directory = store.layout.root / "downloads"
    if not directory.is_dir():
        return
    from builder.remote.files import Downloads

    Downloads(store)  # its table exists
    known = {
        str(row[0]).rpartition(":")[2]: (str(row[1]), int(row[2]))
        for row in store.database.read(
            "SELECT digest, url, max(used) FROM builder_downloads WHERE url LIKE 'http%' GROUP BY digest"
        )
    }
    for entry in os.scandir(directory):
        with suppress(FileNotFoundError):
            status = entry.stat(follow_symlinks=False)
            url, used = known.get(entry.name, (f"sha256:{entry.name}", status.st_mtime_ns))
            yield Stored(
                type=FILE,
                description=without_password(url),
                used=used,
                size=status.st_blocks * 512,
                path=Path(entry.path),
            )


def _repositories(store: Store) -> Iterator[Stored]:
    directory = store.layout.root / "git"
    if not directory.is_dir():
        return
    for entry in os.scandir(directory):
        with suppress(FileNotFoundError):
            if entry.is_dir(follow_symlinks=False) and (Path(entry.path) / "HEAD").exists():
                used = entry.stat(follow_symlinks=False).st_mtime_ns
                description = Path(entry.path, "description").read_text().strip()
                size = disk_usage([Path(entry.path)])
                yield Stored(type=REPOSITORY, description=description, used=used, size=size, path=Path(entry.path))
