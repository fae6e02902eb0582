"""Fork a sandbox for each RUN: a process without threads, started at the first step that has to run.

The builder has threads, and a process with threads must not fork Python code. So it starts this one (`python -I -S`,
own session) and sends it requests over a SOCK_SEQPACKET socket: one byte, and the descriptors

    request   a file that holds JSON: a sandbox.launcher request, and perhaps "network": what network.attach gets
    stdin stdout stderr
    reply     a stream socket: one JSON object a line comes back

For each request a supervisor is forked, which launches the sandbox, connects its network, waits for its end and replies
`{"started": pid, "mountpoints": […]}` and `{"status": n}`, or `{"failure": {step, errno, path, exit_code, text}}`. When
the other end of `reply` is closed (the builder cancels, or died) the supervisor kills the sandbox: its first process
is the init of a PID namespace, so everything in it dies too. When the builder's socket closes, the server ends.

Standard library alone; what is imported here is in memory before the first fork.
"""

import array
import json
import os
import select
import signal
import socket
import sys

from runtime.network.attach import attach
from runtime.sandbox import launcher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FDS = 5
_REQUEST_BYTES = 64


def main(control_fd: int) -> None:
    """Serve requests on the socket `control_fd` until its other end closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    control = socket.socket(fileno=control_fd)
    while True:
        fds = _receive(control)
        _reap()
        if fds is None:
            return
        if os.fork() == 0:
            status = 1
            try:
                control.close()
                _supervise(fds)
                status = 0
            finally:
                os._exit(status)
        for fd in fds:
            os.close(fd)


def _receive(control: socket.socket) -> "list[int] | None":
    """Return the descriptors of the next request, None at the end."""
    descriptors = array.array("i")
    space = socket.CMSG_SPACE(_FDS * descriptors.itemsize)
    message, ancillary, _, _ = control.recvmsg(_REQUEST_BYTES, space, socket.MSG_CMSG_CLOEXEC)
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    if not message:
        return None
    return list(descriptors)


def _reap() -> None:
    """Collect the supervisors that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _supervise(fds: "list[int]") -> None:
    """Run one sandbox from its request to its end."""
    request_fd, stdin, stdout, stderr, reply_fd = fds
    reply = socket.socket(fileno=reply_fd)
    with open(request_fd, "rb") as file:
        request = json.loads(file.read())
    network = request.pop("network", None)

    def connect(pid: int) -> None:
        if network is not None:
            attach(network, pid)

    try:
        child = launcher.launch(request, (stdin, stdout, stderr), attach=connect)
    except launcher.LaunchFailure as failure:
        names = ("step", "errno", "path", "exit_code")
        _reply(reply, {"failure": {**{name: getattr(failure, name) for name in names}, "text": str(failure)}})
        return
    except OSError as error:  # of `attach`, with words of its own
        _refuse(reply, "network", error.errno or 0, error.strerror or str(error))
        return
    except Exception as error:  # a fault of ours: the builder tells it
        _refuse(reply, "launch", 0, f"{type(error).__name__}: {error}")
        return
    for fd in (stdin, stdout, stderr):
        os.close(fd)
    _reply(reply, {"started": child.pid, "mountpoints": list(child.mountpoints)})
    poll = select.poll()
    poll.register(child.pidfd, select.POLLIN)
    poll.register(reply, select.POLLIN)
    ended = {fd for fd, _ in poll.poll()}
    if child.pidfd not in ended:
        signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)
    _reply(reply, {"status": launcher.wait(child)})


def _refuse(reply: socket.socket, step: str, errno: int, text: str) -> None:
    """Reply that the sandbox could not be made."""
    _reply(reply, {"failure": {"step": step, "errno": errno, "path": "", "exit_code": 125, "text": text}})


def _reply(reply: socket.socket, document: "dict[str, Any]") -> None:
    try:
        reply.sendall(json.dumps(document).encode() + b"\n")
    except OSError:
        pass  # the builder does not listen any more


if __name__ == "__main__":
    main(int(sys.argv[1]))
