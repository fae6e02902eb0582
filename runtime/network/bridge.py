"""Make the bridge of one root and its firewall table, tell whether they are whole, take them away again.

Standard library alone, and usable under `python -I -S`. Everything is found by its name, which carries the root's
key: the default bridge `br-pbKEY` (15 characters, all that a name may have), its table `pybuild_KEY`, ports
`pbKEY5ADDRESS`; the bridge of a user's network `nKEYID4`, its table `pybuild_KEY_ID4`.
"""

from __future__ import annotations

import errno
import fcntl
import os

from runtime.network import firewalls, nftables, rtnetlink
from runtime.network.nftables import Nftables
from runtime.network.rtnetlink import Rtnetlink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_FORWARDING = "/proc/sys/net/ipv4/ip_forward"
_SETTINGS6 = "/proc/sys/net/ipv6/conf"
_LINK_LOCAL = (0xFE80 << 112 | 1, 64)
_IPTABLES = ("filter", "FORWARD")
"""Table and chain in which iptables-nft, and so Docker, decides what is forwarded."""


class Bridge:
    """A bridge as the kernel has it: `index` of the link, `gateway` its IPv4 address as a number, `prefix` in bits."""

    __slots__ = ("gateway", "index", "prefix")

    def __init__(self, index: int, gateway: int, prefix: int) -> None:
        self.index = index
        self.gateway = gateway
        self.prefix = prefix

    @property
    def network(self) -> int:
        """The lowest address of the subnet."""
        return self.gateway & (0xFFFFFFFF << (32 - self.prefix))


class Design:
    """What a bridge is to be: its `name`, its `table`, and how open it is to IPv4 and to IPv6.

    `six` are its IPv6 address and the prefix of the subnet, None for a network without. `bare`: the same of IPv4, for a
    bridge that has no such address itself; `bare6`: nor that of `six`.
    """

    __slots__ = ("bare", "bare6", "manner", "manner6", "name", "six", "table")

    def __init__(
        self,
        name: str,
        table: str,
        *,
        manner: nftables.Manner | None = None,
        manner6: nftables.Manner | None = None,
        six: tuple[int, int] | None = None,
        bare: tuple[int, int] | None = None,
        bare6: bool = False,
    ) -> None:
        self.name = name
        self.table = table
        self.manner = manner or nftables.Manner()
        self.manner6 = manner6 or self.manner
        self.six = six
        self.bare = bare
        self.bare6 = bare6

    @property
    def families(self) -> tuple[nftables.Family, ...]:
        """The versions of IP that it has tables for."""
        return (nftables.IPV4, nftables.IPV6) if self.six else (nftables.IPV4,)


def default(key: str) -> Design:
    """Give the default bridge of the root with `key`."""
    return Design(bridge_name(key), table_name(key))


def bridge_name(key: str) -> str:
    """Name the bridge of the root with `key` (10 hex digits)."""
    return f"br-pb{key}"


def user_bridges(key: str) -> str:
    """Give what the names of bridges of users' networks begin with, in the root with `key`; an id's digits follow."""
    return f"n{key}"


def table_name(key: str, network: str = "") -> str:
    """Name the nftables table of a bridge; it is the comment of its rules in other tables, too."""
    return f"pybuild_{key}_{network[:4]}" if network else f"pybuild_{key}"


def user_bridge_name(key: str, network: str) -> str:
    """Name the bridge of the network with the id `network` of the root with `key`."""
    return f"{user_bridges(key)}{network[:4]}"


def port_name(key: str, address: int) -> str:
    """Name the host's end of the veth pair of the container with `address`."""
    return f"pb{key[:5]}{address:08x}"


def address_of(port: str) -> int:
    """Return the address that a port is named by."""
    return int(port[-8:], 16)


def mac_of(address: int) -> str:
    """Give the link-layer address that goes with an IPv4 address, so that no neighbour's cache is ever stale."""
    return ":".join(f"{byte:02x}" for byte in b"\x02\x42" + address.to_bytes(4, "big"))


class NetworkLock:
    """Hold the lock of this network namespace, among all roots: nobody else chooses subnets or makes bridges meanwhile.

    It is a flock on the namespace itself, so it needs no file, and namespaces do not wait for each other.
    """

    def __init__(self) -> None:
        self._fd = -1

    def __enter__(self) -> NetworkLock:
        self._fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._fd)


def ensure(design: Design, choose: Callable[[Rtnetlink], tuple[int, int, int]]) -> tuple[Bridge, int]:
    """Return a bridge, made or completed where something of it is missing, and the MTU of the way out.

    The MTU is in bytes, 0 where there is no way out now.

    `choose` gives the (network, prefix, gateway) of a bridge that is new; it is called under the network lock. Where
    all is there this is five questions to the kernel (0.3 ms). The caller is registered as a user (janitor.Users), so
    nobody takes it away. Raises OSError that says what could not be made.
    """
    with Rtnetlink() as links, Nftables() as rules:
        found = _complete(design, links, rules)
        if found is None:
            with NetworkLock():
                found = _complete(design, links, rules) or _make(design, links, rules, choose)
        way = links.way_out()
    _enable_forwarding(_FORWARDING)
    if design.six:
        _enable_forwarding6()
    return found, way[1] if way else 0


def exists(key: str) -> bool:
    """Tell whether anything of a root's default bridge or its table is there."""
    with Rtnetlink() as links, Nftables() as rules:
        return links.link(bridge_name(key)) is not None or rules.has_table(table_name(key))


def take_down(key: str, named: Iterable[tuple[str, str]] = ()) -> None:
    """Delete all tables and bridges of a root and its entries in other firewalls; what is gone is no error.

    `named` are the (bridge, table) of bridges to whose names the user has given. Takes 50 ms a bridge: the kernel
    waits. The caller knows that nobody uses them (janitor.Users, exclusively).
    """
    first, prefix = table_name(key), user_bridge_name(key, "")
    with Rtnetlink() as links, Nftables() as rules:
        tables = list(dict.fromkeys((*rules.tables(first), *rules.tables(first, nftables.NFPROTO_IPV6))))
        found = [link.name for link in links.links()]
    bridges = {bridge_name(key): first} if bridge_name(key) in found or first in tables else {}
    bridges |= {name: f"{first}_{name[len(prefix) :]}" for name in found if name.startswith(prefix)}
    bridges |= {name: table for name, table in named if name in found}
    bridges |= {f"{prefix}{table[len(first) + 1 :]}": table for table in tables if table not in bridges.values()}
    for name, table in bridges.items():
        take_down_one(name, table)


def take_down_one(name: str, table: str) -> None:
    """Delete one bridge, its table, and its entries in other firewalls; what is gone is no error."""
    with Rtnetlink() as links, Nftables() as rules:
        doomed = []
        for family in (nftables.NFPROTO_IPV4, nftables.NFPROTO_IPV6):
            handles = rules.commented(*_IPTABLES, table, family)
            doomed += [nftables.delete_rule(*_IPTABLES, handle, family) for handle in handles]
            if rules.has_table(table, family):
                doomed.append(nftables.delete_table(table, family))
        if doomed:
            rules.commit(doomed)
        if links.link(name) is not None:
            firewalls.close_ways(rules, name, table)
            links.delete_link(name)


def _complete(design: Design, links: Rtnetlink, rules: Nftables) -> Bridge | None:
    """Look the bridge up; None where a part of it, or of its rules, is missing."""
    bridge = _look(design, links)
    if bridge is None or any(
        not rules.has_table(design.table, family.number) or _blocked(design, rules, family.number)
        for family in design.families
    ):
        return None
    return bridge


def _look(design: Design, links: Rtnetlink) -> Bridge | None:
    link = links.link(design.name)
    if link is None or not link.up:
        return None
    if design.bare:
        return Bridge(link.index, *design.bare)
    for index, address, prefix in links.addresses():
        if index == link.index:
            return Bridge(index, address, prefix)
    return None


def _blocked(design: Design, rules: Nftables, family: int) -> bool:
    """Tell whether another's FORWARD chain drops what it does not know, and does not know us."""
    return rules.drops_by_policy(*_IPTABLES, family) and not rules.commented(*_IPTABLES, design.table, family)


def _make(
    design: Design, links: Rtnetlink, rules: Nftables, choose: Callable[[Rtnetlink], tuple[int, int, int]]
) -> Bridge:
    name, table = design.name, design.table
    bridge = _look(design, links)
    new = bridge is None
    if bridge is None:
        bridge = _make_link(design, links, choose)
    messages = []
    for family in design.families:
        has_table = rules.has_table(table, family.number)
        if has_table and new:  # of a bridge that somebody deleted by hand: the subnet may be another now
            messages.append(nftables.delete_table(table, family.number))
        if new or not has_table:
            six = family is nftables.IPV6 and design.six
            messages += nftables.new_table(
                table,
                name,
                _lowest(*six, 128) if six else (bridge.network, bridge.prefix),
                family=family,
                manner=design.manner6 if six else design.manner,
            )
        if _blocked(design, rules, family.number):
            messages += nftables.pass_through(*_IPTABLES, name, table, family.number)
        if not has_table and family is nftables.IPV4:  # before the table: that it is there says that all this was done
            firewalls.open_ways(rules, name, table)
    rules.commit(messages)
    return bridge


def _lowest(address: int, prefix: int, bits: int) -> tuple[int, int]:
    return address >> (bits - prefix) << (bits - prefix), prefix


def _make_link(design: Design, links: Rtnetlink, choose: Callable[[Rtnetlink], tuple[int, int, int]]) -> Bridge:
    name = design.name
    link = links.link(name)
    if link is not None:
        if link.kind != "bridge":
            raise OSError(errno.EEXIST, f"link {name} is there and no bridge")
        links.delete_link(name)  # what a process left that died between two requests
    _, prefix, gateway = choose(links)
    mac = mac_of(gateway)
    if design.bare:  # a container may have that address, and the link-layer address with it
        mac = f"02:43{mac[5:]}"
    links.transact([rtnetlink.new_bridge(name, mac), *rtnetlink.quiet_ipv6(name)])
    link = links.link(name)
    if link is None:
        raise OSError(f"bridge {name} vanished while it was made")
    with open(f"/proc/sys/net/ipv4/conf/{name}/route_localnet", "wb", buffering=0) as file:
        file.write(b"1\n")  # for the host's loopback to published ports; the table guards the other direction
    addresses = [] if design.bare else [rtnetlink.new_address(link.index, gateway, prefix)]
    if design.six and not design.bare6:
        _write(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6", "0")
        addresses += [
            rtnetlink.new_address(link.index, address, bits, rtnetlink.AF_INET6)
            for address, bits in (design.six, _LINK_LOCAL)
        ]
    links.transact([*addresses, rtnetlink.link_up(name)])
    return Bridge(link.index, gateway, prefix)


def _enable_forwarding(path: str) -> None:
    with open(path, "rb") as file:
        if file.read(1) == b"1":
            return
    _write(path, "1")


def _enable_forwarding6() -> None:
    """Let the machine be a router for IPv6, and still take its own routes from others where it did."""
    path = f"{_SETTINGS6}/all/forwarding"
    try:
        with open(path, "rb") as file:
            if file.read(1) == b"1":
                return
        for name in os.listdir(_SETTINGS6):
            accept = f"{_SETTINGS6}/{name}/accept_ra"
            with open(accept, "rb") as file:
                learns = file.read(1) == b"1"
            if learns and name not in ("all", "default", "lo"):
                _write(accept, "2")  # 1 would be "unless it is a router" (ip-sysctl)
    except OSError as error:
        raise OSError(error.errno, f"{path}: {error.strerror}; has the kernel IPv6?") from error
    _write(path, "1")


def _write(path: str, text: str) -> None:
    try:
        with open(path, "wb", buffering=0) as file:
            file.write(f"{text}\n".encode())
    except OSError as error:
        raise OSError(error.errno, f"{text} cannot be written to {path}: {error.strerror}") from error
