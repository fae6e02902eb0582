"""Write the firewall table of one root, and find a way past a FORWARD chain that drops (nfnetlink, as nft does it).

The table (family ip) of a bridge with network NET; `pybuild_KEY` is that of the default bridge. A bridge with IPv6 has
one of the same name and kind in family ip6, with longer addresses and without what is said of the loopback::

    map ports     { type inet_proto . inet_service : ipv4_addr . inet_service }
    map addressed { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service }
    set open      { type ipv4_addr . inet_proto . inet_service }    only where it is routed
    chain guard       { type filter hook prerouting priority raw; policy accept;
        iifname BRIDGE ip daddr 127.0.0.0/8 drop }
    chain prerouting  { type nat hook prerouting priority dstnat; policy accept;     and `output`, the same
        dnat ip to ip daddr . meta l4proto . th dport map @addressed
        fib daddr type local dnat ip to meta l4proto . th dport map @ports }
    chain forward     { type filter hook forward priority filter; policy accept;
        iifname BRIDGE oifname != BRIDGE drop                   only for an internal network
        oifname BRIDGE ct state established,related accept
        oifname BRIDGE ct status dnat accept
        ip daddr . meta l4proto . th dport @open accept         instead of all about dnat, where it is routed
        meta l4proto icmp accept                                the same
        iifname BRIDGE oifname BRIDGE accept                    drop, where its containers are kept apart (icc=false)
        iifkind != bridge accept                                where it is open to others (nat-unprotected)
        oifname BRIDGE drop }
    chain postrouting { type nat hook postrouting priority srcnat; policy accept;
        ip saddr NET oifname != BRIDGE masquerade               snat, where the host's address is given; not where that
                                                                was switched off, or it is routed
        ip saddr NET oifname BRIDGE ct status dnat masquerade   a container that asks by the host's address
        ip saddr 127.0.0.0/8 oifname BRIDGE masquerade }        the host's loopback (with route_localnet)

In a namespace that bridges share with the helper that is their way out there is one table more (`new_gate`)::

    table inet NAME { chain gate { type filter hook prerouting priority mangle; policy accept;
        ct state invalid drop } }

An accept there does not overrule a drop elsewhere. Where `ip filter FORWARD` (iptables-nft; Docker sets its policy)
drops, two rules are appended to it: after Docker's own, so that its networks stay closed to us, and ours to them by
the table above. They carry the table's name as comment and are found by it.

Standard library alone, and usable under `python -I -S`. The requests go to the kernel directly: a transaction takes
0.3 ms, against 4-7 ms through libnftables or nft, and neither has to be installed.
"""

from __future__ import annotations

import errno
import struct

from runtime.network.netlink import (
    NETLINK_NETFILTER,
    NLM_F_APPEND,
    NLM_F_CREATE,
    NLM_F_EXCL,
    Message,
    Netlink,
    attribute,
    attributes,
    nested,
    pack_message,
    string,
    text,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

NFNL_SUBSYS_NFTABLES = 10
NFNL_MSG_BATCH_BEGIN = 0x10
NFNL_MSG_BATCH_END = 0x11
NFPROTO_INET = 1
NFPROTO_IPV4 = 2
NFPROTO_IPV6 = 10

NFT_MSG_NEWTABLE, NFT_MSG_GETTABLE, NFT_MSG_DELTABLE = 0, 1, 2
NFT_MSG_NEWCHAIN, NFT_MSG_GETCHAIN = 3, 4
NFT_MSG_NEWRULE, NFT_MSG_GETRULE, NFT_MSG_DELRULE = 6, 7, 8

NFT_MSG_NEWSET, NFT_MSG_NEWSETELEM, NFT_MSG_DELSETELEM = 9, 12, 14

NFTA_TABLE_NAME = 1
NFTA_CHAIN_TABLE, NFTA_CHAIN_NAME, NFTA_CHAIN_HOOK, NFTA_CHAIN_POLICY, NFTA_CHAIN_TYPE = 1, 3, 4, 5, 7
NFTA_HOOK_HOOKNUM, NFTA_HOOK_PRIORITY = 1, 2
NFTA_RULE_TABLE, NFTA_RULE_CHAIN, NFTA_RULE_HANDLE, NFTA_RULE_EXPRESSIONS, NFTA_RULE_USERDATA = 1, 2, 3, 4, 7
NFTA_SET_TABLE, NFTA_SET_NAME, NFTA_SET_FLAGS, NFTA_SET_ID = 1, 2, 3, 10
NFTA_SET_KEY_TYPE, NFTA_SET_KEY_LEN, NFTA_SET_DATA_TYPE, NFTA_SET_DATA_LEN = 4, 5, 6, 7
NFTA_SET_ELEM_LIST_TABLE, NFTA_SET_ELEM_LIST_SET, NFTA_SET_ELEM_LIST_ELEMENTS = 1, 2, 3
NFTA_SET_ELEM_KEY, NFTA_SET_ELEM_DATA = 1, 2
NFT_SET_MAP = 0x8
NFTA_LIST_ELEM = 1
NFTA_EXPR_NAME, NFTA_EXPR_DATA = 1, 2
NFTA_DATA_VALUE, NFTA_DATA_VERDICT, NFTA_VERDICT_CODE = 1, 2, 1

NF_INET_PRE_ROUTING, NF_INET_FORWARD, NF_INET_LOCAL_OUT, NF_INET_POST_ROUTING = 0, 2, 3, 4
NF_IP_PRI_RAW, NF_IP_PRI_MANGLE, NF_IP_PRI_NAT_DST, NF_IP_PRI_FILTER, NF_IP_PRI_NAT_SRC = -300, -150, -100, 0, 100
NF_DROP, NF_ACCEPT = 0, 1
NFT_REG_VERDICT, NFT_REG_1 = 0, 1
NFT_REG32_00 = 8
"""The first four bytes of what NFT_REG_1 is; the next four have the next number."""
NFT_META_IIFNAME, NFT_META_OIFNAME, NFT_META_L4PROTO, NFT_META_IIFKIND = 6, 7, 16, 26
NFT_FIB_RESULT_ADDRTYPE, NFTA_FIB_F_DADDR = 3, 2
NFT_NAT_SNAT, NFT_NAT_DNAT = 0, 1
NFT_CT_STATE, NFT_CT_STATUS = 0, 2
NFT_CMP_EQ, NFT_CMP_NEQ = 0, 1
NFT_PAYLOAD_NETWORK_HEADER, NFT_PAYLOAD_TRANSPORT_HEADER = 1, 2
NFTNL_UDATA_RULE_COMMENT = 0

_MISSING = (errno.ENOENT, errno.EINVAL, errno.EOPNOTSUPP, errno.EAFNOSUPPORT)
"""Answers that mean: not there, or (all but the first) the kernel has no nf_tables, or not for this family."""

_INVALID = 0x1
_ESTABLISHED_RELATED = 0x2 | 0x4
_IPS_DST_NAT = 1 << 5
_PROTO_ICMP, _PROTO_ICMP6 = 1, 58
_DESTINATION_PORT = 2
"""Offset in the headers of TCP, UDP and SCTP."""
_RTN_LOCAL = 2
_TYPE_ADDRESS, _TYPE_ADDRESS6, _TYPE_PROTOCOL, _TYPE_SERVICE = 7, 8, 12, 13
"""What nft calls ipv4_addr, ipv6_addr, inet_proto and inet_service, six bits each; the kernel only keeps them for it.
"""

PORTS, ADDRESSED, OPEN = "ports", "addressed", "open"
"""The maps of published ports: those of all addresses of the host, and those of one. The set of those of containers."""


class Family:
    """A version of IP: its `number`, how many bytes an address has and where it is in the header, what nft calls it."""

    __slots__ = ("destination", "kind", "loopback", "number", "size", "source")

    def __init__(self, number: int, size: int, offset: int, kind: int, loopback: tuple[int, int]) -> None:
        self.number = number
        self.size = size
        self.source, self.destination = offset, offset + size
        self.kind = kind
        self.loopback = loopback

    @property
    def behind(self) -> int:
        """The register behind an address in NFT_REG_1."""
        return NFT_REG32_00 + self.size // 4


IPV4 = Family(NFPROTO_IPV4, 4, 12, _TYPE_ADDRESS, (127 << 24, 8))
IPV6 = Family(NFPROTO_IPV6, 16, 8, _TYPE_ADDRESS6, (1, 128))


class Nftables(Netlink):
    """A socket for tables, chains and rules of the network namespace that its thread is in when it is made."""

    def __init__(self) -> None:
        super().__init__(NETLINK_NETFILTER)

    def __enter__(self) -> Nftables:
        return self

    def commit(self, messages: Iterable[Message]) -> None:
        """Do all that `messages` say, or nothing (one transaction)."""
        mark = struct.pack("=BBH", 0, 0, 0)[:2] + struct.pack(">H", NFNL_SUBSYS_NFTABLES)
        self.transact(
            messages,
            before=pack_message(NFNL_MSG_BATCH_BEGIN, 1, 0, mark),
            after=pack_message(NFNL_MSG_BATCH_END, 1, 0, mark),
        )

    def has_table(self, name: str, family: int = NFPROTO_IPV4) -> bool:
        """Tell whether a table exists; False, too, where the kernel has no nf_tables."""
        body = _header(family) + text(NFTA_TABLE_NAME, name)
        return self.ask(Message(_kind(NFT_MSG_GETTABLE), 0, body, f"table {name}", _MISSING)) is not None

    def tables(self, prefix: str, family: int = NFPROTO_IPV4) -> list[str]:
        """List the tables of a family whose names begin with `prefix`; none where the kernel has no nf_tables."""
        found = self.dump(Message(_kind(NFT_MSG_GETTABLE), 0, _header(family), "tables", _MISSING))
        names = [string(attributes(body[4:]).get(NFTA_TABLE_NAME, b"")) for body in found]
        return [name for name in names if name.startswith(prefix)]

    def drops_by_policy(self, table: str, chain: str, family: int = NFPROTO_IPV4) -> bool:
        """Tell whether a base chain exists and drops what no rule of it decided."""
        body = _header(family) + text(NFTA_CHAIN_TABLE, table) + text(NFTA_CHAIN_NAME, chain)
        reply = self.ask(Message(_kind(NFT_MSG_GETCHAIN), 0, body, f"chain {table} {chain}", _MISSING))
        policy = attributes(reply[4:]).get(NFTA_CHAIN_POLICY) if reply else None
        return policy is not None and int.from_bytes(policy, "big") == NF_DROP

    def commented(self, table: str, chain: str, comment: str, family: int = NFPROTO_IPV4) -> list[int]:
        """List the handles of the rules of one chain that carry `comment`; none where there is no such chain."""
        body = _header(family) + text(NFTA_RULE_TABLE, table) + text(NFTA_RULE_CHAIN, chain)
        wanted = _comment(comment)
        handles = []
        for reply in self.dump(Message(_kind(NFT_MSG_GETRULE), 0, body, f"chain {table} {chain}", _MISSING)):
            found = attributes(reply[4:])
            if found.get(NFTA_RULE_USERDATA) == wanted and found.get(NFTA_RULE_CHAIN) == chain.encode() + b"\0":
                handles.append(int.from_bytes(found[NFTA_RULE_HANDLE], "big"))
        return handles


class Manner:
    """How open a network is, for one version of IP.

    `internal`: nothing of it is forwarded to elsewhere. `icc`: its containers reach each other. `masquerade`: they go
    out under the host's address, `source` where that is given (a number). `routed`: without translation, so that others
    ask for published ports at the containers' addresses. `unprotected`: those have all ports open to other machines.
    """

    __slots__ = ("icc", "internal", "masquerade", "routed", "source", "unprotected")

    def __init__(
        self,
        *,
        internal: bool = False,
        icc: bool = True,
        masquerade: bool = True,
        routed: bool = False,
        unprotected: bool = False,
        source: int = 0,
    ) -> None:
        self.internal = internal
        self.icc = icc
        self.masquerade = masquerade
        self.routed = routed
        self.unprotected = unprotected
        self.source = source


def new_table(
    name: str, bridge: str, subnet: tuple[int, int], *, family: Family = IPV4, manner: Manner | None = None
) -> list[Message]:
    """Make the table of a bridge (see the module's text); one of that name must not exist.

    `subnet` is its lowest address and prefix.
    """
    manner = manner or Manner()
    about = f"nftables table {name} cannot be made"
    number = family.number
    there, inward = _interface(NFT_META_OIFNAME, bridge), _interface(NFT_META_IIFNAME, bridge)
    elsewhere = _interface(NFT_META_OIFNAME, bridge, NFT_CMP_NEQ)
    dnat = _flags(NFT_CT_STATUS, _IPS_DST_NAT)
    source, loopback = _addresses(family, family.source, *subnet), _addresses(family, family.source, *family.loopback)
    masq = _expression("masq")
    rules: list[tuple[str, tuple[bytes, ...]]] = [
        ("guard", (inward, _addresses(family, family.destination, *family.loopback), _verdict(NF_DROP))),
        *([("forward", (inward, elsewhere, _verdict(NF_DROP)))] if manner.internal else ()),
        ("forward", (there, *_flags(NFT_CT_STATE, _ESTABLISHED_RELATED), _verdict(NF_ACCEPT))),
    ]
    if manner.masquerade and not manner.routed:
        rules.append(("postrouting", (source, elsewhere, *_snat(family, manner.source))))
    if manner.routed:
        rules += [("forward", (there, *rule, _verdict(NF_ACCEPT))) for rule in _openings(family)]
    else:
        rules += [
            *((chain, rule) for chain in ("prerouting", "output") for rule in _translations(family)),
            ("forward", (there, *dnat, _verdict(NF_ACCEPT))),
            ("postrouting", (source, there, *dnat, masq)),
            *([("postrouting", (loopback, there, masq))] if family is IPV4 else ()),
        ]
    rules.append(("forward", (inward, there, _verdict(NF_ACCEPT if manner.icc else NF_DROP))))
    if manner.unprotected:
        foreign = _interface(NFT_META_IIFKIND, "bridge", NFT_CMP_NEQ)
        rules.append(("forward", (there, foreign, _verdict(NF_ACCEPT))))
    rules.append(("forward", (there, _verdict(NF_DROP))))
    chains = (
        ("guard", "filter", NF_INET_PRE_ROUTING, NF_IP_PRI_RAW),
        ("prerouting", "nat", NF_INET_PRE_ROUTING, NF_IP_PRI_NAT_DST),
        ("output", "nat", NF_INET_LOCAL_OUT, NF_IP_PRI_NAT_DST),
        ("forward", "filter", NF_INET_FORWARD, NF_IP_PRI_FILTER),
        ("postrouting", "nat", NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC),
    )
    create = NLM_F_CREATE | NLM_F_EXCL
    return [
        Message(_kind(NFT_MSG_NEWTABLE), create, _header(number) + text(NFTA_TABLE_NAME, name), about),
        _map(family, name, PORTS, 1, (_TYPE_PROTOCOL, _TYPE_SERVICE)),
        _map(family, name, ADDRESSED, 2, (family.kind, _TYPE_PROTOCOL, _TYPE_SERVICE)),
        *([_set(family, name, OPEN, 3)] if manner.routed else ()),
        *(_base_chain(number, name, *chain) for chain in chains),
        *(_rule(name, chain, rule, family=number) for chain, rule in rules),
    ]


def new_gate(name: str) -> list[Message]:
    """Make the table that drops what belongs to no connection; one of that name must not exist.

    Such a packet is not translated, so it seems to be for the namespace itself, which answers that there is no such
    connection and thereby ends the container's. pasta of 2023 sends one (a segment of TCP without any flag) before an
    answer that lets it wait.
    """
    create = NLM_F_CREATE | NLM_F_EXCL
    body = _header(NFPROTO_INET) + text(NFTA_TABLE_NAME, name)
    return [
        Message(_kind(NFT_MSG_NEWTABLE), create, body, f"nftables table {name} cannot be made"),
        _base_chain(NFPROTO_INET, name, "gate", "filter", NF_INET_PRE_ROUTING, NF_IP_PRI_MANGLE),
        _rule(name, "gate", (*_flags(NFT_CT_STATE, _INVALID), _verdict(NF_DROP)), family=NFPROTO_INET),
    ]


def new_port(table: str, where: tuple[int, int, int], to: tuple[int, int], family: Family = IPV4) -> Message:
    """Publish a port: `where` is (the host's address, 0 for all; protocol number; port), `to` (address, port).

    Where both are the same, others may ask for it at the container itself, in a routed network.
    """
    about = f"port {where[2]} cannot be published"
    if (where[0], where[2]) == to:
        return Message(_kind(NFT_MSG_NEWSETELEM), NLM_F_CREATE, _element(family, table, OPEN, where, b""), about)
    value = to[0].to_bytes(family.size, "big") + _port(to[1])
    data = nested(NFTA_SET_ELEM_DATA, attribute(NFTA_DATA_VALUE, value))
    element = _element(family, table, _map_of(where), where, data)
    return Message(_kind(NFT_MSG_NEWSETELEM), NLM_F_CREATE, element, about)


def delete_port(table: str, where: tuple[int, int, int], family: Family = IPV4, *, own: bool = False) -> Message:
    """Publish a port no longer; one that is not, or whose table is gone, is no error (but undoes its transaction).

    `own`: it is one of a container itself.
    """
    about = f"port {where[2]} cannot be freed"
    element = _element(family, table, OPEN if own else _map_of(where), where, b"")
    return Message(_kind(NFT_MSG_DELSETELEM), 0, element, about, (errno.ENOENT,))


def _map_of(where: tuple[int, int, int]) -> str:
    return ADDRESSED if where[0] else PORTS


def delete_table(name: str, family: int = NFPROTO_IPV4) -> Message:
    """Delete a table with all that is in it."""
    body = _header(family) + text(NFTA_TABLE_NAME, name)
    return Message(_kind(NFT_MSG_DELTABLE), 0, body, f"nftables table {name} cannot be deleted")


def pass_through(table: str, chain: str, bridge: str, comment: str, family: int = NFPROTO_IPV4) -> list[Message]:
    """Append rules that accept what comes from `bridge` and goes to it to a chain that others own."""
    return [
        _rule(table, chain, (_interface(key, bridge), _expression("counter"), _verdict(NF_ACCEPT)), comment, family)
        for key in (NFT_META_IIFNAME, NFT_META_OIFNAME)
    ]


def delete_rule(table: str, chain: str, handle: int, family: int = NFPROTO_IPV4) -> Message:
    """Delete one rule by its handle."""
    body = _header(family) + text(NFTA_RULE_TABLE, table) + text(NFTA_RULE_CHAIN, chain)
    body += attribute(NFTA_RULE_HANDLE, handle.to_bytes(8, "big"))
    return Message(_kind(NFT_MSG_DELRULE), 0, body, f"a rule of {table} {chain} cannot be deleted")


def _kind(message: int) -> int:
    return NFNL_SUBSYS_NFTABLES << 8 | message


def _header(family: int = NFPROTO_IPV4) -> bytes:
    return struct.pack("=BBH", family, 0, 0)


def _be32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">i" if value < 0 else ">I", value))


def _base_chain(family: int, table: str, name: str, kind: str, hook: int, priority: int) -> Message:
    where = nested(NFTA_CHAIN_HOOK, _be32(NFTA_HOOK_HOOKNUM, hook), _be32(NFTA_HOOK_PRIORITY, priority))
    body = _header(family) + text(NFTA_CHAIN_TABLE, table) + text(NFTA_CHAIN_NAME, name) + where
    body += _be32(NFTA_CHAIN_POLICY, NF_ACCEPT) + text(NFTA_CHAIN_TYPE, kind)
    return Message(
        _kind(NFT_MSG_NEWCHAIN), NLM_F_CREATE, body, f"chain {name} of nftables table {table} cannot be made"
    )


def _rule(
    table: str, chain: str, expressions: tuple[bytes, ...], comment: str = "", family: int = NFPROTO_IPV4
) -> Message:
    body = _header(family) + text(NFTA_RULE_TABLE, table) + text(NFTA_RULE_CHAIN, chain)
    body += nested(NFTA_RULE_EXPRESSIONS, *expressions)
    if comment:
        body += attribute(NFTA_RULE_USERDATA, _comment(comment))
    return Message(
        _kind(NFT_MSG_NEWRULE), NLM_F_CREATE | NLM_F_APPEND, body, f"a rule of {table} {chain} cannot be added"
    )


def _comment(value: str) -> bytes:
    raw = value.encode() + b"\0"
    return bytes([NFTNL_UDATA_RULE_COMMENT, len(raw)]) + raw


def _expression(name: str, *data: bytes) -> bytes:
    return nested(NFTA_LIST_ELEM, text(NFTA_EXPR_NAME, name), nested(NFTA_EXPR_DATA, *data))


def _compare(operator: int, value: bytes) -> bytes:
    data = nested(3, attribute(NFTA_DATA_VALUE, value))
    return _expression("cmp", _be32(1, NFT_REG_1), _be32(2, operator), data)


def _masked(length: int, mask: bytes) -> bytes:
    keep = nested(4, attribute(NFTA_DATA_VALUE, mask))
    flip = nested(5, attribute(NFTA_DATA_VALUE, bytes(length)))
    return _expression("bitwise", _be32(1, NFT_REG_1), _be32(2, NFT_REG_1), _be32(3, length), keep, flip)


def _interface(key: int, name: str, operator: int = NFT_CMP_EQ) -> bytes:
    """Compare the name of the incoming or outgoing link, which fills 16 bytes."""
    load = _expression("meta", _be32(1, NFT_REG_1), _be32(2, key))
    return load + _compare(operator, name.encode().ljust(16, b"\0"))


def _flags(key: int, bits: int) -> tuple[bytes, ...]:
    """Match where conntrack's `key` has one of `bits` set; those are in the machine's byte order."""
    load = _expression("ct", _be32(1, NFT_REG_1), _be32(2, key))
    return load, _masked(4, struct.pack("=I", bits)), _compare(NFT_CMP_NEQ, bytes(4))


def _addresses(family: Family, offset: int, network: int, prefix: int) -> bytes:
    """Compare the address at `offset` of the header with a network."""
    bits = 8 * family.size
    mask = ((1 << bits) - (1 << (bits - prefix))).to_bytes(family.size, "big")
    load = _payload(NFT_REG_1, NFT_PAYLOAD_NETWORK_HEADER, offset, family.size)
    compared = _compare(NFT_CMP_EQ, network.to_bytes(family.size, "big"))
    return load + _masked(family.size, mask) + compared


def _payload(register: int, base: int, offset: int, length: int) -> bytes:
    return _expression("payload", _be32(1, register), _be32(2, base), _be32(3, offset), _be32(4, length))


def _translations(family: Family) -> tuple[tuple[bytes, ...], ...]:
    """Write the rules that send a published port to its container; IPv6's own loopback cannot be left that way."""

    def protocol(register: int) -> bytes:
        return _expression("meta", _be32(1, register), _be32(2, NFT_META_L4PROTO))

    def port(register: int) -> bytes:
        return _payload(register, NFT_PAYLOAD_TRANSPORT_HEADER, _DESTINATION_PORT, 2)

    def lookup(name: str) -> bytes:
        return _expression("lookup", text(1, name), _be32(2, NFT_REG_1), _be32(3, NFT_REG_1))

    target = (_be32(1, NFT_NAT_DNAT), _be32(2, family.number), _be32(3, NFT_REG_1), _be32(5, family.behind))
    nat = _expression("nat", *target)
    address = _payload(NFT_REG_1, NFT_PAYLOAD_NETWORK_HEADER, family.destination, family.size)
    fib = _expression(
        "fib", _be32(1, NFT_REG_1), _be32(2, NFT_FIB_RESULT_ADDRTYPE), _be32(3, NFTA_FIB_F_DADDR)
    ) + _compare(NFT_CMP_EQ, struct.pack("=I", _RTN_LOCAL))
    if family is IPV6:
        fib = address + _compare(NFT_CMP_NEQ, family.loopback[0].to_bytes(family.size, "big")) + fib
    return (
        (address, protocol(family.behind), port(family.behind + 1), lookup(ADDRESSED), nat),
        (fib, protocol(NFT_REG_1), port(NFT_REG32_00 + 1), lookup(PORTS), nat),
    )


def _openings(family: Family) -> tuple[tuple[bytes, ...], ...]:
    """Match what a routed network takes from others: its published ports, and ICMP."""
    address = _payload(NFT_REG_1, NFT_PAYLOAD_NETWORK_HEADER, family.destination, family.size)
    protocol = _expression("meta", _be32(1, family.behind), _be32(2, NFT_META_L4PROTO))
    port = _payload(family.behind + 1, NFT_PAYLOAD_TRANSPORT_HEADER, _DESTINATION_PORT, 2)
    known = _expression("lookup", text(1, OPEN), _be32(2, NFT_REG_1))
    icmp = _expression("meta", _be32(1, NFT_REG_1), _be32(2, NFT_META_L4PROTO))
    icmp += _compare(NFT_CMP_EQ, bytes([_PROTO_ICMP if family is IPV4 else _PROTO_ICMP6]))
    return (address, protocol, port, known), (icmp,)


def _snat(family: Family, source: int) -> tuple[bytes, ...]:
    """Send out under an address of the host's, or (0) under that of the way."""
    if not source:
        return (_expression("masq"),)
    value = nested(2, attribute(NFTA_DATA_VALUE, source.to_bytes(family.size, "big")))
    load = _expression("immediate", _be32(1, NFT_REG_1), value)
    return load, _expression("nat", _be32(1, NFT_NAT_SNAT), _be32(2, family.number), _be32(3, NFT_REG_1))


def _map(family: Family, table: str, name: str, number: int, key: tuple[int, ...]) -> Message:
    kind = 0
    for part in key:
        kind = kind << 6 | part
    length = 4 * len(key) + (family.size - 4) * (family.kind in key)
    body = _header(family.number) + text(NFTA_SET_TABLE, table) + text(NFTA_SET_NAME, name)
    body += _be32(NFTA_SET_FLAGS, NFT_SET_MAP) + _be32(NFTA_SET_KEY_TYPE, kind) + _be32(NFTA_SET_KEY_LEN, length)
    body += _be32(NFTA_SET_DATA_TYPE, family.kind << 6 | _TYPE_SERVICE) + _be32(NFTA_SET_DATA_LEN, family.size + 4)
    body += _be32(NFTA_SET_ID, number)
    return Message(_kind(NFT_MSG_NEWSET), NLM_F_CREATE, body, f"map {name} of nftables table {table} cannot be made")


def _set(family: Family, table: str, name: str, number: int) -> Message:
    """Make a set of addresses with protocol and port."""
    kind = (family.kind << 6 | _TYPE_PROTOCOL) << 6 | _TYPE_SERVICE
    body = _header(family.number) + text(NFTA_SET_TABLE, table) + text(NFTA_SET_NAME, name)
    body += _be32(NFTA_SET_FLAGS, 0) + _be32(NFTA_SET_KEY_TYPE, kind) + _be32(NFTA_SET_KEY_LEN, family.size + 8)
    body += _be32(NFTA_SET_ID, number)
    return Message(_kind(NFT_MSG_NEWSET), NLM_F_CREATE, body, f"set {name} of nftables table {table} cannot be made")


def _element(family: Family, table: str, name: str, where: tuple[int, int, int], data: bytes) -> bytes:
    address, protocol, port = where
    key = (address.to_bytes(family.size, "big") if address else b"") + bytes((protocol, 0, 0, 0)) + _port(port)
    element = nested(NFTA_LIST_ELEM, nested(NFTA_SET_ELEM_KEY, attribute(NFTA_DATA_VALUE, key)), data)
    body = _header(family.number) + text(NFTA_SET_ELEM_LIST_TABLE, table)
    body += text(NFTA_SET_ELEM_LIST_SET, name)
    return body + nested(NFTA_SET_ELEM_LIST_ELEMENTS, element)


def _port(number: int) -> bytes:
    return number.to_bytes(2, "big") + bytes(2)


def _verdict(code: int) -> bytes:
    data = nested(2, nested(NFTA_DATA_VERDICT, _be32(NFTA_VERDICT_CODE, code)))
    return _expression("immediate", _be32(1, NFT_REG_VERDICT), data)
