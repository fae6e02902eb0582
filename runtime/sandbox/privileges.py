"""Give up what the command must not have: capabilities, ids, limits, system calls; in an order that works."""

from __future__ import annotations

import os
import resource
from errno import EINVAL, EPERM

from runtime.sandbox import syscalls as sys
from runtime.sandbox.failure import from_error, refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CAPABILITIES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
    "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
)  # fmt: skip
"""<linux/capability.h>: the place of a name is its number."""

_RLIMIT_LOCKS = 10
_INFINITY = 0xFFFFFFFFFFFFFFFF


def mask_of(names: list[str], last: int = 63) -> int:
    """Turn names of capabilities into a bit mask; what the kernel (its last one is number `last`) lacks is left out."""
    mask = 0
    for name in names:
        try:
            number = CAPABILITIES.index(name)
        except ValueError:
            raise refused("capabilities", f"unknown capability {name!r}") from None
        if number <= last:
            mask |= 1 << number
    return mask


def last_capability() -> int:
    """Ask the kernel for its highest capability, by reading the bounding set until that is an error."""
    number = 0
    while number < 63:
        try:
            sys.prctl(sys.PR_CAPBSET_READ, number)
        except OSError:
            break
        number += 1
    return number - 1


def set_rlimits(limits: list[dict[str, Any]]) -> None:
    """Set process.rlimits; raising a hard limit needs CAP_SYS_RESOURCE, and the failure says so."""
    for limit in limits:
        name, soft, hard = limit["type"], limit["soft"], limit["hard"]
        number = _RLIMIT_LOCKS if name == "RLIMIT_LOCKS" else getattr(resource, name, None)
        if number is None or not name.startswith("RLIMIT_"):
            raise refused("rlimits", f"unknown resource limit {name!r}")
        pair = tuple(resource.RLIM_INFINITY if value in (-1, _INFINITY) else value for value in (soft, hard))
        try:
            resource.setrlimit(number, (pair[0], pair[1]))
        except (OSError, ValueError):
            _, highest = resource.getrlimit(number)
            text = f"limit {name.removeprefix('RLIMIT_').lower()}={soft}:{hard} cannot be set"
            if resource.RLIM_INFINITY in pair or max(pair) > highest:
                text += f": the hard limit of this process is {highest}, and raising it needs CAP_SYS_RESOURCE"
            raise refused("rlimits", text, errno=EPERM) from None


class Capabilities:
    """The five sets of process.capabilities as masks, cut to what this kernel and this process (`held`) have.

    So "all" means as much as there is, where the launcher itself runs in a container.
    """

    def __init__(self, sets: dict[str, list[str]], held: int) -> None:
        self.last = last_capability()
        self.bounding = mask_of(sets.get("bounding") or [], self.last)
        self.permitted = mask_of(sets.get("permitted") or [], self.last) & held
        self.effective = mask_of(sets.get("effective") or [], self.last) & self.permitted
        self.inheritable = mask_of(sets.get("inheritable") or [], self.last) & held
        self.ambient = mask_of(sets.get("ambient") or [], self.last) & self.permitted & self.inheritable

    def drop_bounding(self) -> None:
        """Leave in the bounding set what was asked for."""
        for number in range(self.last + 1):
            if not self.bounding >> number & 1 and sys.prctl(sys.PR_CAPBSET_READ, number):
                sys.prctl(sys.PR_CAPBSET_DROP, number)

    def apply(self) -> None:
        """Set the thread's sets and then, as that wants the inheritable one, the ambient set."""
        sys.capset(self.effective, self.permitted, self.inheritable)
        sys.prctl(sys.PR_CAP_AMBIENT, sys.PR_CAP_AMBIENT_CLEAR_ALL)
        for number in range(self.last + 1):
            if self.ambient >> number & 1:
                sys.prctl(sys.PR_CAP_AMBIENT, sys.PR_CAP_AMBIENT_RAISE, number)


def permitted() -> int:
    """Read the permitted set of this process, a bit mask."""
    with open("/proc/self/status", "rb") as file:
        for line in file:
            if line.startswith(b"CapPrm:"):
                return int(line[7:], 16)
    return 0


def change_user(uid: int, gid: int, groups: list[int]) -> None:
    """Take the ids of the command; capabilities are kept until `Capabilities.apply`.

    In a user namespace of one id no groups can be set: that is an error only where some were asked for.
    """
    try:
        os.setgroups(groups)
    except OSError as error:
        if error.errno == EINVAL or (error.errno == EPERM and any(group != gid for group in groups)):
            raise _unmapped("group", groups, error) from None
        if error.errno != EPERM:
            raise
    sys.prctl(sys.PR_SET_KEEPCAPS, 1)
    try:
        os.setresgid(gid, gid, gid)
    except OSError as error:
        raise _unmapped("group", [gid], error) from None
    try:
        os.setresuid(uid, uid, uid)
    except OSError as error:
        raise _unmapped("user", [uid], error) from None


def _unmapped(kind: str, ids: list[int], error: OSError) -> Exception:
    if error.errno not in (EINVAL, EPERM):
        return from_error("user", error, f"changing to {kind} {ids}")
    words = ", ".join([str(number) for number in ids])
    text = f"{kind} {words} does not exist in this user namespace; more ids: usermod --add-sub{kind[0]}ids (as root)"
    return refused("user", text, errno=error.errno)
