"""Free the published ports of a container whose monitor and attendant were killed."""

from __future__ import annotations

from contextlib import suppress

from runtime.containers.records import Container, Containers
from runtime.network import portrules, publish


def free_ports(containers: Containers, container: Container) -> None:
    """Take a container's ports out of the firewall, but for those that another one has published since."""
    ports = container.network.get("ports")
    if not isinstance(ports, dict) or containers.store.context.rootless:
        return
    since = set()
    for other in containers.list():
        theirs = other.network.get("ports")
        if other.id != container.id and isinstance(theirs, dict) and containers.is_running(other):
            since |= {(port.protocol, port.port) for port in publish.read_documents(theirs)}
    mine = [port for port in publish.read_documents(ports) if (port.protocol, port.port) not in since]
    with suppress(OSError):  # what cannot be done now goes with the bridge
        portrules.drop(containers.store.layout.key, publish.forwards(mine))
