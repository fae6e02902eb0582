"""Ask the kernel for links, addresses and routes, and make them: what of rtnetlink(7) a container needs.

Standard library alone, and usable under `python -I -S`. Addresses are numbers (IPv4, host byte order of Python's int)
or IPv6, which is asked for by its family; link-layer addresses are texts like `02:42:0a:c8:00:02`.
"""

from __future__ import annotations

import errno
import os
import struct

from runtime.network.netlink import (
    NETLINK_ROUTE,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    Message,
    Netlink,
    attribute,
    attributes,
    nested,
    string,
    text,
    u32,
)

AF_UNSPEC = 0
AF_INET = 2
AF_INET6 = 10

RTM_NEWLINK = 16
RTM_DELLINK = 17
RTM_GETLINK = 18
RTM_SETLINK = 19
RTM_NEWADDR = 20
RTM_GETADDR = 22
RTM_NEWROUTE = 24
RTM_GETROUTE = 26

IFF_UP = 0x1
IFLA_ADDRESS = 1
IFLA_IFNAME = 3
IFLA_MTU = 4
IFLA_MASTER = 10
IFLA_LINKINFO = 18
IFLA_AF_SPEC = 26
IFLA_NET_NS_PID = 19
IFLA_INFO_KIND = 1
IFLA_INFO_DATA = 2
IFLA_INET6_ADDR_GEN_MODE = 8
IN6_ADDR_GEN_MODE_NONE = 1
IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA = 4, 5
IFLA_BRPORT_MODE, IFLA_BRPORT_ISOLATED = 4, 33
VETH_INFO_PEER = 1

IFA_ADDRESS = 1
IFA_LOCAL = 2
IFA_BROADCAST = 4
IFA_F_NODAD = 0x02

RTA_DST = 1
RTA_OIF = 4
RTA_GATEWAY = 5
RTA_METRICS = 8
RTAX_MTU = 2
RT_TABLE_MAIN = 254
RTPROT_BOOT = 3
RTN_UNICAST = 1

IFNAMSIZ = 16
LOOPBACK_INDEX = 1

_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")
_PROBE = 0x01010101
"""An address outside every private range; the kernel is asked how it would reach it, nothing is sent there."""


class Link:
    """What the kernel says of a link: `mtu` in bytes, `kind` as "bridge" ("" for a device), `master` an index."""

    __slots__ = ("index", "kind", "master", "mtu", "name", "up")

    def __init__(self, body: bytes) -> None:
        _, _, self.index, flags, _ = _LINK.unpack_from(body)
        found = attributes(body[_LINK.size :])
        info = attributes(found.get(IFLA_LINKINFO, b""))
        self.name = string(found.get(IFLA_IFNAME, b""))
        self.kind = string(info.get(IFLA_INFO_KIND, b""))
        self.mtu = _u32(found.get(IFLA_MTU))
        self.master = _u32(found.get(IFLA_MASTER))
        self.up = bool(flags & IFF_UP)


class Rtnetlink(Netlink):
    """A socket for links, addresses and routes of the network namespace that its thread is in when it is made."""

    def __init__(self) -> None:
        super().__init__(NETLINK_ROUTE)

    def __enter__(self) -> Rtnetlink:
        return self

    def link(self, name: str) -> Link | None:
        """Look a link up by name."""
        body = _link_body(attributes=(text(IFLA_IFNAME, name),))
        reply = self.ask(Message(RTM_GETLINK, 0, body, f"link {name}", (errno.ENODEV,)))
        return Link(reply) if reply else None

    def link_at(self, index: int) -> Link | None:
        """Look a link up by its index."""
        reply = self.ask(Message(RTM_GETLINK, 0, _link_body(index=index), f"link {index}", (errno.ENODEV,)))
        return Link(reply) if reply else None

    def links(self) -> list[Link]:
        """List all links of the namespace."""
        return [Link(body) for body in self.dump(Message(RTM_GETLINK, 0, _link_body(), "links"))]

    def addresses(self, family: int = AF_INET) -> list[tuple[int, int, int]]:
        """List the addresses of one family in the namespace as (link index, address, prefix length)."""
        found = []
        for body in self.dump(Message(RTM_GETADDR, 0, _ADDRESS.pack(family, 0, 0, 0, 0), "addresses")):
            version, prefix, _, _, index = _ADDRESS.unpack_from(body)
            values = attributes(body[_ADDRESS.size :])
            local = values.get(IFA_LOCAL) or values.get(IFA_ADDRESS)
            if version == family and local:
                found.append((index, int.from_bytes(local, "big"), prefix))
        return found

    def routes(self, family: int = AF_INET) -> list[tuple[int, int]]:
        """List the destinations of all routes, of every table, as (network, prefix length); default is /0."""
        found = []
        for body in self.dump(Message(RTM_GETROUTE, 0, _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0), "routes")):
            version, prefix = body[0], body[1]
            destination = attributes(body[_ROUTE.size :]).get(RTA_DST, bytes(4))
            if version == family:
                found.append((int.from_bytes(destination, "big"), prefix))
        return found

    def way_out(self, destination: int = _PROBE) -> tuple[int, int] | None:
        """Ask how `destination` would be reached: (link index, MTU in bytes); None where it cannot be."""
        body = _ROUTE.pack(AF_INET, 32, 0, 0, 0, 0, 0, 0, 0) + attribute(RTA_DST, destination.to_bytes(4, "big"))
        unreachable = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL)
        reply = self.ask(Message(RTM_GETROUTE, 0, body, "route", unreachable))
        if reply is None:
            return None
        found = attributes(reply[_ROUTE.size :])
        index = _u32(found.get(RTA_OIF))
        mtu = _u32(attributes(found.get(RTA_METRICS, b"")).get(RTAX_MTU))
        if not mtu:
            link = self.link_at(index)
            mtu = link.mtu if link else 0
        return index, mtu

    def delete_link(self, name: str) -> None:
        """Delete a link; one that is gone already is no error. Takes tens of milliseconds: the kernel waits."""
        body = _link_body(attributes=(text(IFLA_IFNAME, name),))
        self.transact([Message(RTM_DELLINK, 0, body, f"link {name} cannot be deleted", (errno.ENODEV,))])


def new_bridge(name: str, mac: str) -> Message:
    """Make a bridge that is down; its address stays `mac` whatever is attached to it."""
    body = _link_body(
        attributes=(text(IFLA_IFNAME, name), _mac(mac), nested(IFLA_LINKINFO, text(IFLA_INFO_KIND, "bridge")))
    )
    return Message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body, f"bridge {name} cannot be made")


def new_veth(name: str, *, master: int, mtu: int, peer: str, peer_mac: str, pid: int) -> Message:
    """Make a pair: `name` here as a port of the bridge with index `master`, `peer` in the namespace of `pid`."""
    peer_body = _link_body(
        attributes=(text(IFLA_IFNAME, peer), _mac(peer_mac), u32(IFLA_MTU, mtu), u32(IFLA_NET_NS_PID, pid))
    )
    info = nested(
        IFLA_LINKINFO, text(IFLA_INFO_KIND, "veth"), nested(IFLA_INFO_DATA, nested(VETH_INFO_PEER, peer_body))
    )
    body = _link_body(attributes=(text(IFLA_IFNAME, name), u32(IFLA_MTU, mtu), u32(IFLA_MASTER, master), info))
    return Message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body, f"veth pair {name} cannot be made")


def hairpin(name: str) -> Message:
    """Let a port of a bridge send back where a frame came from: a container that reaches itself by the host's name."""
    return _bridge_port(name, IFLA_BRPORT_MODE)


def isolated(name: str) -> Message:
    """Keep a port of a bridge from the other ports that are isolated; what the bridge itself sends still arrives."""
    return _bridge_port(name, IFLA_BRPORT_ISOLATED)


def _bridge_port(name: str, kind: int) -> Message:
    data = nested(IFLA_INFO_SLAVE_DATA, attribute(kind, b"\1"))
    info = nested(IFLA_LINKINFO, text(IFLA_INFO_SLAVE_KIND, "bridge"), data)
    return Message(RTM_NEWLINK, 0, _link_body(attributes=(text(IFLA_IFNAME, name), info)), f"port {name}")


def quiet_ipv6(name: str) -> list[Message]:
    """Let a link make no IPv6 address by itself; nothing to do where the kernel has no IPv6."""
    if not os.path.exists("/proc/net/if_inet6"):
        return []
    mode = attribute(IFLA_INET6_ADDR_GEN_MODE, bytes([IN6_ADDR_GEN_MODE_NONE]))
    body = _link_body(attributes=(text(IFLA_IFNAME, name), nested(IFLA_AF_SPEC, nested(AF_INET6, mode))))
    return [Message(RTM_SETLINK, 0, body, f"link {name}", (errno.EAFNOSUPPORT, errno.EOPNOTSUPP, errno.EINVAL))]


def link_up(name: str) -> Message:
    """Set a link up."""
    body = _LINK.pack(AF_UNSPEC, 0, 0, IFF_UP, IFF_UP) + text(IFLA_IFNAME, name)
    return Message(RTM_SETLINK, 0, body, f"link {name} cannot be set up")


def new_address(index: int, address: int, prefix: int, family: int = AF_INET) -> Message:
    """Give the link with `index` an address in a network of `prefix` bits; one that it has is no error.

    An IPv6 address is used at once, without asking whether another has it.
    """
    raw = address.to_bytes(_size(family), "big")
    flags = IFA_F_NODAD if family == AF_INET6 else 0
    body = _ADDRESS.pack(family, prefix, flags, 0, index)
    body += attribute(IFA_LOCAL, raw) + attribute(IFA_ADDRESS, raw)
    if family == AF_INET and prefix < 31:
        body += attribute(IFA_BROADCAST, (address | ((1 << (32 - prefix)) - 1)).to_bytes(4, "big"))
    return Message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, body, "address cannot be set", (errno.EEXIST,))


def new_default_route(gateway: int, family: int = AF_INET, *, replace: bool = False) -> Message:
    """Route everything through `gateway`, which a link of the namespace reaches already.

    `replace`: also where another default route is there, which goes.
    """
    body = _ROUTE.pack(family, 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, 0, RTN_UNICAST, 0)
    body += attribute(RTA_GATEWAY, gateway.to_bytes(_size(family), "big"))
    flags = NLM_F_CREATE | (NLM_F_REPLACE if replace else NLM_F_EXCL)
    return Message(RTM_NEWROUTE, flags, body, "default route cannot be set", (errno.EEXIST,))


def _size(family: int) -> int:
    return 4 if family == AF_INET else 16


def _link_body(*, index: int = 0, attributes: tuple[bytes, ...] = ()) -> bytes:
    return _LINK.pack(AF_UNSPEC, 0, index, 0, 0) + b"".join(attributes)


def _mac(value: str) -> bytes:
    return attribute(IFLA_ADDRESS, bytes.fromhex(value.replace(":", "")))


def _u32(value: bytes | None) -> int:
    found: int = struct.unpack("=I", value)[0] if value and len(value) == 4 else 0
    return found
