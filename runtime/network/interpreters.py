"""Start a process of our own that outlives this one, with nothing of Python's surroundings.

Standard library alone, and usable under `python -I -S`.
"""

from __future__ import annotations

import fcntl
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_PACKAGES = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_FIRST_FD = 3


def spawn(module: str, call: str, words: Sequence[str], descriptors: Sequence[int]) -> int:
    """Run `call`, an expression over `module` and `words`, in an interpreter and a session of its own; returns its pid.

    It has `descriptors` from 3 on, no environment, and no input or output.
    """
    code = f"import sys; sys.path.insert(0, sys.argv[1]); import {module} as module; words = sys.argv[2:]; {call}"
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FIRST_FD + len(descriptors)) for fd in descriptors]
    try:
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", "-c", code, _PACKAGES, *words],
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
