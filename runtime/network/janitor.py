"""Know who uses the bridge of a root, and take it away when nobody does.

Users hold a shared flock on `ROOT/locks/network.users` for as long as they live; the kernel frees it however they end.
Whoever gets it exclusively knows that there is no user, and new ones wait until he is done. The last one out starts a
janitor, which takes bridge and table away when the last use is half a second ago: deleting a bridge takes the kernel
50 ms, and a loop of short runs keeps its bridge. One janitor waits at a time: it holds `ROOT/locks/network.janitor`.

Leases of addresses are only held by users, so the janitor drops what killed ones left of them, too.

No end is missed: a leaver first gives up its own lock. Finds it others there, they will leave later. Finds it a janitor
there, that one looks after users once more after it has given up the janitor's lock.

Standard library alone: `python -I -S` runs `main`.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time

from runtime.network import holderfile

LINGER = 0.5
"""Seconds without any user after which the bridge is taken away; it may be twice as long."""

_JANITOR_FD, _USERS_FD = 3, 4
_BUSY = 10
"""Seconds to wait for the database."""
_START = "import sys; sys.path.insert(0, sys.argv[1]); from runtime.network.janitor import main; main(*sys.argv[2:])"


def try_use(locks: str) -> int | None:
    """Become a user of the bridge: returns a close-on-exec descriptor, None while the bridge is being taken away.

    `locks` is the directory of lock files. Whoever has the descriptor, inherited or sent, is a user. The file has a
    byte from now on until all is taken away.
    """
    fd = _open(locks, "network.users")
    if _lock(fd, fcntl.LOCK_SH):
        os.pwrite(fd, b"!", 0)
        return fd
    os.close(fd)
    return None


def is_due(locks: str) -> bool:
    """Tell whether there has been a user since all was taken away the last time."""
    try:
        return os.stat(f"{locks}/network.users").st_size > 0
    except OSError:
        return False


def alone(locks: str) -> int | None:
    """Get the users' lock exclusively: a descriptor to close when done, None where somebody uses the bridge."""
    fd = _open(locks, "network.users")
    if _lock(fd, fcntl.LOCK_EX):
        return fd
    os.close(fd)
    return None


def leave(locks: str, key: str) -> None:
    """See to the bridge after its descriptor was closed: without a user left, it is taken away in the background.

    Returns after a millisecond. Raises nothing: what cannot be done now is left to the next command.
    """
    opened: list[int] = []
    try:
        opened.append(users := _open(locks, "network.users"))
        if not _lock(users, fcntl.LOCK_EX):
            return
        os.utime(users)  # the time of the last use
        fcntl.flock(users, fcntl.LOCK_UN)
        opened.append(guard := _open(locks, "network.janitor"))
        if _lock(guard, fcntl.LOCK_EX):
            _start(locks, key, guard, users)
    except OSError:
        pass
    finally:
        for fd in opened:
            os.close(fd)


def clear(locks: str, key: str) -> None:
    """Take away bridge, table, firewall entries and leases of a root; the caller has the users' lock exclusively."""
    import sqlite3  # lazy: 5 ms, and often there is nothing to do
    from contextlib import closing

    from runtime.network import bridge  # lazy: 3 ms

    named: list[tuple[str, str]] = []
    path = f"{os.path.dirname(locks)}/state.db"
    for character, escape in (("%", "%25"), ("?", "%3f"), ("#", "%23")):
        path = path.replace(character, escape)
    try:
        opened = sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=_BUSY)  # never a new, empty one
        with closing(opened), opened as connection:
            for table in ("network_leases", "network_leases6"):
                if connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone():
                    connection.execute(f"DELETE FROM {table}")
            if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'networks'").fetchone():
                rows = connection.execute("SELECT id, options FROM networks").fetchall()
                named = [(name, number) for number, text in rows if (name := _given_name(text))]
    except sqlite3.Error:
        pass  # a lease whose process is gone counts for nothing; the row is taken over when its turn comes
    if not holderfile.stop(locks):
        bridge.take_down(key, [(name, bridge.table_name(key, number)) for name, number in named])
    try:
        os.truncate(f"{locks}/network.users", 0)
    except FileNotFoundError:
        pass  # the root was deleted


def _given_name(options: str) -> str:
    """Return the name that a user gave to a network's bridge, "" where there is none."""
    import json  # lazy: 2 ms, and few networks have options

    given = json.loads(options) if options != "{}" else {}
    return str(
        next((given[name] for name in ("com.docker.network.bridge.name", "bridge", "name") if name in given), "")
    )


def main(locks: str, key: str) -> None:
    """Be the janitor of one root; it has the two lock files open, and works also for a root that was deleted."""
    while True:
        last_use = os.fstat(_USERS_FD).st_mtime_ns
        time.sleep(LINGER)
        if not _lock(_USERS_FD, fcntl.LOCK_EX):
            fcntl.flock(_JANITOR_FD, fcntl.LOCK_UN)
            if not _lock(_USERS_FD, fcntl.LOCK_EX):
                return
        if os.fstat(_USERS_FD).st_mtime_ns == last_use:
            if not _is_replaced(locks):
                clear(locks, key)
            return
        fcntl.flock(_USERS_FD, fcntl.LOCK_UN)


def _is_replaced(locks: str) -> bool:
    """Tell whether the root was deleted and made anew: its bridge is that of other users now."""
    try:
        return not os.path.samestat(os.stat(f"{locks}/network.users"), os.fstat(_USERS_FD))
    except OSError:
        return False


def _start(locks: str, key: str, guard: int, users: int) -> None:
    """Start a janitor that holds `guard`; a shell between makes it nobody's child, so none need wait for it."""
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    command = [sys.executable, "-I", "-S", "-c", _START, package, locks, key]
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _USERS_FD + 1) for fd in (guard, users)]
    actions = [
        (os.POSIX_SPAWN_DUP2, high[0], _JANITOR_FD),
        (os.POSIX_SPAWN_DUP2, high[1], _USERS_FD),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    try:
        pid = os.posix_spawn(
            "/bin/sh",
            ["sh", "-c", 'cd / && "$@" </dev/null &', "sh", *command],
            {"PATH": "/usr/bin:/bin"},
            file_actions=actions,
            setsid=True,
            setsigmask=(),
        )
    finally:
        for fd in high:
            os.close(fd)
    os.waitpid(pid, 0)


def _open(locks: str, name: str) -> int:
    return os.open(f"{locks}/{name}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _lock(fd: int, operation: int) -> bool:
    try:
        fcntl.flock(fd, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
