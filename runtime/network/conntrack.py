"""Let the kernel forget flows that it tracks (nfnetlink's conntrack, as conntrack(8) has it).

Standard library alone, and usable under `python -I -S`.
"""

from __future__ import annotations

import errno
import struct

from runtime.network.netlink import NETLINK_NETFILTER, Message, Netlink, attributes, nested

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.network.nftables import Family

_SUBSYSTEM = 1
_GET, _DELETE = 1, 2
_TUPLE_ORIG = 1
_TUPLE_PROTO = 2
_PROTO_NUMBER, _PROTO_DESTINATION = 1, 3
_UDP = 17
_FINE = (errno.ENOENT, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM)
"""Answers that mean: it is gone, or the kernel does not tell."""


def forget(ports: set[int], family: Family) -> None:
    """Forget the flows over UDP that were sent to one of these ports first. Raises nothing for what cannot be done."""
    header = struct.pack(">BBH", family.number, 0, 0)
    with Netlink(NETLINK_NETFILTER) as link:
        found = link.dump(Message(_SUBSYSTEM << 8 | _GET, 0, header, "conntrack", _FINE))
        doomed = [
            Message(
                _SUBSYSTEM << 8 | _DELETE, 0, header + nested(_TUPLE_ORIG, attributes(body[4:])[_TUPLE_ORIG]), "", _FINE
            )
            for body in found
            if _port_of(body) in ports
        ]
        for message in doomed:
            link.transact([message])


def _port_of(body: bytes) -> int:
    """Return the port to which the first datagram of a flow was sent, -1 for another protocol."""
    protocol = attributes(attributes(attributes(body[4:]).get(_TUPLE_ORIG, b"")).get(_TUPLE_PROTO, b""))
    if protocol.get(_PROTO_NUMBER, b"\0")[0] != _UDP:
        return -1
    return int.from_bytes(protocol.get(_PROTO_DESTINATION, b""), "big")
