"""Find the command in the container and say why it cannot be executed, in the words and statuses that Docker has."""

from __future__ import annotations

import os
from errno import EACCES, EISDIR, ENOENT, ENOEXEC
from stat import S_ISDIR, S_ISREG

from runtime.sandbox import syscalls as sys
from runtime.sandbox.failure import LaunchFailure, not_started

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def find_program(name: str, env: Iterable[str]) -> str:
    """Give the path to execute. Raises LaunchFailure: 127 not found, 126 a directory or not executable."""
    if "/" in name:
        try:
            mode = os.stat(name).st_mode
        except OSError as error:
            number = error.errno or 0
            raise not_started(name, number, f"stat {name}: {os.strerror(number).lower()}") from None
        if S_ISDIR(mode):
            raise not_started(name, EISDIR, "is a directory: permission denied")
        if not os.access(name, os.X_OK, effective_ids=True):
            raise not_started(name, EACCES)
        return name
    path = _DEFAULT_PATH
    for word in env:
        if word.startswith("PATH="):
            path = word[5:]
    for directory in path.split(":"):
        candidate = f"{directory}/{name}"
        if directory.startswith("/") and _is_executable(candidate):
            return candidate
    raise not_started(name, ENOENT, "executable file not found in $PATH")


def _is_executable(path: str) -> bool:
    try:
        return S_ISREG(os.stat(path).st_mode) and os.access(path, os.X_OK, effective_ids=True)
    except OSError:
        return False


def environment_of(words: Iterable[str]) -> dict[str, str]:
    """Turn "NAME=VALUE" words into a mapping; of two for one name the last is taken, as every shell would."""
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if name and equals:
            found[name] = value
    return found


def execute_directly(program: str, arguments: list[str], environment: dict[str, str]) -> None:
    """Execute the command from the launcher's own image, for want of a stub; never through a link to that image."""
    path = program
    for _ in range(5):
        fd = sys.openat2(sys.AT_FDCWD, os.fsencode(path), os.O_RDONLY, resolve=sys.RESOLVE_NO_MAGICLINKS)
        head = os.read(fd, 256)
        os.close(fd)
        if not head.startswith(b"#!"):
            break
        path = os.fsdecode(head[2:].split(b"\n")[0].split()[0])
    try:
        os.execve(program, arguments, environment)
    except OSError as error:
        raise exec_failure(program, error.errno or 0) from None


def exec_failure(path: str, errno: int) -> LaunchFailure:
    """Say what execve's answer means for a file that was there a moment ago."""
    if errno == ENOENT:
        return not_started(path, ENOENT, "its interpreter does not exist in the container")
    if errno == ENOEXEC:
        return not_started(path, ENOEXEC, "exec format error: neither a program of this architecture nor a script")
    return not_started(path, errno)
