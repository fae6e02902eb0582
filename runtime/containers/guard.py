"""End a container whose monitor was killed, where neither a pid namespace nor a control group does; standard library.

The guard is a process beside the monitor that waits for it to go: then it kills what is left in the container's mount
namespace. Only a user's container that shares a pid namespace needs one. Who kills both leaves such processes behind.
"""

from __future__ import annotations

import os

from runtime.sandbox import launcher, syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal  # without the enums, which cost 3 ms


def watch(child: launcher.Child) -> int:
    """Fork a guard for a container that has just been started, from a process without threads.

    Returns a descriptor (close-on-exec) to hold as long as the container runs; -1 where nothing needs a guard.
    """
    if child.tree < 0 or child.cgroup:
        return -1
    alive, held = os.pipe2(os.O_CLOEXEC)
    if os.fork() == 0:
        _guard(alive, child.tree)
    os.close(alive)
    return held


def _guard(alive: int, tree: int) -> None:
    """Wait until nobody holds the other end of `alive`, then end what is in `tree`; does not return."""
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        syscalls.close_all_but([alive, tree])
        nothing = os.open("/dev/null", os.O_RDWR)  # the starter reads what a monitor says until its end
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        os.read(alive, 1)
        launcher.end_all(tree)
    finally:
        os._exit(0)
