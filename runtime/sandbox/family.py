"""Let all unprivileged processes of one root be in one user namespace: only so can they join each other's networks.

The file `ROOT/userns` names processes that are in it, one a line (`PID-STARTTIME-BOOT`), under its own flock:
commands, and what outlives them (monitors, the holder of the networks). A command joins the first that lives; the
kernel lets it, as its user has made that namespace. Where none lives it makes a new one and is the first.
"""

from __future__ import annotations

import fcntl
import os

from runtime.sandbox import syscalls, userns
from runtime.store.leases import boot_mark, is_alive, start_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.context import Context
    from runtime.sandbox.userns import IdMap

_MANY = 40
"""Lines after which those of dead processes are dropped."""


def enter(context: Context) -> IdMap:
    """Be uid 0 in the user namespace of this root, as `userns.enter` has it, with a mount namespace of its own.

    Where the list cannot be kept the namespace is new, and the process alone in it. Raises SandboxError.
    """
    if userns.is_privileged():
        return userns.current()
    try:
        register = _Register(context, make=True)
    except OSError:  # whoever needs the directory says what is wrong with it
        return userns.enter(context)
    with register:
        found = userns.current() if register.join() else userns.enter(context)
        register.add(os.getpid())
    return found


def add(context: Context, pid: int) -> None:
    """Name a process that outlives this one, and is in the same user namespace. Nothing is done for the superuser."""
    if not context.rootless:
        return
    try:
        register = _Register(context)
    except OSError:
        return  # nothing was shared
    with register:
        register.add(pid)


def members(context: Context) -> tuple[str, ...]:
    """Return the names of the processes that live in the user namespace, the latest first."""
    try:
        with _Register(context) as register:
            return tuple(name for name in reversed(register.names) if is_alive(name))
    except OSError:
        return ()


class _Register:
    """The list, locked while it is open."""

    def __init__(self, context: Context, *, make: bool = False) -> None:
        directory = context.layout.root
        if make:
            os.makedirs(directory, mode=0o700, exist_ok=True)
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT if make else 0)
        self._fd = os.open(directory / "userns", flags, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        self.names = os.pread(self._fd, 1 << 20, 0).decode("ascii", "replace").split()

    def __enter__(self) -> _Register:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._fd)

    def join(self) -> bool:
        """Enter the user namespace of a process that lives; False where there is none."""
        for name in reversed(self.names):
            if is_alive(name) and _join(int(name.partition("-")[0]), name):
                return True
        self.names = []
        return False

    def add(self, pid: int) -> None:
        """Add a process to the list, in one write over what is there.

        Who was killed with an empty list before it would part those who live from those who come.
        """
        kept = [name for name in self.names if is_alive(name)] if len(self.names) > _MANY else self.names
        kept.append(f"{pid}-{start_time(pid)}-{boot_mark()}")
        text = "".join(f"{name}\n" for name in kept).encode()
        os.pwrite(self._fd, text.ljust(os.fstat(self._fd).st_size, b"\n"), 0)


def _join(pid: int, name: str) -> bool:
    try:
        namespace = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if not is_alive(name):  # the number may be another process' by now
            return False
        syscalls.setns(namespace, syscalls.CLONE_NEWUSER)
    except OSError:
        return False
    finally:
        os.close(namespace)
    userns.settle()
    return True
