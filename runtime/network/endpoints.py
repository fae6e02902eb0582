"""Join one network: its bridge is there, an address leased, and the document written that `attach` carries out."""

from __future__ import annotations

from runtime.errors import NetworkError
from runtime.network import bridge, home, leases, namespaces, resolv, subnets
from runtime.store.leases import boot_mark, is_alive, own_name, start_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from runtime.network.networks import Network
    from runtime.network.pools import Pool
    from runtime.network.rtnetlink import Rtnetlink
    from runtime.network.settings import EndpointSettings
    from runtime.store import Store

_BRIDGE = "bridge"
DEFAULT_MTU = 1500

Wanted = tuple[int, int]
"""The IPv4 and the IPv6 address that a container asks for, 0 for any."""


class Lease:
    """The addresses of one container in one network, and the process that they are leased to."""

    def __init__(
        self,
        store: Store,
        subnet: subnets.Subnet,
        owner: str,
        network: Network | None,
        wanted: Wanted,
        *,
        ipv6: bool = True,
    ) -> None:
        self._database = store.database
        self._followed = False
        self._process = own_name(store.context)
        pool = network.pool if network else None
        self.address = leases.take(
            self._database,
            subnet,
            owner=owner,
            process=self._process,
            span=(pool.first, pool.last) if pool else None,
            excluded=_kept_free(pool, gateway=network is None or network.keeps_gateway(4)),
            wanted=wanted[0],
        )
        self.address6 = 0
        pool6 = network.pool6 if network and network.ipv6 and ipv6 else None
        if pool6 is not None:
            try:
                self.address6 = leases.take6(
                    self._database,
                    (pool6.first, pool6.last),
                    owner=owner,
                    process=self._process,
                    preferred=pool6.network + self.address - subnet[0],
                    excluded=_kept_free(pool6, gateway=network is None or network.keeps_gateway(6)),
                    wanted=wanted[1],
                )
            except BaseException:
                self.close()
                raise

    def follow(self, pid: int) -> None:
        started = start_time(pid)
        if started is None:
            return  # it has ended: the block's end gives the address back
        process = f"{pid}-{started}-{boot_mark()}-{self._process.rpartition('-')[2]}"
        leases.hand_over(self._database, process=self._process, to=process)
        self._process = process
        self._followed = True

    def close(self) -> None:
        if not (self._followed and is_alive(self._process)):
            leases.release(self._database, process=self._process)


def _kept_free(pool: Pool | None, *, gateway: bool) -> tuple[int, ...]:
    """Return the addresses that no container gets: the gateway's, if there is one, and those that were given names."""
    if pool is None:
        return ()
    named = (subnets.number6(text) if ":" in text else subnets.number(text) for text in pool.aux.values())
    return (*([pool.gateway] if gateway else []), *(address for address in named if address is not None))


class Endpoint:
    """One network of one container: the bridge is there, the address leased. `document` is for attach."""

    def __init__(
        self, store: Store, name: str, settings: EndpointSettings, owner: str, at: home.Home, *, ipv6: bool = True
    ) -> None:
        """Join network `name`, whose bridge is `at` home. Raises NotFound and NetworkError.

        Without `ipv6` the container has none, whatever the network has.
        """
        key = store.layout.key
        self.network = network = _find_network(store, name)
        self.name = network.name if network else _BRIDGE
        self.internal = network.internal if network else False
        self.priority = settings.get("GwPriority", 0)
        self.design = network.design(key) if network else bridge.default(key)
        wanted = check_addresses(network, settings)
        found, mtu = _ensure_bridge(store, self.design, network, at)
        self.gateway, self.prefix = found.gateway, found.prefix
        self.lease = Lease(store, (found.network, found.prefix), owner, network, wanted, ipv6=ipv6)
        self.address6 = self.lease.address6
        address = self.lease.address
        four = network is None or network.ipv4
        self.document: dict[str, Any] = {
            "bridge": found.index,
            "port": bridge.port_name(key, address),
            "mac": settings.get("MacAddress") or bridge.mac_of(address),
            "address": address if four else 0,
            "gateway": found.gateway if four and not self.internal else 0,
            "prefix": found.prefix,
            "mtu": (network.mtu if network else 0) or mtu,
            "link": network.link_prefix if network else "eth",
        }
        if not self.design.manner.icc:
            self.document["apart"] = True
        if settings.get("LinkLocalIPs"):
            self.document["link_local"] = [_link_local(text) for text in settings["LinkLocalIPs"]]
        if settings.get("DriverOpts"):
            from runtime.network import endpointoptions  # lazy: hardly any link has options

            self.document["name"] = endpointoptions.link_name(settings["DriverOpts"])
            self.document["sysctls"] = endpointoptions.sysctls(settings["DriverOpts"])
        gateway = self.document["gateway"]
        self.facts: dict[str, object] = {
            "id": network.id if network else "",
            "port": self.document["port"],
            "address": subnets.dotted(address) if four else "",
            "gateway": subnets.dotted(gateway) if gateway else "",
            "prefix": found.prefix if four else 0,
            "mac": self.document["mac"],
            "aliases": list(settings.get("Aliases") or ()),
            "links": _links(settings),
            "internal": self.internal,
            "priority": self.priority,
        }
        pool6 = network.pool6 if network else None
        if self.address6 and pool6 is not None:
            gateway6 = 0 if self.internal else pool6.gateway
            self.document |= {"address6": self.address6, "prefix6": pool6.prefix, "gateway6": gateway6}
            self.facts |= {
                "address6": subnets.text6(self.address6),
                "prefix6": pool6.prefix,
                "gateway6": subnets.text6(gateway6) if gateway6 else "",
            }

    @property
    def target(self) -> str:
        """The address at which the host reaches the container."""
        return str(self.facts["address"] or self.facts.get("address6", ""))

    @property
    def gateway_text(self) -> str:
        """The address of the bridge, of IPv4 where there is one."""
        if self.document["address"] or not self.design.six:
            return subnets.dotted(self.gateway)
        return subnets.text6(self.design.six[0])


def _links(settings: EndpointSettings) -> list[tuple[str, str]]:
    """Read `NAME:ALIAS` as (alias, name)."""
    return [(alias or name, name) for name, _, alias in (text.partition(":") for text in settings.get("Links") or ())]


def _find_network(store: Store, name: str) -> Network | None:
    """Return a user's network, None for the default one."""
    if name == _BRIDGE:
        return None
    from runtime.network.networks import Networks  # lazy: 12 ms that the default bridge does not need

    return Networks(store).find(name)


def check_addresses(network: Network | None, settings: EndpointSettings) -> Wanted:
    """Return the addresses that are asked for of a network. Raises NetworkError for what it cannot give."""
    for text in settings.get("LinkLocalIPs") or ():
        _link_local(text)
    return (
        _wanted_address(network, settings.get("IPAddress", "")),
        _wanted_address6(network, settings.get("IPv6Address", "")),
    )


def _link_local(text: str) -> tuple[int, int, bool]:
    """Read an address as (number, prefix, whether it is of IPv6)."""
    number, number6 = subnets.number(text), subnets.number6(text)
    if number is not None and number >> 16 == 0xA9FE:
        return number, 16, False
    if number6 is not None and number6 >> 118 == 0xFE80 >> 6:
        return number6, 64, True
    raise NetworkError(f"invalid link-local IP address: {text}", hint="one of 169.254.0.0/16 or fe80::/10")


def _wanted_address(network: Network | None, text: str) -> int:
    """Check an address that a container asks for; 0 where it asks for none."""
    if not text:
        return 0
    address = subnets.number(text)
    if address is None:
        raise NetworkError(f"invalid IPv4 address: {text}")
    return _within(network, network.pool if network else None, address, text)


def _wanted_address6(network: Network | None, text: str) -> int:
    if not text:
        return 0
    address = subnets.number6(text)
    if address is None:
        raise NetworkError(f"invalid IPv6 address: {text}")
    return _within(network, network.pool6 if network and network.ipv6 else None, address, text)


def _within(network: Network | None, pool: Pool | None, address: int, text: str) -> int:
    if network is None or pool is None or not pool.fixed:
        raise NetworkError(
            "user specified IP address is supported only when connecting to networks with user configured subnets",
            hint="make one: pybuild network create --subnet 10.9.0.0/24 NAME",
        )
    bits = 128 if ":" in text else 32
    count = 1 << (bits - pool.prefix)
    ends = (0, count - 1) if bits == 32 and count > 2 else (0,) if bits == 128 else ()
    if not 0 <= address - pool.network < count or address - pool.network in ends:
        write = subnets.network6 if bits == 128 else subnets.text
        raise NetworkError(
            f"no configured subnet or ip-range contain the IP address {text}",
            hint=f"{network.name} is {write(pool.subnet)}",
        )
    if address == pool.gateway and network.keeps_gateway(4 if bits == 32 else 6):
        raise NetworkError(f"Address already in use: {text} is the gateway of {network.name}")
    return address


def _ensure_bridge(
    store: Store, design: bridge.Design, network: Network | None, at: home.Home
) -> tuple[bridge.Bridge, int]:
    """Return a bridge, made if it is missing, and the MTU of the way out in bytes."""

    def choose(links: Rtnetlink) -> tuple[int, int, int]:
        if network is not None:
            return network.pool.network, network.pool.prefix, network.pool.gateway
        subnet = default_subnet(store, links, outside)
        return *subnet, subnet[0] + 1

    try:
        outside = _host_routes() if at.path else []
        found, mtu = namespaces.within(at.namespace, lambda: bridge.ensure(design, choose))
    except OSError as error:
        raise NetworkError(
            f"the network cannot be set up: {error.strerror or error}",
            hint="it needs CAP_NET_ADMIN, nf_tables and ip_forward; else use --network none or --network host",
        ) from error
    return found, mtu or DEFAULT_MTU


def default_subnet(store: Store, links: Rtnetlink, outside: Sequence[subnets.Subnet] = ()) -> subnets.Subnet:
    """Return the subnet that the default bridge has when it is made now: the last one, where that is free.

    `links` are those beside it, `outside` what else is taken.
    """
    from runtime.network.networks import Networks, kernel_subnets  # lazy: 12 ms, only for a new bridge

    taken = [*kernel_subnets(links, resolv.host_resolver().servers), *Networks(store).taken(), *outside]
    return subnets.choose(store.layout.key, taken, leases.recorded_subnet(store.database))


def _host_routes() -> list[subnets.Subnet]:
    """Return where the machine's own networks are, which the namespace of the bridges does not show."""
    from runtime.network.rtnetlink import Rtnetlink

    with Rtnetlink() as links:
        return links.routes()
