"""Look after a further command of a container (`exec`): a process that its monitor forks for it.

It lives beside the monitor, in the same user namespace, which is what gives it the right to join the container's
namespaces. Nothing of the monitor's stays open here: above all not the lock on `alive`, which says that the monitor is
there. Where the monitor dies the container's first process does, and with it all of its pid namespace.

The payload of EXEC is a dict as marshal writes it: `request` (launcher.enter), `tty`, `stdin`, `attached` (flags), and
the `id` of a command; a transfer of files has none. While a command runs this process holds a lock on `execs/ID` in the
container's directory, which is the monitor's working directory; the end is an event of the journal.
"""

from __future__ import annotations

import fcntl
import marshal
import os
import time

from runtime.containers import protocol
from runtime.containers.condition import write_journal
from runtime.containers.monitor import Monitor
from runtime.containers.peer import Client
from runtime.containers.plumbing import signal_pipe
from runtime.sandbox import cgroups, launcher, syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import Any, NoReturn
else:
    import _signal as signal


class Execution(Monitor):
    """One further command and the client that asked for it."""

    def __init__(self, plan: dict[str, Any], client: Client, target: int, cgroup: cgroups.Cgroup | None) -> None:
        client.starter = True
        client.flags = plan["attached"]
        self.plan = {**plan, "stdin_once": True, "stop_signal": signal.SIGTERM, "stop_timeout": 10}
        self.held = []
        self.clients = {client.fd: client}
        self.starter_gone = False
        self.outputs = {}
        self.stdin = -1
        self.stdin_waiting = []
        self.stdin_ends = False
        self.child = None
        self.stopping = 0.0
        self.oom_killed = False
        self.log = None
        self.manual = True
        self.attendants = []
        self.unattended = False
        self.wakeup = signal_pipe()
        self.listener = None
        self.target = target
        self.cgroup = cgroup

    def begin(self, stdio: tuple[int, int, int]) -> launcher.Child:
        """Start the command in the container's namespaces; a transfer of files in its mount namespace alone."""
        transfer = self.plan.get("transfer")
        if transfer is not None:
            return _transfer(self.target, transfer, stdio)
        return launcher.enter(self.plan["request"], stdio, self.target, self.cgroup)

    def begun(self, child: launcher.Child) -> None:
        """Leave word of the start, before any of the end, and a mark with the pid for as long as the command runs."""
        if "id" in self.plan:
            self._write(f"exec_start: {self.plan['words']}")
            try:
                os.makedirs("execs", 0o700, exist_ok=True)
                mark = os.open(f"execs/{self.plan['id']}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
                fcntl.flock(mark, fcntl.LOCK_EX)
                os.write(mark, b"%d\n" % child.pid)
            except OSError:
                pass  # a full disk, or the container is being removed

    def done(self, code: int) -> None:
        """Leave word of the end and take the mark away, in this order: who finds no mark finds the word."""
        if "id" not in self.plan or not os.path.exists(mark := f"execs/{self.plan['id']}"):
            return
        self._write("exec_die", exitCode=str(code))
        try:
            os.unlink(mark)
        except OSError:
            pass  # the container is being started anew or removed

    def _write(self, action: str, **attributes: str) -> None:
        """Append to the container's journal, if the container is not being removed."""
        try:
            directory = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return
        try:
            write_journal(directory, time.time_ns(), action, execID=self.plan["id"], **attributes)
        finally:
            os.close(directory)

    def finish(self, kind: int, payload: bytes) -> None:
        """Tell the client how it ended, and wait until it has read all that was for it."""
        for client in list(self.clients.values()):
            self.tell(client, kind, payload)
        self.flush_clients()


def _transfer(target: int, words: tuple[str, str, bool], stdio: tuple[int, int, int]) -> launcher.Child:
    """Fork a process that reads or writes files with the container's root as its own (transfer.py)."""
    from runtime.containers import transfer  # lazy: 12 ms, and before the container's root is entered

    operation, path, follow = words
    pid = os.fork()
    if pid == 0:
        code = 125
        try:
            syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
            syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
            for number, fd in enumerate(stdio):
                os.dup2(fd, number)
            syscalls.close_all_but([0, 1, 2, target])
            syscalls.setns(target, syscalls.CLONE_NEWNS)
            os.close(target)
            os.umask(0)
            code = transfer.serve(operation, path, follow=follow)
        finally:
            os._exit(code)
    return launcher.Child(pid, os.pidfd_open(pid), None, ())


def execute(monitor: Monitor, client: Client, payload: bytes) -> NoReturn:
    """Run one further command from its start to its end; the process is a fork of the container's monitor."""
    kind, code, text = protocol.FAILED, 125, ""
    try:
        container = monitor.child
        if container is None:
            raise OSError(0, "the container is not running")
        syscalls.close_all_but([0, 1, 2, client.fd, container.pidfd])
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # the monitor's collects whatever is not the container's first
        execution = Execution(marshal.loads(payload), client, container.pidfd, container.cgroup)
        try:
            execution.launch()
            kind = protocol.EXITED
            code = execution.run()
            execution.done(code)
        except launcher.LaunchFailure as failure:
            code, text = failure.exit_code, str(failure)
        except OSError as error:
            text = error.strerror or str(error)
        execution.finish(kind, bytes((code & 0xFF,)) + text.encode("utf-8", "surrogateescape"))
    finally:
        os._exit(0)
