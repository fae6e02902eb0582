"""Speak with the step server from a builder that has threads: start it, send requests, follow each to its end."""

from __future__ import annotations

import json
import os
import select
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from runtime.context import Cancel
from runtime.errors import SandboxError

if TYPE_CHECKING:
    import socket

    from builder.serving import Serving

_CHUNK = 1 << 16
_PACKAGES = Path(__file__).resolve().parent.parent
_START = "import sys; sys.path.insert(0, sys.argv[1]); from builder.stepserver import main; main(3)"
_CONTROL_FD = 3
_NOT_STARTED = (126, 127)

Output = Callable[[int, bytes], None]


class CommandNotStarted(SandboxError):
    """The sandbox was there, the command was not: `exit_code` is 127 for one not found, 126 for one not executable."""

    def __init__(self, message: str, *, step: str, errno: int, exit_code: int) -> None:
        super().__init__(message, step=step, errno=errno)
        self.exit_code = exit_code


class StepEnd:
    """How a step's process ended: its `status`, and the `mountpoints` that were made in its tree."""

    def __init__(self, status: int, mountpoints: Sequence[str]) -> None:
        self.status = status
        self.mountpoints = tuple(mountpoints)


class StepServer:
    """The process that forks sandboxes; started with the first step, ended with this object. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._pid = 0
        self.serving: Serving | None = None
        """The services of the build, where it has some."""

    def __enter__(self) -> StepServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def started(self) -> bool:
        """Whether anything had to run."""
        return self._control is not None

    def run(self, request: Mapping[str, Any], output: Output, cancel: Cancel) -> StepEnd:
        """Run one sandbox to its end; `output` gets what it prints, in this thread.

        Standard input is empty. Raises Cancelled as soon as `cancel` is set, after the sandbox was killed;
        CommandNotStarted where its command cannot be executed, SandboxError where it could not be made.
        """
        import socket  # lazy: 3 ms that a build without a RUN to execute does not need

        with ExitStack() as stack:
            reply, theirs = socket.socketpair()
            stack.callback(reply.close)
            readers = {}
            with ExitStack() as sent:
                sent.callback(theirs.close)
                fds = [
                    sent_fd(sent, _memory_file(request)),
                    sent_fd(sent, os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)),
                ]
                for stream in (1, 2):
                    reader, writer = os.pipe2(os.O_CLOEXEC)
                    stack.callback(os.close, reader)
                    readers[reader] = stream
                    fds.append(sent_fd(sent, writer))
                self._send([*fds, theirs.fileno()])
            return _follow(reply, readers, output, cancel)

    def close(self) -> None:
        """End the server; sandboxes that still run are killed by their supervisors."""
        with self._lock:
            control, self._control = self._control, None
            if control is None:
                return
            control.close()
            with suppress(ChildProcessError):
                os.waitpid(self._pid, 0)

    def _send(self, fds: Sequence[int]) -> None:
        import socket

        with self._lock:
            if self._control is None:
                self._control = self._start()
            try:
                socket.send_fds(self._control, [b"r"], list(fds))
            except OSError as error:
                text = f"the step server cannot be reached: {error.strerror}"
                raise SandboxError(text, step="supervise", errno=error.errno or 0, hint="build again") from error

    def _start(self) -> socket.socket:
        import socket

        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # A path of its own: descriptor 3 must be the only one that the new program inherits.
            self._pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-I", "-S", "-c", _START, str(_PACKAGES)],
                {},
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, theirs.fileno(), _CONTROL_FD),
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                ],
                setsid=True,
                setsigmask=[],
            )
        return ours


def sent_fd(stack: ExitStack, fd: int) -> int:
    """Close `fd` with `stack`, and return it."""
    stack.callback(os.close, fd)
    return fd


def _memory_file(request: Mapping[str, Any]) -> int:
    fd = os.memfd_create("request", os.MFD_CLOEXEC)
    data = memoryview(json.dumps(request).encode())
    while data:
        data = data[os.write(fd, data) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _follow(reply: socket.socket, readers: dict[int, int], output: Output, cancel: Cancel) -> StepEnd:
    """Pass output on until the sandbox has ended and both streams are at their end."""
    import socket

    poll = select.poll()
    for fd in (reply.fileno(), cancel.fd, *readers):
        poll.register(fd, select.POLLIN)
    open_streams = dict(readers)
    replies = b""
    replying = True
    cancelled = False
    while open_streams or replying:
        for fd, _ in poll.poll():
            if fd == cancel.fd:
                # The supervisor takes the closed side for its order to kill, and still tells when it is done.
                cancelled = True
                reply.shutdown(socket.SHUT_WR)
                poll.unregister(fd)
            elif fd == reply.fileno():
                data = reply.recv(_CHUNK)
                replies += data
                if not data:
                    replying = False
                    poll.unregister(fd)
            else:
                data = os.read(fd, _CHUNK)
                if data and not cancelled:
                    output(open_streams[fd], data)
                elif not data:
                    del open_streams[fd]
                    poll.unregister(fd)
    if cancelled:
        cancel.check()
    return _read_replies(replies)


def _read_replies(replies: bytes) -> StepEnd:
    mountpoints: Sequence[str] = ()
    for line in replies.splitlines():
        document = json.loads(line)
        if "failure" in document:
            failure = document["failure"]
            step, errno, exit_code = failure["step"], failure["errno"], failure["exit_code"]
            if exit_code in _NOT_STARTED:
                raise CommandNotStarted(failure["text"], step=step, errno=errno, exit_code=exit_code)
            raise SandboxError(failure["text"], step=step, errno=errno)
        mountpoints = document.get("mountpoints", mountpoints)
        if "status" in document:
            return StepEnd(document["status"], mountpoints)
    raise SandboxError("the process that watches a step ended before the step did", step="supervise")
