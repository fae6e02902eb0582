"""Say why a command could not be started: the exception, and its passage from the child to the caller.

The child is a fork that cannot raise into its parent: it sends the four facts and the sentence as bytes, divided by
NUL, and the caller raises the same exception.
"""

from __future__ import annotations

from errno import ENAMETOOLONG, ENOENT, ENOSYS, EPERM
from os import fsdecode, fsencode, strerror


class LaunchFailure(Exception):
    """The command was not started; everything that was made for it is gone again.

    `step` is what was being done ("mounts", "program", "rlimits", …), `errno` the kernel's answer (0 if there is none),
    `path` the thing it was done to, `exit_code` what a container that failed so exits with: 127 command not found,
    126 not executable, 125 everything else. `str()` is one sentence for a user.
    """

    def __init__(self, step: str, errno: int, path: str, exit_code: int, text: str) -> None:
        super().__init__(text)
        self.step = step
        self.errno = errno
        self.path = path
        self.exit_code = exit_code


def from_error(step: str, error: OSError, what: str = "") -> LaunchFailure:
    """Make of the kernel's answer while `step` was done a sentence, with `what` or the step's name at its head."""
    path = fsdecode(error.filename) if error.filename else ""
    number = error.errno or 0
    reason = strerror(number).lower() if number else str(error)
    if number == ENOSYS:
        reason = "this kernel does not know a call that is needed: Linux 5.12 or newer, and no filter that hides it"
    elif number == EPERM and step == "namespaces":
        reason += ": that takes CAP_SYS_ADMIN, and no filter against it; a container has both with --privileged"
    text = f"{what or step}: {path + ': ' if path and path not in what else ''}{reason}"
    return LaunchFailure(step, number, path, 125, text)


def refused(step: str, text: str, *, path: str = "", errno: int = 0) -> LaunchFailure:
    """Say that a request cannot be served as it is (status 125)."""
    return LaunchFailure(step, errno, path, 125, text)


def not_started(program: str, errno: int, detail: str = "") -> LaunchFailure:
    """Give the failure of the command itself: 127 where it is not there, 126 where it cannot be executed."""
    exit_code = 127 if errno in (ENOENT, ENAMETOOLONG) else 126
    reason = detail or strerror(errno).lower()
    return LaunchFailure("program", errno, program, exit_code, f'exec: "{repr(program)[1:-1]}": {reason}')


def encode(failure: LaunchFailure) -> bytes:
    fields = (failure.step, str(failure.errno), failure.path, str(failure.exit_code), str(failure))
    return b"\0".join(fsencode(field.replace("\0", "?")) for field in fields)


def decode(message: bytes) -> LaunchFailure:
    step, errno, path, exit_code, text = (fsdecode(field) for field in message.split(b"\0"))
    return LaunchFailure(step, int(errno), path, int(exit_code), text)
