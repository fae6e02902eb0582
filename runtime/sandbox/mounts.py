"""Make what is to be mounted while the host is in sight, and put it in its place once only the container is.

Every mount is first a detached one: a descriptor that belongs to no place (`prepare`). After pivot_root it is moved on
its destination, which is resolved below the new root without following a link out of it (`place`). Nothing of the host
is reachable by name at that point. OCI runtime-spec, config.md § Mounts; needs Linux 5.12.
"""

from __future__ import annotations

import os
from errno import EEXIST, EINVAL, ELOOP, ENOENT, ENOTDIR, EPERM
from stat import S_ISDIR, S_ISLNK

from runtime.sandbox import syscalls as sys
from runtime.sandbox.failure import LaunchFailure, from_error, refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

# name -> (attributes to set, attributes to clear)
_ATTRIBUTES = {
    "ro": (sys.MOUNT_ATTR_RDONLY, 0),
    "rw": (0, sys.MOUNT_ATTR_RDONLY),
    "nosuid": (sys.MOUNT_ATTR_NOSUID, 0),
    "suid": (0, sys.MOUNT_ATTR_NOSUID),
    "nodev": (sys.MOUNT_ATTR_NODEV, 0),
    "dev": (0, sys.MOUNT_ATTR_NODEV),
    "noexec": (sys.MOUNT_ATTR_NOEXEC, 0),
    "exec": (0, sys.MOUNT_ATTR_NOEXEC),
    "nodiratime": (sys.MOUNT_ATTR_NODIRATIME, 0),
    "diratime": (0, sys.MOUNT_ATTR_NODIRATIME),
    "nosymfollow": (sys.MOUNT_ATTR_NOSYMFOLLOW, 0),
    "symfollow": (0, sys.MOUNT_ATTR_NOSYMFOLLOW),
    "noatime": (sys.MOUNT_ATTR_NOATIME, sys.MOUNT_ATTR_ATIME),
    "relatime": (sys.MOUNT_ATTR_RELATIME, sys.MOUNT_ATTR_ATIME),
    "strictatime": (sys.MOUNT_ATTR_STRICTATIME, sys.MOUNT_ATTR_ATIME),
}
_PROPAGATION = {
    "private": sys.MS_PRIVATE,
    "slave": sys.MS_SLAVE,
    "shared": sys.MS_SHARED,
    "unbindable": sys.MS_UNBINDABLE,
}
_WITHOUT_MEANING = frozenset({"defaults", "bind", "rbind", "async", "atime", "norelatime", "nostrictatime", "silent"})
_TWO_KINDS = "Are you trying to mount a directory onto a file (or vice-versa)?"
_LINKS = 40  # as the kernel: more symbolic links than this in one path is ELOOP


class Options:
    """The options of one mount, sorted into what they act on.

    `attr_set`, `attr_clear` and `propagation` are for the mount, `recursive` ones for it and all below it; `data` is
    for the file system (pairs of key and value, None for a flag).
    """

    def __init__(self, words: Iterable[str]) -> None:
        self.attr_set = self.attr_clear = 0
        self.recursive_set = self.recursive_clear = 0
        self.propagation = 0
        self.propagation_recursive = False
        self.bind = self.rbind = False
        self.data: list[tuple[str, str | None]] = []
        for word in words:
            self._add(word)

    def _add(self, word: str) -> None:
        self.bind = self.bind or word in ("bind", "rbind")
        self.rbind = self.rbind or word == "rbind"
        if word in _WITHOUT_MEANING:
            return
        if word in _ATTRIBUTES:
            add, remove = _ATTRIBUTES[word]
            self.attr_set = self.attr_set & ~(remove | add) | add
            self.attr_clear = self.attr_clear & ~add | remove
        elif word[:1] == "r" and word[1:] in _ATTRIBUTES:
            add, remove = _ATTRIBUTES[word[1:]]
            self.recursive_set |= add
            self.recursive_clear |= remove
        elif word in _PROPAGATION or (word[:1] == "r" and word[1:] in _PROPAGATION):
            self.propagation_recursive = word not in _PROPAGATION
            self.propagation = _PROPAGATION[word[1:] if self.propagation_recursive else word]
        else:
            key, equals, value = word.partition("=")
            self.data.append((key, value if equals else None))


class Prepared:
    """A detached mount and where it goes.

    `is_directory` says what its mount point has to be; `sealed`, that it becomes read-only once all mounts are placed;
    `fstype` names the file system if it is a new one, and `read_only` says that it is so already.
    """

    def __init__(self, fd: int, destination: str, options: Options, is_directory: bool = True) -> None:
        self.fd = fd
        self.destination = destination
        self.options = options
        self.is_directory = is_directory
        self.sealed = False
        self.fstype = ""
        self.read_only = False


def new_filesystem(fstype: str, source: str, data: Iterable[tuple[str, str | None]], attributes: int = 0) -> int:
    """Mount a file system on nothing and return its descriptor. Raises OSError with what the kernel says of it."""
    context = sys.fsopen(fstype.encode())
    try:
        if source:
            sys.fsconfig(context, sys.FSCONFIG_SET_STRING, b"source", os.fsencode(source))
        for key, value in data:
            if value is None:
                sys.fsconfig(context, sys.FSCONFIG_SET_FLAG, os.fsencode(key))
            else:
                sys.fsconfig(context, sys.FSCONFIG_SET_STRING, os.fsencode(key), os.fsencode(value))
        sys.fsconfig(context, sys.FSCONFIG_CMD_CREATE)
        return sys.fsmount(context, attributes)
    except OSError as error:
        detail = _complaint(context)
        raise OSError(error.errno, f"{error.strerror}{': ' + detail if detail else ''}", fstype) from None
    finally:
        os.close(context)


def _complaint(context: int) -> str:
    """Read the newest line that the file system left in its context, without its level ("e ")."""
    try:
        return os.fsdecode(os.read(context, 4096)).strip()[2:]
    except OSError:
        return ""


def clone(source: str, *, recursive: bool) -> int:
    """Copy the mount that host path `source` lies on (from there on) as a detached one.

    A tree with locked mounts below it can in a user namespace only be copied with them: then it is.
    """
    flags = sys.OPEN_TREE_CLONE | (sys.AT_RECURSIVE if recursive else 0)
    try:
        return sys.open_tree(sys.AT_FDCWD, os.fsencode(source), flags)
    except OSError as error:
        if error.errno != EINVAL or recursive:
            raise
        return sys.open_tree(sys.AT_FDCWD, os.fsencode(source), flags | sys.AT_RECURSIVE)


def prepare(mount: dict[str, Any]) -> Prepared:
    """Make the detached mount of one entry of spec.mounts of a kind that needs no knowledge of the container."""
    options = Options(mount.get("options") or ())
    destination, source, kind = mount["destination"], mount.get("source") or "", mount.get("type") or ""
    if options.bind or kind in ("bind", "rbind"):
        if options.data:
            raise refused("mounts", f"mount of {destination}: unknown option {options.data[0][0]!r}", path=destination)
        try:
            fd = clone(source, recursive=options.rbind or kind == "rbind")
        except OSError as error:
            raise from_error("mounts", error, f"bind source {source}") from None
        return Prepared(fd, destination, options, S_ISDIR(os.fstat(fd).st_mode))
    try:
        fd = new_filesystem(kind, source, options.data, options.attr_set)
    except OSError as error:
        text = f"mount of {kind} on {destination}: {error.strerror}"
        if kind == "proc" and error.errno == EPERM:
            text += " (a container around this one hides parts of its /proc: --security-opt systempaths=unconfined)"
        raise LaunchFailure("mounts", error.errno or 0, destination, 125, text) from None
    prepared = Prepared(fd, destination, options)
    prepared.read_only = bool(options.attr_set & sys.MOUNT_ATTR_RDONLY)
    options.attr_set = options.attr_clear = 0  # fsmount has done these
    prepared.fstype = kind
    return prepared


def place(root_fd: int, prepared: Prepared, created: list[str]) -> int:
    """Attach a detached mount below `root_fd`; the descriptor stays open and is returned, now the root of that mount.

    Mount points that are missing are made and their absolute paths appended to `created`.
    """
    options = prepared.options
    before = len(created)
    target = mount_point(root_fd, prepared.destination, is_directory=prepared.is_directory, created=created)
    try:
        if prepared.fstype == "tmpfs" and len(created) == before:
            _take_mode(prepared, os.fstat(target).st_mode)
        if S_ISDIR(os.fstat(target).st_mode) != prepared.is_directory:
            kinds = ("a directory", "a file") if prepared.is_directory else ("a file", "a directory")
            text = f"mount on {prepared.destination}: the source is {kinds[0]} and the destination {kinds[1]}"
            raise refused("mounts", f"{text} ({_TWO_KINDS})", path=prepared.destination, errno=ENOTDIR)
        if options.attr_set or options.attr_clear:
            sys.mount_setattr(prepared.fd, attr_set=options.attr_set, attr_clear=options.attr_clear)
        if options.recursive_set or options.recursive_clear:
            sys.mount_setattr(
                prepared.fd, attr_set=options.recursive_set, attr_clear=options.recursive_clear, recursive=True
            )
        sys.move_mount(prepared.fd, target)
        propagation = options.propagation or sys.MS_PRIVATE
        recursive = options.propagation_recursive or not options.propagation
        sys.mount_setattr(prepared.fd, propagation=propagation, recursive=recursive)
    except OSError as error:
        raise from_error("mounts", error, f"mount on {prepared.destination}") from None
    finally:
        os.close(target)
    return prepared.fd


def _take_mode(prepared: Prepared, mode: int) -> None:
    """Give a new tmpfs whose mode nobody has named that of the directory it covers, as runc does."""
    if any(key == "mode" for key, _ in prepared.options.data):
        return
    read_only = prepared.read_only
    if read_only:
        sys.mount_setattr(prepared.fd, attr_clear=sys.MOUNT_ATTR_RDONLY)
    fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=prepared.fd)
    os.fchmod(fd, mode & 0o7777)
    os.close(fd)
    if read_only:
        sys.mount_setattr(prepared.fd, attr_set=sys.MOUNT_ATTR_RDONLY)


def find(root_fd: int, path: str, flags: int = os.O_PATH) -> int:
    """Open absolute path `path` of the container; links are followed inside of it, magic ones not at all."""
    resolve = sys.RESOLVE_IN_ROOT | sys.RESOLVE_NO_MAGICLINKS
    return sys.openat2(root_fd, os.fsencode(path) or b"/", flags, resolve=resolve)


def mount_point(root_fd: int, destination: str, *, is_directory: bool, created: list[str]) -> int:
    """Open `destination` (O_PATH), made as a directory or an empty file with its parents if it is not there."""
    try:
        return find(root_fd, destination)
    except OSError as error:
        if error.errno != ENOENT:
            raise from_error("mounts", error, f"mount point {destination}") from None
    try:
        return _make(root_fd, destination, is_directory, created)
    except OSError as error:
        raise from_error("mounts", error, f"making mount point {destination}") from None


def _make(root_fd: int, destination: str, is_directory: bool, created: list[str]) -> int:
    """Walk `destination` from the root, making what is missing; a dangling link is followed to where it points."""
    todo = [part for part in destination.split("/") if part not in ("", ".")]
    done: list[str] = []
    links = 0
    while todo:
        name = todo.pop(0)
        if name == "..":
            done = done[:-1]
            continue
        parent = find(root_fd, "/" + "/".join(done), os.O_PATH | os.O_DIRECTORY)
        try:
            mode = _make_one(parent, name, is_directory or bool(todo))
            if mode is None:
                created.append("/" + "/".join([*done, name]))
            elif S_ISLNK(mode):
                links += 1
                if links > _LINKS:
                    raise OSError(ELOOP, os.strerror(ELOOP), destination)
                target = os.readlink(name, dir_fd=parent)
                done = [] if target.startswith("/") else done
                todo = [part for part in target.split("/") if part not in ("", ".")] + todo
                continue
        finally:
            os.close(parent)
        done.append(name)
    return find(root_fd, "/" + "/".join(done))


def _make_one(parent: int, name: str, is_directory: bool) -> int | None:
    """Make one directory or empty file; None if it was made, else the mode of what is there."""
    try:
        if is_directory:
            os.mkdir(name, 0o755, dir_fd=parent)
        else:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644, dir_fd=parent))
    except OSError as error:
        if error.errno != EEXIST:
            raise
        return os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    return None
