"""Make and look at what a monitor needs of the kernel: pipes, ended children, files; standard library alone."""

from __future__ import annotations

import os
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal

    from runtime.sandbox import launcher
else:
    import _signal as signal  # without the enums, which cost 3 ms


def reap_orphans(own: int) -> set[int]:
    """Collect our children that have ended, also those that were handed to us; the container's first one stays.

    Returns their pids.
    """
    pids: set[int] = set()
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return pids
        if ended is None or ended.si_pid == own:
            return pids
        os.waitpid(ended.si_pid, 0)
        pids.add(ended.si_pid)


def has_ended(child: launcher.Child) -> bool:
    """Tell whether a process has ended and is to be collected."""
    poller = select.poll()
    poller.register(child.pidfd, select.POLLIN)
    return bool(poller.poll(0))


def oom_killed(child: launcher.Child) -> bool:
    """Tell whether the kernel killed a process of the container for memory; asked before its cgroup goes."""
    paths = child.cgroup.paths if child.cgroup else {}
    for controller, name in (("memory", "memory.oom_control"), ("", "memory.events")):
        if controller in paths:
            try:
                with open(f"{paths[controller]}/{name}") as file:
                    counts = dict(line.split() for line in file)
            except OSError:
                continue
            return counts.get("oom_kill", "0") != "0"
    return False


def where(error: BaseException) -> str:
    """Name the error and the line that raised it: there is no terminal for a traceback."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" ({os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno})" if trace else ""
    return f"{type(error).__name__}: {error}{place}"


def pipes(stdin: bool) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Make the container's standard streams: its ends, and ours; without stdin it gets /dev/null."""
    theirs_in, ours_in = os.pipe2(os.O_CLOEXEC) if stdin else (os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), -1)
    ours_out, theirs_out = os.pipe2(os.O_CLOEXEC)
    ours_err, theirs_err = os.pipe2(os.O_CLOEXEC)
    return (theirs_in, theirs_out, theirs_err), (ours_in, ours_out, ours_err)


def signal_pipe() -> int:
    """Return a descriptor that is readable after a signal: without it an interrupted poll would just go on."""
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    return reader


def write_file(directory: int, name: str, content: bytes) -> None:
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600, dir_fd=directory)
    try:
        os.write(fd, content)
    finally:
        os.close(fd)
