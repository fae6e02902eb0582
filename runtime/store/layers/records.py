"""Keep what the kernel refused to set on a file: an owner outside the id map, a device node, a whiteout.

A *record* is an extended attribute that only `layers.tree` looks at:

- `user.pybuild.stat` on a file or directory: `u UID GID`, the owner. An id that is in the id map of this user namespace
  is taken from the disk all the same: the kernel would not have refused it, so that none who may write to a file gives
  it away by writing a record.
- `user.pybuild.stat` on a *stand-in*, an empty regular file of root with mode 0600: `c|b MAJOR MINOR MODE UID GID` for
  a device, `w` for a whiteout. Nobody else can write such a file, and a record on any other says nothing.
- `user.pybuild.links` on a directory, for a symlink, fifo or socket in it, which cannot have `user.*` attributes. An
  entry names inode and mtime as well: one that is left over from a copied-up directory or a replaced link says nothing.
"""

from __future__ import annotations

import errno
import os
from functools import lru_cache

from frozen import NamedTuple
from runtime.errors import StoreError

RECORD = "user.pybuild.stat"
LINKS = "user.pybuild.links"
STAND_IN_MODE = 0o600
_ABSENT = frozenset({errno.ENODATA, errno.ENOTSUP, errno.EPERM, errno.EACCES})
_ALL_IDS = range(0xFFFFFFFF)


class StandIn(NamedTuple):
    """What a stand-in stands for: `kind` is `c`, `b` or `w`; `rdev` as `os.makedev`."""

    kind: bytes
    rdev: int = 0
    mode: int = 0
    uid: int = 0
    gid: int = 0


def get_xattr(where: int | bytes, name: str) -> bytes | None:
    """Read an attribute of an open file or of a path, not followed; None if it is not there or not for us."""
    try:
        return os.getxattr(where, name) if isinstance(where, int) else os.getxattr(where, name, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _ABSENT:
            raise
        return None


def in_user_namespace() -> bool:
    """Tell whether this process is without the rights of the machine's root: attributes `trusted.*` are not for it."""
    return os.geteuid() != 0 or _ids("uid_map") != (_ALL_IDS,)


def write_owner(where: int | bytes, uid: int, gid: int) -> None:
    """Record the owner of a file or directory. Raises StoreError where the file system has no `user.*` attributes."""
    _set(where, RECORD, b"u %d %d" % (uid, gid))


def read_owner(record: bytes, uid: int, gid: int) -> tuple[int, int]:
    """Give the owner by its record, where `uid` and `gid` are what the disk says."""
    words = record.split()
    if len(words) != 3 or words[0] != b"u" or not (words[1].isdigit() and words[2].isdigit()):
        return uid, gid
    return _unmapped("uid_map", int(words[1]), uid), _unmapped("gid_map", int(words[2]), gid)


def forget_owner(path: bytes) -> None:
    """Drop the record of a file that had another owner before."""
    try:
        os.removexattr(path, RECORD, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _ABSENT:
            raise


def write_stand_in(where: int | bytes, what: StandIn) -> None:
    """Record what a stand-in stands for."""
    if what.kind == b"w":
        _set(where, RECORD, b"w")
        return
    numbers = (os.major(what.rdev), os.minor(what.rdev), what.mode, what.uid, what.gid)
    _set(where, RECORD, b"%b %d %d %o %d %d" % (what.kind, *numbers))


def read_stand_in(record: bytes, status: os.stat_result) -> StandIn | None:
    """Give what a regular file stands for, None if it is no stand-in."""
    if status.st_size or status.st_uid != os.geteuid() or status.st_mode & 0o7777 != STAND_IN_MODE:
        return None
    words = record.split()
    if words == [b"w"]:
        return StandIn(b"w")
    if len(words) != 6 or words[0] not in {b"c", b"b"}:
        return None
    try:
        major, minor, uid, gid = (int(words[index]) for index in (1, 2, 4, 5))
        return StandIn(words[0], os.makedev(major, minor), int(words[3], 8) & 0o7777, uid, gid)
    except (ValueError, OverflowError):
        return None


def write_link_owner(dir_fd: int, name: bytes, uid: int, gid: int) -> None:
    """Record the owner of a symlink, fifo or socket in its directory; its mtime does not change any more."""
    status = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    entries = [entry for entry in _link_entries(dir_fd) if entry[4] != name]
    entries.append((status.st_ino, status.st_mtime_ns, uid, gid, name))
    try:
        _set(dir_fd, LINKS, b"/".join(b"%d:%d:%d:%d:%b" % entry for entry in entries))
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.E2BIG, errno.ERANGE}:
            raise
        raise StoreError(
            f"owner {uid}:{gid} of {os.fsdecode(name)!r} cannot be recorded: "
            f"{len(entries)} links in one directory belong to ids outside the user namespace",
            hint="give the user a range of subordinate ids in /etc/subuid and /etc/subgid",
        ) from error


def read_link_owner(path: bytes, status: os.stat_result) -> tuple[int, int]:
    """Give the owner of the symlink, fifo or socket `path`, of which `status` is what the disk says."""
    directory, _, name = path.rpartition(b"/")
    for inode, mtime_ns, uid, gid, entry in _link_entries(directory):
        if entry == name and inode == status.st_ino and mtime_ns == status.st_mtime_ns:
            return _unmapped("uid_map", uid, status.st_uid), _unmapped("gid_map", gid, status.st_gid)
    return status.st_uid, status.st_gid


def _link_entries(directory: int | bytes) -> list[tuple[int, int, int, int, bytes]]:
    try:
        value = os.getxattr(directory, LINKS)
    except OSError as error:
        if error.errno not in _ABSENT:
            raise
        return []
    entries = []
    for item in value.split(b"/"):
        fields = item.split(b":", 4)
        if len(fields) == 5 and all(field.lstrip(b"-").isdigit() for field in fields[:4]):
            entries.append((int(fields[0]), int(fields[1]), int(fields[2]), int(fields[3]), fields[4]))
    return entries


def _unmapped(map_name: str, recorded: int, found: int) -> int:
    """Give the recorded id if the kernel could not have set it here, else what it has."""
    if os.geteuid() == 0 and any(recorded in ids for ids in _ids(map_name)):
        return found
    return recorded


def _ids(map_name: str) -> tuple[range, ...]:
    return _ids_of(os.stat("/proc/self/ns/user").st_ino, map_name)


@lru_cache(maxsize=8)
def _ids_of(namespace: int, map_name: str) -> tuple[range, ...]:
    """Read the ids that exist in this process' user namespace, which stay what they are once they were written."""
    del namespace
    with open(f"/proc/self/{map_name}", encoding="ascii") as file:
        rows = [tuple(map(int, line.split())) for line in file]
    return tuple(range(first, first + count) for first, _, count in rows)


def _set(where: int | bytes, name: str, value: bytes) -> None:
    try:
        if isinstance(where, int):
            os.setxattr(where, name, value)
        else:
            os.setxattr(where, name, value, follow_symlinks=False)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        raise StoreError(
            "owners and devices cannot be kept: the file system of the store has no user.* attributes",
            hint="choose a directory on ext4, xfs or btrfs with --root",
        ) from error
