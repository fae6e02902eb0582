"""Fill /dev of a container: the standard nodes, links, and its terminal.

Device nodes are made where that is allowed, and bound from the host in a user namespace, where it is not. OCI
runtime-spec, config-linux.md § Default Devices.
"""

from __future__ import annotations

import os
from errno import EEXIST, EPERM
from fcntl import ioctl
from stat import S_IFBLK, S_IFCHR, S_IFIFO
from struct import pack, unpack

from runtime.sandbox import syscalls as sys
from runtime.sandbox.failure import from_error, refused
from runtime.sandbox.mounts import Options, Prepared, clone, find, place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# name, major, minor: character devices of mode 0666 (Linux, devices.txt)
STANDARD = (
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
)
_LINKS = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
)
_TYPES = {"c": S_IFCHR, "u": S_IFCHR, "b": S_IFBLK, "p": S_IFIFO}
TIOCSPTLCK = 0x40045431
TIOCGPTN = 0x80045430
TIOCGPTPEER = 0x5441
TIOCSWINSZ = 0x5414
TIOCSCTTY = 0x540E


def from_host(*, extra: list[dict[str, Any]], only_bound: bool) -> list[Prepared]:
    """Take detached binds of the host's device nodes, for a /dev where none can be made.

    `extra` are the entries of linux.devices, with "hostPath" where that is another than "path"; with `only_bound` False
    nothing is taken, because mknod will do.
    """
    if not only_bound:
        return []
    prepared = []
    places = [(f"/dev/{name}", f"/dev/{name}") for name, _, _ in STANDARD]
    places += [(device.get("hostPath") or device["path"], device["path"]) for device in extra]
    for source, path in places:
        try:
            fd = clone(source, recursive=False)
        except OSError as error:
            raise from_error("devices", error, f"device {source} of the host") from None
        prepared.append(Prepared(fd, path, Options(["nosuid", "noexec"]), is_directory=False))
    return prepared


def populate(root_fd: int, bound: list[Prepared], extra: list[dict[str, Any]]) -> None:
    """Make nodes (or place `bound` ones) and links below /dev, which has to be a fresh file system."""
    dev = find(root_fd, "/dev", os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name, target in _LINKS:
            _link(target, name, dev)
        if bound:
            for prepared in bound:
                os.close(place(root_fd, prepared, []))
            return
        for name, major, minor in STANDARD:
            _node(dev, name, S_IFCHR | 0o666, os.makedev(major, minor))
        for device in extra:
            _extra_node(root_fd, device)
    finally:
        os.close(dev)


def _link(target: str, name: str, dev: int) -> None:
    try:
        os.symlink(target, name, dir_fd=dev)
    except OSError as error:
        if error.errno != EEXIST:
            raise


def _node(directory: int, name: str, mode: int, device: int) -> None:
    try:
        os.mknod(name, mode, device, dir_fd=directory)
    except OSError as error:
        if error.errno == EEXIST:  # one of the standard ones, asked for once more
            return
        if error.errno == EPERM:
            raise refused("devices", f"device {name}: making device nodes is not permitted", errno=EPERM) from None
        raise


def _extra_node(root_fd: int, device: dict[str, Any]) -> None:
    """Make one device of linux.devices, with its parent directories, mode (default 0666) and owner."""
    path = device["path"]
    head, _, name = path.rpartition("/")
    walked = ""
    for part in head.split("/"):
        if part:
            parent = find(root_fd, walked or "/", os.O_PATH | os.O_DIRECTORY)
            try:
                os.mkdir(part, 0o755, dir_fd=parent)
            except FileExistsError:
                pass
            finally:
                os.close(parent)
            walked += "/" + part
    kind = _TYPES.get(device.get("type", ""))
    if kind is None:
        raise refused("devices", f"device {path}: unknown type {device.get('type')!r}", path=path)
    parent = find(root_fd, head or "/", os.O_RDONLY | os.O_DIRECTORY)
    try:
        number = os.makedev(device.get("major", 0), device.get("minor", 0))
        _node(parent, name, kind | device.get("fileMode", 0o666), number)
        os.chown(name, device.get("uid", 0), device.get("gid", 0), dir_fd=parent, follow_symlinks=False)
    finally:
        os.close(parent)


def open_terminal(root_fd: int, owner: int, window: list[int] | None, *, console: bool = True) -> tuple[int, int]:
    """Open a pseudo-terminal of the container's own devpts; master and slave are returned.

    With `console` it is bound to /dev/console.
    """
    try:
        master = find(root_fd, "/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY)
        ioctl(master, TIOCSPTLCK, pack("i", 0))
        slave = ioctl(master, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        (number,) = unpack("I", ioctl(master, TIOCGPTN, bytes(4)))
        os.fchown(slave, owner, -1)
        if window:
            ioctl(master, TIOCSWINSZ, pack("4H", window[0], window[1], 0, 0))
        if not console:
            return master, slave
        source = find(root_fd, f"/dev/pts/{number}")
        try:
            fd = sys.open_tree(source, b"", sys.OPEN_TREE_CLONE | sys.AT_EMPTY_PATH)
        finally:
            os.close(source)
    except OSError as error:
        raise from_error("terminal", error, "terminal of the container") from None
    os.close(place(root_fd, Prepared(fd, "/dev/console", Options([]), is_directory=False), []))
    return master, slave
