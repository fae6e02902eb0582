"""Read and set what a tree on disk says about a file: type, mode, owner, device number, extended attributes.

Nothing else looks at these, because the disk does not always hold the truth. What the kernel refused to set (a device
node in a user namespace, an owner outside its id map) is kept by `layers.records`, and reading gives what is recorded.

Overlayfs' own marks are known here, too: a whiteout is a character device 0:0, an opaque directory has the attribute
`trusted.overlay.opaque`, or `user.overlay.opaque` where the mount was made in a user namespace
(Documentation/filesystems/overlayfs.rst § whiteouts and opaque directories).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Mapping

from frozen import NamedTuple
from runtime.store.layers import records
from runtime.store.layers.records import StandIn, get_xattr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    Kind = Literal["file", "directory", "symlink", "character", "block", "fifo", "socket", "whiteout"]
else:
    Kind = str

_KINDS: Mapping[int, Kind] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "character",
    stat.S_IFBLK: "block",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}
_KERNEL_OPAQUE, _USER_OPAQUE, _OWN_OPAQUE = "trusted.overlay.opaque", "user.overlay.opaque", "user.pybuild.opaque"
"""Overlayfs' mark of an opaque directory, the same for a mount in a user namespace, and ours where neither can be set,
as on overlayfs itself: such a store is never mounted."""
_HIDDEN_PREFIXES = ("trusted.overlay.", "user.overlay.", "user.pybuild.")
_HOST_ONLY = frozenset({"security.selinux", "security.ima", "security.evm", "security.apparmor"})
"""Labels that belong to the host's policy or are keyed to its inodes."""

CAPABILITY = "security.capability"
_CAPABILITY_V2, _CAPABILITY_V3 = b"\x02", b"\x03"
_CAPABILITY_V2_SIZE = 20

_REFUSED = frozenset({errno.EPERM, errno.EINVAL, errno.EOVERFLOW})
"""What chown and mknod answer in a user namespace: not allowed, or the id is not in the map."""
_NOT_SETTABLE = frozenset({errno.EPERM, errno.ENOTSUP, errno.EINVAL, errno.EACCES})
_LETTERS: Mapping[Kind, bytes] = {"character": b"c", "block": b"b", "whiteout": b"w"}
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
    if kind in {stat.S_IFLNK, stat.S_IFIFO, stat.S_IFSOCK}:
        uid, gid = records.read_link_owner(path, status)
        link = os.readlink(name, dir_fd=dir_fd) if kind == stat.S_IFLNK else b""
        described = described._replace(uid=uid, gid=gid, link=link)
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
            if name == records.RECORD:
                record = get_xattr(where, name)
            elif kind == "directory" and name.endswith(".opaque"):
                opaque = opaque or _is_opaque(where, name)
        elif name not in _HOST_ONLY:
            value = get_xattr(where, name)
            if value is not None:
                xattrs[name] = normal_capability(value) if name == CAPABILITY else value
    if xattrs or opaque:
        metadata = metadata._replace(xattrs=xattrs, opaque=opaque)
    return _recorded(metadata, status, record) if record else metadata


def normal_capability(value: bytes) -> bytes:
    """Give file capabilities in version 2, the one without the id of a user namespace's root (capabilities(7))."""
    if len(value) > _CAPABILITY_V2_SIZE and value[3:4] == _CAPABILITY_V3:
        return value[:3] + _CAPABILITY_V2 + value[4:_CAPABILITY_V2_SIZE]
    return value


def _is_opaque(where: int | bytes, name: str) -> bool:
    if name == _USER_OPAQUE and not records.in_user_namespace():
        return False  # a mount by root does not look at it, and everyone may set it
    return get_xattr(where, name) == b"y"


def _recorded(metadata: Metadata, status: os.stat_result, record: bytes) -> Metadata:
    if metadata.kind == "file":
        what = records.read_stand_in(record, status)
        if what is not None:
            if what.kind == b"w":
                return Metadata("whiteout", 0, 0, 0)
            kind: Kind = "character" if what.kind == b"c" else "block"
            return metadata._replace(kind=kind, mode=what.mode, uid=what.uid, gid=what.gid, rdev=what.rdev)
    uid, gid = records.read_owner(record, metadata.uid, metadata.gid)
    return metadata._replace(uid=uid, gid=gid)


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
        fd = os.open(name, _CREATE, records.STAND_IN_MODE, dir_fd=dir_fd)
        try:
            os.fchmod(fd, records.STAND_IN_MODE)
            records.write_stand_in(fd, StandIn(_LETTERS[kind], rdev))
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
    try:
        os.setxattr(path, _USER_OPAQUE if records.in_user_namespace() else _KERNEL_OPAQUE, b"y", follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NOT_SETTABLE:
            raise
        os.setxattr(path, _OWN_OPAQUE, b"y", follow_symlinks=False)


def write_metadata(dir_fd: int, name: bytes, metadata: Metadata, *, times: bool = True) -> list[str]:
    """Give `name`, which exists with the right type, its owner, mode, attributes and (unless not `times`) mtime.

    `name` is one component, never followed. What the kernel refuses is recorded where it can be. Returns the
    attributes that could not be set, as an unpacking Docker leaves them out: `trusted.*` in a user namespace,
    `user.*` on a symlink, all where the file system has none.
    """
    kind = metadata.kind
    path = b"/proc/self/fd/%d/%b" % (dir_fd, name)
    if kind in _LETTERS and stat.S_ISREG(os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_mode):
        what = StandIn(_LETTERS[kind], metadata.rdev, metadata.mode, metadata.uid, metadata.gid)
        records.write_stand_in(path, what)
        os.utime(name, ns=(metadata.mtime_ns, metadata.mtime_ns), dir_fd=dir_fd, follow_symlinks=False)
        return list(metadata.xattrs)

    def set_owner(uid: int, gid: int) -> None:
        os.chown(name, uid, gid, dir_fd=dir_fd, follow_symlinks=False)

    owned = _give(set_owner, metadata)
    dropped = _set_xattrs(path, metadata.xattrs)
    linklike = kind in {"symlink", "fifo", "socket"}
    if not owned and not linklike:
        records.write_owner(path, metadata.uid, metadata.gid)
    elif kind == "directory":
        records.forget_owner(path)
    if kind != "symlink":
        os.chmod(path, metadata.mode)  # the last component is no symlink, and was made or checked by the caller
    if times:
        os.utime(name, ns=(metadata.mtime_ns, metadata.mtime_ns), dir_fd=dir_fd, follow_symlinks=False)
    if not owned and linklike:
        records.write_link_owner(dir_fd, name, metadata.uid, metadata.gid)  # last, as the entry names the mtime
    return dropped


def write_open(fd: int, metadata: Metadata, *, times: bool = True) -> list[str]:
    """Do `write_metadata` for an open regular file or directory."""
    owned = True
    try:
        os.fchown(fd, metadata.uid, metadata.gid)
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        owned = _give(lambda uid, gid: os.fchown(fd, uid, gid), metadata)
    dropped = _set_xattrs(fd, metadata.xattrs) if metadata.xattrs else []
    if not owned:
        records.write_owner(fd, metadata.uid, metadata.gid)
    os.fchmod(fd, metadata.mode)
    if times:
        os.utime(fd, ns=(metadata.mtime_ns, metadata.mtime_ns))
    return dropped


def _give(set_owner: Callable[[int, int], None], metadata: Metadata) -> bool:
    """Set the owner, or as much of it as the kernel lets us; tells whether it was all."""
    try:
        set_owner(metadata.uid, metadata.gid)
        return True
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
    for uid, gid in ((metadata.uid, -1), (-1, metadata.gid)):
        try:
            set_owner(uid, gid)
        except OSError as error:
            if error.errno not in _REFUSED:
                raise
    return False


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
