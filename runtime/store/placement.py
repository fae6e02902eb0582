"""Decide whether a directory can hold a store: on what file system it lies, and whose it is."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from runtime.errors import StoreError

NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "9p", "afs", "ceph", "coda", "lustre", "beegfs", "ocfs2", "gfs2"}
    | {"glusterfs", "pvfs2", "orangefs", "davfs", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph-fuse", "fuse.s3fs"}
    | {"fuse.rclone", "fuse.davfs2", "fuse.gcsfuse", "fuse.goofys", "fuse.juicefs", "fuse.smbnetfs", "fuse.curlftpfs"}
)
"""As /proc/self/mountinfo names them: locks, shared memory and renames there are not what SQLite and overlayfs need."""


def file_system_of(path: Path) -> str:
    """Name the type of the file system that `path`, which exists, lies on; "" where the kernel does not say."""
    real = os.path.realpath(path)
    best, kind = -1, ""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            lines = file.readlines()
    except OSError:
        return ""
    for line in lines:
        before, _, after = line.partition(" - ")
        point = _unescape(before.split(" ")[4])
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= best:  # of mounts over each other the later one counts
            best, kind = len(point), after.split(" ")[0]
    return kind


def refuse_network_file_system(root: Path) -> None:
    """Raise StoreError where `root` lies on a file system of other machines."""
    kind = file_system_of(root)
    if kind in NETWORK_FILE_SYSTEMS:
        raise StoreError(
            f"{root} lies on a network file system ({kind}), which cannot hold a store",
            hint="choose a directory on a local disk with --root or PYBUILD_ROOT",
        )


def ensure_root(root: Path) -> None:
    """Make the root directory with mode 0700; refuses one of another user, a link to nowhere, or a file."""
    try:
        os.makedirs(root.parent, exist_ok=True)
        os.mkdir(root, 0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise StoreError(
            f"{root} cannot be made: {error.strerror}", hint="choose another directory with --root"
        ) from error
    try:
        status = os.stat(root)
        if not os.path.isdir(root):
            raise StoreError(f"{root} is no directory", hint="choose another one with --root")
        if status.st_uid != os.geteuid():
            raise StoreError(
                f"{root} belongs to uid {status.st_uid}, and this is uid {os.geteuid()}",
                hint="run as its owner, or choose another directory with --root",
            )
        if status.st_mode & 0o077:
            os.chmod(root, 0o700)
    except OSError as error:
        raise StoreError(f"{root} cannot be used: {error.strerror}", hint="choose another one with --root") from error


def identity() -> str:
    """Describe the ids of this process as the files of a store depend on them: effective uid and both id maps."""
    maps = []
    for name in ("uid_map", "gid_map"):
        try:
            with open(f"/proc/self/{name}", encoding="ascii") as file:
                maps.append(",".join(":".join(line.split()) for line in file))
        except OSError:
            maps.append("?")
    return f"{os.geteuid()} {maps[0]} {maps[1]}"


_FULL = frozenset((errno.ENOSPC, errno.EDQUOT))


def is_full(error: BaseException | None) -> bool:
    """Tell whether an error comes from a disk without room, be it SQLite's, which has no number."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        if isinstance(error, StoreError) and os.strerror(errno.ENOSPC) in error.message:
            return True
        error = error.__cause__
    return False


def disk_error(root: Path, doing: str, error: OSError) -> StoreError:
    """Put an error of the disk into a sentence: what was being done (`writing a blob`) in which store."""
    full = error.errno in _FULL
    return StoreError(
        f"{doing} failed in {root}: {error.strerror or error}",
        hint="`pybuild system df` shows what takes the space, `pybuild system prune` frees what is unused"
        if full
        else None,
    )


def sync_file_system(path: Path) -> None:
    """Call syncfs(2), which Python does not have: one call for all files, where fsync would be one for each."""
    import ctypes  # lazy: 3 ms

    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if libc.syncfs(ctypes.c_int(fd)) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), os.fspath(path))
    finally:
        os.close(fd)


def _unescape(text: str) -> str:
    """Undo mountinfo's octal escapes of blanks, tabs, newlines and backslashes."""
    if "\\" not in text:
        return text
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
