"""Call the kernel where Python's os module does not: one thin function a system call, errno turned into OSError.

Constants carry their kernel names. No policy and no logging lives here. Usable under `python -I -S`: the foreign
function machinery is reached through `_ctypes` (0.5 ms), with `ctypes` (3 ms more) where that private module is not
what we know. Structures that the kernel reads are plain bytes made by `struct`.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the module `signal` would import enum (3 ms)
import os
from errno import ENOSYS, EPERM
from struct import pack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

# <linux/sched.h>
CLONE_NEWTIME = 0x80
CLONE_PARENT = 0x8000
CLONE_NEWNS = 0x20000
CLONE_NEWCGROUP = 0x2000000
CLONE_NEWUTS = 0x4000000
CLONE_NEWIPC = 0x8000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
SIGCHLD = 17

# <linux/mount.h>
MS_RDONLY = 1
MS_BIND = 0x1000
MS_REC = 0x4000
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MNT_DETACH = 2
FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSCONFIG_CMD_CREATE = 6
MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8
MOUNT_ATTR_ATIME = 0x70
MOUNT_ATTR_RELATIME = 0x0
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_STRICTATIME = 0x20
MOUNT_ATTR_NODIRATIME = 0x80
MOUNT_ATTR_NOSYMFOLLOW = 0x200000
OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 0x4
MOVE_MOUNT_T_EMPTY_PATH = 0x40
AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
AT_SYMLINK_NOFOLLOW = 0x100

# <linux/openat2.h>
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10
_RESOLUTIONS = 1000
"""How often a path is resolved that somebody disturbs; one disturbance in a microsecond is all that it takes."""

# <linux/prctl.h>
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
PR_CAP_AMBIENT_CLEAR_ALL = 4

LINUX_CAPABILITY_VERSION_3 = 0x20080522
SECCOMP_SET_MODE_FILTER = 1
KEYCTL_JOIN_SESSION_KEYRING = 1
_LAST_DESCRIPTOR = 0x7FFFFFFF
BPF_PROG_LOAD = 5
BPF_PROG_ATTACH = 8

_SINCE_424 = {  # numbers that every architecture shares
    "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432,
    "clone3": 435, "close_range": 436, "openat2": 437, "mount_setattr": 442,
}  # fmt: skip
_GENERIC = {  # <asm-generic/unistd.h>: aarch64, riscv64, loongarch64
    "umount2": 39, "mount": 40, "pivot_root": 41, "capset": 91, "unshare": 97, "rt_sigaction": 134,
    "setdomainname": 162, "prctl": 167, "keyctl": 219, "clone": 220, "setns": 268, "seccomp": 277, "bpf": 280,
}  # fmt: skip
_NUMBERS = {
    "x86_64": {
        "rt_sigaction": 13, "clone": 56, "capset": 126, "pivot_root": 155, "prctl": 157, "mount": 165, "umount2": 166,
        "setdomainname": 171, "keyctl": 250, "unshare": 272, "setns": 308, "seccomp": 317, "bpf": 321,
    },
    "s390x": {
        "mount": 21, "umount2": 52, "setdomainname": 121, "prctl": 172, "rt_sigaction": 174, "capset": 185,
        "pivot_root": 217, "keyctl": 280, "unshare": 303, "setns": 339, "seccomp": 348, "bpf": 351,
    },
    "ppc64le": {
        "mount": 21, "umount2": 52, "setdomainname": 121, "prctl": 171, "rt_sigaction": 173, "capset": 184,
        "pivot_root": 203, "keyctl": 271, "unshare": 282, "setns": 350, "seccomp": 358, "bpf": 361,
    },
}  # fmt: skip
MACHINE = os.uname().machine
NR = {**_NUMBERS.get(MACHINE, _GENERIC), **_SINCE_424}


def _direct() -> tuple[Callable[..., Any], Callable[[int], Any], Callable[[], int], Callable[[bytes], tuple[int, Any]]]:
    """Reach libc's syscall() through the private module under ctypes; raise where that is not as it was."""
    import _ctypes

    flags = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
    number = type("c_long", (_ctypes._SimpleCData,), {"_type_": "l"})
    character = type("c_char", (_ctypes._SimpleCData,), {"_type_": "c"})
    function = type("Function", (_ctypes.CFuncPtr,), {"_flags_": flags, "_restype_": number})

    def pinned(data: bytes) -> tuple[int, Any]:
        array: Any = type("Bytes", (_ctypes.Array,), {"_type_": character, "_length_": len(data)})
        kept = array.from_buffer_copy(data)
        return _ctypes.addressof(kept), kept

    libraries: Any = _ctypes  # None is a name that dlopen takes, and type stubs do not
    entry = function(_ctypes.dlsym(libraries.dlopen(None, 0), "syscall"))
    pinned(b"\0")
    return entry, number, _ctypes.get_errno, pinned


def _portable() -> tuple[
    Callable[..., Any], Callable[[int], Any], Callable[[], int], Callable[[bytes], tuple[int, Any]]
]:
    """Reach libc's syscall() through ctypes."""
    import ctypes

    def pinned(data: bytes) -> tuple[int, Any]:
        kept = ctypes.create_string_buffer(data, len(data))
        return ctypes.addressof(kept), kept

    entry = ctypes.CDLL(None, use_errno=True).syscall
    entry.restype = ctypes.c_long
    return entry, ctypes.c_long, ctypes.get_errno, pinned


try:
    _entry, _number, _errno, _pinned = _direct()
except (ImportError, AttributeError, TypeError):
    _entry, _number, _errno, _pinned = _portable()


def call(name: str, *arguments: int | bytes | None, path: str | bytes | None = None) -> int:
    """Make the system call `name`; `path` is only for the error. Raises OSError."""
    result: int = _entry(_number(NR[name]), *[_number(a) if type(a) is int else a for a in arguments])
    if result == -1:
        number = _errno()
        raise OSError(number, os.strerror(number), path) if path is not None else OSError(number, os.strerror(number))
    return result


# --- processes and namespaces ---------------------------------------------------------------------------------------


def clone3(flags: int) -> int:
    """Fork into new namespaces: the child's pid in the parent, 0 in the child.

    Python's after-fork hooks do not run: only for a process of one thread, whose child goes on to exec or _exit.
    """
    signal = 0 if flags & CLONE_PARENT else SIGCHLD
    try:
        return call("clone3", pack("11Q", flags, 0, 0, 0, signal, 0, 0, 0, 0, 0, 0), 88)
    except OSError as error:
        if error.errno != ENOSYS or "clone" not in NR:
            raise
    return call("clone", flags | SIGCHLD, 0, 0, 0, 0)  # a filter around us hides clone3


def unshare(flags: int) -> None:
    call("unshare", flags)


def setns(fd: int, flags: int) -> None:
    call("setns", fd, flags)


def prctl(option: int, *arguments: int) -> int:
    return call("prctl", option, *arguments, *(0,) * (4 - len(arguments)))


def close_all_but(kept: Iterable[int]) -> None:
    """Close every descriptor from 3 on that is not in `kept`; older kernels are asked one by one."""
    first = 3
    for fd in [*sorted(set(kept)), _LAST_DESCRIPTOR]:
        if fd > first:
            _close_range(first, fd - 1)
        first = max(first, fd + 1)


def _close_range(first: int, last: int) -> None:
    try:
        call("close_range", first, last, 0)
    except OSError as error:
        if error.errno not in (ENOSYS, EPERM):
            raise
        for fd in [int(name) for name in os.listdir("/proc/self/fd")]:
            if first <= fd <= last:
                try:
                    os.close(fd)
                except OSError:  # the descriptor of the listing itself
                    pass


def reset_signals() -> None:
    """Give every signal its default action (glibc keeps 32 and 33 from `signal.signal`)."""
    default = bytes(32)
    for number in range(1, 65):
        if number not in (9, 19):
            call("rt_sigaction", number, default, None, 8)


def block_signals() -> set[int]:
    """Hold back every signal for this thread; the set of those that were held back before."""
    before: set[int] = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
    return before


def unblock_signals(but: Iterable[int] = ()) -> None:
    """Let all signals through but those."""
    _signal.pthread_sigmask(_signal.SIG_SETMASK, but)


def setdomainname(name: bytes) -> None:
    call("setdomainname", name, len(name))


# --- mounts ---------------------------------------------------------------------------------------------------------


def mount(source: bytes, target: bytes, fstype: bytes | None, flags: int, data: bytes | None = None) -> None:
    call("mount", source, target, fstype, flags, data, path=target)


def umount2(target: bytes, flags: int = 0) -> None:
    call("umount2", target, flags, path=target)


def pivot_root(new_root: bytes, put_old: bytes) -> None:
    call("pivot_root", new_root, put_old, path=new_root)


def fsopen(fstype: bytes) -> int:
    return call("fsopen", fstype, 1, path=fstype)


def fsconfig(fd: int, command: int, key: bytes | None = None, value: bytes | None = None) -> None:
    call("fsconfig", fd, command, key, value, 0, path=key)


def fsmount(fd: int, attributes: int = 0) -> int:
    return call("fsmount", fd, 1, attributes)


def move_mount(from_fd: int, to_fd: int, to_path: bytes = b"") -> None:
    """Attach the detached mount `from_fd` on what `to_fd` (and `to_path` below it, unless empty) refers to."""
    flags = MOVE_MOUNT_F_EMPTY_PATH | (0 if to_path else MOVE_MOUNT_T_EMPTY_PATH)
    call("move_mount", from_fd, b"", to_fd, to_path, flags, path=to_path or None)


def open_tree(dir_fd: int, path: bytes, flags: int) -> int:
    return call("open_tree", dir_fd, path, flags | OPEN_TREE_CLOEXEC, path=path or None)


def mount_setattr(
    fd: int, *, attr_set: int = 0, attr_clear: int = 0, propagation: int = 0, recursive: bool = False
) -> None:
    """Change attributes or propagation (MS_PRIVATE, MS_SLAVE, …) of the mount that `fd` is the root of."""
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    call("mount_setattr", fd, b"", flags, pack("4Q", attr_set, attr_clear, propagation, 0), 32)


def openat2(dir_fd: int, path: bytes, flags: int, *, mode: int = 0, resolve: int = RESOLVE_IN_ROOT) -> int:
    """Open `path` below `dir_fd`, resolved as `resolve` says (openat2(2)).

    Whoever mounts or renames anything on the machine meanwhile makes a path with `..` uncertain, and the kernel says
    EAGAIN: it is tried again, and raised only where that never ends.
    """
    how = pack("3Q", flags | os.O_CLOEXEC, mode, resolve)
    for _ in range(_RESOLUTIONS):
        try:
            return call("openat2", dir_fd, path, how, 24, path=path)
        except BlockingIOError:
            os.sched_yield()
    return call("openat2", dir_fd, path, how, 24, path=path)


# --- privileges -----------------------------------------------------------------------------------------------------


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """Set the three sets of this thread; each is a bit mask, bit n for capability n."""
    low = 0xFFFFFFFF
    words = (effective & low, permitted & low, inheritable & low, effective >> 32, permitted >> 32, inheritable >> 32)
    call("capset", pack("Ii", LINUX_CAPABILITY_VERSION_3, 0), pack("6I", *words))


def seccomp_load(program: bytes) -> None:
    """Put a compiled filter (struct sock_filter[]) on this thread and all it starts."""
    address, kept = _pinned(program)
    call("seccomp", SECCOMP_SET_MODE_FILTER, 0, pack("HxxxxxxQ", len(program) // 8, address))
    del kept


def join_session_keyring() -> None:
    """Leave the caller's session keyring for a new anonymous one."""
    call("keyctl", KEYCTL_JOIN_SESSION_KEYRING, None)


def bpf_load(kind: int, instructions: bytes, license_text: bytes = b"Apache-2.0") -> int:
    """Load a BPF program of type `kind` (BPF_PROG_TYPE_…); the descriptor of it."""
    code, kept_code = _pinned(instructions)
    license_address, kept_license = _pinned(license_text + b"\0")
    attributes = pack("IIQQIIQII", kind, len(instructions) // 8, code, license_address, 0, 0, 0, 0, 0)
    try:
        return call("bpf", BPF_PROG_LOAD, attributes, len(attributes))
    finally:
        del kept_code, kept_license


def bpf_attach(target_fd: int, program_fd: int, kind: int, flags: int = 0) -> None:
    attributes = pack("4I", target_fd, program_fd, kind, flags)
    call("bpf", BPF_PROG_ATTACH, attributes, len(attributes))
