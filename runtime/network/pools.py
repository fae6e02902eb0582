"""Read and choose the subnets of a user's network: one of IPv4, and one of IPv6 where it has that.

The flags come as texts for both versions together; each belongs to the subnet that it lies in.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence

from frozen import Frozen, field
from runtime.errors import Conflict, NetworkError
from runtime.network import subnets

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


class Wishes(Frozen):
    """What was asked for: subnets, gateways and ranges as written, `aux` names to addresses that are kept free.

    `ipv4`, `ipv6`: containers get such addresses. `options` are only kept.
    """

    subnets: Sequence[str] = ()
    gateways: Sequence[str] = ()
    ranges: Sequence[str] = ()
    aux: Mapping[str, str] = field(default_factory=dict)
    ipv4: bool = True
    ipv6: bool = False
    options: Mapping[str, str] = field(default_factory=dict)


class Pool(Frozen):
    """A subnet; addresses are numbers. `first` and `last` are what containers get, `ip_range` as it was asked for.

    `fixed`: the subnet was given; `routed`: so was the gateway, by default the first that containers could get. `aux`
    are names of addresses that no container gets.
    """

    network: int
    prefix: int
    gateway: int
    first: int
    last: int
    ip_range: str = ""
    fixed: bool = False
    routed: bool = False
    aux: dict[str, str] = field(default_factory=dict)

    @property
    def subnet(self) -> subnets.Subnet:
        """Its lowest address and prefix length."""
        return self.network, self.prefix


def automatic(subnet: subnets.Subnet, bits: int) -> Pool:
    """Return the pool of a subnet that was chosen: the first address is the gateway's."""
    network, prefix = subnet
    highest = network + (1 << (bits - prefix)) - 1
    return Pool(
        network=network, prefix=prefix, gateway=network + 1, first=network + 2, last=highest - (bits == 32), routed=True
    )


def read(wishes: Wishes, taken4: Iterable[subnets.Subnet], taken6: Iterable[subnets.Subnet]) -> dict[int, Pool]:
    """Return the pools that were asked for, by version (4, 6). Raises NetworkError, and Conflict for what is taken."""
    found: dict[int, IPNetwork] = {}
    for text in wishes.subnets:
        whole = _cidr(text, "subnet")
        if whole.version in found:
            raise NetworkError("bridge driver doesn't support multiple subnets", hint="one of IPv4 and one of IPv6")
        found[whole.version] = whole
    if not found and (wishes.gateways or wishes.ranges):
        raise NetworkError("every ip-range or gateway must have a corresponding subnet", hint="give --subnet as well")
    gateways = _placed(wishes.gateways, found, "gateway")
    aux: dict[int, dict[str, str]] = {}
    for name, text in wishes.aux.items():
        mine = aux.setdefault(_home(text, found, "aux-address").version, {})
        if text in mine.values():
            raise NetworkError(f"failed to allocate secondary ip address ({name}:{text}): Address already in use")
        mine[name] = text
    ranges: dict[int, IPNetwork] = {}
    for text in wishes.ranges:
        part = _cidr(text, "ip-range")
        whole_or_none = found.get(part.version)
        if whole_or_none is None or not part.subnet_of(whole_or_none):  # type: ignore[arg-type]  # of one version
            raise NetworkError(f"no matching subnet for range {text}", hint="give --subnet as well")
        ranges[part.version] = part
    made = {}
    for version, whole in found.items():
        taken = taken4 if version == 4 else taken6
        made[version] = _pool(whole, gateways.get(version, ""), ranges.get(version), aux.get(version, {}), taken)
    return made


def _pool(
    whole: IPNetwork, gateway: str, part: IPNetwork | None, aux: dict[str, str], taken: Iterable[subnets.Subnet]
) -> Pool:
    bits = whole.max_prefixlen
    if whole.prefixlen > bits - 1:
        raise NetworkError(f"subnet {whole} has no room for a gateway and a container")
    network = int(whole.network_address)
    for other in taken:
        if subnets.overlap((network, whole.prefixlen), other, bits):
            write = subnets.text if whole.version == 4 else subnets.network6
            raise Conflict(
                "invalid pool request: Pool overlaps with other one on this address space",
                hint=f"{write(other)} is in use already",
            )
    highest = int(whole.broadcast_address)
    if whole.version == 6:
        ends, first, last = {network}, network + 1, highest
    elif whole.prefixlen == 31:  # two ends of a line (RFC 3021)
        ends, first, last = set(), network, highest
    else:
        ends, first, last = {network, highest}, network + 1, highest - 1
    if part is not None:
        first, last = max(first, int(part.network_address)), min(last, int(part.broadcast_address))
    at = int(ipaddress.ip_address(gateway)) if gateway else first
    if at in ends:
        raise NetworkError(
            f"failed to allocate gateway ({gateway}): Address already in use", hint="it is the subnet's own"
        )
    for name, text in aux.items():
        if int(ipaddress.ip_address(text)) in {*ends, at}:
            raise NetworkError(
                f"failed to allocate secondary ip address ({name}:{text}): Address already in use",
                hint="it is the gateway's, or the subnet's own",
            )
    return Pool(
        network=network,
        prefix=whole.prefixlen,
        gateway=at,
        first=first,
        last=last,
        ip_range=str(part) if part is not None else "",
        fixed=True,
        routed=bool(gateway),
        aux=aux,
    )


def _placed(texts: Iterable[str], found: Mapping[int, IPNetwork], what: str) -> dict[int, str]:
    placed: dict[int, str] = {}
    for text in texts:
        version = _home(text, found, what).version
        if version in placed:
            raise NetworkError(f"--{what} can be given once for each subnet")
        placed[version] = text
    return placed


def _home(text: str, found: Mapping[int, IPNetwork], what: str) -> IPNetwork:
    """Return the subnet in which an address lies."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise NetworkError(
            f"no matching subnet for {what} {text}: it is no address",
            hint="as NAME=10.9.0.5" if what == "aux-address" else "as 10.9.0.1",
        ) from None
    whole = found.get(address.version)
    if whole is None or address not in whole:
        raise NetworkError(f"no matching subnet for {what} {text}", hint="it has to lie in a --subnet")
    return whole


def _cidr(text: str, what: str) -> IPNetwork:
    try:
        network = ipaddress.ip_network(text, strict=False)
        if "/" not in text:
            raise ValueError
    except ValueError:
        raise NetworkError(
            f"invalid {what} {text}: invalid CIDR block notation", hint="write it as 10.9.0.0/24 or fd00:9::/64"
        ) from None
    if network.network_address != ipaddress.ip_address(text.partition("/")[0]):
        raise NetworkError(
            f"invalid {what} {text}: it should be {network}", hint="the bits behind the prefix have to be 0"
        )
    return network
