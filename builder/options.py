"""Hold what the caller of a build asked for, beside the Dockerfile itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from builder.secrets import Secret
from frozen import Frozen, field

if TYPE_CHECKING:
    from builder.sshagents import SshSource
    from runtime.oci.runtimespec import Resources

if TYPE_CHECKING:
    from builder.lock import RemotePins
    from builder.services import Service

NETWORK_HOST = "network.host"
SECURITY_INSECURE = "security.insecure"
LOCAL_DELETE = "buildx.local.delete"
ENTITLEMENTS = frozenset((NETWORK_HOST, SECURITY_INSECURE, LOCAL_DELETE))
DEFAULT_HOSTNAME = "buildkitsandbox"
"""What a step's host name is: BuildKit's, because builds come to depend on such things."""


class BuildOptions(Frozen):
    """Wishes for one build.

    `network` serves the RUNs that name none: "default", "none", "host" or a user's network; `add_hosts` are
    NAME:ADDRESS. `allow` holds the entitlements granted. `secrets` are by id. `shm_size` is bytes; `ulimits` are (name,
    soft, hard). `no_cache` runs every step anew, `no_cache_stages` those of the stages named. `labels` come on top of
    the image's. `epoch` is SOURCE_DATE_EPOCH in seconds. `jobs` bounds how many steps work at once. `explain` collects
    why each step ran, file by file.
    """

    network: str = "default"
    add_hosts: tuple[str, ...] = ()
    allow: frozenset[str] = frozenset()
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    ssh: Mapping[str, SshSource] = field(default_factory=dict)
    """By id, what holds the keys that RUN --mount=type=ssh and git repositories over SSH may use."""
    limits: Resources | None = None
    """Limits of each step; with them, or with `cgroup_parent`, a step has a control group of its own."""
    cgroup_parent: str | None = None
    """The group below which those are made, relative to the hierarchies; "" is their top."""
    shm_size: int = 64 << 20
    ulimits: tuple[tuple[str, int, int], ...] = ()
    no_cache: bool = False
    no_cache_stages: frozenset[str] = frozenset()
    labels: Mapping[str, str] = field(default_factory=dict)
    epoch: int | None = None
    jobs: int = 4
    explain: bool = False
    isolated: bool = False
    """Nothing is taken from the cache, and nothing is put there: a build to compare with another one."""
    on_failure: str | None = None
    """"keep" keeps a RUN that fails for `pybuild debug`; "shell" opens it at once and keeps it until that ends."""
    hostname: str = DEFAULT_HOSTNAME
    cache_namespace: str = ""
    """What stands before the ids of cache mounts: BUILDKIT_CACHE_MOUNT_NS."""
    services: tuple[Service, ...] = ()
    """What runs beside the RUNs that have a network of their own."""
    pins: RemotePins | None = None
    """What `pybuild.lock` says of URLs and git refs."""
