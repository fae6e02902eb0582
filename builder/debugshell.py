"""Run a command in the sandbox of a kept step: on the user's terminal, or with plain streams."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

from builder.keptsteps import KeptStep, sandbox_of
from runtime.context import Cancel
from runtime.errors import SandboxError
from runtime.network.attach import attach_from_program
from runtime.sandbox import launcher

if TYPE_CHECKING:
    from builder.options import BuildOptions
    from runtime.store.facade import Store

_CHUNK = 1 << 16


def run_shell(store: Store, kept: KeptStep, options: BuildOptions, command: Sequence[str] | None) -> int:
    """Run `command`, by default the step's own shell, where the step failed; returns its exit status.

    The calling process has one thread. What the command changes in the step's tree stays there. Raises SandboxError.
    """
    terminal = command is None and os.isatty(0) and os.isatty(1)
    with ExitStack() as stack:
        request = stack.enter_context(sandbox_of(store, kept, options))
        process: dict[str, Any] = request["spec"]["process"]
        shell = process["args"][0] if os.path.basename(process["args"][0]) in _SHELLS else "/bin/sh"
        process["args"] = list(command) if command is not None else [shell]
        process["terminal"] = terminal
        if terminal:
            from runtime.containers.terminal import raw_mode, window

            request["window"] = list(window(1) or (24, 80))
        network: dict[str, Any] | None = request.pop("network", None)

        def connect(pid: int) -> None:
            if network is not None:
                attach_from_program(network, pid)

        try:
            child = launcher.launch(request, (0, 1, 2), attach=connect)
        except launcher.LaunchFailure as failure:
            raise SandboxError(str(failure), step=failure.step, errno=failure.errno) from failure
        if child.terminal is None:
            return _follow(child, store.context.cancel)
        stack.callback(os.close, child.terminal)
        stack.enter_context(raw_mode(0))
        return _relay(child, store.context.cancel)


_SHELLS = ("sh", "bash", "ash", "dash", "zsh", "busybox")


def _follow(child: launcher.Child, cancel: Cancel) -> int:
    """Wait for the end of a command that has our own streams."""
    poll = select.poll()
    poll.register(child.pidfd, select.POLLIN)
    poll.register(cancel.fd, select.POLLIN)
    while True:
        ready = {fd for fd, _ in poll.poll()}
        if child.pidfd in ready:
            return launcher.wait(child)
        signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)
        poll.unregister(cancel.fd)


def _relay(child: launcher.Child, cancel: Cancel) -> int:
    """Carry keys to the command's terminal and its output to ours, until it has ended and all is shown."""
    assert child.terminal is not None
    poll = select.poll()
    for fd in (0, child.terminal, child.pidfd, cancel.fd):
        poll.register(fd, select.POLLIN)
    ended = False
    while True:
        events = poll.poll(0 if ended else None)
        if ended and not any(fd == child.terminal for fd, _ in events):
            return launcher.wait(child)
        for fd, _ in events:
            if fd == child.terminal:
                try:
                    data = os.read(fd, _CHUNK)
                except OSError:  # EIO: nobody has the other side open any more
                    data = b""
                if data:
                    os.write(1, data)
                else:
                    poll.unregister(fd)
            elif fd == 0:
                typed = os.read(0, _CHUNK)
                if typed:
                    os.write(child.terminal, typed)
                else:
                    poll.unregister(0)
            elif fd == child.pidfd:
                ended = True
                poll.unregister(child.pidfd)
            else:
                poll.unregister(cancel.fd)
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)
