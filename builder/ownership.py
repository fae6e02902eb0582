"""Read `--chown`: names are looked up in the tree that is copied to, as BuildKit does.

A name that is not there counts as not given (in a tree with nothing in it, it is refused), and a group that is not
given is the user's: its own number, or the one that passwd has for it.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from runtime.errors import UsageError

if TYPE_CHECKING:
    from runtime.store.view import MergedView

_LIMIT = 16 << 20
_LARGEST_ID = 2**32 - 2


def find_owner(text: str | None, view: MergedView) -> tuple[int, int] | None:
    """Return (uid, gid) for `USER[:GROUP]`, None without `--chown`.

    Raises UsageError for a number too large, and for a name where the tree is empty.
    """
    if text is None:
        return None
    user, colon, group = text.partition(":")
    uid, gid = _user(user, view)
    if colon:
        # BuildKit takes root's group for an empty one and the user's for an unknown one.
        found = _group(group, view) if group else 0
        gid = gid if found is None else found
    return uid, gid


def _user(name: str, view: MergedView) -> tuple[int, int]:
    number = _number(name)
    if number is not None:
        return number, number
    for row in _rows(view, "/etc/passwd"):
        if name and row[0] == name and len(row) > 3:
            return _number(row[2]) or 0, _number(row[3]) or 0
    _refuse_in_nothing(name, view)
    return 0, 0


def _group(name: str, view: MergedView) -> int | None:
    number = _number(name)
    if number is not None:
        return number
    for row in _rows(view, "/etc/group"):
        if row[0] == name and len(row) > 2:
            return _number(row[2]) or 0
    _refuse_in_nothing(name, view)
    return None


def _refuse_in_nothing(name: str, view: MergedView) -> None:
    if name not in ("", "root") and not view.listdir(PurePosixPath("/")):
        raise UsageError(
            f"{name}: there is no user or group of that name, nor any other, in an empty image", hint="write its number"
        )


def _number(text: str) -> int | None:
    if not (text.isascii() and text.isdecimal()):
        return None
    if len(text) > 10 or int(text) > _LARGEST_ID:
        raise UsageError(f"--chown: {text} is no id", hint=f"ids go from 0 to {_LARGEST_ID}")
    return int(text)


def _rows(view: MergedView, path: str) -> list[list[str]]:
    text = view.read_text(PurePosixPath(path), _LIMIT) or ""
    return [line.strip().split(":") for line in text.splitlines() if line.strip() and not line.startswith("#")]
