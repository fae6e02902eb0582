"""Let the kernel begin early what it does before a process changes its control group.

The first move in a while waits for an RCU grace period, 10 ms here; those in the 10 ms that follow take 0.03 ms. So who
knows that a process is to be moved soon, and has something else to do until then, moves itself to where it is.
Standard library alone, and hardly any of that: it is worth it only if it begins at once.
"""

from __future__ import annotations

import os


def expect_move() -> None:
    """Move this process to its own group, which waits for what a move waits for. Where it may not, nothing happens."""
    try:
        with open("/proc/self/cgroup", "rb") as file:
            own = dict(line.rstrip(b"\n").split(b":", 2)[1:] for line in file)
        with open("/proc/self/mountinfo", "rb") as file:
            for line in file:
                place, (kind, _, options) = line.split()[4], line.partition(b" - ")[2].split()[:3]
                for controllers, group in own.items():
                    if kind == b"cgroup2" if not controllers else kind == b"cgroup" and options.endswith(controllers):
                        _write_zero(place + group.rstrip(b"/") + b"/cgroup.procs")
                        return
    except (OSError, ValueError):
        pass


def _write_zero(path: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, b"0")
    finally:
        os.close(fd)
