"""Make the calling process uid 0 of a user namespace of its own, with all the ids that the machine grants it.

Subordinate ids (/etc/subuid, subuid(5)) are mapped by the setuid helpers newuidmap and newgidmap, which a child runs
that has stayed outside. Where there are none, one id is mapped, which every user may do alone.
"""

from __future__ import annotations

import os
from errno import EINVAL, ENOSPC, EPERM

from frozen import Frozen
from runtime.errors import SandboxError
from runtime.sandbox import syscalls
from runtime.sandbox.privileges import CAPABILITIES, permitted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from runtime.context import Context

Extent = tuple[int, int, int]
"""Ids of a namespace: (first inside, first outside, count)."""


class IdMap(Frozen):
    """How ids inside the namespace map to ids outside, for users and for groups.

    `single` is True where there is one id of each only: ownership changes then fail with EINVAL. `str()` is the
    canonical text that a store records, as `u0:2000:1,1:100000:65536 g0:2000:1,1:100000:65536`.
    """

    uids: tuple[Extent, ...]
    gids: tuple[Extent, ...]

    @property
    def single(self) -> bool:
        return sum(count for _, _, count in self.uids) == 1

    def __str__(self) -> str:
        def text(extents: tuple[Extent, ...]) -> str:
            return ",".join(f"{inside}:{outside}:{count}" for inside, outside, count in extents)

        return f"u{text(self.uids)} g{text(self.gids)}"


def current() -> IdMap:
    """Describe the map in force for this process."""
    return IdMap(uids=_extents("uid"), gids=_extents("gid"))


def _extents(kind: str) -> tuple[Extent, ...]:
    with open(f"/proc/self/{kind}_map", encoding="ascii") as file:
        rows = [line.split() for line in file]
    return tuple((int(inside), int(outside), int(count)) for inside, outside, count in rows)


def enter(context: Context) -> IdMap:
    """Enter a user and a mount namespace, become uid 0 and gid 0 there; mounts follow the machine's, never the reverse.

    The process must have one thread. Does nothing, and describes the map in force, where the process is privileged
    already (real root, or root of a user namespace with CAP_SYS_ADMIN). Uses the ranges of /etc/subuid and /etc/subgid
    through newuidmap and newgidmap found in `context.environ["PATH"]`; without a range one id is mapped, and setgroups
    is denied. Raises SandboxError with a hint that names the package, command or kernel setting that is missing.
    """
    if is_privileged():
        return current()
    held = permitted()
    uid, gid = os.geteuid(), os.getegid()
    wanted = _wanted_maps(uid, gid, held)
    helpers = _helpers(context) if wanted else ()
    go_reader, go_writer = os.pipe2(os.O_CLOEXEC)
    mapper = os.fork() if wanted else 0
    if wanted and mapper == 0:
        os.close(go_writer)
        _map_from_outside(os.getppid(), wanted, helpers, go_reader)
    os.close(go_reader)
    try:
        syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNS)
        if wanted:
            os.write(go_writer, b"!")
    except OSError as error:
        raise _unshare_refused(error) from error
    finally:
        os.close(go_writer)
        status = os.waitpid(mapper, 0)[1] if wanted else 0
    if status:
        raise _mapping_failed(os.waitstatus_to_exitcode(status), uid, helpers)
    if not wanted:
        _map_one(uid, gid)
    _become_root()
    return current()


def is_privileged() -> bool:
    """Tell whether this process needs no user namespace: uid 0 with CAP_SYS_ADMIN, of the machine or of one."""
    return os.geteuid() == 0 and bool(permitted() >> CAPABILITIES.index("CAP_SYS_ADMIN") & 1)


def settle() -> None:
    """Become uid 0 of a user namespace that was joined, in a new mount namespace. Raises SandboxError."""
    try:
        syscalls.unshare(syscalls.CLONE_NEWNS)
    except OSError as error:
        raise _restricted(error) from error
    _become_root()


def _wanted_maps(uid: int, gid: int, held: int) -> tuple[tuple[Extent, ...], tuple[Extent, ...]] | None:
    """Decide what to map: this id to 0 and the subordinate ones from 1 on; None for one id alone.

    Root without CAP_SYS_ADMIN, as in a container, keeps the ids it has.
    """
    if uid == 0 and held >> CAPABILITIES.index("CAP_SETUID") & 1:
        same = current()
        return (
            tuple((inside, inside, count) for inside, _, count in same.uids),
            tuple((inside, inside, count) for inside, _, count in same.gids),
        )
    subordinate_uids, subordinate_gids = _ranges("/etc/subuid", uid), _ranges("/etc/subgid", uid)
    if not subordinate_uids or not subordinate_gids:
        return None
    return ((0, uid, 1), *_numbered(subordinate_uids)), ((0, gid, 1), *_numbered(subordinate_gids))


def _ranges(file: str, uid: int) -> list[tuple[int, int]]:
    """Read the ranges (first id, count) that belong to a user, by name or number, in the order of the file."""
    import pwd

    owners = {str(uid)}
    try:
        owners.add(pwd.getpwuid(uid).pw_name)
    except KeyError:  # a user without an entry may still be named by number
        pass
    found = []
    try:
        with open(file, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                fields = line.strip().split(":")
                if len(fields) == 3 and fields[0] in owners and fields[1].isdigit() and fields[2].isdigit():
                    found.append((int(fields[1]), int(fields[2])))
    except FileNotFoundError:
        pass
    return [(first, count) for first, count in found if count > 0]


def _numbered(ranges: Sequence[tuple[int, int]]) -> tuple[Extent, ...]:
    extents = []
    inside = 1
    for outside, count in ranges:
        extents.append((inside, outside, count))
        inside += count
    return tuple(extents)


def _helpers(context: Context) -> tuple[str, ...]:
    """Find newuidmap and newgidmap; none is needed for root, who may write the maps itself."""
    if os.geteuid() == 0:
        return ()
    import shutil  # lazy: 3 ms, with compressions

    found = []
    for name in ("newuidmap", "newgidmap"):
        path = shutil.which(name, path=context.environ.get("PATH") or os.defpath)
        if path is None:
            raise SandboxError(
                f"{name} is not installed: without it the subordinate ids of /etc/subuid cannot be used",
                step="user namespace",
                hint="install the package `uidmap` (Fedora, Arch: `shadow-utils`, `shadow`)",
            )
        found.append(path)
    return tuple(found)


def _map_from_outside(
    parent: int, wanted: tuple[tuple[Extent, ...], tuple[Extent, ...]], helpers: tuple[str, ...], go: int
) -> NoReturn:
    """Wait until the parent has its namespace, then write both maps of it; the exit status says which failed (1, 2)."""
    status = 1
    try:
        if os.read(go, 1) == b"!":
            for number, extents in enumerate(wanted):
                status = number + 1
                _write_map(parent, number, extents, helpers)
            status = 0
        else:
            status = 0  # the parent could not make a namespace, and says so itself
    finally:
        os._exit(status)


def _write_map(parent: int, number: int, extents: tuple[Extent, ...], helpers: tuple[str, ...]) -> None:
    if helpers:
        words = [str(value) for extent in extents for value in extent]
        pid = os.posix_spawn(helpers[number], [helpers[number], str(parent), *words], os.environ)
        if os.waitpid(pid, 0)[1]:
            raise OSError(EPERM, helpers[number])
        return
    _write(f"/proc/{parent}/{('uid', 'gid')[number]}_map", "\n".join("{} {} {}".format(*extent) for extent in extents))


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _map_one(uid: int, gid: int) -> None:
    """Map this user and group alone. Raises SandboxError."""
    try:
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"0 {uid} 1")
        _write("/proc/self/gid_map", f"0 {gid} 1")
    except OSError as error:
        raise _restricted(error) from error


def _become_root() -> None:
    try:
        try:
            os.setgroups([])
        except PermissionError:  # denied with one id; the groups of the user stay, and are "nogroup" inside
            pass
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        syscalls.mount(b"", b"/", None, syscalls.MS_REC | syscalls.MS_SLAVE)
    except OSError as error:
        raise _restricted(error) from error


def _setting(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def _unshare_refused(error: OSError) -> SandboxError:
    """Say why a user namespace cannot be made here."""
    hint = "a container (or a chroot) may forbid it: run it with `--security-opt seccomp=unconfined`, or as root"
    if _setting("/proc/sys/kernel/unprivileged_userns_clone") == "0":
        hint = "as root: sysctl -w kernel.unprivileged_userns_clone=1"
    elif error.errno == ENOSPC or _setting("/proc/sys/user/max_user_namespaces") == "0":
        hint = "as root: sysctl -w user.max_user_namespaces=28633"
    elif error.errno == EINVAL:
        hint = "a process with several threads cannot, or the kernel has no user namespaces (CONFIG_USER_NS)"
    elif _is_restricted():
        return _restricted(error)
    elif _is_in_chroot():
        hint = "none can be made in a chroot (user_namespaces(7)): run it outside, or as root"
    return SandboxError(
        f"this machine does not let an unprivileged user make a user namespace: {error.strerror}",
        step="user namespace",
        errno=error.errno or 0,
        hint=hint,
    )


def _is_in_chroot() -> bool:
    """Tell whether no mount of this process has the place "/", where its mounts are known."""
    mounts = _setting("/proc/self/mountinfo").splitlines()
    return bool(mounts) and not any(line.split()[4] == "/" for line in mounts)


def _is_restricted() -> bool:
    return _setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1"


def _restricted(error: OSError) -> SandboxError:
    """Say why a namespace that could be made is of no use: AppArmor took its rights away (Ubuntu 23.10 and later)."""
    hint = "a security module or a container around this one may forbid it; try as root"
    if _is_restricted():
        hint = "as root: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 (or an AppArmor profile with userns)"
    return SandboxError(
        f"the user namespace was made without rights: {error.strerror}",
        step="user namespace",
        errno=error.errno or 0,
        hint=hint,
    )


def _mapping_failed(status: int, uid: int, helpers: tuple[str, ...]) -> SandboxError:
    which = ("uid", "gid")[status - 1] if status in (1, 2) else "uid"
    tool = os.path.basename(helpers[status - 1]) if helpers and status in (1, 2) else f"{which}_map"
    return SandboxError(
        f"{tool} could not map the subordinate ids of user {uid}",
        step="user namespace",
        errno=EPERM,
        hint=f"are the ranges in /etc/sub{which} valid, and is {tool} setuid root (or has it cap_set{which})?",
    )
