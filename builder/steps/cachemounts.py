"""Keep the directories of `RUN --mount=type=cache`: they outlive builds, and belong to no result.

::

    ROOT/cache-mounts/HEX/data      what the step sees; HEX digests the id, and what a new one begins as
    ROOT/cache-mounts/HEX/lock      flock: shared by users of `shared`, exclusive for `locked` and `private`
    ROOT/cache-mounts/HEX/id        the id as written, for lists
    ROOT/cache-mounts/HEX/variant   what a new one begins as, unless as an ordinary empty directory
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from frozen import Frozen
from runtime.store.locks import Lock
from runtime.store.trees import remove_tree

if TYPE_CHECKING:
    from runtime.context import Context


class Beginning(Frozen):
    """What a new cache mount is: an empty directory with `mode` and owner, or what `seed` puts into a workspace.

    `variant` tells one beginning from another: mounts of one id that begin differently are not the same mount.
    `seed` takes a directory of its own and returns the one in it that is to be the mount.
    """

    variant: str = ""
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    seed: Callable[[Path], Path] | None = None


@contextmanager
def cache_directory(context: Context, identifier: str, *, sharing: str, beginning: Beginning) -> Iterator[Path]:
    """Hold the directory of `identifier` for the length of a `with` block, made as `beginning` says if it is new.

    `locked` waits until nobody else has it; `private` takes another, new one where somebody has it; `shared` is used
    by many at once.
    """
    number = 0
    while True:
        path = entry_of(context, identifier, number, variant=beginning.variant)
        lock = Lock(path / "lock")
        try:
            if sharing != "private":
                lock.acquire(context.cancel, exclusive=sharing == "locked")
            elif not lock.try_acquire(exclusive=True):
                number += 1
                continue
            os.utime(path / "lock")  # when it was last used
            yield _data(path, beginning)
            return
        finally:
            lock.close()


def entry_of(context: Context, identifier: str, number: int = 0, *, variant: str = "") -> Path:
    """Return what a cache mount lies in, made with its label; `number` counts those of one id that are used at once."""
    name = _name_of(identifier, variant)
    path = context.layout.cache_mounts / (f"{name}.{number}" if number else name)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for label, text in (("id", identifier), ("variant", variant)):
        if text and not (path / label).exists():
            (path / label).write_bytes(text.encode(errors="surrogateescape"))
    return path


def labels_of(path: Path) -> tuple[str, str] | None:
    """Return id and variant of what lies in a cache mount's directory; None where they are not known.

    Raises FileNotFoundError where no id is there.
    """
    identifier = (path / "id").read_bytes().decode(errors="surrogateescape")
    try:
        variant = (path / "variant").read_bytes().decode(errors="surrogateescape")
    except FileNotFoundError:
        variant = ""
    return (identifier, variant) if _name_of(identifier, variant) == path.name else None


def _name_of(identifier: str, variant: str) -> str:
    key = f"{identifier}\0{variant}" if variant else identifier
    return sha256(key.encode(errors="surrogateescape")).hexdigest()[:32]


def _data(path: Path, beginning: Beginning) -> Path:
    """Make the directory under another name first: nobody sees it with the wrong owner, or half filled."""
    data = path / "data"
    if data.exists():
        return data
    new = path / f"new-{os.getpid()}-{os.urandom(4).hex()}"
    new.mkdir()
    try:
        made = new / "data"
        if beginning.seed is not None:
            made = beginning.seed(new)
        else:
            made.mkdir()
            os.chown(made, beginning.uid, beginning.gid)
            made.chmod(beginning.mode)
        with suppress(OSError):  # another one was quicker, and has put something in already
            made.rename(data)
    finally:
        remove_tree(new)
    return data
