"""Find the holder of an unprivileged user's network by the file that names it, and end it.

The file is described in runtime.network.holder. Standard library alone, and usable under `python -I -S`.
"""

from __future__ import annotations

import fcntl
import os

HOLDER = "network.holder"
"""The file, in `ROOT/locks`; a root of the superuser has none."""


def stop(locks: str) -> bool:
    """End the holder of a root, whoever is in its namespace; False where the root has had none."""
    try:
        fd = os.open(f"{locks}/{HOLDER}", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        pid = living(os.pread(fd, 200, 0).decode("ascii", "replace"))
        if pid:
            _kill(pid)
        os.ftruncate(fd, 0)
    finally:
        os.close(fd)
    return True


def living(line: str) -> int:
    """Return the pid of the holder that a line of the file names, 0 where it lives no more."""
    pid, _, rest = line.partition("-")
    started, _, rest = rest.partition("-")
    if not pid.isdecimal():
        return 0
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            boot = file.read(8)
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    alive = rest[:8] == boot and fields[0] not in (b"Z", b"X") and fields[19].decode() == started
    return int(pid) if alive else 0


def _kill(pid: int) -> None:
    import select
    import signal

    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return
    try:
        signal.pidfd_send_signal(fd, signal.SIGKILL)
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        poller.poll(5000)
    except ProcessLookupError:
        pass
    finally:
        os.close(fd)
