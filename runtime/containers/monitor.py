"""Look after one container: a process of its own that outlives the command which started it.

It is the parent of the container's first process, holds the lock on `alive`, keeps terminal and pipes, writes the log
and serves its clients on one socket (protocol.py). Run as `python -I -S`, with the standard library alone and as
little of that as possible: one runs for each container. It ends when the container has, after it left word in `exit`.

Nothing is lost and nothing is unbounded: output is read only while the log has taken what came before and every
attached client has less than `_BACKLOG` bytes waiting, so a full pipe stops the container.
"""

from __future__ import annotations

import _socket
import errno
import fcntl
import marshal
import os
import select
import sys
import time

from runtime.containers import protocol
from runtime.containers.condition import Condition, write_condition, write_journal
from runtime.containers.exits import Exit, reserve_exit, write_exit
from runtime.containers.logfile import LogFile
from runtime.containers.peer import Client, receive_start
from runtime.containers.plumbing import has_ended, oom_killed, pipes, reap_orphans, signal_pipe, where, write_file
from runtime.containers.protocol import ProtocolError
from runtime.network import attach as network
from runtime.sandbox import launcher, syscalls
from runtime.sandbox.grace import expect_move

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import Any

    from runtime.containers.health import Health
else:
    import _signal as signal  # without the enums, which cost 3 ms

_BACKLOG = 1 << 20
"""Bytes of output that may wait for one client."""

_DRAIN = 2.0
"""Seconds that output is read after the container's end, where something outside still holds its pipes."""

_FIRST_DELAY, _LAST_DELAY = 0.1, 60.0
"""Seconds before the first restart, and the most before a later one."""

_STEADY = 10.0
"""Seconds that a container must have been up for the waits to begin anew."""

_ATTEMPTS = 10
"""How often what serves names and ports is started anew in one life of a monitor."""

_TIOCSWINSZ = 0x5414
_PR_SET_CHILD_SUBREAPER = 36
_READABLE = select.POLLIN | select.POLLHUP | select.POLLERR


class Monitor:
    """The state of one container while it runs.

    `manual` says that somebody asked for its end: then it is not started again.
    """

    health: Health | None = None
    guard = -1

    def __init__(self, plan: dict[str, Any], fds: list[int], starter: Client) -> None:
        self.plan = plan
        self.alive, self.directory, *self.held = fds
        self.clients = {starter.fd: starter}
        self.starter_gone = False
        self.outputs: dict[int, int] = {}
        self.stdin = -1
        self.stdin_waiting: list[tuple[Client | None, memoryview]] = []
        self.stdin_ends = False
        self.child: launcher.Child | None = None
        self.stopping = 0.0
        self.oom_killed = False
        self.log: LogFile | None = None
        limits = plan.get("log", (0, 1))
        if limits is not None:
            self.log = LogFile(self.directory, largest=limits[0], files=limits[1])
        self.condition = Condition(health="starting" if plan.get("health") else "")
        self.manual = False
        self.started = 0.0
        self.delay = _FIRST_DELAY
        self.attendants: list[int] = []
        self.unattended = False
        self.attempts = _ATTEMPTS
        self.wakeup = signal_pipe()
        self.listener: _socket.socket | None = None

    def listen(self) -> None:
        """Open the socket; a relative name, since a path of a socket has 108 bytes at most."""
        os.fchdir(self.directory)
        try:
            os.unlink("socket")
        except FileNotFoundError:
            pass
        self.listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        self.listener.bind("socket")
        self.listener.listen(16)
        self.listener.setblocking(False)
        reserve_exit(self.directory)

    def launch(self) -> None:
        """Start the container's first process and tell the starter. Raises LaunchFailure and OSError."""
        terminal = self.plan["tty"]
        stdio, ours = ((-1, -1, -1), (-1, -1, -1)) if terminal else pipes(self.plan["stdin"])
        try:
            child = self.begin(stdio)
        finally:
            for fd in set(stdio) - {-1}:
                os.close(fd)
        self.child = child
        if child.tree >= 0:
            from runtime.containers import guard  # lazy: hardly any container shares a pid namespace

            self.guard = guard.watch(child)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: self.children_ended(child.pid))
        if child.terminal is not None:
            self.stdin = child.terminal
            self.outputs = {child.terminal: protocol.STDOUT}
        else:
            self.stdin = ours[0]
            self.outputs = {ours[1]: protocol.STDOUT, ours[2]: protocol.STDERR}
        for fd in {self.stdin, *self.outputs} - {-1}:
            os.set_blocking(fd, False)
        self.begun(child)
        for client in list(self.clients.values()):
            if client.starter:
                client.flags = self.plan["attached"]
            self.tell(client, protocol.STARTED, protocol.number(child.pid))

    def begin(self, stdio: tuple[int, int, int]) -> launcher.Child:
        """Start the process itself."""
        document = self.plan["network"]
        return launcher.launch(
            self.plan["request"],
            stdio,
            attach=None if document is None else lambda pid: self.connect(document, pid),
        )

    def begun(self, child: launcher.Child) -> None:
        """Leave word of the start, the first and every further one."""
        now = time.time_ns()
        if self.condition.restarts:
            write_journal(self.directory, now, "start", pid=str(child.pid))
        else:
            write_file(self.directory, "started", b"%d %d\n" % (child.pid, now))
            write_file(self.directory, "ran", b"")
        self.started = time.monotonic()
        if self.plan.get("health"):
            from runtime.containers.health import Health  # lazy: most containers have no check

            self.health = Health(self.plan["health"], self.directory, child)
            self.condition.health, self.condition.failing = "starting", 0
        if self.condition.restarts or self.health is not None:
            write_condition(self.directory, self.condition)

    def run(self) -> int:
        """Serve until the container's first process has ended; returns its exit code."""
        child = self.child
        assert child is not None
        while True:
            ready = self.poll(child.pidfd)
            if child.pidfd in ready:
                return self.reap(child)

    def reap(self, child: launcher.Child) -> int:
        """Collect the status and read what the pipes still hold."""
        self.oom_killed = oom_killed(child)
        if self.health is not None:
            self.health.stop()
            self.health = None
        code = launcher.wait(child)
        if self.guard >= 0:
            os.close(self.guard)
            self.guard = -1
        deadline = time.monotonic() + _DRAIN
        while self.outputs and (self.blocked() or time.monotonic() < deadline):
            # Usually one turn. Pipes that stay open are held by a process outside of the container's pid namespace.
            self.poll(-1, 0.05)
        for fd in list(self.outputs):
            self.close_output(fd)
        return code

    def poll(self, pidfd: int, timeout: float = -1) -> set[int]:
        """Wait for one thing to happen, do all that can be done, return the descriptors that were ready."""
        poller = select.poll()
        blocked = self.blocked()
        if pidfd >= 0:
            poller.register(pidfd, select.POLLIN)
        poller.register(self.wakeup, select.POLLIN)
        if self.listener is not None:
            poller.register(self.listener, select.POLLIN)
        for fd, client in self.clients.items():
            poller.register(fd, select.POLLIN | (select.POLLOUT if client.waiting else 0))
        if not blocked:
            for fd in self.outputs:
                poller.register(fd, select.POLLIN)
        if self.stdin >= 0 and self.stdin_waiting:
            mask = select.POLLOUT | (select.POLLIN if self.stdin in self.outputs and not blocked else 0)
            poller.register(self.stdin, mask)
        if self.health is not None and self.health.result >= 0:
            poller.register(self.health.result, select.POLLIN)
            if self.health.output >= 0:
                poller.register(self.health.output, select.POLLIN)
        wait = timeout if timeout >= 0 else self.until_due()
        ready = dict(poller.poll(None if wait < 0 else int(wait * 1000) + 1))
        self.dispatch(ready)
        return set(ready)

    def dispatch(self, ready: dict[int, int]) -> None:
        """Do what the ready descriptors allow."""
        if self.wakeup in ready:
            os.read(self.wakeup, 64)  # the handlers have run; the wait had to end
        if self.stdin in ready and ready[self.stdin] & (select.POLLOUT | select.POLLERR | select.POLLHUP):
            self.feed()
        for fd in [fd for fd in self.outputs if ready.get(fd, 0) & _READABLE]:
            self.relay(fd)
        for client in [client for fd, client in self.clients.items() if fd in ready]:
            self.serve(client, ready[client.fd])
        if self.listener is not None and self.listener.fileno() in ready:
            self.accept(self.listener)
        self.kill_if_due()
        self.look_after_health(ready)
        if self.unattended:
            self.attend_again()

    def look_after_health(self, ready: dict[int, int]) -> None:
        """Take a result of the check, start the next one; tell where the state is another."""
        health = self.health
        if health is None:
            return
        if health.output in ready:
            health.drain()
        if health.result >= 0 and health.result in ready and health.collect():
            if health.state != self.condition.health:
                write_journal(self.directory, time.time_ns(), f"health_status: {health.state}")
            self.condition.health, self.condition.failing = health.state, health.failing
            write_condition(self.directory, self.condition)
        health.turn()

    def until_due(self) -> float:
        """Return the seconds until something is to be done without being asked; -1 for never."""
        waits = [self.until_kill(), self.health.wait() if self.health is not None else -1.0]
        return min([wait for wait in waits if wait >= 0], default=-1.0)

    def blocked(self) -> bool:
        """Tell whether a client has so much waiting that nothing more may be read."""
        return any(len(client.waiting) >= _BACKLOG for client in self.clients.values())

    def accept(self, listener: _socket.socket) -> None:
        try:
            fd, _ = listener._accept()  # type: ignore[attr-defined]
        except OSError:
            return
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, fd)
        self.clients[fd] = Client(sock)

    def relay(self, fd: int) -> None:
        """Read one piece of output, log it, pass it on."""
        kind = self.outputs[fd]
        try:
            data = os.read(fd, protocol.CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.EIO:  # a terminal whose last user has gone
                raise
            data = b""
        if not data:
            self.close_output(fd)
            return
        if self.log is not None:
            self.log.write(kind == protocol.STDERR, data)
        wanted = protocol.ERR if kind == protocol.STDERR else protocol.OUT
        for client in list(self.clients.values()):
            if client.flags & wanted:
                self.tell(client, kind, data)

    def close_output(self, fd: int) -> None:
        del self.outputs[fd]
        if fd == self.stdin:
            self.stdin = -1
            self.stdin_waiting.clear()
        os.close(fd)

    def tell(self, client: Client, kind: int, payload: bytes) -> None:
        try:
            client.send(kind, payload)
        except OSError:
            self.drop(client)

    def serve(self, client: Client, events: int) -> None:
        """Read what a client sent and send what waits for it."""
        try:
            if events & select.POLLOUT:
                client.flush()
            if not events & _READABLE:
                return
            data = client.sock.recv(protocol.CHUNK)
            if not data:
                self.drop(client)
                return
            for kind, payload in client.frames.feed(data):
                if client.fd not in self.clients:  # it was given to another process, or has gone
                    return
                self.obey(client, kind, payload)
        except BlockingIOError:
            return
        except (OSError, ProtocolError, IndexError):
            self.drop(client)

    def drop(self, client: Client) -> None:
        """Forget a client; the standard input that it fed ends where it was made to (Docker's StdinOnce)."""
        if self.clients.pop(client.fd, None) is None:
            return
        client.sock.close()
        if client.starter:
            self.starter_gone = True
        if client.flags & protocol.IN and self.plan["stdin_once"] and not self.plan["tty"]:
            self.end_stdin()

    def obey(self, client: Client, kind: int, payload: bytes) -> None:
        """Do what one frame asks for."""
        if kind == protocol.STDIN:
            if self.stdin >= 0 and not self.stdin_ends:
                self.stdin_waiting.append((client, memoryview(payload)))
                self.feed()
            else:
                client.send(protocol.WINDOW, protocol.number(len(payload)))
        elif kind == protocol.STDIN_END:
            if self.plan["stdin_once"] and not self.plan["tty"]:  # else the next client goes on where this one ended
                self.end_stdin()
        elif kind == protocol.SIGNAL:
            self.send_signal(payload[0], final=payload[1:] == b"\1")
        elif kind == protocol.RESIZE:
            if self.child is not None and self.child.terminal in self.outputs:
                rows_columns = payload[1::-1] + payload[3:1:-1] if sys.byteorder == "little" else payload
                fcntl.ioctl(self.child.terminal, _TIOCSWINSZ, rows_columns + bytes(4))
        elif kind == protocol.CLOSED:
            self.reader_gone(client, payload[0])
        elif kind == protocol.EXEC:
            self.execute(client, payload)
        elif kind == protocol.RESTART:
            self.plan["restart"] = marshal.loads(payload)
        elif kind == protocol.ATTACH:
            client.flags = payload[0]
            client.send(protocol.STARTED, protocol.number(self.child.pid if self.child else 0))
        else:
            raise ProtocolError(f"a frame of kind {kind}")

    def execute(self, client: Client, payload: bytes) -> None:
        """Leave a further command to a process of its own, forked from this one: the client is that one's."""
        if os.fork() == 0:
            from runtime.containers.execution import execute  # lazy: most containers have no further command

            execute(self, client, payload)
        del self.clients[client.fd]
        client.sock.close()

    def reader_gone(self, client: Client, stream: int) -> None:
        """Close a stream whose reader at the starter's end has gone, so that the container notices as in a pipeline."""
        client.flags &= ~stream
        if not client.starter or self.plan["tty"]:
            return
        kind = protocol.STDERR if stream == protocol.ERR else protocol.STDOUT
        for fd in [fd for fd, output in self.outputs.items() if output == kind]:
            self.close_output(fd)

    def feed(self) -> None:
        """Write standard input as far as the container takes it, and give the senders new credit."""
        while self.stdin_waiting and self.stdin >= 0:
            client, data = self.stdin_waiting[0]
            try:
                taken = os.write(self.stdin, data)
            except BlockingIOError:
                return
            except OSError:  # EPIPE: nobody reads it any more
                self.stdin_ends = True
                taken = len(data)
            if taken < len(data):
                self.stdin_waiting[0] = client, data[taken:]
            else:
                del self.stdin_waiting[0]
            if client is not None and client.fd in self.clients:
                self.tell(client, protocol.WINDOW, protocol.number(taken))
        if self.stdin_ends and not self.stdin_waiting:
            self.close_stdin()

    def end_stdin(self) -> None:
        """Close standard input once what waits has been written."""
        self.stdin_ends = True
        self.feed()

    def close_stdin(self) -> None:
        if self.stdin >= 0 and self.stdin not in self.outputs:
            os.close(self.stdin)
            self.stdin = -1

    def send_signal(self, number: int, *, final: bool = False) -> None:
        """Send a signal to the container's first process; never to a process that is only like it.

        `final`: it is to end for good, as it is by the signals that the plan names so.
        """
        if not self.manual and (final or number in self.plan["final_signals"]):
            self.manual = True
            if self.listener is not None:
                try:
                    write_file(self.directory, "stopped", b"")
                except OSError:
                    pass  # on a full disk it is started at the next boot
        if self.child is not None:
            try:
                signal.pidfd_send_signal(self.child.pidfd, number)
            except ProcessLookupError:
                pass

    def terminate(self, _number: int, _frame: object) -> None:
        """Stop the container as `stop` does, but for the next boot: the machine, or somebody, ends the monitor."""
        self.manual = True
        self.send_signal(self.plan["stop_signal"])
        self.stopping = self.stopping or time.monotonic() + self.plan["stop_timeout"]

    def until_kill(self) -> float:
        return max(0.0, self.stopping - time.monotonic()) if self.stopping else -1

    def kill_if_due(self) -> None:
        if self.stopping and time.monotonic() >= self.stopping:
            self.send_signal(signal.SIGKILL)
            self.stopping = time.monotonic() + 1

    def connect(self, document: dict[str, Any], pid: int) -> None:
        """Connect the container's first process, after what served an earlier one is gone."""
        network.settle(self.attendants)
        self.attendants = network.attach(self.networks(document), pid, self.held)

    def networks(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return what the container is to be connected to now: it may have joined others, and left some."""
        if not self.started:
            return document
        from runtime.network import rejoining  # lazy: hardly any container is started again

        return rejoining.current(document, self.directory)

    def children_ended(self, own: int) -> None:
        """Collect children, from the handler of SIGCHLD; an attendant that has ended is missed by the container."""
        if reap_orphans(own).intersection(self.attendants):
            self.unattended = True

    def attend_again(self) -> None:
        """Give the container another attendant for one that was killed; with the container they end by themselves."""
        self.unattended = False
        if self.child is not None and self.attempts and not has_ended(self.child):
            self.attempts -= 1
            try:
                document = self.networks(self.plan["network"])
                self.attendants = network.attend_again(document, self.child.pid, self.held)
            except OSError:
                pass  # the container has ended, or its names and ports stay as they are

    def again(self, code: int) -> bool:
        """Wait until the container is to be started again after it ended with `code`; False where it is not to be.

        The wait is 100 ms, then twice as long each time up to a minute, from the beginning after ten seconds up.
        Whoever looked on is told of the end: only the restarts of the machine or of a person go without a word.
        """
        self.poll(-1, 0)  # who asked for the end at the moment of it means this one
        if not self.is_wanted(code):
            return False
        if time.monotonic() - self.started >= _STEADY:
            self.delay = _FIRST_DELAY
        self.condition.restarting = True
        write_condition(self.directory, self.condition)
        if self.oom_killed:
            write_journal(self.directory, time.time_ns(), "oom")
        write_journal(self.directory, time.time_ns(), "die", exitCode=str(code))
        for client in list(self.clients.values()):
            self.tell(client, protocol.EXITED, bytes((code & 0xFF,)))
        self.flush_clients()
        for client in list(self.clients.values()):
            self.drop(client)
        self.child = None
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # the handler knows the first process that was
        self.close_stdin()
        self.stdin = -1
        self.stdin_ends = False
        self.stdin_waiting.clear()
        end = time.monotonic() + self.delay
        self.delay = min(2 * self.delay, _LAST_DELAY)
        while self.is_wanted(code) and (left := end - time.monotonic()) > 0:
            self.poll(-1, left)
        self.condition.restarting = False
        wanted = self.is_wanted(code)
        if wanted:
            self.condition.restarts += 1
        write_condition(self.directory, self.condition)
        return wanted

    def is_wanted(self, code: int) -> bool:
        """Tell whether the container is to be started again by its policy after it ended with `code`."""
        name, most = self.plan.get("restart", ("no", 0))
        if self.manual or (name == "on-failure" and 0 < most <= self.condition.restarts):
            return False
        return name in ("always", "unless-stopped") or (name == "on-failure" and code != 0)

    def leave(self, kind: int, payload: bytes, how: Exit) -> None:
        """Leave word, let go of everything, tell the clients, wait until they have read all that was for them."""
        if self.log is not None:
            self.log.finish()
        try:
            write_exit(self.directory, how)
        except OSError:
            pass  # our clients know it all the same
        document = self.plan["network"]
        for fd in self.held:
            os.close(fd)
        self.held = []
        if document is not None:
            try:
                network.leave(document, self.attendants)
            except OSError:
                pass  # the next command sees to it
        fcntl.flock(self.alive, fcntl.LOCK_UN)
        for client in list(self.clients.values()):
            self.tell(client, kind, payload)
        self.flush_clients()

    def flush_clients(self) -> None:
        """Send what waits, however slowly a client takes it; one that goes away is forgotten."""
        while waiting := [client for client in self.clients.values() if client.waiting]:
            poller = select.poll()
            for client in waiting:
                poller.register(client.fd, select.POLLOUT)
            ready = dict(poller.poll())
            for client in waiting:
                if client.fd in ready:
                    try:
                        client.flush()
                    except OSError:
                        self.drop(client)

    def starter_left(self) -> bool:
        """Tell whether the command that started the container is no longer there to clean up after it."""
        return self.starter_gone or not any(client.starter for client in self.clients.values())


def main(control: int) -> None:
    """Be the monitor of one container; `control` is the connection to the command that starts it. Does not return."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    os.closerange(control + 1, os.sysconf("SC_OPEN_MAX"))
    syscalls.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, control)
    os.set_inheritable(control, False)
    poller = select.poll()
    poller.register(control, select.POLLIN)
    if not poller.poll(0):
        expect_move()
    received = receive_start(sock)
    if received is None:
        os._exit(0)
    plan, fds = received
    launcher.hold(plan["request"])
    monitor = Monitor(plan, fds, Client(sock, starter=True))
    signal.signal(signal.SIGTERM, monitor.terminate)
    kind = protocol.FAILED
    try:
        monitor.listen()
        monitor.launch()
        kind = protocol.EXITED
        code, text = monitor.run(), ""
        while monitor.again(code):
            monitor.launch()
            code = monitor.run()
    except launcher.LaunchFailure as failure:
        code, text = failure.exit_code, str(failure)
    except OSError as error:
        code, text = 125, f"{error.strerror or error}"
    except Exception as error:
        code, text = 125, where(error)
    payload = bytes((code & 0xFF,)) + text.encode("utf-8", "surrogateescape")
    how = Exit(code=code, finished=time.time_ns(), oom_killed=monitor.oom_killed, error=text.replace("\n", " "))
    monitor.leave(kind, payload, how)
    if plan["auto_remove"] and monitor.starter_left():
        os.execv(plan["remover"][0], plan["remover"])
    os._exit(0)
