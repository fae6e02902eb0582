"""Let in those whom an htpasswd file knows (bcrypt), and follow the file as it changes.

RFC 7617. What was right once is remembered under a key of this process, since bcrypt is slow by design.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import UsageError
from runtime.registry.server.errors import Refusal

if TYPE_CHECKING:
    from runtime.registry.server.workers import Workers

_BCRYPT = (b"$2a$", b"$2b$", b"$2y$")
_LONGEST = 72
"""Bytes of a password that bcrypt looks at."""
_LARGEST_FILE = 16 << 20
_REMEMBERED = 1024
_NOBODY = b"$2b$05$abcdefghijklmnopqrstuuAKjZcC3zzFGF2FGJj.mBZqN0M1M8rIu"
"""What the password of an unknown user is compared with, so that it takes as long."""


class Htpasswd:
    """The users of one file."""

    def __init__(self, path: Path, workers: Workers) -> None:
        """Read the file; raises UsageError where it cannot be read or has an entry that is not bcrypt's."""
        self._path = path
        self._workers = workers
        self._key = os.urandom(32)
        self._right: dict[bytes, bytes] = {}
        self._state: tuple[int, ...] | None = None
        self._users: dict[bytes, bytes] = {}
        try:
            self._state = _state(path)
            self._users, wrong = read_users(_content(path))
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from error
        if wrong:
            raise UsageError(
                f"{path}, line {wrong[0]}: no user with a bcrypt password", hint="`htpasswd -B FILE USER` writes one"
            )

    async def check(self, authorization: str | None) -> None:
        """Raise Refusal UNAUTHORIZED unless the header names a user of the file with the right password."""
        await self._workers.quick(self._follow)
        given = read_basic(authorization)
        if given is None or not await self._knows(*given):
            raise Refusal(
                401,
                "UNAUTHORIZED",
                "authentication required",
                headers={"WWW-Authenticate": 'Basic realm="pybuild registry"'},
            )

    async def _knows(self, user: bytes, password: bytes) -> bool:
        kept = self._users.get(user)
        mark = hashlib.blake2b(len(user).to_bytes(4, "big") + user + password, key=self._key).digest()
        if kept is not None and hmac.compare_digest(self._right.get(mark, b""), kept):
            return True
        if not await self._workers.heavy(_compare, password, kept or _NOBODY) or kept is None:
            return False
        if len(self._right) >= _REMEMBERED:
            self._right.clear()
        self._right[mark] = kept
        return True

    def _follow(self) -> None:
        """Read the file again if it is another; a file that has gone, or a line that is wrong, lets nobody in."""
        try:
            state = _state(self._path)
        except OSError:
            self._state, self._users = None, {}
            return
        if state != self._state:
            try:
                self._users, _ = read_users(_content(self._path))
            except OSError:
                self._users = {}
            self._state = state


def read_users(data: bytes) -> tuple[dict[bytes, bytes], tuple[int, ...]]:
    """Read `USER:HASH` lines; returns hashes by user, and the numbers of the lines that are wrong."""
    users: dict[bytes, bytes] = {}
    wrong = []
    for number, line in enumerate(data.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith(b"#"):
            continue
        user, colon, kept = line.partition(b":")
        if user and colon and kept.startswith(_BCRYPT) and len(kept) == 60:
            users[user] = kept
        else:
            wrong.append(number)
    return users, tuple(wrong)


def read_basic(authorization: str | None) -> tuple[bytes, bytes] | None:
    """Read user and password of an Authorization header; None for one that is missing or of another scheme."""
    scheme, _, rest = (authorization or "").strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(rest.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None
    return (user, password) if colon else None


def _compare(password: bytes, kept: bytes) -> bool:
    import bcrypt  # lazy: only with --htpasswd

    try:
        return bcrypt.checkpw(password[:_LONGEST], kept)
    except ValueError:  # an entry that only looks like one
        return False


def _state(path: Path) -> tuple[int, ...]:
    status = os.stat(path)
    return status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size


def _content(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(_LARGEST_FILE)
