"""Hold what the caller of a build asked for, beside the Dockerfile itself."""

from __future__ import annotations

from collections.abc import Mapping

from builder.secrets import Secret
from frozen import Frozen, field

NETWORK_HOST = "network.host"
SECURITY_INSECURE = "security.insecure"
ENTITLEMENTS = frozenset((NETWORK_HOST, SECURITY_INSECURE))
DEFAULT_HOSTNAME = "buildkitsandbox"
"""What a step's host name is: BuildKit's, because builds come to depend on such things."""


class BuildOptions(Frozen):
    """Wishes for one build.

    `network` serves the RUNs that name none: "default", "none" or "host"; `add_hosts` are NAME:ADDRESS. `allow` holds
    the entitlements granted. `secrets` are by id. `shm_size` is bytes; `ulimits` are (name, soft, hard). `no_cache`
    runs every step anew, `no_cache_stages` those of the stages named. `labels` come on top of the image's. `epoch` is
    SOURCE_DATE_EPOCH in seconds. `jobs` bounds how many steps work at once. `explain` collects why each step ran, file
    by file.
    """

    network: str = "default"
    add_hosts: tuple[str, ...] = ()
    allow: frozenset[str] = frozenset()
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    shm_size: int = 64 << 20
    ulimits: tuple[tuple[str, int, int], ...] = ()
    no_cache: bool = False
    no_cache_stages: frozenset[str] = frozenset()
    labels: Mapping[str, str] = field(default_factory=dict)
    epoch: int | None = None
    jobs: int = 4
    explain: bool = False
    hostname: str = DEFAULT_HOSTNAME
