"""Processes of our own, with nothing of Python's surroundings: the words of their commands, and a start.

Standard library alone, and usable under `python -I -S`.
"""

from __future__ import annotations

import fcntl
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_PACKAGES = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_FIRST_FD = 3


def command(code: str, *words: str) -> list[str]:
    """Return the words that run `code` with this program's packages; it finds `words` in sys.argv[1:]."""
    return [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {_PACKAGES!r}); {code}", *words]


def spawn(module: str, call: str, words: Sequence[str], descriptors: Sequence[int]) -> int:
    """Run `call`, an expression over `module` and `words`, in a session of its own that outlives us; returns its pid.

    It has `descriptors` from 3 on, no environment, and no input or output.
    """
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FIRST_FD + len(descriptors)) for fd in descriptors]
    try:
        return os.posix_spawn(
            sys.executable,
            command(f"import {module} as module; words = sys.argv[1:]; {call}", *words),
            {},
            file_actions=[
                *((os.POSIX_SPAWN_DUP2, fd, _FIRST_FD + number) for number, fd in enumerate(high)),
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0),
                (os.POSIX_SPAWN_DUP2, 0, 1),
                (os.POSIX_SPAWN_DUP2, 0, 2),
            ],
            setsid=True,
            setsigmask=(),
        )
    finally:
        for fd in high:
            os.close(fd)
