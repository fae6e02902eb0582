"""Describe a container as an OCI runtime-spec document, with Docker's defaults for whatever is not said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

DEFAULT_CAPABILITIES: tuple[str, ...] = ()
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Who the command runs as; `groups` are the additional ones (the main one need not be repeated)."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Limits that were asked for; None is: not asked, leave it. Sizes in bytes, times in microseconds.

    `swap` is memory plus swap as in Docker's --memory-swap, -1 unlimited. `pids` -1 is unlimited.
    """

    memory: int | None = None
    swap: int | None = None
    reservation: int | None = None
    cpu_shares: int | None = None
    cpu_quota: int | None = None
    cpu_period: int | None = None
    cpuset_cpus: str | None = None
    cpuset_mems: str | None = None
    pids: int | None = None
    blkio_weight: int | None = None


def resolve_capabilities(*, add: Iterable[str] = (), drop: Iterable[str] = (), privileged: bool = False) -> tuple[str, ...]:
    """Apply --cap-add and --cap-drop to Docker's default set: names with or without CAP_, any case, or ALL.

    Returns names in the kernel's order. Raises SandboxError for a name that no kernel knows.
    """
    raise NotImplementedError


def bind(source: str, destination: str, *, readonly: bool = False, options: Iterable[str] = ()) -> dict[str, object]:
    """Describe a recursive private bind of host path `source`; read-only ones are so recursively."""
    raise NotImplementedError


def tmpfs(destination: str, *, size: int | None = None, mode: int = 0o1777, options: Iterable[str] = ()) -> dict[str, object]:
    """Describe a tmpfs as `--tmpfs` and `RUN --mount=type=tmpfs` have it (noexec nosuid nodev); `size` in bytes."""
    raise NotImplementedError


def container_spec(
    *,
    args: Sequence[str],
    env: Sequence[str] = (),
    cwd: str = "/",
    user: User = User(),
    hostname: str = "",
    domainname: str = "",
    terminal: bool = False,
    readonly: bool = False,
    mounts: Sequence[Mapping[str, object]] = (),
    capabilities: Sequence[str] = DEFAULT_CAPABILITIES,
    privileged: bool = False,
    no_new_privileges: bool = False,
    rootless: bool = False,
    network: Literal["private", "host"] | str = "private",
    namespaces: Mapping[str, str] = {},
    resources: Resources = Resources(),
    rlimits: Sequence[tuple[str, int, int]] = (),
    shm_size: int = 64 << 20,
    sysctl: Mapping[str, str] = {},
    oom_score_adj: int | None = None,
    umask: int | None = None,
) -> dict[str, Any]:
    """Give the document. `env` is used exactly as given ("NAME=VALUE"); nothing is added.

    `mounts` come after the default ones (bind() and tmpfs() make them); one at a default destination replaces it.
    `capabilities` are the bounding, permitted and effective set (see resolve_capabilities). `network` is "private" (a
    new namespace), "host", or the path of a namespace. `namespaces` maps "pid", "ipc", "uts", "cgroup" to "private" (default), "host" or a path.
    `rlimits` are (name as "nofile" or "RLIMIT_NOFILE", soft, hard). `rootless` leaves out what a user namespace cannot do.
    """
    raise NotImplementedError
