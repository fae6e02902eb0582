"""Run pasta or slirp4netns for one container, and let nothing of it outlive the container or its monitor.

The helper runs in a pid and a mount namespace whose first process is a *keeper*, forked from the caller: it waits for
the end of the container's process, and the kernel kills it when the caller dies. With the keeper the namespaces end
and every process in them, also one that went to the background. The container's network namespace is bound over a file
there: pasta gives up the rights that it would need to open the one in /proc.

Standard library alone, and usable under `python -I -S`.
"""

from __future__ import annotations

import errno
import os
import select
import signal

from runtime.sandbox import syscalls

TYPE_CHECKING = False

_READY = b"ready"
_RESULT, _CONTAINER, _ERRORS, READY_FD = 3, 4, 5, 6
_LONGEST_TEXT = 2000


def start(mode: str, command: list[str], place: str, pid: int, namespace: str = "") -> int:
    """Start `command` and return when a network namespace, bound over the file `place`, is connected.

    `namespace` is its path, by default that of process `pid`, with which the helper ends.

    Returns the keeper's pid: when that one has ended, everything has. pasta says that it is ready by going to the
    background, slirp4netns by a byte on descriptor 6. Raises OSError with the helper's
    own words. The caller has one thread.
    """
    container = os.pidfd_open(pid)
    errors = os.memfd_create("errors", os.MFD_CLOEXEC)
    result, writer = os.pipe2(os.O_CLOEXEC)
    try:
        keeper = syscalls.clone3(syscalls.CLONE_NEWPID)
        if keeper == 0:
            os.close(result)
            _be_keeper((writer, container, errors), mode, command, (namespace or f"/proc/{pid}/ns/net", place))
        os.close(writer)
        answer = b""
        while piece := os.read(result, 4096):
            answer += piece
    finally:
        for fd in (container, errors, result):
            os.close(fd)
    if answer != _READY:
        words = answer.decode("utf-8", "replace").strip() or "ended before the network was ready"
        raise OSError(errno.ENETDOWN, f"{command[0]}: {words}")
    return keeper


def _be_keeper(fds: tuple[int, int, int], mode: str, command: list[str], binding: tuple[str, str]) -> None:
    """Be the first process of the helper's pid namespace; never returns."""
    try:
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
        os.setsid()
        syscalls.reset_signals()
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        _arrange(fds)
        if _caller_is_gone():
            os._exit(0)
        answer = _bind(*binding) or _start_helper(mode, command)
        os.write(_RESULT, answer)
        os.close(_RESULT)
        if answer == _READY:
            select.select([_CONTAINER], [], [])
    finally:
        os._exit(0)


def _arrange(fds: tuple[int, int, int]) -> None:
    """Leave /dev/null as 0-2, the result pipe, the container's pidfd and the errors file, and nothing else."""
    high = [os.dup(fd) for fd in (*fds, *(os.open(os.devnull, os.O_RDWR),) * 3)]
    while min(high) <= READY_FD:  # out of the way of the numbers below
        high = [os.dup(fd) for fd in high]
    for source, target in zip(high, (_RESULT, _CONTAINER, _ERRORS, 0, 1, 2), strict=True):
        os.dup2(source, target, inheritable=target <= 2)
    syscalls.close_all_but((_RESULT, _CONTAINER, _ERRORS))


def _caller_is_gone() -> bool:
    """Tell whether the caller died before the kernel was asked to kill this process then."""
    poll = select.poll()
    poll.register(_RESULT, 0)
    return bool(poll.poll(0))


def _bind(namespace: str, place: str) -> bytes:
    """Bind `namespace` over `place` for this process and the helper alone; returns what went wrong."""
    try:
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.mount(b"none", b"/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
        syscalls.mount(os.fsencode(namespace), os.fsencode(place), None, syscalls.MS_BIND)
    except OSError as error:
        return f"the network namespace cannot be bound to {place}: {error.strerror}".encode()
    return b""


def _start_helper(mode: str, command: list[str]) -> bytes:
    ready, writer = os.pipe2(os.O_CLOEXEC)
    helper = os.fork()
    if helper == 0:
        try:
            os.dup2(_ERRORS, 2)
            os.dup2(_ERRORS, 1)
            if mode == "slirp4netns":
                os.dup2(writer, READY_FD)
            os.execv(command[0], command)
        except OSError as error:
            os.write(_ERRORS, f"cannot be started: {error.strerror}".encode())
        finally:
            os._exit(127)
    os.close(writer)
    if mode == "slirp4netns":
        connected = os.read(ready, 1) == b"1"
    else:
        _, status = os.waitpid(helper, 0)
        connected = status == 0
    os.close(ready)
    if connected:
        return _READY
    lines = os.pread(_ERRORS, _LONGEST_TEXT, 0).splitlines()
    return b"; ".join(line for line in lines if b"syslog" not in line)  # pasta has none to talk to
