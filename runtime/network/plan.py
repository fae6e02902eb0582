"""Plan how a container is connected: choose the way, lease an address, write its resolv.conf and hosts.

The document of a plan is carried out by runtime.network.attach, in the process that makes the container.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from frozen import Frozen
from runtime.errors import UsageError
from runtime.network import home, janitor, leases, resolv, subnets
from runtime.network.attach import DNS_ADDRESS
from runtime.network.endpoints import Endpoint, Lease
from runtime.network.ways import way_out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runtime.context import Context
    from runtime.network.publish import Published, Reserved
    from runtime.network.settings import EndpointSettings
    from runtime.store import Store

BRIDGE, NONE, HOST = "bridge", "none", "host"
PASTA, SLIRP4NETNS = "pasta", "slirp4netns"
MODES = (BRIDGE, NONE, HOST, PASTA, SLIRP4NETNS)

_ELSEWHERE = ("192.0.2.1", 9)
"""An address of no network in particular (RFC 5737)."""
_WAIT = 0.002
"""Seconds between two looks while an unused bridge is being taken away (50 ms in all)."""


class Plan:
    """How one container is connected; valid inside the `with` block of `plan`.

    `mode` is one of MODES. `document` is for `attach`. `resolv_conf` and `hosts` are texts of the container's files.
    `address`, `gateway` (dotted), `prefix` (bits) and `mac` are None where the container has no address of ours.
    `users_fd` keeps the bridge: a process that outlives the block inherits it, and holds it open for the
    container's life; None where there is no bridge. `endpoints` are the networks by name, as `inspect` needs them; the
    plain facts are those of the first. `ports` are published, `held` as well those that are not, for want of a
    way out; `sockets` the descriptors that hold them, for whoever inherits `users_fd`.
    """

    __slots__ = (
        *("_leases", "address", "document", "endpoints", "gateway", "held", "hosts", "mac", "mode", "ports", "prefix"),
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
        self.held: tuple[Published, ...] = ()
        self.sockets: tuple[int, ...] = ()
        self._leases: list[Lease] = []

    def follow(self, pid: int) -> None:
        """Let the addresses belong to process `pid`: they stay leased after the block for as long as that one lives."""
        for lease in self._leases:
            lease.follow(pid)


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
    ipv6: bool = True,
) -> Iterator[Plan]:
    """Plan the network of one container; what was made for it is given back at the end of the block.

    `mode`: "bridge" (also "" and "default"), "none", "host", a helper by name (pasta, slirp4netns), or a user's network
    by its name. `endpoints` are the networks to join, `mode` and others, with what
    was asked of each (none: `mode` alone). `reserved` are the ports that are published and their sockets. `owner` is
    "container:ID" or "step:ID". `hostname` is named in the hosts file. Without `ipv6` the container has switched that
    off: it gets no address of that version. Raises NetworkError where the network cannot be
    had, with what to do instead; NotFound for a network that there is not; UsageError for an added host or a name
    server that cannot be read. Nothing falls back to another mode by itself.
    """
    wanted = mode if mode not in {"", "default"} else BRIDGE
    joined = dict(endpoints) if endpoints is not None else {wanted: {}}
    resolver = _Resolving(tuple(add_hosts), hostname, _servers(dns), tuple(dns_search), tuple(dns_options), ipv6)
    if NONE in joined:
        wanted = NONE  # connected to it later
    if wanted == HOST or (wanted == NONE and (NONE in joined or not joined)):
        host = _default_gateway(store) if resolver.names_host else None
        yield resolver.plan(wanted, {"mode": wanted}, host=host)
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
    host = _host_address() if resolver.names_host else None
    made = resolver.plan(helper.mode, {}, host=host, ipv6=helper.mode == PASTA, forward=helper.dns)
    place, forward = rootless.place(context), f"nameserver {helper.dns}\n" in made.resolv_conf
    bound = reserved.ports if reserved and wanted == PASTA else ()
    made.document = {
        "mode": helper.mode,
        "command": helper.command(place, forward=forward, ports=bound, apart=resolver.names_host),
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
    made.users_fd = become_user(context, locks)
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
    own_ipv6: bool = True

    @property
    def names_host(self) -> bool:
        """Whether an added name is to stand for the host."""
        return any(entry.endswith(resolv.HOST_GATEWAY) for entry in self.add_hosts)

    def plan(
        self,
        mode: str,
        document: dict[str, Any],
        *,
        address: str | None = None,
        gateway: str | None = None,
        host: str | None = None,
        ipv6: bool = False,
        forward: str | None = None,
        more: Sequence[str] = (),
    ) -> Plan:
        """Make the plan; with a name service in `document` that is asked.

        `more` are further addresses of its own, `host` what `host-gateway` stands for where it is not the gateway.
        """
        resolver = resolv.for_container(
            resolv.host_resolver(),
            shares_loopback=mode == HOST,
            ipv6=ipv6,
            forward=forward,
            dns=self.dns,
            dns_search=self.dns_search,
            dns_options=self.dns_options,
        )
        if "dns" in document:
            resolver = resolv.for_names(resolver, DNS_ADDRESS, asked_of(document["dns"]))
        if mode == HOST:
            hosts = resolv.host_hosts(self.add_hosts)
        else:
            hosts = resolv.hosts_text(
                hostname=self.hostname,
                address=address,
                add_hosts=self.add_hosts,
                gateway=host or gateway,
                more=more,
                ipv6=self.own_ipv6,
            )
        return Plan(
            mode=mode,
            document=document,
            resolv_conf=resolver.document(),
            hosts=hosts,
            address=address,
            gateway=gateway,
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
    users = become_user(context, locks)
    try:
        with ExitStack() as stack:
            at = stack.enter_context(home.required(context))
            points = []
            for name, settings in joined.items():
                point = Endpoint(store, name, settings, owner, at, ipv6=resolver.own_ipv6)
                stack.callback(point.lease.close)
                points.append(point)
            made = _connected(context, owner, resolver, points, reserved, apart=bool(at.path))
            made.users_fd = users
            if at.path:
                made.document["namespace"] = at.path
                made.sockets = (at.namespace, *made.sockets)
            yield made
    finally:
        os.close(users)
        janitor.leave(locks, key)


def _connected(
    context: Context,
    owner: str,
    resolver: _Resolving,
    points: list[Endpoint],
    reserved: Reserved | None,
    *,
    apart: bool,
) -> Plan:
    """Make the plan of a container with these networks; `ways` says which of them is its way out.

    `apart`: the bridges are in a namespace of their own, so that their addresses are not the host's.
    """
    document: dict[str, Any] = {"mode": BRIDGE, "locks": str(context.layout.locks), "key": context.layout.key}
    ways = [point for point in points if point.facts["gateway"] or point.facts.get("gateway6")]
    chosen = way_out({point.name: point.facts for point in ways})
    way = next((point for point in ways if point.name == chosen), None)
    for point in points:
        if point is not way:
            point.document["gateway"] = 0
    way6 = way if way and way.address6 else next((point for point in ways if point.address6), None)
    for point in points:
        if point is not way6 and point.address6:
            point.document["gateway6"] = 0
    if points:
        document |= points[0].document
        document["others"] = [point.document for point in points[1:]]
    if any(point.network for point in points) or (context.rootless and _only_local_servers(resolver.dns)):
        document["dns"] = names_document(context, owner.partition(":")[2], resolver.dns)
        if owner.startswith("step:"):  # no row tells of it
            document["dns"]["networks"] = {point.name: point.facts for point in points}
    if reserved is not None:
        document |= _forwarding(reserved, way)
        document |= {"database": str(context.layout.database), "owner": owner.partition(":")[2]}
    own = [text for point in points for text in (point.facts["address"], point.facts.get("address6")) if text]
    made = resolver.plan(
        BRIDGE,
        document,
        address=str(own[0]) if own else None,
        gateway=(way or points[0]).gateway_text if points else None,
        host=_host_address() if apart and way and resolver.names_host else None,
        ipv6=way6 is not None,
        more=[str(text) for text in own[1:]],
    )
    if points:
        made.address = str(points[0].facts["address"]) or None
        made.prefix, made.mac = points[0].prefix, points[0].document["mac"]
    made.endpoints = {point.name: point.facts for point in points}
    made._leases = [point.lease for point in points]
    if reserved is not None:
        made.held, made.sockets = tuple(reserved.ports), tuple(sock.fileno() for sock in reserved.sockets)
        made.ports = made.held if way is not None else ()
    return made


def _host_address() -> str | None:
    """Return the address by which the machine goes out, None where there is no way; nothing is sent."""
    import socket  # lazy: few name the host

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(_ELSEWHERE)
        except OSError:
            return None
        return str(sock.getsockname()[0])


def _default_gateway(store: Store) -> str:
    """Return the default bridge's address, which `host-gateway` stands for where no bridge is joined."""
    from runtime.network.endpoints import default_subnet
    from runtime.network.rtnetlink import Rtnetlink

    leases.ensure_tables(store.database)
    subnet = leases.recorded_subnet(store.database)
    if subnet is None:
        with Rtnetlink() as links:
            subnet = default_subnet(store, links)
    return subnets.dotted(subnet[0] + 1)


def _forwarding(reserved: Reserved, way: Endpoint | None) -> dict[str, Any]:
    """Describe the published ports: rules for each version of IP, and the sockets that answer elsewhere.

    Without a way they go nowhere until the container gets one (containers.membership).
    """
    from runtime.network.publish import forwards, forwards6

    if way is None:
        return {
            "table": "",
            "target": "",
            "forwards": forwards(reserved.ports),
            "forwards6": forwards6(reserved.ports),
            "sockets": reserved.served,
        }
    four, six = way.document["address"], way.address6
    return {
        "table": way.design.table,
        "to": four,
        "target": way.target,
        "forwards": forwards(reserved.ports, four) if four else [],
        "sockets": reserved.served,
        **({"to6": six, "forwards6": forwards6(reserved.ports, six)} if six else {}),
    }


def _only_local_servers(dns: Sequence[str]) -> bool:
    """Tell whether names can only be asked for on the host's loopback, which an attendant does for the container."""
    servers = dns or resolv.host_resolver().servers
    return bool(servers) and all(resolv.is_loopback(server) for server in servers)


def names_document(context: Context, container: str, dns: Sequence[str]) -> dict[str, Any]:
    """Describe the name service of one container; `dns` are the servers that it was given, by default the host's.

    Those that it was given are asked from its own network, unless they are on a loopback: then the host's is meant.
    """
    layout = context.layout
    return {
        "servers": list(dns) or list(resolv.host_resolver().servers) or list(resolv.PUBLIC_SERVERS),
        "near": [server for server in dns if not resolv.is_loopback(server)],
        "database": str(layout.database),
        "containers": str(layout.containers),
        "container": container,
    }


def asked_of(names: Mapping[str, Any]) -> tuple[str, ...]:
    """Name the servers that a name service asks, as a resolv.conf's comment does."""
    near = names["near"]
    return tuple(server if server in near else f"host({server})" for server in names["servers"])


def become_user(context: Context, locks: str) -> int:
    """Become a user of the bridges (janitor.try_use), once it is settled that they stay."""
    while (users := janitor.try_use(locks)) is None:
        context.cancel.check()
        context.cancel.wait(_WAIT)
    return users


def _servers(dns: Sequence[str]) -> tuple[str, ...]:
    import ipaddress  # lazy: 9 ms, and few name servers of their own

    for server in dns:
        try:
            ipaddress.ip_address(server.partition("%")[0])
        except ValueError:
            raise UsageError(f"{server} is not an ip address", hint="--dns takes an address") from None
    return tuple(dns)
