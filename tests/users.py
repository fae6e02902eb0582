"""The ordinary user as whom tests run things, also where the clone lies in a directory that is closed to others.

`tools/needs` makes the user. Its commands run in a mount namespace of their own when a directory above the clone, the
virtual environment or Python is closed: an empty, open one is mounted there that holds these alone. No path changes.
"""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import stat
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

USER = "pybuild-test"
USER_WITHOUT_RANGE = 61234
REPOSITORY = Path(__file__).parents[1]
_OPEN = stat.S_IROTH | stat.S_IXOTH


def find_user(missing: Callable[[str], None]) -> pwd.struct_passwd:
    """Return the entry of the user, or end the test by `missing` with what this machine lacks."""
    for program in ("setpriv", "unshare", "newuidmap", "newgidmap"):
        if shutil.which(program) is None:
            missing(f"{program} (tools/needs installs it)")
    for file in ("/etc/subuid", "/etc/subgid"):
        if not os.path.exists(file) or f"\n{USER}:" not in "\n" + Path(file).read_text():
            missing(f"the user {USER} with a range in {file} (tools/needs makes it)")
    return pwd.getpwnam(USER)


def become(uid: int, *, before: str = "") -> list[str]:
    """Return what stands before a command so that a user runs it, with the group of the same number and no other.

    `before` is shell that the superuser runs first, in the mount namespace of the command.
    """
    identity = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    script = before + _opening()
    apart = ["unshare", "--mount", "--propagation", "slave", "sh", "-c", f'{script}exec "$@"', "sh"]
    return [*apart, *identity] if script else identity


@cache
def _opening() -> str:
    """Return shell commands after which others can read what the tests run; empty where they can all the same."""
    needed = {Path(path) for path in (REPOSITORY, sys.prefix, sys.base_prefix, Path(sys.executable).resolve().parent)}
    covers = {path: cover for path in needed if (cover := _closed_above(path))}
    lines = []
    for cover in sorted(set(covers.values())):
        below = [path for path in sorted(needed) if covers.get(path) == cover]
        outermost = [path for path in below if not set(path.parents) & set(below)]
        # Descriptors hold the trees while the way to them is covered.
        lines += [f"exec {number}<{shlex.quote(str(path))}" for number, path in enumerate(outermost, 3)]
        lines += [f"mount -t tmpfs -o mode=755 none {shlex.quote(str(cover))}"]
        for number, path in enumerate(outermost, 3):
            lines += [f"mkdir -p {shlex.quote(str(path))}"]
            lines += [f"mount --no-canonicalize --rbind /proc/self/fd/{number} {shlex.quote(str(path))}"]
            lines += [f"exec {number}<&-"]
    return "".join(f"{line} || exit\n" for line in ("umask 022", *lines)) if lines else ""


def _closed_above(path: Path) -> Path | None:
    """Return the topmost directory above `path` that others may not enter, if there is one."""
    parents = reversed(path.parents)
    return next((parent for parent in parents if parent.stat().st_mode & _OPEN != _OPEN), None)
