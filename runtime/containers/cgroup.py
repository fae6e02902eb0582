"""The cgroup of a container: what it is called, and its end where the monitor was killed."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.containers.records import Containers


def cgroup_name(containers: Containers, container_id: str, parent: str = "") -> str:
    """Return the name of a container's cgroup, which says whose it is, below the group that it was to be in."""
    name = f"pybuild-{containers.store.layout.key}-{container_id}"
    above = os.path.normpath(f"/{parent}").strip("/")
    return f"{above}/{name}" if above else name


def kill_cgroup(containers: Containers, container_id: str) -> None:
    """Remove the cgroup that a killed monitor left, with whatever still runs in it."""
    from runtime.sandbox.cgroups import Cgroup, hierarchies  # lazy: 2 ms

    container = containers.get(container_id)
    name = cgroup_name(containers, container_id, container.host_config.get("CgroupParent", "") if container else "")
    groups = [
        (hierarchy, f"{hierarchy.directory}/{name}") for hierarchy in hierarchies(own=containers.store.context.rootless)
    ]
    Cgroup(name, groups).remove()
