"""Be the terminal's end of a container: copy its streams, pass signals and sizes on, return what it ended with."""

from __future__ import annotations

import _socket
import errno
import os
import select
import signal
import stat
from _thread import get_native_id
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from frozen import Frozen
from runtime.containers import protocol
from runtime.containers.protocol import Frames, frame, number
from runtime.containers.terminal import KeyFilter, raw_mode, window

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

_OUTPUT_LIMIT = 1 << 18
"""Bytes of output that may wait for our own standard output; nothing more is read then."""

_PATIENCE = 3
"""After so many SIGINT and SIGTERM the container is killed."""

_NOT_PROXIED = frozenset(
    (
        signal.SIGKILL, signal.SIGSTOP,  # cannot be caught
        signal.SIGCHLD, signal.SIGPIPE, signal.SIGURG,  # speak about this process
        signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGCONT,  # the shell's job control of this process
        signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP, signal.SIGSYS,  # faults of it
        signal.SIGWINCH,
    )
)  # fmt: skip


class Outcome(Frozen):
    """How a session ended: `code` is the container's status, where it has one; `text` says what failed.

    `lost`: the monitor went away without a word. `signalled`: this process was, `code` is 128+n, the container goes on.
    """

    kind: Literal["started", "exited", "failed", "detached", "lost", "signalled"]
    code: int = 0
    text: str = ""


class _Output:
    """One of our own output streams, written only when that cannot block: signals must get through meanwhile."""

    def __init__(self, fd: int, stream: int) -> None:
        self.fd = fd
        self.stream = stream
        self.waiting = bytearray()
        self.closed = False
        self.error: OSError | None = None
        mode = os.fstat(fd).st_mode
        self._piece = protocol.CHUNK if stat.S_ISREG(mode) else select.PIPE_BUF

    def write(self) -> None:
        """Write a piece; after a failure (EPIPE, a full disk) the stream is closed for good."""
        try:
            written = os.write(self.fd, self.waiting[: self._piece])
        except BlockingIOError:  # somebody else set O_NONBLOCK on our terminal
            return
        except OSError as error:
            self.closed = True
            self.error = None if error.errno == errno.EPIPE else error  # a reader that has seen enough is no error
            self.waiting.clear()
            return
        del self.waiting[:written]


class Session:
    """One connection to a monitor, from ATTACH (or START) to the container's end.

    `stdin` is a descriptor to read, or None. `keys` are the detach keys where the container has a terminal. `started`
    is called with the container's pid; with `until_started` the session ends there.
    """

    def __init__(
        self,
        sock: _socket.socket,
        *,
        tty: bool,
        stdin: int | None = None,
        proxy: bool = True,
        keys: bytes = b"",
        started: Callable[[int], None] | None = None,
        until_started: bool = False,
    ) -> None:
        self._sock = sock
        self._tty = tty
        self._stdin = stdin
        self._proxy = proxy
        self._keys = KeyFilter(keys if tty else b"")
        self._on_started = started
        self._until_started = until_started
        self._frames = Frames()
        self._waiting = bytearray()
        self._credit = protocol.WINDOW_SIZE
        self._outputs = {
            kind: _Output(fd, stream)
            for kind, fd, stream in ((protocol.STDOUT, 1, protocol.OUT), (protocol.STDERR, 2, protocol.ERR))
            if _is_open(fd)
        }
        self._outcome: Outcome | None = None
        self._interrupts = 0
        self._abandoned = False
        self._running = False

    @property
    def output_error(self) -> OSError | None:
        """Why our own standard output or error could not be written, where output was lost for it."""
        return next((output.error for output in self._outputs.values() if output.error is not None), None)

    def run(self) -> Outcome:
        """Serve until the container has ended and all of its output is written, or the user detached."""
        with ExitStack() as stack:
            signals = stack.enter_context(_caught_signals())
            if self._tty and self._stdin is not None and os.isatty(self._stdin):
                stack.enter_context(raw_mode(self._stdin))
            self._sock.setblocking(False)
            if self._tty:
                self._resize()
            while self._outcome is None or any(output.waiting for output in self._outputs.values()):
                self._turn(signals)
                if self._outcome is not None and (self._abandoned or self._outcome.kind in ("detached", "signalled")):
                    break
            return self._outcome

    def forward(self, caught: int) -> None:
        """Pass on a signal that came before `run` did."""
        self._signal(caught)

    def _turn(self, signals: int) -> None:
        """Wait for something and do it."""
        poller = select.poll()
        poller.register(signals, select.POLLIN)
        listening = self._outcome is None and not any(
            len(output.waiting) >= _OUTPUT_LIMIT for output in self._outputs.values()
        )
        if self._outcome is None:
            mask = (select.POLLIN if listening else 0) | (select.POLLOUT if self._waiting else 0)
            if mask:
                poller.register(self._sock, mask)
            if self._stdin is not None and self._running and self._credit > 0:
                poller.register(self._stdin, select.POLLIN)
        for output in self._outputs.values():
            if output.waiting:
                poller.register(output.fd, select.POLLOUT)
        ready = dict(poller.poll())
        # Asked for even where the poll saw none: a resize that came before what was typed is passed on before it.
        with suppress(BlockingIOError):
            for caught in os.read(signals, 64):
                self._signal(caught)
        for output in self._outputs.values():
            if output.fd in ready and output.waiting:
                self._write(output)
        events = ready.get(self._sock.fileno(), 0)
        if events & select.POLLOUT:
            self._flush()
        if self._stdin is not None and self._stdin in ready:
            self._read_stdin(self._stdin)
        if listening and events & (select.POLLIN | select.POLLHUP | select.POLLERR):
            self._receive()

    def _write(self, output: _Output) -> None:
        output.write()
        if output.closed and self._outcome is None:
            self._send(protocol.CLOSED, number(output.stream, 1))

    def _send(self, kind: int, payload: bytes = b"") -> None:
        self._waiting += frame(kind, payload)
        self._flush()

    def _flush(self) -> None:
        try:
            while self._waiting:
                del self._waiting[: self._sock.send(self._waiting)]
        except BlockingIOError:
            pass
        except OSError:
            self._waiting.clear()  # the end is found by reading: what was said last may still be there

    def _receive(self) -> None:
        try:
            data = self._sock.recv(protocol.CHUNK * 2)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._outcome = Outcome(kind="lost", code=137)
            return
        for kind, payload in self._frames.feed(data):
            self._take(kind, payload)

    def _take(self, kind: int, payload: bytes) -> None:
        if kind in (protocol.STDOUT, protocol.STDERR):
            output = self._outputs.get(kind)
            if output is not None and not output.closed:
                output.waiting += payload
        elif kind == protocol.WINDOW:
            self._credit += int.from_bytes(payload, "big")
        elif kind == protocol.STARTED:
            self._running = True
            if self._on_started is not None:
                self._on_started(int.from_bytes(payload, "big"))
            if self._until_started:
                self._outcome = Outcome(kind="started")
        elif kind in (protocol.EXITED, protocol.FAILED) and self._outcome is None:  # its start may be all we wait for
            self._outcome = Outcome(
                kind="exited" if kind == protocol.EXITED else "failed",
                code=payload[0],
                text=payload[1:].decode("utf-8", "surrogateescape"),
            )

    def _read_stdin(self, fd: int) -> None:
        try:
            data = os.read(fd, min(self._credit, protocol.CHUNK))
        except BlockingIOError:
            return
        except OSError:  # closed, or the terminal belongs to another job
            data = b""
        if not data:
            self._stdin = None
            self._send(protocol.STDIN_END)
            return
        passed = self._keys.feed(data)
        if passed:
            self._credit -= len(passed)
            self._send(protocol.STDIN, passed)
        if self._keys.detached:
            self._outcome = Outcome(kind="detached")

    def _signal(self, caught: int) -> None:
        if caught == signal.SIGWINCH:
            if self._tty:
                self._resize()
        elif not self._proxy:
            if caught in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
                self._outcome = Outcome(kind="signalled", code=128 + caught)
        else:
            self._interrupts += caught in (signal.SIGINT, signal.SIGTERM)
            # Once the container has ended, a signal says that nobody waits any longer for a reader that does not read.
            self._abandoned = self._outcome is not None
            self._send(protocol.SIGNAL, number(signal.SIGKILL if self._interrupts >= _PATIENCE else caught, 1))

    def _resize(self) -> None:
        size = window(1) or window(0)
        if size is not None:
            self._send(protocol.RESIZE, number(size[0], 2) + number(size[1], 2))


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


@contextmanager
def _caught_signals() -> Iterator[int]:
    """Catch whatever signal may be passed on; gives a descriptor from which their numbers are read, a byte each.

    Signals are the main thread's: in another one, which starts a service of a build, nothing is caught.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    if get_native_id() != os.getpid():
        try:
            yield reader
        finally:
            os.close(reader)
            os.close(writer)
        return
    numbers = [*(signal.valid_signals() - _NOT_PROXIED), signal.SIGWINCH]
    before = {caught: signal.signal(caught, lambda _number, _frame: None) for caught in numbers}
    previous = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(previous)
        for caught, handler in before.items():
            signal.signal(caught, handler if handler is not None else signal.SIG_DFL)
        os.close(reader)
        os.close(writer)
