"""Make a root filesystem of layers, as one detached mount, and change into it.

Layers are mounted by overlayfs with the new mount API, one `lowerdir+` a layer; where the kernel does not know that
(before 6.7), by mount(2) with short names through /proc/self/fd, because its options end after one page.
What overlayfs would write beyond plain whiteouts and opaque marks is off: a layer must not depend on the machine.
"""

from __future__ import annotations

import os
from errno import EINVAL, EPERM

from runtime.sandbox import syscalls as sys
from runtime.sandbox.failure import from_error, refused
from runtime.sandbox.mounts import clone, find, new_filesystem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# "off" would still follow redirections that a layer has, and that userxattr refuses
_OFF = (("redirect_dir", "nofollow"), ("metacopy", "off"), ("index", "off"), ("nfs_export", "off"))
_PAGE = 4095


def in_user_namespace() -> bool:
    """Whether this process is in another user namespace than the machine's first, whose map covers all ids."""
    try:
        with open("/proc/self/uid_map", "rb") as file:
            return file.read().split() != [b"0", b"0", b"4294967295"]
    except OSError:
        return False


def detached(rootfs: dict[str, Any], *, userxattr: bool) -> int:
    """Mount what `rootfs` says on nothing, and return the descriptor of its root directory.

    `rootfs` is {"path"} or {"lowerdirs", "upperdir", "workdir", "volatile"}, see launcher. One layer without an upper
    directory is bound read-only, because overlayfs wants two. Raises LaunchFailure.
    """
    path = rootfs.get("path")
    try:
        if path is not None:
            return clone(path, recursive=True)
        lowerdirs = rootfs["lowerdirs"]
        if not rootfs.get("upperdir"):
            if len(lowerdirs) == 1:
                fd = clone(lowerdirs[0], recursive=False)
                sys.mount_setattr(fd, attr_set=sys.MOUNT_ATTR_RDONLY)
                return fd
        elif not lowerdirs:
            # an overlay needs a layer below; the first layer of an image has none, so it is written in place
            return clone(rootfs["upperdir"], recursive=False)
        return _overlay(rootfs, userxattr)
    except OSError as error:
        hint = ""
        if error.errno == EINVAL and "upperdir" in str(error):
            hint = " (overlayfs cannot write there: put --root on another file system)"
        elif error.errno == EPERM:
            hint = " (this machine does not let an unprivileged user namespace mount overlayfs: Linux 5.11 is needed)"
        raise refused("rootfs", f"root filesystem: {error.strerror}{hint}", errno=error.errno or 0) from None


def _overlay(rootfs: dict[str, Any], userxattr: bool) -> int:
    """Mount an overlay; its directories are named /proc/self/fd/N, so that no path of the host shows in mountinfo."""
    fds: list[int] = []

    def short(path: str) -> str:
        fds.append(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
        return f"/proc/self/fd/{fds[-1]}"

    try:
        lowerdirs = [short(path) for path in rootfs["lowerdirs"]]
        tail: list[tuple[str, str | None]] = []
        if rootfs.get("upperdir"):
            tail += [("upperdir", short(rootfs["upperdir"])), ("workdir", short(rootfs["workdir"]))]
            if rootfs.get("volatile"):
                tail.append(("volatile", None))
        if userxattr:
            tail.append(("userxattr", None))
        tail += _OFF
        try:
            return new_filesystem("overlay", "overlay", [("lowerdir+", path) for path in lowerdirs] + tail)
        except OSError as error:
            if error.errno != EINVAL or "lowerdir+" not in str(error):
                raise
        return overlay_by_mount(lowerdirs, tail, os.fsencode(rootfs["lowerdirs"][-1]))
    finally:
        for fd in fds:
            os.close(fd)


def overlay_by_mount(lowerdirs: list[str], tail: list[tuple[str, str | None]], where: bytes) -> int:
    """Mount over `where`, seen in this mount namespace alone, and take a detached copy of that. Raises OSError."""
    words = ["lowerdir=" + ":".join(lowerdirs)]
    words += [key if value is None else f"{key}={value}" for key, value in tail]
    options = ",".join(words).encode()
    if len(options) > _PAGE:
        raise OSError(EINVAL, f"{len(lowerdirs)} layers are too many for this kernel (Linux 6.7 takes 500)")
    sys.mount(b"overlay", where, b"overlay", 0, options)
    fd = sys.open_tree(sys.AT_FDCWD, where, sys.OPEN_TREE_CLONE)
    sys.umount2(where, sys.MNT_DETACH)
    return fd


def subtree(root_fd: int, path: str) -> int:
    """Take a detached copy of the mount `root_fd`, from `path` (resolved inside it) on. Raises OSError."""
    here = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # a detached mount can be copied from Linux 6.15 on: give it a place, which is let go with the old root
        sys.move_mount(root_fd, here)
        inside = find(root_fd, path)
        try:
            return sys.open_tree(inside, b"", sys.OPEN_TREE_CLONE | sys.AT_EMPTY_PATH)
        finally:
            os.close(inside)
    finally:
        os.close(here)


def enter(root_fd: int) -> None:
    """Make the detached mount `root_fd` the root of this process, and let go of everything that was mounted before."""
    try:
        here = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sys.move_mount(root_fd, here)
        finally:
            os.close(here)
        os.fchdir(root_fd)
        sys.pivot_root(b".", b".")
        sys.umount2(b".", sys.MNT_DETACH)
        os.chdir("/")
    except OSError as error:
        raise from_error("rootfs", error, "entering the root filesystem") from None
