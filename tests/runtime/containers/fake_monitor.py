# mypy: ignore-errors
# ruff: noqa
"""Run the real monitor with a launcher that starts plain processes: no namespaces, no rights needed.

Started as `python -I -S fake_monitor.py PACKAGES FD`; descriptor FD is the connection to the starter.
"""

import errno
import fcntl
import os
import signal
import sys
import types

sys.path.insert(0, sys.argv[1])


class LaunchFailure(Exception):
    def __init__(self, step, errno, path, exit_code, text):
        super().__init__(text)
        self.exit_code = exit_code


class Child:
    def __init__(self, pid, terminal):
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        self.terminal = terminal
        self.cgroup = None
        self.tree = -1


def launch(request, stdio, *, attach=None):
    master = None
    if request["tty"]:
        master, slave = os.openpty()
        stdio = (slave, slave, slave)
    reader, writer = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.setsid()
            for target, fd in enumerate(stdio):
                os.dup2(fd, target)
            if request["tty"]:
                fcntl.ioctl(0, 0x540E, 0)
            os.execv(request["args"][0], request["args"])
        except OSError as error:
            os.write(writer, str(error.errno).encode())
        os._exit(127)
    os.close(writer)
    if request["tty"]:
        os.close(slave)
    failed = os.read(reader, 16)
    os.close(reader)
    if failed:
        os.waitpid(pid, 0)
        number = int(failed)
        raise LaunchFailure("exec", number, "x", 127 if number == errno.ENOENT else 126, os.strerror(number))
    return Child(pid, master)


def wait(child):
    os.close(child.pidfd)
    status = os.waitpid(child.pid, 0)[1]
    return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


launcher = types.ModuleType("runtime.sandbox.launcher")
launcher.__dict__.update(LaunchFailure=LaunchFailure, Child=Child, hold=lambda request: None, launch=launch, wait=wait)
attach = types.ModuleType("runtime.network.attach")
attach.__dict__.update(attach=lambda document, pid: None, leave=lambda document: None)
import runtime.network
import runtime.sandbox

sys.modules["runtime.sandbox.launcher"] = runtime.sandbox.launcher = launcher
sys.modules["runtime.network.attach"] = runtime.network.attach = attach

from runtime.containers.monitor import main

main(int(sys.argv[2]))
