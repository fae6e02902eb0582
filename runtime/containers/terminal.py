"""Hold the user's terminal: raw mode with its way back, its size, and the keys that detach from a container."""

from __future__ import annotations

import os
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from runtime.errors import UsageError

DETACH_KEYS = b"\x10\x11"
"""ctrl-p, ctrl-q: Docker's default."""


@contextmanager
def raw_mode(fd: int) -> Iterator[None]:
    """Pass every key on as it is for the length of a block; the modes that were come back in every end."""
    before = termios.tcgetattr(fd)
    after = termios.tcgetattr(fd)
    after[0] &= ~(
        termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP | termios.INLCR | termios.IGNCR
        | termios.ICRNL | termios.IXON
    )  # fmt: skip
    after[1] &= ~termios.OPOST
    after[2] = after[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    after[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    after[6][termios.VMIN], after[6][termios.VTIME] = 1, 0
    try:
        termios.tcsetattr(fd, termios.TCSANOW, after)
        yield
    finally:
        with suppress(termios.error):  # a terminal that was hung up has no modes any more
            termios.tcsetattr(fd, termios.TCSANOW, before)


def window(fd: int) -> tuple[int, int] | None:
    """Return rows and columns of the terminal `fd`; None where it is none or does not know its size."""
    try:
        size = os.get_terminal_size(fd)
    except OSError:
        return None
    return (size.lines, size.columns) if size.lines and size.columns else None


def parse_detach_keys(text: str) -> bytes:
    """Read `--detach-keys`: letters and `ctrl-LETTER` between commas; an empty text is no keys."""
    keys = bytearray()
    for word in text.split(",") if text else ():
        if len(word) == 1 and word.isascii():
            keys += word.encode()
        elif len(word) == 6 and word.lower().startswith("ctrl-") and "@" <= word[5].upper() <= "_":
            keys.append(ord(word[5].upper()) & 0x1F)
        else:
            raise UsageError(f"invalid detach keys ({text}): {word!r} is no key", hint="as ctrl-p,ctrl-q or a")
    return bytes(keys)


class KeyFilter:
    """Look for the detach keys in what is typed; the first of them wait until the rest comes or does not."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._seen = 0
        self.detached = False

    def feed(self, data: bytes) -> bytes:
        """Return what is to be passed on; sets `detached` once the whole sequence was typed."""
        if not self._keys:
            return data
        passed = bytearray()
        for byte in data:
            if byte == self._keys[self._seen]:
                self._seen += 1
                if self._seen == len(self._keys):
                    self.detached = True
                    break
            else:
                passed += self._keys[: self._seen]
                self._seen = 1 if byte == self._keys[0] else 0
                if not self._seen:
                    passed.append(byte)
        return bytes(passed)
