"""Hold the network namespace of an unprivileged user's root: his bridges are in it, and pasta is its way out.

A process a root, started by the first container that needs a bridge and ended by the janitor when nobody uses the
bridges any more; everything in the namespace goes with it. It stays in the host's network namespace, so that pasta (or
slirp4netns), whose keeper is its child, has its sockets there; and starts that again when it ends. Others find it by
`ROOT/locks/network.holder`, one line `PID-STARTTIME-BOOT DESCRIPTOR INODE`, under its own flock, and open
`/proc/PID/fd/DESCRIPTOR`. After kill -9 the namespace lives on in the monitors of its containers: the next holder takes
it over from there.

Standard library alone: `python -I -S` runs `main`.
"""

from __future__ import annotations

import json
import os
import select
import signal
import time

from runtime.network import helpers, nftables, rtnetlink
from runtime.network.holderfile import HOLDER
from runtime.network.nftables import Nftables
from runtime.network.rtnetlink import Rtnetlink
from runtime.sandbox import syscalls

READY = b"ready "

_RESULT_FD, _ADOPTED_FD = 3, 4
_GATE = "pybuild"
"""The table of the namespace itself."""
_LOOK = 30.0
"""Seconds between two looks whether the root is still there."""
_FIRST_DELAY, _LAST_DELAY = 0.1, 60.0
"""Seconds before a helper that has ended is started again, and the most before a later try."""


def main(words: str, adopted: str, locks: str) -> None:
    """Be the holder; `words` is JSON: mode, command and place of the helper, and whether it may fail at first.

    Writes "ready DESCRIPTOR INODE PID" to descriptor 3, or what went wrong. `adopted` is "1" where a namespace that
    still lives is at descriptor 4.
    """
    if os.fork():
        os._exit(0)  # so that it is nobody's child, and nobody need wait for it
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    plan = json.loads(words)
    keeper = 0
    try:
        namespace = _ADOPTED_FD if adopted == "1" else _new_namespace()
        failure = ""
        try:
            keeper = _start(plan, namespace)
        except OSError as error:
            failure = error.strerror or str(error)
        if not failure or plan["optional"]:
            inode = os.fstat(namespace).st_ino
            answer = b"%s%d %d %d" % (READY, namespace, inode, os.getpid())
        else:
            answer = failure.encode("utf-8", "surrogateescape")
    except OSError as error:
        answer = f"the network namespace cannot be made: {error.strerror or error}".encode()
    os.write(_RESULT_FD, answer)
    os.close(_RESULT_FD)
    if answer.startswith(READY):
        _look_after(plan, namespace, keeper, locks)


def _new_namespace() -> int:
    """Make a network namespace with its loopback up, closed to stray packets; returns its descriptor."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            syscalls.unshare(syscalls.CLONE_NEWNET)
            with Rtnetlink() as links:
                links.transact([rtnetlink.link_up("lo")])
            with Nftables() as rules:
                rules.commit(nftables.new_gate(_GATE))
            os.write(writer, b"!")
            signal.pause()
        except OSError as error:
            os.write(writer, (error.strerror or str(error)).encode())
        finally:
            os._exit(0)
    os.close(writer)
    try:
        answer = os.read(reader, 1000)
        if answer != b"!":
            raise OSError(1, answer.decode("utf-8", "replace"))
        return os.open(f"/proc/{child}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(reader)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _start(plan: dict[str, object], namespace: int) -> int:
    """Start the helper; returns its keeper's pid, 0 where there is none to start. Raises OSError."""
    command = plan["command"]
    if not isinstance(command, list) or not command:
        return 0
    path = f"/proc/{os.getpid()}/fd/{namespace}"
    return helpers.start(str(plan["mode"]), command, str(plan["place"]), os.getpid(), path)


def _look_after(plan: dict[str, object], namespace: int, keeper: int, locks: str) -> None:
    """See to it that the helper runs, until the root is gone; else the janitor ends this process."""
    delay = _FIRST_DELAY
    begun = time.monotonic()
    while True:
        started = time.monotonic()
        while keeper and not _has_ended(keeper, _LOOK):
            if not _is_ours(locks):
                return
        while _collect():
            pass
        if time.monotonic() - started > _LAST_DELAY:
            delay = _FIRST_DELAY
        time.sleep(delay)
        delay = min(2 * delay, _LAST_DELAY)
        if not keeper and time.monotonic() - begun > _LOOK and not _is_ours(locks):
            return
        try:
            keeper = _start(plan, namespace)
        except OSError:
            keeper = 0


def _has_ended(pid: int, seconds: float) -> bool:
    fd = os.pidfd_open(pid)
    try:
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        return bool(poller.poll(seconds * 1000))
    finally:
        os.close(fd)


def _is_ours(locks: str) -> bool:
    """Tell whether the root still names this process: one that was deleted has no janitor."""
    try:
        with open(f"{locks}/{HOLDER}") as file:
            return file.read().startswith(f"{os.getpid()}-")
    except OSError:
        return False


def _collect() -> bool:
    """Collect a child that has ended: the keeper of a helper that did not start."""
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False
