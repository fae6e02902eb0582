"""Check a container's health from its monitor: run a command in it again and again; standard library alone.

Each check is a process forked from the monitor, which starts the command in the container's namespaces and sends back
what it ended with. The last results lie in `health`, a line of JSON each, in the Engine API's shape; the state is in
`condition`. (Docker, HEALTHCHECK: starting, healthy, unhealthy; 0 is success, everything else a failure.)
"""

from __future__ import annotations

import os
import time

from runtime.sandbox import cgroups, launcher, syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import Any
else:
    import _signal as signal

_KEPT = 5
_OUTPUT_LIMIT = 4096
_LONGEST = 12 * _OUTPUT_LIMIT
"""Bytes that no line of `health` is longer than: JSON writes a character outside of the first plane in twelve."""
_SECOND = 1_000_000_000


class Health:
    """The check of one running container.

    `plan`: `request` (launcher.enter), `interval`, `timeout`, `start_period`, `start_interval` in seconds, `retries`.
    `timeout_text` is the timeout as people read it. The last results outlive a run, as docker's do.
    `state` is starting, healthy or unhealthy; `failing` counts failures in a row.
    """

    def __init__(self, plan: dict[str, Any], directory: int, child: launcher.Child) -> None:
        self.plan = plan
        self.directory = directory
        self.child = child
        self.state = "starting"
        self.failing = 0
        self.began = time.monotonic()
        self.next = self.began + self._interval()
        self.result = -1
        self.output = -1
        self._said = b""
        self._pidfd = -1
        self._started = 0
        self._late = False
        self._results = self._earlier()

    def _earlier(self) -> list[bytes]:
        """Return the lines that are there."""
        try:
            fd = os.open("health", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.directory)
        except OSError:
            return []
        try:
            return os.read(fd, _KEPT * _LONGEST).splitlines(keepends=True)
        finally:
            os.close(fd)

    def _interval(self) -> float:
        young = self.state == "starting" and time.monotonic() - self.began < self.plan["start_period"]
        return float(self.plan["start_interval"] if young else self.plan["interval"])

    def wait(self) -> float:
        """Say for how many seconds nothing is to be done."""
        return max(0.0, self.next - time.monotonic())

    def turn(self) -> bool:
        """Do what is due: start a check, or end one that takes too long; says whether the state changed."""
        if self.wait():
            return False
        if self.result < 0:
            self._start()
        else:
            self._late = True
            self._kill()
            self.next = time.monotonic() + 1
        return False

    def _start(self) -> None:
        self.result, result = os.pipe2(os.O_CLOEXEC)
        self.output, output = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(output, True)
        self._said = b""
        self._started = time.time_ns()
        self._late = False
        pid = os.fork()
        if pid == 0:
            _check(self.plan["request"], self.child, result, output)
        os.close(result)
        os.close(output)
        try:
            self._pidfd = os.pidfd_open(pid)
        except OSError:  # it has ended already
            self._pidfd = -1
        self.next = time.monotonic() + self.plan["timeout"]

    def _kill(self) -> None:
        if self._pidfd >= 0:
            try:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def collect(self) -> bool:
        """Take the result of a check, whose descriptor `result` is readable; says whether the state changed."""
        word = os.read(self.result, 1)
        while self.output >= 0 and len(self._said) <= _OUTPUT_LIMIT and self.drain():
            pass
        output = self._said if len(self._said) <= _OUTPUT_LIMIT else self._said[:_OUTPUT_LIMIT] + b"..."
        self._close()
        code = word[0] if word and not self._late else -1
        text = output.decode("utf-8", "replace")
        if self._late:
            text = f"Health check exceeded timeout ({self.plan['timeout_text']})" + (f": {text}" if text else "")
        self._note(code, text)
        before = self.state, self.failing
        if code == 0:
            self.state, self.failing = "healthy", 0
        elif self.state == "starting" and time.monotonic() - self.began < self.plan["start_period"]:
            pass  # what fails while the container starts does not count
        else:
            self.failing += 1
            if self.failing >= self.plan["retries"]:
                self.state = "unhealthy"
        self.next = time.monotonic() + self._interval()
        return before != (self.state, self.failing)

    def drain(self) -> bool:
        """Read what the check wrote, keep its beginning; says whether there may be more now."""
        try:
            data = os.read(self.output, 1 << 16)
        except BlockingIOError:
            return False
        if not data:
            os.close(self.output)
            self.output = -1
        self._said = (self._said + data)[: _OUTPUT_LIMIT + 1]
        return bool(data)

    def _close(self) -> None:
        for fd in (self.result, self.output, self._pidfd):
            if fd >= 0:
                os.close(fd)
        self.result = self.output = self._pidfd = -1

    def stop(self) -> None:
        """End a check that runs; the container has ended."""
        self._kill()
        self._close()

    def _note(self, code: int, output: str) -> None:
        import json  # 1 MB that only monitors with a check need

        entry = {"Start": _stamp(self._started), "End": _stamp(time.time_ns()), "ExitCode": code, "Output": output}
        self._results = [*self._results, (json.dumps(entry) + "\n").encode()][-_KEPT:]
        try:
            fd = os.open(
                "health.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600, dir_fd=self.directory
            )
            try:
                os.write(fd, b"".join(self._results))
            finally:
                os.close(fd)
            os.rename("health.new", "health", src_dir_fd=self.directory, dst_dir_fd=self.directory)
        except OSError:
            pass  # a full disk: the state is what counts


def _check(request: dict[str, Any], container: launcher.Child, result: int, output: int) -> None:
    """Run one check in the container; ends the process."""
    code = 125
    try:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        syscalls.close_all_but([0, 1, 2, result, output, container.pidfd])
        cgroup: cgroups.Cgroup | None = container.cgroup
        try:
            child = launcher.enter(request, (0, output, output), container.pidfd, cgroup)
            code = launcher.wait(child)
        except launcher.LaunchFailure as failure:
            os.write(output, str(failure).encode())
            code = failure.exit_code
        os.write(result, bytes((code & 0xFF,)))
    finally:
        os._exit(0)


def _stamp(moment: int) -> str:
    seconds, fraction = divmod(moment, _SECOND)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{fraction:09}Z"
