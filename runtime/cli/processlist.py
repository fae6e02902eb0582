"""Take a secret that was given on the command line out of what `ps` shows of this process (proc(5), cmdline)."""

from __future__ import annotations

import os

_ARGUMENTS_START, _ARGUMENTS_END = 45, 46
"""Index of arg_start and arg_end in /proc/self/stat after the command name (fields 48 and 49)."""


def hide(word: str) -> None:
    """Overwrite `word` with `x` wherever it stands in the arguments of this process; does nothing where it cannot.

    Who looked earlier has seen it: this shortens the time, and no more can be done from within.
    """
    secret = os.fsencode(word)
    if not secret:
        return
    try:
        with open("/proc/self/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        start, end = int(fields[_ARGUMENTS_START]), int(fields[_ARGUMENTS_END])
        with open("/proc/self/mem", "r+b", buffering=0) as memory:
            memory.seek(start)
            words = memory.read(end - start)
            place = words.find(secret)
            while place >= 0:
                memory.seek(start + place)
                memory.write(b"x" * len(secret))
                place = words.find(secret, place + len(secret))
    except (OSError, ValueError, IndexError, OverflowError):
        return
