"""Connect containers to networks and disconnect them, also while they run, and describe networks with their members."""

from __future__ import annotations

import errno
import json
import os
from contextlib import contextmanager, suppress

from runtime.containers import announcing
from runtime.containers.records import Container, Containers
from runtime.errors import Conflict, NetworkError, NotFound, UsageError
from runtime.network import (
    attach,
    bridge,
    home,
    janitor,
    leases,
    namespaces,
    portrules,
    publish,
    rejoining,
    resolv,
    subnets,
)
from runtime.network.endpoints import DEFAULT_MTU, Endpoint, check_addresses, default_subnet
from runtime.network.networks import PREDEFINED, Network, Networks
from runtime.network.nftables import IPV6
from runtime.network.plan import asked_of, become_user, names_document
from runtime.network.rtnetlink import Rtnetlink
from runtime.network.settings import EndpointSettings
from runtime.network.ways import way_out
from runtime.oci.shortsha import hex_sha256
from runtime.oci.times import rfc3339

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from runtime.network.pools import Pool
    from runtime.store import Store

_PRIVATE = "container cannot be connected to multiple networks with one of the networks in private (none) mode"
_SHARING = "container sharing network namespace with another container or host cannot be connected to any other network"


def connect(containers: Containers, text: str, container: Container, settings: EndpointSettings) -> Network | None:
    """Let a container join a network, at once where it runs. Returns the network, None for a predefined one.

    One that does not run may have asked for it before: what it asks for now counts. Raises NotFound, Conflict where a
    running one is on it already or none of its kind can be, and NetworkError.
    """
    with _changing(containers, container) as now:
        return _connect(containers, text, now, settings)


def disconnect(containers: Containers, text: str, container: Container) -> Network | None:
    """Let a container leave a network, at once where it runs. Raises NotFound and Conflict.

    A network that is no more can be left by its name.
    """
    with _changing(containers, container) as now:
        return _disconnect(containers, text, now)


@contextmanager
def _changing(containers: Containers, container: Container) -> Iterator[Container]:
    """Change the networks of a container, one after the other; gives it as it is when its turn comes."""
    with containers.store.locked("membership", container.id):
        yield containers.find(container.id)


def _connect(containers: Containers, text: str, container: Container, settings: EndpointSettings) -> Network | None:
    joined = _joined(container)
    if text == "host":
        raise Conflict("cannot connect container to host network - container must be created in host network mode")
    if joined is None:
        raise Conflict(_SHARING)
    network = _network(containers, text)
    name = network.name if network else "none" if text == "none" else "bridge"
    running = containers.is_running(container)
    if name in joined and running:
        raise Conflict(f"endpoint with name {container.name} already exists in network {name}")
    if "none" in (name, *joined) and {*joined} - {name}:
        raise Conflict(_PRIVATE)
    _check(network, settings)
    if running and name != "none":
        _connect_running(containers, container, name, settings)
        if network is not None and not Networks(containers.store).has(network):
            _disconnect_running(containers, container, name)
            raise NotFound(f"network {text} not found: it has been removed meanwhile")
    _record(containers, container, {**joined, name: {**settings, "Connected": True}})
    _event(containers, container, network, "connect", name)
    return network


def _disconnect(containers: Containers, text: str, container: Container) -> Network | None:
    joined = _joined(container)
    if text == "host" and container.host_config.get("NetworkMode") == "host":
        raise Conflict("cannot disconnect container from host network - container was created in host network mode")
    try:
        network = _network(containers, text) if text != "host" else None
    except NotFound:
        if not joined or text not in joined:
            raise
        network = None
    name = network.name if network else "bridge" if text == "default" else text
    if not joined or name not in joined:
        raise Conflict(f"container {container.id} is not connected to network {name}")
    if containers.is_running(container) and name != "none":
        _disconnect_running(containers, container, name)
    _record(containers, container, {key: value for key, value in joined.items() if key != name})
    _event(containers, container, network, "disconnect", name)
    return network


def _network(containers: Containers, text: str) -> Network | None:
    """Return a user's network; None for the default one, and for none."""
    return None if text in ("bridge", "default", "none") else Networks(containers.store).find(text)


def _joined(container: Container) -> dict[str, EndpointSettings] | None:
    """Return the networks that a container was asked to join; None for one that has no network of its own."""
    host = container.host_config
    mode = host.get("NetworkMode") or "bridge"
    if mode == "host" or mode.startswith("container:"):
        return None
    if mode in ("pasta", "slirp4netns"):
        raise Conflict(f"a container on {mode} cannot be connected to networks")
    networks = host.get("Networks")
    return {mode: {}} if networks is None else dict(networks)


def _check(network: Network | None, settings: EndpointSettings) -> None:
    """Raise NetworkError for what a network cannot give."""
    if network is not None:
        check_addresses(network, settings)
    elif settings.get("IPAddress") or settings.get("IPv6Address"):
        raise NetworkError(
            "invalid endpoint settings: user specified IP address is supported on user defined networks only",
            hint="make one: pybuild network create --subnet 10.9.0.0/24 NAME",
        )
    elif settings.get("Aliases"):
        raise NetworkError(
            "invalid endpoint settings: network-scoped alias is supported only for containers in user defined networks",
            hint="make one: pybuild network create NAME",
        )


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


def _event(containers: Containers, container: Container, network: Network | None, action: str, name: str) -> None:
    told = {"container": container.id, "name": name, "type": driver_of(network, name)}
    with containers.database.write() as connection:
        connection.execute(
            "INSERT INTO events(time, type, action, actor, attributes) VALUES(?, 'network', ?, ?, ?)",
            (containers.store.context.now(), action, network_id(containers.store, network, name), json.dumps(told)),
        )


def endpoints_of(container: Container) -> dict[str, dict[str, object]]:
    """Return the networks that a running container is on, as its start or a later connection recorded them."""
    found = container.network.get("networks")
    return dict(found) if isinstance(found, dict) else {}


def _connect_running(containers: Containers, container: Container, name: str, settings: EndpointSettings) -> None:
    context, store = containers.store.context, containers.store
    locks, key = str(context.layout.locks), context.layout.key
    leases.ensure_tables(store.database)
    users = become_user(context, locks)
    try:
        if container.network.get("mode") == "none":
            attach.keep(users, locks, key, int(container.monitor.partition("-")[0]))  # which does not itself
        with home.required(context) as at:
            from runtime.containers.start import has_ipv6

            owner, ipv6 = f"container:{container.id}", has_ipv6(container.host_config)
            endpoint = Endpoint(store, name, settings, owner, at, ipv6=ipv6)
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
        endpoints = {**endpoints_of(container), name: {**endpoint.facts, "joined": endpoint.document}}
        with home.required(context) as at:
            ports = _follow_way(containers, container, endpoints, at.namespace)
            place = at.path
        _record_endpoints(containers, container, endpoints, ports)
        _leave_word(containers, container, endpoints, place)
    finally:
        os.close(users)
        janitor.leave(locks, key)


def _start_names(containers: Containers, container: Container) -> None:
    """See to it that names are answered; an attendant that does so already has the address."""
    context, host = containers.store.context, container.host_config
    document: dict[str, Any] = {
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
    if container.network.get("resolver", "") not in ("", hex_sha256(path.read_bytes())):
        return  # it was changed from inside
    resolver = resolv.for_container(
        resolv.host_resolver(),
        dns=host.get("Dns") or (),
        dns_search=host.get("DnsSearch") or (),
        dns_options=host.get("DnsOptions") or (),
    )
    _overwrite(str(path), resolv.for_names(resolver, attach.DNS_ADDRESS, asked_of(document["dns"])).document())


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
            namespace, place = (at.namespace, at.path) if at else (namespaces.HERE, "")
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
    _leave_word(containers, container, endpoints, place)


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
        return held if now else {}
    if now:
        gateways = [str(endpoints[now].get(field) or "") for field in ("gateway", "gateway6")]
        attach.route(container.pid, subnets.number(gateways[0]) or 0, subnets.number6(gateways[1]) or 0)
    if held:
        old = endpoints_of(container).get(before)
        _move_ports(containers, held, old, endpoints.get(now), "" if now == "bridge" else now, namespace)
    return held if now else {}


def _move_ports(
    containers: Containers,
    ports: dict[str, list[dict[str, str]]],
    old: dict[str, object] | None,
    new: dict[str, object] | None,
    name: str,
    namespace: int,
) -> None:
    """Send published ports from an endpoint (None: from nowhere) to a new one, in the network `name` of a user."""
    key = containers.store.layout.key
    published = publish.read_documents(ports)
    design = Networks(containers.store).find(name).design(key) if name else bridge.default(key)

    def move() -> None:
        before, before6 = _addresses(old)
        portrules.drop(key, publish.forwards(published, before))
        portrules.drop(key, publish.forwards6(published, before6), IPV6)
        after, after6 = _addresses(new)
        portrules.put(key, design.table, after, publish.forwards(published, after))
        portrules.put(key, design.table, after6, publish.forwards6(published, after6), IPV6)

    namespaces.within(namespace, move)


def _leave_word(
    containers: Containers, container: Container, endpoints: dict[str, dict[str, object]], place: str
) -> None:
    """Tell the monitor on which networks the container is now: it may start it again."""
    key, host, way = containers.store.layout.key, container.host_config, way_out(endpoints)
    more: dict[str, object] = {"mode": "bridge", "key": key, "locks": str(containers.store.layout.locks)}
    if place:
        more["namespace"] = place
    if any(endpoint.get("id") for endpoint in endpoints.values()):
        more["dns"] = names_document(containers.store.context, container.id, host.get("Dns") or ())
    four, six = _addresses(endpoints.get(way))
    held = container.network.get("held") or container.network.get("ports")
    if held:
        published = publish.read_documents(held)  # type: ignore[arg-type]  # as the start writes it
        network = Networks(containers.store).find(way) if way and way != "bridge" else None
        design = network.design(key) if network else bridge.default(key)
        more |= {"table": design.table if way else "", "to": four, "to6": six}
        more |= {"forwards": publish.forwards(published, four), "forwards6": publish.forwards6(published, six)}
        more["target"] = str(endpoints[way]["address"] or endpoints[way].get("address6")) if way else ""
    gateways = [str(endpoints[way].get(field) or "") for field in ("gateway", "gateway6")] if way else ["", ""]
    numbers = [subnets.number(gateways[0]) or 0, subnets.number6(gateways[1]) or 0]
    changes = {
        "ports": [endpoint["port"] for endpoint in endpoints.values()],
        "joined": [endpoint["joined"] for endpoint in endpoints.values() if endpoint.get("joined")],
        "gateways": {str(endpoints[way]["port"]): numbers} if way else {},
        "more": more,
    }
    rejoining.leave_word(str(containers.directory(container.id)), changes)


def _addresses(endpoint: dict[str, object] | None) -> tuple[int, int]:
    """Return the addresses of an endpoint, 0 for none."""
    if endpoint is None:
        return 0, 0
    return subnets.number(str(endpoint["address"])) or 0, subnets.number6(str(endpoint.get("address6") or "")) or 0


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
    config: list[dict[str, object]] = []
    if network is not None:
        config = [_pool_document(network.pool, subnets.text, subnets.dotted)] if network.ipv4 else []
        six = network.pool6
        if six is not None:  # what was chosen comes behind what was asked for
            place = 0 if six.fixed and not network.pool.fixed else len(config)
            config.insert(place, _pool_document(six, subnets.network6, subnets.text6))
    elif name == "bridge":
        leases.ensure_tables(store.database)
        subnet = leases.recorded_subnet(store.database)
        if subnet is None:
            with Rtnetlink() as links:
                subnet = default_subnet(store, links)
        config = [{"Subnet": subnets.text(subnet), "Gateway": subnets.dotted(subnet[0] + 1)}]
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
    with Rtnetlink() as links:
        way = links.way_out()
    return {
        f"{prefix}default_bridge": "true",
        f"{prefix}enable_icc": "true",
        f"{prefix}enable_ip_masquerade": "true",
        f"{prefix}host_binding_ipv4": "0.0.0.0",
        f"{prefix}name": bridge.default(store.layout.key).name,
        "com.docker.network.driver.mtu": str(way[1] if way else DEFAULT_MTU),
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
