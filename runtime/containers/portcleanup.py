"""Free the published ports of a container whose monitor and attendant were killed."""

from __future__ import annotations

from contextlib import suppress

from runtime.network import home, namespaces, portrules, publish
from runtime.network.nftables import IPV6

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.containers.records import Container, Containers


def free_ports(containers: Containers, container: Container) -> None:
    """Take a container's ports out of the firewall, but for those that another one has published since."""
    ports = container.network.get("ports")
    if not isinstance(ports, dict):
        return
    since = set()
    for other in containers.list():
        theirs = other.network.get("ports")
        if other.id != container.id and isinstance(theirs, dict) and containers.is_running(other):
            since |= {(port.protocol, port.port) for port in publish.read_documents(theirs)}
    mine = [port for port in publish.read_documents(ports) if (port.protocol, port.port) not in since]
    key = containers.store.layout.key
    with (
        suppress(OSError),
        home.present(containers.store.context) as at,
    ):  # what cannot be done now goes with the bridge
        if at is not None:
            namespaces.within(at.namespace, lambda: portrules.drop(key, publish.forwards(mine)))
            namespaces.within(at.namespace, lambda: portrules.drop(key, publish.forwards6(mine), IPV6))
