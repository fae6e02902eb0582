"""Connect containers to networks and disconnect them, also while they run, and describe networks with their members."""

from __future__ import annotations

import errno
import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from runtime.containers import announcing
from runtime.containers.records import Container, Containers
from runtime.errors import Conflict, NetworkError, UsageError
from runtime.network import attach, bridge, home, janitor, leases, namespaces, portrules, publish, resolv, subnets
from runtime.network.endpoints import Endpoint
from runtime.network.networks import PREDEFINED, Network, Networks
from runtime.network.nftables import IPV6
from runtime.network.plan import names_document
from runtime.network.rtnetlink import Rtnetlink
from runtime.network.settings import EndpointSettings
from runtime.network.ways import way_out
from runtime.oci.shortsha import hex_sha256
from runtime.oci.times import rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.network.pools import Pool
    from runtime.store import Store

_CLOSED = {
    "host": "container cannot be connected to host network or disconnected from it: it shares the host's",
    "none": "container cannot be connected to multiple networks with one of the networks in private (none) mode",
}


def connect(containers: Containers, text: str, container: Container, settings: EndpointSettings) -> Network | None:
    """Let a container join a network, at once where it runs. Returns the network, None for the default one.

    Raises NotFound, Conflict where it is on it already, UsageError and NetworkError.
    """
    network = _network(containers, text)
    name = network.name if network else "bridge"
    joined = _joined(container)
    if name in joined:
        raise Conflict(f"endpoint with name {container.name} already exists in network {name}")
    if containers.is_running(container):
        _connect_running(containers, container, name, settings)
    _record(containers, container, {**joined, name: settings})
    _event(containers, container, network, "connect")
    return network


def disconnect(containers: Containers, text: str, container: Container) -> Network | None:
    """Let a container leave a network, at once where it runs. Raises NotFound and Conflict."""
    network = _network(containers, text)
    name = network.name if network else "bridge"
    joined = _joined(container)
    if name not in joined:
        raise Conflict(f"container {container.id} is not connected to network {name}")
    if containers.is_running(container):
        _disconnect_running(containers, container, name)
    _record(containers, container, {key: value for key, value in joined.items() if key != name})
    _event(containers, container, network, "disconnect")
    return network


def _network(containers: Containers, text: str) -> Network | None:
    if text in ("host", "none"):
        raise UsageError(_CLOSED[text])
    return None if text in ("bridge", "default") else Networks(containers.store).find(text)


def _joined(container: Container) -> dict[str, EndpointSettings]:
    """Return the networks that a container was asked to join. Raises UsageError for one that has none of its own."""
    host = container.host_config
    mode = host.get("NetworkMode") or "bridge"
    if mode in _CLOSED:
        raise UsageError(_CLOSED[mode])
    if mode.startswith("container:"):
        raise UsageError("a container that shares the network of another cannot be connected: connect that one")
    if mode in ("pasta", "slirp4netns"):
        raise UsageError(f"a container on {mode} cannot be connected to networks")
    networks = host.get("Networks")
    return {mode: {}} if networks is None else dict(networks)


def _record(containers: Containers, container: Container, joined: dict[str, EndpointSettings]) -> None:
    with containers.database.write() as connection:
        row = connection.execute("SELECT host_config FROM containers WHERE id = ?", (container.id,)).fetchone()
        if row is not None:
            host = {**json.loads(row[0]), "Networks": joined}
            connection.execute("UPDATE containers SET host_config = ? WHERE id = ?", (json.dumps(host), container.id))


def _record_endpoints(
    containers: Containers, container: Container, endpoints: dict[str, dict[str, object]], ports: object
) -> None:
    """Record what a running container has now; the plain facts are those of its first network."""
    first = next(iter(endpoints.values()), {})
    with containers.database.write() as connection:
        row = connection.execute("SELECT network FROM containers WHERE id = ?", (container.id,)).fetchone()
        if row is not None:
            facts = {
                **json.loads(row[0]),
                "networks": endpoints,
                "ports": ports,
                "held": json.loads(row[0]).get("held") or json.loads(row[0]).get("ports") or {},
                **{field: first.get(field) or None for field in ("address", "gateway", "prefix", "mac")},
            }
            connection.execute("UPDATE containers SET network = ? WHERE id = ?", (json.dumps(facts), container.id))


def _event(containers: Containers, container: Container, network: Network | None, action: str) -> None:
    name = network.name if network else "bridge"
    told = {"container": container.id, "name": name, "type": "bridge"}
    with containers.database.write() as connection:
        connection.execute(
            "INSERT INTO events(time, type, action, actor, attributes) VALUES(?, 'network', ?, ?, ?)",
            (containers.store.context.now(), action, network_id(containers.store, network), json.dumps(told)),
        )


def endpoints_of(container: Container) -> dict[str, dict[str, object]]:
    """Return the networks that a running container is on, as its start or a later connection recorded them."""
    found = container.network.get("networks")
    return dict(found) if isinstance(found, dict) else {}


def _connect_running(containers: Containers, container: Container, name: str, settings: EndpointSettings) -> None:
    context, store = containers.store.context, containers.store
    locks, key = str(context.layout.locks), context.layout.key
    leases.ensure_tables(store.database)
    users = janitor.try_use(locks)
    try:
        with home.required(context) as at:
            endpoint = Endpoint(store, name, settings, f"container:{container.id}", at)
            try:
                attach.join(endpoint.document, container.pid, at.namespace)
                endpoint.lease.follow(int(container.monitor.partition("-")[0]))
            except OSError as error:
                raise NetworkError(
                    f"{container.name} cannot be connected to {name}: {error.strerror or error}"
                ) from error
            finally:
                endpoint.lease.close()
        if endpoint.network is not None:
            _start_names(containers, container)
        for own in (endpoint.facts["address"], endpoint.facts.get("address6")):
            if own:
                _add_host(containers, container, str(own))
        endpoints = {**endpoints_of(container), name: endpoint.facts}
        with home.required(context) as at:
            ports = _follow_way(containers, container, endpoints, at.namespace)
        _record_endpoints(containers, container, endpoints, ports)
    finally:
        if users is not None:
            os.close(users)
            janitor.leave(locks, key)


def _start_names(containers: Containers, container: Container) -> None:
    """See to it that names are answered; an attendant that does so already has the address."""
    context, host = containers.store.context, container.host_config
    document = {
        "locks": str(context.layout.locks),
        "key": context.layout.key,
        "dns": names_document(context, container.id, host.get("Dns") or ()),
    }
    try:
        attach.start_names(document, container.pid)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise NetworkError(f"names cannot be served: {error.strerror or error}") from error
        return
    path = containers.directory(container.id) / "files" / "resolv.conf"
    resolver = resolv.for_names(resolv.parse(path.read_text("utf-8", "replace")), attach.DNS_ADDRESS)
    _overwrite(str(path), str(resolver))


def _add_host(containers: Containers, container: Container, address: str) -> None:
    from runtime.containers.start import host_names

    path = containers.directory(container.id) / "files" / "hosts"
    text = path.read_text("utf-8", "replace")
    _overwrite(str(path), f"{text}{address}\t{host_names(container.config)}\n")


def _drop_host(containers: Containers, container: Container, address: str) -> None:
    path = containers.directory(container.id) / "files" / "hosts"
    lines = path.read_text("utf-8", "replace").splitlines(keepends=True)
    _overwrite(str(path), "".join(line for line in lines if line.split()[:1] != [address]))


def _overwrite(path: str, text: str) -> None:
    """Write a file in place: it is bound into the container."""
    with open(path, "r+", encoding="utf-8") as file:
        file.write(text)
        file.truncate()


def _disconnect_running(containers: Containers, container: Container, name: str) -> None:
    key = containers.store.layout.key
    endpoints = endpoints_of(container)
    gone = endpoints.pop(name, None)
    if gone is None:
        return
    address = subnets.number(str(gone["address"])) or 0
    port = str(gone.get("port") or bridge.port_name(key, address))
    try:
        with home.present(containers.store.context) as at:
            namespace = at.namespace if at else namespaces.HERE
            namespaces.within(namespace, lambda: _unplug(port))
            ports = _follow_way(containers, container, endpoints, namespace)
    except OSError as error:
        raise NetworkError(f"{container.name} cannot leave {name}: {error.strerror or error}") from error
    owner, six = f"container:{container.id}", str(gone.get("address6") or "")
    leases.release_address(containers.database, owner, bridge.address_of(port), subnets.number6(six) or 0)
    with suppress(OSError):
        for own in filter(None, (str(gone["address"]), six)):
            _drop_host(containers, container, own)
    _record_endpoints(containers, container, endpoints, ports)


def _unplug(port: str) -> None:
    with Rtnetlink() as links:
        links.delete_link(port)


def _follow_way(
    containers: Containers, container: Container, endpoints: dict[str, dict[str, object]], namespace: int
) -> dict[str, list[dict[str, str]]]:
    """Send what a container has for elsewhere, and its published ports, by the way out that it has now, if any.

    Returns the ports that are published now.
    """
    before, now = way_out(endpoints_of(container)), way_out(endpoints)
    held = container.network.get("held") or container.network.get("ports") or {}
    assert isinstance(held, dict)  # as the start writes it
    if now == before:
        return held
    if now:
        gateways = [str(endpoints[now].get(field) or "") for field in ("gateway", "gateway6")]
        attach.route(container.pid, subnets.number(gateways[0]) or 0, subnets.number6(gateways[1]) or 0)
    if held:
        _move_ports(containers, held, endpoints.get(now), now, namespace)
    return held if now else {}


def _move_ports(
    containers: Containers,
    ports: dict[str, list[dict[str, str]]],
    endpoint: dict[str, object] | None,
    name: str,
    namespace: int,
) -> None:
    """Send published ports to a container's address in the network `name`; to nowhere where there is no endpoint."""
    key = containers.store.layout.key
    published = publish.read_documents(ports)
    forwards, forwards6 = publish.forwards(published), publish.forwards6(published)
    network = None if endpoint is None or name == "bridge" else Networks(containers.store).find(name)
    design = network.design(key) if network else bridge.default(key)

    def move() -> None:
        portrules.drop(key, forwards)
        portrules.drop(key, forwards6, IPV6)
        if endpoint is not None:
            if address := subnets.number(str(endpoint["address"])):
                portrules.put(key, design.table, address, forwards)
            address6 = subnets.number6(str(endpoint.get("address6") or ""))
            if address6:
                portrules.put(key, design.table, address6, forwards6, IPV6)

    namespaces.within(namespace, move)


def network_id(store: Store, network: Network | None, name: str = "bridge") -> str:
    """Return the id of a network; a predefined one (None) has one that goes with the root."""
    return network.id if network else announcing.predefined_id(store.layout.key, name)


def predefined_id(store: Store, name: str) -> str:
    """Return the id of a predefined network."""
    return network_id(store, None, name)


def endpoint_id(container: str, network: str) -> str:
    """Return the id of a container's connection to a network."""
    return hex_sha256(f"{container}:{network}".encode())


def find_network(store: Store, text: str, _sizes: bool) -> dict[str, object] | None:
    """Give NetworkInspect of the network that `text` names, None where there is none."""
    from runtime.errors import NotFound

    containers = Containers(store)
    for name in PREDEFINED:
        number = network_id(store, None, name)
        if text == name or (len(text) >= 4 and number.startswith(text)):
            return describe(containers, None, name)
    try:
        return describe(containers, Networks(store).find(text))
    except (NotFound, UsageError):
        return None


def describe(containers: Containers, network: Network | None, name: str = "bridge") -> dict[str, object]:
    """Return the Engine API's document of a network with its running members; None and a name for a predefined one."""
    store = containers.store
    number = network_id(store, network, name)
    config: list[dict[str, object]] | None = None
    if network is not None:
        config = [_pool_document(network.pool, subnets.text, subnets.dotted)] if network.ipv4 else []
        if network.pool6 is not None:
            config.append(_pool_document(network.pool6, subnets.network6, subnets.text6))
    elif name == "bridge":
        leases.ensure_tables(store.database)
        subnet = leases.recorded_subnet(store.database)
        config = [{"Subnet": subnets.text(subnet), "Gateway": subnets.dotted(subnet[0] + 1)}] if subnet else []
    members = Networks(store).members(network) if network or name == "bridge" else {}
    return {
        "Name": network.name if network else name,
        "Id": number,
        "Created": rfc3339(network.created if network else 0),
        "Scope": network.scope if network else "local",
        "Driver": driver_of(network, name),
        "EnableIPv4": network is None or network.ipv4,
        "EnableIPv6": bool(network and network.ipv6),
        "IPAM": {
            "Driver": "default",
            "Options": dict(network.ipam_options) if network else None,
            "Config": config or None,
        },
        "Internal": bool(network and network.internal),
        "Attachable": bool(network and network.attachable),
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {
            container: {
                "Name": owner,
                "EndpointID": endpoint_id(container, number),
                "MacAddress": endpoint["mac"],
                "IPv4Address": f"{endpoint['address']}/{endpoint['prefix']}" if endpoint["address"] else "",
                "IPv6Address": f"{endpoint['address6']}/{endpoint['prefix6']}" if endpoint.get("address6") else "",
            }
            for container, (owner, endpoint) in members.items()
        },
        "Options": dict(network.options) if network else _default_options(store, name),
        "Labels": dict(network.labels) if network else {},
    }


def _default_options(store: Store, name: str) -> dict[str, str]:
    if name != "bridge":
        return {}
    prefix = "com.docker.network.bridge."
    return {
        f"{prefix}default_bridge": "true",
        f"{prefix}enable_icc": "true",
        f"{prefix}enable_ip_masquerade": "true",
        f"{prefix}host_binding_ipv4": "0.0.0.0",
        f"{prefix}name": bridge.default(store.layout.key).name,
    }


def _pool_document(
    pool: Pool, whole: Callable[[subnets.Subnet], str], single: Callable[[int], str]
) -> dict[str, object]:
    """Describe a subnet; a gateway that nobody asked for is named only where the subnet was chosen as well."""
    document: dict[str, object] = {"Subnet": whole(pool.subnet)}
    if pool.ip_range:
        document["IPRange"] = pool.ip_range
    if pool.routed:
        document["Gateway"] = single(pool.gateway)
    if pool.aux:
        document["AuxiliaryAddresses"] = dict(pool.aux)
    return document


def driver_of(network: Network | None, name: str) -> str:
    """Return the driver as lists show it: none is `null`."""
    return "null" if network is None and name == "none" else "host" if network is None and name == "host" else "bridge"
