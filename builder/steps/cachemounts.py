"""Keep the directories of `RUN --mount=type=cache`: they outlive builds, and belong to no result.

::

    ROOT/cache-mounts/HEX/data      what the step sees; HEX digests the id
    ROOT/cache-mounts/HEX/lock      flock: shared by users of `shared`, exclusive for `locked` and `private`
    ROOT/cache-mounts/HEX/id        the id as written, for lists
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.store.locks import Lock

if TYPE_CHECKING:
    from runtime.context import Context


@contextmanager
def cache_directory(
    context: Context, identifier: str, *, sharing: str, mode: int, uid: int, gid: int
) -> Iterator[Path]:
    """Hold the directory of `identifier` for the length of a `with` block, made with `mode` and owner if it is new.

    `locked` waits until nobody else has it; `private` takes another, new one where somebody has it; `shared` is used
    by many at once.
    """
    number = 0
    while True:
        path = entry_of(context, identifier, number)
        lock = Lock(path / "lock")
        try:
            if sharing != "private":
                lock.acquire(context.cancel, exclusive=sharing == "locked")
            elif not lock.try_acquire(exclusive=True):
                number += 1
                continue
            os.utime(path / "lock")  # when it was last used
            yield _data(path, mode=mode, uid=uid, gid=gid)
            return
        finally:
            lock.close()


def entry_of(context: Context, identifier: str, number: int = 0) -> Path:
    """Return what a cache mount lies in, made with its label; `number` counts those of one id that are used at once."""
    name = sha256(identifier.encode(errors="surrogateescape")).hexdigest()[:32]
    path = context.layout.cache_mounts / (f"{name}.{number}" if number else name)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    label = path / "id"
    if not label.exists():
        label.write_bytes(identifier.encode(errors="surrogateescape"))
    return path


def _data(path: Path, *, mode: int, uid: int, gid: int) -> Path:
    """Make the directory under another name first: nobody sees it with the wrong owner."""
    data = path / "data"
    if not data.exists():
        new = path / f"new-{os.getpid()}-{os.urandom(4).hex()}"
        new.mkdir()
        os.chown(new, uid, gid)
        new.chmod(mode)
        try:
            new.rename(data)
        except OSError:  # another one was quicker, and has put something in already
            new.rmdir()
    return data
