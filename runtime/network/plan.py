"""Plan how a container is connected: choose the way, lease an address, write its resolv.conf and hosts.

The document of a plan is carried out by runtime.network.attach, in the process that makes the container.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from frozen import Frozen
from runtime.errors import NetworkError, UsageError
from runtime.network import bridge, home, janitor, leases, namespaces, resolv, subnets
from runtime.network.attach import DNS_ADDRESS
from runtime.store.leases import boot_mark, is_alive, own_name, start_time

if TYPE_CHECKING:
    from runtime.context import Context
    from runtime.network.networks import Network
    from runtime.network.publish import Published, Reserved
    from runtime.network.rtnetlink import Rtnetlink
    from runtime.network.settings import EndpointSettings
    from runtime.store import Store

BRIDGE, NONE, HOST = "bridge", "none", "host"
PASTA, SLIRP4NETNS = "pasta", "slirp4netns"
MODES = (BRIDGE, NONE, HOST, PASTA, SLIRP4NETNS)

_DEFAULT_MTU = 1500
_WAIT = 0.002
"""Seconds between two looks while an unused bridge is being taken away (50 ms in all)."""


class Plan:
    """How one container is connected; valid inside the `with` block of `plan`.

    `mode` is one of MODES. `document` is for `attach`. `resolv_conf` and `hosts` are texts of the container's files.
    `address`, `gateway` (dotted), `prefix` (bits) and `mac` are None where the container has no address of ours.
    `users_fd` keeps the bridge: a process that outlives the block inherits it, and holds it open for the
    container's life; None where there is no bridge. `endpoints` are the networks by name, as `inspect` needs them; the
    plain facts are those of the first. `ports` are published, `sockets` the descriptors that hold them, for whoever
    inherits `users_fd`.
    """

    __slots__ = (
        *("_leases", "address", "document", "endpoints", "gateway", "hosts", "mac", "mode", "ports", "prefix"),
        *("resolv_conf", "sockets", "users_fd"),
    )

    def __init__(
        self,
        *,
        mode: str,
        document: dict[str, Any],
        resolv_conf: str,
        hosts: str,
        address: str | None = None,
        gateway: str | None = None,
    ) -> None:
        self.mode = mode
        self.document = document
        self.resolv_conf = resolv_conf
        self.hosts = hosts
        self.address = address
        self.gateway = gateway
        self.prefix: int | None = None
        self.mac: str | None = None
        self.users_fd: int | None = None
        self.endpoints: dict[str, dict[str, object]] = {}
        self.ports: tuple[Published, ...] = ()
        self.sockets: tuple[int, ...] = ()
        self._leases: list[Lease] = []

    def follow(self, pid: int) -> None:
        """Let the addresses belong to process `pid`: they stay leased after the block for as long as that one lives."""
        for lease in self._leases:
            lease.follow(pid)


class Lease:
    """An address of one container, and the process that it is leased to."""

    def __init__(
        self, store: Store, subnet: subnets.Subnet, owner: str, network: Network | None = None, wanted: int = 0
    ) -> None:
        self._database = store.database
        self._followed = False
        self._process = own_name(store.context)
        self.address = leases.take(
            self._database,
            subnet,
            owner=owner,
            process=self._process,
            span=(network.first, network.last) if network else None,
            gateway=network.gateway if network else 0,
            wanted=wanted,
        )

    def follow(self, pid: int) -> None:
        started = start_time(pid)
        if started is None:
            return  # it has ended: the block's end gives the address back
        process = f"{pid}-{started}-{boot_mark()}-{self._process.rpartition('-')[2]}"
        leases.hand_over(self._database, self.address, process=self._process, to=process)
        self._process = process
        self._followed = True

    def close(self) -> None:
        if not (self._followed and is_alive(self._process)):
            leases.release(self._database, self.address, process=self._process)


@contextmanager
def plan(  # noqa: PLR0913 - all but three are what `run` has flags for
    context: Context,
    store: Store,
    mode: str = BRIDGE,
    *,
    owner: str,
    hostname: str = "",
    add_hosts: Sequence[str] = (),
    dns: Sequence[str] = (),
    dns_search: Sequence[str] = (),
    dns_options: Sequence[str] = (),
    endpoints: Mapping[str, EndpointSettings] | None = None,
    reserved: Reserved | None = None,
) -> Iterator[Plan]:
    """Plan the network of one container; what was made for it is given back at the end of the block.

    `mode`: "bridge" (also "" and "default"), "none", "host", a helper by name (pasta, slirp4netns), or a user's network
    by its name. `endpoints` are the networks to join, `mode` and others, with what
    was asked of each (none: `mode` alone). `reserved` are the ports that are published and their sockets. `owner` is
    "container:ID" or "step:ID". `hostname` is named in the hosts file. Raises NetworkError where the network cannot be
    had, with what to do instead; NotFound for a network that there is not; UsageError for an added host or a name
    server that cannot be read. Nothing falls back to another mode by itself.
    """
    wanted = mode if mode not in {"", "default"} else BRIDGE
    joined = dict(endpoints) if endpoints is not None else {wanted: {}}
    resolver = _Resolving(tuple(add_hosts), hostname, _servers(dns), tuple(dns_search), tuple(dns_options))
    if wanted in {NONE, HOST}:
        yield resolver.plan(wanted, {"mode": wanted})
    elif wanted in {PASTA, SLIRP4NETNS}:
        with _helped(context, resolver, wanted, reserved) as made:
            yield made
    else:
        with _bridged(context, store, owner, resolver, joined, reserved) as made:
            yield made


@contextmanager
def _helped(context: Context, resolver: _Resolving, wanted: str, reserved: Reserved | None) -> Iterator[Plan]:
    """Make the plan of a container that has a helper of its own; pasta binds its ports itself."""
    from runtime.network import rootless  # lazy: 4 ms that bridges do without

    helper = rootless.find(context.environ, wanted)
    made = resolver.plan(helper.mode, {}, ipv6=helper.mode == PASTA, forward=helper.dns)
    place, forward = rootless.place(context), f"nameserver {helper.dns}\n" in made.resolv_conf
    bound = reserved.ports if reserved and wanted == PASTA else ()
    made.document = {
        "mode": helper.mode,
        "command": helper.command(place, forward=forward, ports=bound),
        "place": place,
    }
    if reserved is None:
        yield made
        return
    made.ports = tuple(reserved.ports)
    if wanted == PASTA:
        reserved.close()  # it has them for as long as it lives
        yield made
        return
    locks, key = str(context.layout.locks), context.layout.key
    made.document |= {"locks": locks, "key": key, "target": rootless.SLIRP_ADDRESS, "sockets": reserved.served}
    made.sockets = tuple(sock.fileno() for sock in reserved.sockets)
    made.users_fd = _become_user(context, locks)
    try:
        yield made
    finally:
        os.close(made.users_fd)
        janitor.leave(locks, key)


class _Resolving(Frozen, kw_only=False):
    """What the caller wants of names; makes the two files of a plan."""

    add_hosts: tuple[str, ...]
    hostname: str
    dns: tuple[str, ...]
    dns_search: tuple[str, ...]
    dns_options: tuple[str, ...]

    def plan(
        self,
        mode: str,
        document: dict[str, Any],
        *,
        address: str | None = None,
        gateway: str | None = None,
        ipv6: bool = False,
        forward: str | None = None,
        named: bool = False,
        more: Sequence[str] = (),
    ) -> Plan:
        """Make the plan; `named`: names are asked for at DNS_ADDRESS; `more` are further addresses of its own."""
        resolver = resolv.for_container(
            resolv.host_resolver(),
            shares_loopback=mode == HOST,
            ipv6=ipv6,
            forward=forward,
            dns=self.dns,
            dns_search=self.dns_search,
            dns_options=self.dns_options,
        )
        if named:
            resolver = resolv.for_names(resolver, DNS_ADDRESS)
        if mode == HOST:
            hosts = resolv.host_hosts(self.add_hosts)
        else:
            hosts = resolv.hosts_text(
                hostname=self.hostname, address=address, add_hosts=self.add_hosts, gateway=gateway, more=more
            )
        return Plan(
            mode=mode, document=document, resolv_conf=str(resolver), hosts=hosts, address=address, gateway=gateway
        )


@contextmanager
def _bridged(
    context: Context,
    store: Store,
    owner: str,
    resolver: _Resolving,
    joined: Mapping[str, EndpointSettings],
    reserved: Reserved | None,
) -> Iterator[Plan]:
    locks, key = str(context.layout.locks), context.layout.key
    leases.ensure_tables(store.database)
    users = _become_user(context, locks)
    try:
        with ExitStack() as stack:
            at = stack.enter_context(home.required(context))
            points = []
            for name, settings in joined.items():
                point = Endpoint(store, name, settings, owner, at)
                stack.callback(point.lease.close)
                points.append(point)
            made = _connected(context, owner, resolver, points, reserved)
            made.users_fd = users
            if at.path:
                made.document["namespace"] = at.path
                made.sockets = (at.namespace, *made.sockets)
            yield made
    finally:
        os.close(users)
        janitor.leave(locks, key)


def _connected(
    context: Context, owner: str, resolver: _Resolving, points: list[Endpoint], reserved: Reserved | None
) -> Plan:
    """Make the plan of a container with these networks; the first that is not internal is its way out."""
    document: dict[str, Any] = {"mode": BRIDGE, "locks": str(context.layout.locks), "key": context.layout.key}
    way = next((point for point in points if not point.internal), None)
    for point in points:
        if point is not way:
            point.document["gateway"] = 0
    if points:
        document |= points[0].document
        document["others"] = [point.document for point in points[1:]]
    if any(point.network for point in points) or (context.rootless and _only_local_servers(resolver.dns)):
        document["dns"] = names_document(context, owner.partition(":")[2], resolver.dns)
    if reserved is not None and way is not None:
        document |= _forwarding(reserved, way)
    made = resolver.plan(
        BRIDGE,
        document,
        address=subnets.dotted(points[0].lease.address) if points else None,
        gateway=subnets.dotted((way or points[0]).gateway) if points else None,
        named="dns" in document,
        more=[subnets.dotted(point.lease.address) for point in points[1:]],
    )
    if points:
        made.prefix, made.mac = points[0].prefix, points[0].document["mac"]
    made.endpoints = {point.name: point.facts for point in points}
    made._leases = [point.lease for point in points]
    if reserved is not None and way is not None:
        made.ports, made.sockets = tuple(reserved.ports), tuple(sock.fileno() for sock in reserved.sockets)
    return made


def _forwarding(reserved: Reserved, way: Endpoint) -> dict[str, Any]:
    """Describe the published ports: rules for IPv4, and the sockets that answer elsewhere."""
    from runtime.network.publish import forwards

    return {
        "table": way.design.table,
        "to": way.lease.address,
        "target": subnets.dotted(way.lease.address),
        "forwards": forwards(reserved.ports),
        "sockets": reserved.served,
    }


def _only_local_servers(dns: Sequence[str]) -> bool:
    """Tell whether names can only be asked for on the host's loopback, which an attendant does for the container."""
    servers = dns or resolv.host_resolver().servers
    return bool(servers) and all(resolv.is_loopback(server) for server in servers)


def names_document(context: Context, container: str, dns: Sequence[str]) -> dict[str, Any]:
    """Describe the name service of one container; `dns` are the servers that it was given, by default the host's."""
    layout = context.layout
    return {
        "servers": list(dns) or list(resolv.host_resolver().servers) or list(resolv.PUBLIC_SERVERS),
        "database": str(layout.database),
        "containers": str(layout.containers),
        "container": container,
    }


class Endpoint:
    """One network of one container: the bridge is there, the address leased. `document` is for attach."""

    def __init__(self, store: Store, name: str, settings: EndpointSettings, owner: str, at: home.Home) -> None:
        """Join network `name`, whose bridge is `at` home. Raises NotFound, NetworkError and UsageError."""
        key = store.layout.key
        self.network = _find_network(store, name)
        network = self.network
        self.name = network.name if network else BRIDGE
        self.internal = network.internal if network else False
        self.design = network.design(key) if network else bridge.default(key)
        wanted = _wanted_address(network, settings.get("IPAddress", ""))
        found, mtu = _ensure_bridge(store, self.design, network, at)
        self.gateway, self.prefix = found.gateway, found.prefix
        self.lease = Lease(store, (found.network, found.prefix), owner, network, wanted)
        address = self.lease.address
        self.document: dict[str, Any] = {
            "bridge": found.index,
            "port": bridge.port_name(key, address),
            "mac": settings.get("MacAddress") or bridge.mac_of(address),
            "address": address,
            "gateway": found.gateway,
            "prefix": found.prefix,
            "mtu": (network.mtu if network else 0) or mtu,
        }
        self.facts: dict[str, object] = {
            "id": network.id if network else "",
            "address": subnets.dotted(address),
            "gateway": "" if self.internal else subnets.dotted(found.gateway),
            "prefix": found.prefix,
            "mac": self.document["mac"],
            "aliases": list(settings.get("Aliases") or ()),
            "internal": self.internal,
        }


def _find_network(store: Store, name: str) -> Network | None:
    """Return a user's network, None for the default one."""
    if name == BRIDGE:
        return None
    from runtime.network.networks import Networks  # lazy: 12 ms that the default bridge does not need

    return Networks(store).find(name)


def _wanted_address(network: Network | None, text: str) -> int:
    """Check an address that a container asks for; 0 where it asks for none."""
    if not text:
        return 0
    address = subnets.number(text)
    if address is None:
        raise UsageError(f"invalid IPv4 address: {text}")
    if network is None or not network.fixed:
        raise UsageError(
            "user specified IP address is supported only when connecting to networks with user configured subnets",
            hint="make one: pybuild network create --subnet 10.9.0.0/24 NAME",
        )
    low, high = network.network, network.network + (1 << (32 - network.prefix)) - 1
    if not low < address < high:
        raise UsageError(
            f"no configured subnet contains IP address {text}", hint=f"{network.name} is {subnets.text(network.subnet)}"
        )
    if address == network.gateway:
        raise NetworkError(f"Address already in use: {text} is the gateway of {network.name}")
    return address


def _become_user(context: Context, locks: str) -> int:
    while (users := janitor.try_use(locks)) is None:
        context.cancel.check()
        context.cancel.wait(_WAIT)
    return users


def _ensure_bridge(
    store: Store, design: bridge.Design, network: Network | None, at: home.Home
) -> tuple[bridge.Bridge, int]:
    """Return a bridge, made if it is missing, and the MTU of the way out in bytes."""

    def choose(links: Rtnetlink) -> tuple[int, int, int]:
        if network is not None:
            return network.network, network.prefix, network.gateway
        from runtime.network.networks import Networks, kernel_subnets  # lazy: 12 ms, only for a new bridge

        taken = [*kernel_subnets(links, resolv.host_resolver().servers), *Networks(store).taken(), *outside]
        subnet = subnets.choose(store.layout.key, taken, leases.recorded_subnet(store.database))
        return *subnet, subnet[0] + 1

    try:
        outside = _host_routes() if at.path else []
        found, mtu = namespaces.within(at.namespace, lambda: bridge.ensure(design, choose))
    except OSError as error:
        raise NetworkError(
            f"the network cannot be set up: {error.strerror or error}",
            hint="it needs CAP_NET_ADMIN, nf_tables and ip_forward; else use --network none or --network host",
        ) from error
    return found, mtu or _DEFAULT_MTU


def _host_routes() -> list[subnets.Subnet]:
    """Return where the machine's own networks are, which the namespace of the bridges does not show."""
    from runtime.network.rtnetlink import Rtnetlink

    with Rtnetlink() as links:
        return links.routes()


def _servers(dns: Sequence[str]) -> tuple[str, ...]:
    import ipaddress  # lazy: 9 ms, and few name servers of their own

    for server in dns:
        try:
            ipaddress.ip_address(server.partition("%")[0])
        except ValueError:
            raise UsageError(f"{server} is not an ip address", hint="--dns takes an address") from None
    return tuple(dns)
