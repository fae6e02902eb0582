"""Carry what would else be global: the root directory, the clock, random names, streams, and cancellation.

One `Context` is made by the command line for one run of the program and passed down; two contexts with different
roots work side by side in one process.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from frozen import Frozen, field
from runtime.errors import Cancelled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO


class Cancel:
    """One event that every wait looks at: a flag for code that runs, a file descriptor for code that polls.

    `fd` becomes readable for good once `set` was called. `set` may be called from a signal handler.
    """

    def __init__(self) -> None:
        self.signal = 0
        self.fd, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def set(self, signal: int) -> None:
        """Ask everything that works for this context to stop; the first signal's number is kept."""
        if not self.signal:
            self.signal = signal
            os.write(self._writer, b"!")

    def check(self) -> None:
        """Raise `Cancelled` if somebody asked to stop."""
        if self.signal:
            raise Cancelled(self.signal)

    def wait(self, seconds: float) -> bool:
        """Sleep until somebody asks to stop, `seconds` at most; tells whether somebody did."""
        import select  # only for those who have to wait

        poll = select.poll()  # unlike select(2) for any number of open files
        poll.register(self.fd, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def __del__(self) -> None:
        os.close(self.fd)
        os.close(self._writer)


class Layout(Frozen, kw_only=False):
    """Where everything lies below one root (`--root`); makes no directory by itself.

    ::

        ROOT/images       an OCI image layout: oci-layout, index.json, blobs/ALGORITHM/HEX
        ROOT/snapshots    HEX/fs: one directory a layer, named by its chain ID
        ROOT/containers   ID/: upper, work, log, alive, socket
        ROOT/volumes      NAME/_data
        ROOT/cache-mounts ID/: what RUN --mount=type=cache keeps
        ROOT/registry     uploads/ID: what came of pushes to our registry that are not finished
        ROOT/partial      beginnings of blobs, of downloads that were interrupted
        ROOT/tmp          whatever has no name yet; a dead owner's is swept by the next command
        ROOT/trash        what was taken out of the store and is not deleted yet
        ROOT/locks        flock files, never deleted, and a spare one (reserve)
        ROOT/userns       processes in the user namespace of an unprivileged user's root
        ROOT/state.db     the SQLite database
        RUN               what must not outlive a boot
    """

    root: Path
    run: Path
    key: str
    """Ten hex digits of the digest of the root's real path: the owner's mark in names of links, cgroups, rules."""

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def snapshots(self) -> Path:
        return self.root / "snapshots"

    @property
    def containers(self) -> Path:
        return self.root / "containers"

    @property
    def volumes(self) -> Path:
        return self.root / "volumes"

    @property
    def cache_mounts(self) -> Path:
        return self.root / "cache-mounts"

    @property
    def partial(self) -> Path:
        return self.root / "partial"

    @property
    def tmp(self) -> Path:
        return self.root / "tmp"

    @property
    def trash(self) -> Path:
        return self.root / "trash"

    @property
    def locks(self) -> Path:
        return self.root / "locks"

    @property
    def database(self) -> Path:
        return self.root / "state.db"


def _random_hex(length: int) -> str:
    return os.urandom((length + 1) // 2).hex()[:length]


class Context(Frozen):
    """What one run of the program knows about its surroundings.

    `now` returns nanoseconds since the epoch. `token(n)` returns n random hex digits. `rootless` is True where the
    process started without the superuser's rights (it may be uid 0 of a user namespace of its own by now).
    """

    layout: Layout
    environ: Mapping[str, str]
    rootless: bool
    offline: bool = False
    debug: bool = False
    config_file: Path | None = None
    now: Callable[[], int] = time.time_ns
    token: Callable[[int], str] = _random_hex
    stdout: TextIO = field(default_factory=lambda: sys.stdout)
    stderr: TextIO = field(default_factory=lambda: sys.stderr)
    cancel: Cancel = field(default_factory=Cancel)
