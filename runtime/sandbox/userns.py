"""Make the calling process uid 0 of a user namespace of its own, with all the ids that the machine grants it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.context import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class IdMap:
    """How ids inside the namespace map to ids outside: tuples (inside, outside, count) for users and for groups.

    `single` is True where there is one id of each only: ownership changes then fail with EINVAL.
    """

    uids: tuple[tuple[int, int, int], ...]
    gids: tuple[tuple[int, int, int], ...]

    @property
    def single(self) -> bool:
        return sum(count for _, _, count in self.uids) == 1

    def __str__(self) -> str:
        """Give the canonical text that a store records, as `u0:2000:1,1:100000:65536 g0:2000:1,1:100000:65536`."""
        raise NotImplementedError


def enter(context: Context) -> IdMap:
    """Enter a user and a mount namespace, become uid 0 and gid 0 there; mount propagation is private afterwards.

    The process must have one thread. Does nothing, and describes the map in force, where the process is privileged
    already (real root, or root of a user namespace with CAP_SYS_ADMIN). Uses the ranges of /etc/subuid and /etc/subgid
    through newuidmap and newgidmap found in `context.environ["PATH"]`; without a range one id is mapped, and setgroups denied.
    Raises SandboxError with a hint that names the package, command or kernel setting that is missing.
    """
    raise NotImplementedError
