"""Read and set what a tree on disk says about a file: type, mode, owner, device number, extended attributes.

Nothing else looks at these, because the disk does not always hold the truth. What the kernel refused to set (a device
node in a user namespace, an owner outside its id map) is kept in a *record*, and reading gives what the record says:

- `user.pybuild.stat` on the file or directory itself: `u UID GID` for an owner, `c|b MAJOR MINOR` for a device (or
  `w` for a whiteout), whose *stand-in* is an empty regular file; an owner may follow a device, after a blank;
- `user.pybuild.links` on the directory that holds it, for a symlink or fifo, which cannot have `user.*` attributes.
  An entry names inode and mtime as well: one that is left over from a copied-up directory or a replaced link says
  nothing.

Overlayfs' own marks are known here, too: a whiteout is a character device 0:0, an opaque directory has the attribute
`trusted.overlay.opaque`, or `user.overlay.opaque` where the mount was made in a user namespace
(Documentation/filesystems/overlayfs.rst § whiteouts and opaque directories).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from runtime.errors import StoreError

Kind = Literal["file", "directory", "symlink", "character", "block", "fifo", "socket", "whiteout"]

_KINDS: Mapping[int, Kind] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "character",
    stat.S_IFBLK: "block",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}
_RECORD = "user.pybuild.stat"
_LINKS = "user.pybuild.links"
_OPAQUE = ("trusted.overlay.opaque", "user.overlay.opaque", "user.pybuild.opaque")
_HIDDEN_PREFIXES = ("trusted.overlay.", "user.overlay.", "user.pybuild.")
_HOST_ONLY = frozenset({"security.selinux", "security.ima", "security.evm", "security.apparmor"})
"""Labels that belong to the host's policy or are keyed to its inodes."""

CAPABILITY = "security.capability"
_CAPABILITY_V2, _CAPABILITY_V3 = b"\x02", b"\x03"
_CAPABILITY_V2_SIZE = 20

_REFUSED = frozenset({errno.EPERM, errno.EINVAL, errno.EOVERFLOW})
"""What chown and mknod answer in a user namespace: not allowed, or the id is not in the map."""
_NOT_SETTABLE = frozenset({errno.EPERM, errno.ENOTSUP, errno.EINVAL, errno.EACCES})
_NO_XATTRS: Mapping[str, bytes] = {}


class Metadata(NamedTuple):
    """One file's metadata; a tuple and not a dataclass, because copy loops make one for each file (0.4 us).

    `mode`: permission bits, 0o7777 at most. `rdev`: as `os.makedev`, 0 for what is no device. `size`: bytes of a
    regular file, else 0. `mtime_ns`: nanoseconds since the epoch, negative before it. (`device`, `inode`) identify
    a file among hard links, of which the file system counts `nlink`. `link`: target of a symlink. `xattrs`: without
    overlayfs' own, ours and the host's labels; file capabilities are of version 2.
    """

    kind: Kind
    mode: int
    uid: int
    gid: int
    rdev: int = 0
    size: int = 0
    mtime_ns: int = 0
    nlink: int = 1
    inode: int = 0
    device: int = 0
    link: bytes = b""
    xattrs: Mapping[str, bytes] = _NO_XATTRS
    opaque: bool = False


def read_metadata(dir_fd: int, name: bytes) -> Metadata:
    """Read the metadata of `name` below `dir_fd`; a symlink as last component is not followed.

    Components before the last are followed as the kernel does: give one name, or a path that is known to have none
    but real directories. Raises OSError, FileNotFoundError among them.
    """
    status = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    path = b"/proc/self/fd/%d/%b" % (dir_fd, name)
    kind = stat.S_IFMT(status.st_mode)
    if kind in {stat.S_IFREG, stat.S_IFDIR}:
        return _described(status, path, _list_xattrs(path))
    if kind == stat.S_IFCHR and status.st_rdev == 0:
        return Metadata("whiteout", 0, 0, 0)
    described = _described(status, path, _list_xattrs(path))
    if kind in {stat.S_IFLNK, stat.S_IFIFO}:
        if kind == stat.S_IFLNK:
            described = described._replace(link=os.readlink(name, dir_fd=dir_fd))
        owner = _link_owner(path, described)
        if owner is not None:
            described = described._replace(uid=owner[0], gid=owner[1])
    return described


def read_open(fd: int) -> Metadata:
    """Read the metadata of an open regular file or directory."""
    return _described(os.fstat(fd), fd, _list_xattrs(fd))


def _described(status: os.stat_result, where: int | bytes, names: Iterable[str]) -> Metadata:
    kind = _KINDS[stat.S_IFMT(status.st_mode)]
    metadata = Metadata(
        kind,
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
        status.st_rdev,
        status.st_size if kind == "file" else 0,
        status.st_mtime_ns,
        status.st_nlink,
        status.st_ino,
        status.st_dev,
    )
    if not names:
        return metadata
    xattrs: dict[str, bytes] = {}
    record = None
    opaque = False
    for name in names:
        if name.startswith(_HIDDEN_PREFIXES):
            if name == _RECORD:
                record = _get_xattr(where, name)
            elif name in _OPAQUE and kind == "directory":
                opaque = opaque or _get_xattr(where, name) == b"y"
        elif name not in _HOST_ONLY:
            value = _get_xattr(where, name)
            if value is not None:
                xattrs[name] = normal_capability(value) if name == CAPABILITY else value
    if xattrs or opaque:
        metadata = metadata._replace(xattrs=xattrs, opaque=opaque)
    return _apply_record(metadata, record) if record else metadata


def normal_capability(value: bytes) -> bytes:
    """Give file capabilities in version 2, the one without the id of a user namespace's root (capabilities(7))."""
    if len(value) > _CAPABILITY_V2_SIZE and value[3:4] == _CAPABILITY_V3:
        return value[:3] + _CAPABILITY_V2 + value[4:_CAPABILITY_V2_SIZE]
    return value


def _apply_record(metadata: Metadata, record: bytes) -> Metadata:
    """Read a record; one on a file that is no longer an empty stand-in says nothing about its type."""
    words = record.split()
    try:
        while words:
            tag = words.pop(0)
            if tag == b"u":
                metadata = metadata._replace(uid=int(words.pop(0)), gid=int(words.pop(0)))
            elif tag == b"w":
                if metadata.kind == "file" and not metadata.size:
                    return Metadata("whiteout", 0, 0, 0)
            else:
                device = os.makedev(int(words.pop(0)), int(words.pop(0)))
                if metadata.kind == "file" and not metadata.size:
                    metadata = metadata._replace(kind="character" if tag == b"c" else "block", rdev=device)
    except (IndexError, ValueError, OverflowError):
        return metadata  # not written by us
    return metadata


def make_node(dir_fd: int, name: bytes, metadata: Metadata) -> None:
    """Make `name` as a directory, symlink, device, fifo, socket, whiteout or empty file, not yet with its metadata.

    A device that the kernel refuses becomes a stand-in with its record. `write_metadata` comes next, except for a
    whiteout. Raises FileExistsError where something is there.
    """
    kind = metadata.kind
    if kind == "directory":
        os.mkdir(name, 0o700, dir_fd=dir_fd)
    elif kind == "symlink":
        os.symlink(metadata.link, name, dir_fd=dir_fd)
    elif kind == "fifo":
        os.mkfifo(name, 0o600, dir_fd=dir_fd)
    elif kind == "file":
        os.close(os.open(name, _CREATE, 0o600, dir_fd=dir_fd))
    elif kind == "socket":
        os.mknod(name, stat.S_IFSOCK | 0o600, dir_fd=dir_fd)
    else:
        _make_device(dir_fd, name, kind, metadata.rdev)


_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def make_whiteout(dir_fd: int, name: bytes) -> None:
    """Make `name` a whiteout: it hides what lower layers have under this name."""
    _make_device(dir_fd, name, "whiteout", 0)


def _make_device(dir_fd: int, name: bytes, kind: Kind, rdev: int) -> None:
    whiteout = kind == "whiteout"
    type_bits = stat.S_IFBLK if kind == "block" else stat.S_IFCHR
    try:
        os.mknod(name, type_bits | (0 if whiteout else 0o600), 0 if whiteout else rdev, dir_fd=dir_fd)
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        record = b"w" if whiteout else b"%b %d %d" % (kind[:1].encode(), os.major(rdev), os.minor(rdev))
        fd = os.open(name, _CREATE, 0o600, dir_fd=dir_fd)
        try:
            _set_record(fd, record)
        finally:
            os.close(fd)


def is_whiteout(dir_fd: int, name: bytes, status: os.stat_result) -> bool:
    """Tell whether `name`, of which `status` was just read, is a whiteout or the stand-in of one."""
    if stat.S_ISCHR(status.st_mode):
        return status.st_rdev == 0
    return stat.S_ISREG(status.st_mode) and status.st_size == 0 and read_metadata(dir_fd, name).kind == "whiteout"


def set_opaque(dir_fd: int, name: bytes = b".") -> None:
    """Mark a directory as hiding what lower layers have in it, in the way that a mount by this process reads."""
    path = b"/proc/self/fd/%d/%b" % (dir_fd, name)
    for attribute in _OPAQUE:
        try:
            os.setxattr(path, attribute, b"y", follow_symlinks=False)
            return
        except OSError as error:
            if error.errno not in _NOT_SETTABLE or attribute == _OPAQUE[-1]:
                raise


def write_metadata(dir_fd: int, name: bytes, metadata: Metadata, *, times: bool = True) -> list[str]:
    """Give `name`, which exists with the right type, its owner, mode, attributes and (unless not `times`) mtime.

    `name` is one component, never followed. What the kernel refuses is recorded where it can be. Returns the
    attributes that could not be set, as an unpacking Docker leaves them out: `trusted.*` in a user namespace,
    `user.*` on a symlink, all where the file system has none.
    """
    kind = metadata.kind
    path = b"/proc/self/fd/%d/%b" % (dir_fd, name)
    owned = True
    try:
        os.chown(name, metadata.uid, metadata.gid, dir_fd=dir_fd, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        owned = False
    dropped = _set_xattrs(path, metadata.xattrs)
    linklike = kind in {"symlink", "fifo", "socket"}
    if not owned and not linklike:
        _record_owner(path, metadata.uid, metadata.gid)
    elif kind == "directory":
        _forget_owner(path)
    if kind != "symlink":
        os.chmod(path, metadata.mode)  # the last component is no symlink, and was made or checked by the caller
    if times:
        os.utime(name, ns=(metadata.mtime_ns, metadata.mtime_ns), dir_fd=dir_fd, follow_symlinks=False)
    if not owned and linklike:
        _record_link_owner(dir_fd, name, metadata)  # last, as the entry names the mtime
    return dropped


def write_open(fd: int, metadata: Metadata, *, times: bool = True) -> list[str]:
    """Do `write_metadata` for an open regular file or directory."""
    owned = True
    try:
        os.fchown(fd, metadata.uid, metadata.gid)
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        owned = False
    dropped = _set_xattrs(fd, metadata.xattrs) if metadata.xattrs else []
    if not owned:
        _record_owner(fd, metadata.uid, metadata.gid)
    os.fchmod(fd, metadata.mode)
    if times:
        os.utime(fd, ns=(metadata.mtime_ns, metadata.mtime_ns))
    return dropped


def may_carry(name: str) -> bool:
    """Tell whether an extended attribute may go from one tree, or a tar, to another tree."""
    return not name.startswith(_HIDDEN_PREFIXES) and name not in _HOST_ONLY


def _set_xattrs(where: int | bytes, xattrs: Mapping[str, bytes]) -> list[str]:
    dropped = []
    for name, value in xattrs.items():
        try:
            if isinstance(where, int):
                os.setxattr(where, name, value)
            else:
                os.setxattr(where, name, value, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NOT_SETTABLE:
                raise
            dropped.append(name)
    return dropped


def _list_xattrs(where: int | bytes) -> list[str]:
    try:
        return os.listxattr(where) if isinstance(where, int) else os.listxattr(where, follow_symlinks=False)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        return []


def _get_xattr(where: int | bytes, name: str) -> bytes | None:
    try:
        return os.getxattr(where, name) if isinstance(where, int) else os.getxattr(where, name, follow_symlinks=False)
    except OSError as error:
        if error.errno not in {errno.ENODATA, errno.ENOTSUP, errno.EPERM, errno.EACCES}:
            raise
        return None


def _record_owner(where: int | bytes, uid: int, gid: int) -> None:
    """Add the owner to the record of a file, directory or stand-in."""
    words = (_get_xattr(where, _RECORD) or b"").partition(b"u")[0].split()
    _set_record(where, b" ".join([*words, b"u %d %d" % (uid, gid)]))


def _set_record(where: int | bytes, record: bytes) -> None:
    try:
        if isinstance(where, int):
            os.setxattr(where, _RECORD, record)
        else:
            os.setxattr(where, _RECORD, record, follow_symlinks=False)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        raise StoreError(
            "owners and devices cannot be kept: the file system of the store has no user.* attributes",
            hint="choose a directory on ext4, xfs or btrfs with --root",
        ) from error


def _forget_owner(path: bytes) -> None:
    """Drop the record of a directory that had another owner before."""
    try:
        os.removexattr(path, _RECORD, follow_symlinks=False)
    except OSError as error:
        if error.errno not in {errno.ENODATA, *_NOT_SETTABLE}:
            raise


def _record_link_owner(dir_fd: int, name: bytes, metadata: Metadata) -> None:
    """Add the owner of a symlink, fifo or socket to its directory's record."""
    status = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    entries = [entry for entry in _link_entries(dir_fd) if entry[4] != name]
    entries.append((status.st_ino, status.st_mtime_ns, metadata.uid, metadata.gid, name))
    value = b"/".join(b"%d:%d:%d:%d:%b" % entry for entry in entries)
    try:
        os.setxattr(dir_fd, _LINKS, value)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.E2BIG, errno.ERANGE}:
            raise
        raise StoreError(
            f"owner {metadata.uid}:{metadata.gid} of {os.fsdecode(name)!r} cannot be recorded: "
            f"{len(entries)} links in one directory belong to ids outside the user namespace",
            hint="give the user a range of subordinate ids in /etc/subuid and /etc/subgid",
        ) from error


def _link_owner(path: bytes, metadata: Metadata) -> tuple[int, int] | None:
    directory, _, name = path.rpartition(b"/")
    for inode, mtime_ns, uid, gid, entry in _link_entries(directory):
        if entry == name and inode == metadata.inode and mtime_ns == metadata.mtime_ns:
            return uid, gid
    return None


def _link_entries(directory: int | bytes) -> list[tuple[int, int, int, int, bytes]]:
    try:
        value = os.getxattr(directory, _LINKS)
    except OSError as error:
        if error.errno not in {errno.ENODATA, errno.ENOTSUP, errno.EPERM, errno.EACCES}:
            raise
        return []
    entries = []
    for item in value.split(b"/"):
        fields = item.split(b":", 4)
        if len(fields) == 5:
            entries.append((int(fields[0]), int(fields[1]), int(fields[2]), int(fields[3]), fields[4]))
    return entries
