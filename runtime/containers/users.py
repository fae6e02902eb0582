"""Find out who a container's process is: names of `--user` and `--group-add` in the image's passwd and group files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from frozen import Frozen
from runtime.errors import NotFound, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = object

_LARGEST_ID = 2**31 - 1
_LIMIT = 16 << 20
"""Bytes of a passwd or group file that are read."""


class Tree(Protocol):
    """A file tree that can be read without following a link out of it (store.view.MergedView)."""

    def read_text(self, path: PurePosixPath, limit: int) -> str | None:
        """Return a file's text, None where there is no such file."""


class Identity(Frozen):
    """Who a process is: numeric ids, supplementary groups (sorted, without duplicates), home directory."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def find_identity(tree: Tree, user: str, additional: Sequence[str] = ()) -> Identity:
    """Resolve `USER[:GROUP]`, names or numbers, as Docker does.

    A name that is not in the files is NotFound; a number is never a name, need not be there, and has group 0 then.
    Supplementary groups are those that list the user, unless a group was given. `additional` are names or numbers of
    further groups.
    """
    name, _, group_name = user.partition(":")
    passwd = list(_entries(tree, "/etc/passwd", 7))
    number = _number(name or "0")
    if number is None:
        row = next((row for row in passwd if row[0] == name), None)
    else:
        row = next((row for row in passwd if _number(row[2]) == number), None)
    if row is None and number is None:
        raise NotFound(
            f"unable to find user {name}: no matching entries in passwd file",
            hint="give a numeric id, or make the user in the image",
        )
    uid = number if row is None else _number(row[2])
    if uid is None:
        raise UsageError(f"user {name} has no valid number in the image's /etc/passwd")
    needs_groups = bool(group_name or additional or row)
    groups = list(_entries(tree, "/etc/group", 4)) if needs_groups else []
    gid = 0 if row is None else _number(row[3]) or 0
    supplementary: set[int] = set()
    if group_name:
        number = _number(group_name)
        gid = _group(groups, group_name) if number is None else number
    elif row is not None:
        supplementary = {
            listed for entry in groups if row[0] in entry[3].split(",") and (listed := _number(entry[2])) is not None
        }
    supplementary.update(_group(groups, word) for word in additional)
    home = row[5] if row is not None and row[5] else "/"
    return Identity(uid=uid, gid=gid, groups=tuple(sorted(supplementary)), home=home)


def _group(entries: Iterable[list[str]], name: str) -> int:
    for entry in entries:
        found = _number(entry[2])
        if entry[0] == name and found is not None:
            return found
    number = _number(name)
    if number is None:
        raise NotFound(
            f"unable to find group {name}: no matching entries in group file",
            hint="give a numeric id, or make the group in the image",
        )
    return number


def _number(text: str) -> int | None:
    if not (text.removeprefix("-").isdecimal() and text.isascii()):
        return None
    value = int(text) if len(text) < 11 else -1
    if not 0 <= value <= _LARGEST_ID:
        raise UsageError(f"uids and gids must be in range 0-{_LARGEST_ID}: {text}")
    return value


def _entries(tree: Tree, path: str, width: int) -> Iterable[list[str]]:
    """Yield the rows of a passwd or group file, filled up to `width` columns; what is no row is passed over."""
    text = tree.read_text(PurePosixPath(path), _LIMIT) or ""
    for line in text.splitlines():
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            columns = stripped.split(":")
            yield columns + [""] * (width - len(columns))
