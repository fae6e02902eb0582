"""Find the containers that run when the machine does: what `system start` starts after a boot.

Docker's rules, as its engine follows them when it starts: `always` runs in any case, `unless-stopped` unless a person
ended it (its monitor leaves the file `stopped` then); one that never ran stays as it was made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.containers.policies import restart_policy

if TYPE_CHECKING:
    from runtime.containers.documents import HostConfig
    from runtime.containers.records import Container, Containers

_SHARED = ("NetworkMode", "PidMode", "IpcMode")


def wanted(containers: Containers) -> tuple[Container, ...]:
    """List what is to be started, each after those whose namespaces it shares, or that it is linked to."""
    found = [container for container in reversed(containers.list()) if _is_wanted(containers, container)]
    done: list[Container] = []
    while found:
        # Where they wait for each other in a circle, as they come: the start then says what is wrong.
        ready = [one for one in found if not any(_needs(one, other) for other in found)] or found
        done += ready
        found = [one for one in found if one not in ready]
    return tuple(done)


def _is_wanted(containers: Containers, container: Container) -> bool:
    directory = containers.directory(container.id)
    name, _ = restart_policy(container.host_config)
    if name not in ("always", "unless-stopped") or containers.is_running(container):
        return False
    return (directory / "ran").exists() and (name == "always" or not (directory / "stopped").exists())


def _needs(container: Container, other: Container) -> bool:
    """Tell whether a container can start only while another one runs."""
    host = container.host_config
    shares = any(_target(host, kind) in (other.name, other.id, other.short_id) for kind in _SHARED)
    return shares or any(link.startswith(f"{other.id}:") for link in host.get("Links") or ())


def _target(host: HostConfig, kind: str) -> str:
    mode, _, name = str(host.get(kind) or "").partition(":")
    return name if mode == "container" else ""
