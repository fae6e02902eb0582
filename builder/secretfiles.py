"""Put the value of a secret where a step can see it: a file in memory, for as long as the step runs.

::

    RUN/secrets/OWNER        one file a mount, on the file system that does not outlive a boot

OWNER names the process that made it (see `runtime.store.leases`): the next build deletes what a killed one left.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.context import Context


@contextmanager
def secret_file(context: Context, value: bytes, *, uid: int, gid: int, mode: int) -> Iterator[Path]:
    """Keep `value` in a file with that owner and mode (0oNNN) for the length of a `with` block."""
    from runtime.store.leases import own_name  # only where there is a secret

    directory = _directory(context)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / own_name(context)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with open(fd, "wb") as file:
            file.write(value)
            os.fchown(file.fileno(), uid, gid)
            os.fchmod(file.fileno(), mode)
        yield path
    finally:
        path.unlink(missing_ok=True)


def sweep_secrets(context: Context) -> None:
    """Delete the files of processes that are gone; where no secret was ever used it is one system call."""
    try:
        names = os.listdir(_directory(context))
    except FileNotFoundError:
        return
    from runtime.store.leases import is_alive

    for name in names:
        if not is_alive(name):
            with suppress(FileNotFoundError):
                os.unlink(_directory(context) / name)


def _directory(context: Context) -> Path:
    return context.layout.run / "secrets"
