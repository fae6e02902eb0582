"""Find the network namespace that a root's bridges are in: the one we are in where we rule it, else the holder's.

An unprivileged user cannot make links where all programs of the machine are. His bridges are in a namespace of their
own (runtime.network.holder), which all containers of the root share.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from runtime.errors import NetworkError
from runtime.network.holderfile import HOLDER, living
from runtime.network.namespaces import HERE
from runtime.store.leases import boot_mark, is_alive, start_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.context import Context

_NS_GET_USERNS = 0xB701
"""ioctl_ns(2): open the user namespace that owns a namespace."""


def owns_network() -> bool:
    """Tell whether our user namespace rules this network namespace; that of `unshare -r` and its like does not."""
    descriptors: list[int] = []
    try:
        for name in ("user", "net"):
            descriptors.append(os.open(f"/proc/thread-self/ns/{name}", os.O_RDONLY | os.O_CLOEXEC))
        descriptors.append(fcntl.ioctl(descriptors[1], _NS_GET_USERNS))
        return os.path.sameopenfile(descriptors[0], descriptors[2])
    except OSError:  # the ruler is above us, where we may not look
        return False
    finally:
        for fd in descriptors:
            os.close(fd)


class Home:
    """Where bridges are: `namespace` for `namespaces.within`, `path` to it for other processes ("" for HERE)."""

    __slots__ = ("namespace", "path")

    def __init__(self, namespace: int = HERE, path: str = "") -> None:
        self.namespace = namespace
        self.path = path


@contextmanager
def required(context: Context) -> Iterator[Home]:
    """Give the home of this root's bridges, made where there is none; it stays as long as bridges have a user.

    The caller is a user (janitor.try_use). Raises NetworkError where it cannot be had.
    """
    with ExitStack() as stack:
        if not context.rootless and owns_network():
            yield Home()
            return
        lock = stack.enter_context(_locked(context))
        found = _open(lock)
        if found is None:
            found = _start(context, lock, stack)
        os.close(lock.detach())
        stack.callback(os.close, found.namespace)
        yield found


@contextmanager
def present(context: Context) -> Iterator[Home | None]:
    """Give the home of this root's bridges, None where there is none: then there is no bridge."""
    if not context.rootless and owns_network():
        yield Home()
        return
    try:
        with _locked(context) as lock:
            found = _open(lock)
    except NetworkError:
        found = None
    try:
        yield found
    finally:
        if found is not None:
            os.close(found.namespace)


class _Lock:
    """The file that names the holder, locked."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def read(self) -> list[str]:
        """Return the fields of its line: process, descriptor, inode; none where there is no holder."""
        return os.pread(self.fd, 200, 0).decode("ascii", "replace").split()

    def write(self, line: str) -> None:
        """Write its line over the one before, at once: who is killed meanwhile leaves one of both."""
        os.pwrite(self.fd, line.encode().ljust(os.fstat(self.fd).st_size, b"\n"), 0)

    def detach(self) -> int:
        """Give the descriptor away."""
        fd, self.fd = self.fd, -1
        return fd


@contextmanager
def _locked(context: Context) -> Iterator[_Lock]:
    path = context.layout.locks / HOLDER
    try:
        lock = _Lock(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    except OSError as error:
        raise NetworkError(f"{path} cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(lock.fd, fcntl.LOCK_EX)
        yield lock
    finally:
        if lock.fd >= 0:
            os.close(lock.fd)


def _open(lock: _Lock) -> Home | None:
    """Open the namespace of the holder that lives."""

    fields = lock.read()
    if len(fields) != 3 or not (pid := living(fields[0])):
        return None
    path = f"/proc/{pid}/fd/{fields[1]}"
    try:
        return Home(os.open(path, os.O_RDONLY | os.O_CLOEXEC), path)
    except OSError as error:
        raise NetworkError(
            f"the network of this root is held by process {pid}, in another user namespace: {error.strerror}",
            hint="stop the containers that were started from there",
        ) from error


def _start(context: Context, lock: _Lock, stack: ExitStack) -> Home:
    import json

    from runtime.network import holder, rootless
    from runtime.network.rtnetlink import Rtnetlink
    from runtime.sandbox import family

    helper = rootless.find(context.environ)
    place = rootless.place(context)
    with Rtnetlink() as links:
        offline = links.way_out() is None
    plan = {
        "mode": helper.mode,
        "command": helper.command(place, forward=False, apart=True),
        "place": place,
        "optional": offline,
    }
    adopted = _orphan(context, lock)
    if adopted is not None:
        stack.callback(os.close, adopted)
    answer = _spawn(context, json.dumps(plan), adopted)
    if not answer.startswith(holder.READY):
        words = answer.decode("utf-8", "replace").strip() or "ended before the network was ready"
        raise NetworkError(f"the network cannot be set up: {words}")
    number, inode, pid = (int(word) for word in answer.split()[1:])
    family.add(context, pid)
    lock.write(f"{pid}-{start_time(pid)}-{boot_mark()} {number} {inode}\n")
    found = _open(lock)
    if found is None:
        raise NetworkError("the network cannot be set up: its holder has ended")
    return found


def _spawn(context: Context, plan: str, adopted: int | None) -> bytes:
    """Start a holder; returns its first words."""
    from runtime import interpreters  # lazy: only where there is none yet

    reader, writer = os.pipe2(os.O_CLOEXEC)
    handed = [writer] if adopted is None else [writer, adopted]
    words = [plan, str(int(adopted is not None)), str(context.layout.locks)]
    try:
        pid = interpreters.spawn("runtime.network.holder", "module.main(*words)", words, handed)
    finally:
        os.close(writer)
    with open(reader, "rb") as file:
        answer = file.read()
    os.waitpid(pid, 0)
    return answer


def _orphan(context: Context, lock: _Lock) -> int | None:
    """Find the namespace of a holder that was killed, in a process that has it open: a monitor of its containers."""
    from runtime.sandbox import family

    fields = lock.read()
    if len(fields) != 3 or not _is_of_this_boot(fields[0]):
        return None
    wanted = f"net:[{fields[2]}]"
    for name in family.members(context):
        pid = name.partition("-")[0]
        with suppress(OSError):
            for number in os.listdir(f"/proc/{pid}/fd"):
                with suppress(OSError):
                    if os.readlink(f"/proc/{pid}/fd/{number}") == wanted and is_alive(name):
                        return os.open(f"/proc/{pid}/fd/{number}", os.O_RDONLY | os.O_CLOEXEC)
    return None


def _is_of_this_boot(name: str) -> bool:
    """Tell whether a process' name is of this boot."""
    return name.rpartition("-")[2] == boot_mark()
