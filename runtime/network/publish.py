"""Read what ports of a container are to be published, and hold the host's ports for them.

A published port is reserved by a socket that is bound to it for as long as the container runs; the socket is also what
answers where no rule of the firewall reaches (IPv6). The documents are the Engine API's: `PortBindings` maps
`80/tcp` to a list of `{"HostIp": …, "HostPort": …}`.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack

from frozen import Frozen
from runtime.errors import NetworkError, UsageError
from runtime.network.subnets import number, number6

PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "sctp": 132}

Bindings = dict[str, list[dict[str, str]]]
"""Container port with its protocol to where it is published; a host port may be a range `8000-8010`, or empty."""

_LONGEST = 120
"""Sockets at most: the kernel passes 253 descriptors in one message."""


class Published(Frozen):
    """One port as it is published: `container` is its number inside, `address` the host's (`0.0.0.0`, `::` for all).

    `port` is the host's, 0 where none of it is taken: in a routed network.
    """

    container: int
    protocol: str
    address: str
    port: int

    @property
    def key(self) -> str:
        """The container's port as documents have it."""
        return f"{self.container}/{self.protocol}"


def parse_publish(text: str) -> Bindings:
    """Read one `-p`: `[[IP:][HOST]:]CONTAINER[/PROTOCOL]`, ranges on both sides, or fields. Raises UsageError."""
    if "=" in text:
        text = _short_form(text)
    ports, slash, protocol = text.rpartition("/")
    if not slash:
        ports, protocol = text, "tcp"
    protocol = protocol.lower()
    if protocol not in PROTOCOLS:
        raise UsageError(f"invalid containerPort: invalid proto: {protocol}", hint="tcp, udp or sctp")
    head, _, inner = ports.rpartition(":")
    address, _, outer = head.rpartition(":")
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    elif ":" in address:
        raise UsageError(f"invalid port specification: {text}", hint="write an IPv6 address as [::1]")
    if address and _family(address) is None:
        raise UsageError(f"invalid IP address: {address}", hint="-p [IP:][PORT:]PORT")
    if not inner:
        raise UsageError(f"no port specified: {text}<empty>")
    inside = _range(inner, "containerPort", text)
    outside = _range(outer, "hostPort", text) if outer else None
    count = len(inside)
    if outside is not None and len(outside) != count and count != 1:
        raise UsageError(f"invalid ranges specified for container and host Ports: {inner} and {outer}")
    found: Bindings = {}
    for index, port in enumerate(inside):
        host = "" if outside is None else outer if count == 1 else str(outside[index])
        found[f"{port}/{protocol}"] = [{"HostIp": address, "HostPort": host}]
    return found


def _short_form(text: str) -> str:
    """Write `published=8080,target=80,protocol=tcp,mode=host` as `8080:80/tcp`. Raises UsageError."""
    fields = {"protocol": "tcp", "published": "", "target": "", "host_ip": "", "mode": "host"}
    for field in text.split(","):
        name, equals, value = field.partition("=")
        if not equals or name not in fields:
            raise UsageError(f"invalid publish opts format: {field}", hint=f"there are: {', '.join(sorted(fields))}")
        fields[name] = value
    if fields["mode"] not in ("host", "ingress"):
        raise UsageError(f"invalid publish mode: {fields['mode']}", hint="host or ingress")
    host = f"[{fields['host_ip']}]" if ":" in fields["host_ip"] else fields["host_ip"]
    return f"{host}:{fields['published']}:{fields['target']}/{fields['protocol']}"


def merge(specs: Iterable[Bindings]) -> Bindings:
    """Put several into one; a port may be published more than once."""
    found: Bindings = {}
    for spec in specs:
        for key, places in spec.items():
            known = found.setdefault(key, [])
            known.extend(place for place in places if place not in known)
    return found


def wanted(
    bindings: Mapping[str, Sequence[Mapping[str, str]]], exposed: Iterable[str], *, every: bool, address: str = ""
) -> Bindings:
    """Return what is to be published: `bindings` and, with `every`, the other exposed ports at any port.

    `address` is the host's for those that name none ("" for all).
    """
    found = merge([{key: [dict(place) for place in places] for key, places in bindings.items()}])
    if every:
        for key in exposed:
            found.setdefault(key if "/" in key else f"{key}/tcp", [{"HostIp": "", "HostPort": ""}])
    for places in found.values() if address else ():
        for place in places:
            place["HostIp"] = place["HostIp"] or address
    return found


class Reserved:
    """Ports that are held: `ports` as they are published, `sockets` the sockets, each listening where it can."""

    def __init__(self) -> None:
        self.ports: list[Published] = []
        self.sockets: list[socket.socket] = []
        self.served: list[tuple[str, int]] = []
        """For each socket the protocol and the port inside."""

    def close(self) -> None:
        """Let go of the sockets; who inherited them still holds the ports."""
        for held in self.sockets:
            held.close()


def reserve(bindings: Bindings, holder: Mapping[tuple[str, int], str], routed: Sequence[int] = ()) -> Reserved:
    """Bind a socket for each published port. Raises NetworkError for a port that is in use, with nothing held then.

    `holder` names the container that has published a port (protocol, number), for the message. `routed` are the
    versions of IP for which others ask at the container's own address.
    """
    reserved = Reserved()
    with ExitStack() as stack:
        stack.callback(reserved.close)
        for key in sorted(bindings, key=lambda key: (key.partition("/")[2], int(key.partition("/")[0]))):
            inner, _, protocol = key.partition("/")
            for place in bindings[key]:
                held, found = _bind(int(inner), protocol, place["HostIp"], place["HostPort"], holder, routed)
                reserved.ports += found
                if held is not None:
                    reserved.sockets.append(held)
                    reserved.served.append((protocol, int(inner)))
        if len(reserved.sockets) > _LONGEST:
            raise NetworkError(f"more than {_LONGEST} ports cannot be published for one container")
        stack.pop_all()
    return reserved


def _addresses(address: str, routed: Sequence[int]) -> tuple[list[str], list[str]]:
    """Return the host's addresses that are to be bound, and those that are not, as a network is routed for them."""
    wanted = [address] if address else ["0.0.0.0", *(["::"] if _has_ipv6() else [])]
    direct = [text for text in wanted if (6 if ":" in text else 4) in routed]
    return [text for text in wanted if text not in direct], direct


def _bind(
    inner: int,
    protocol: str,
    address: str,
    port: str,
    holder: Mapping[tuple[str, int], str],
    routed: Sequence[int],
) -> tuple[socket.socket | None, list[Published]]:
    """Bind one port, the first free one of a range, by a socket that may answer for both versions of IP."""
    bound, direct = _addresses(address, routed)
    found = [Published(container=inner, protocol=protocol, address=text, port=0) for text in direct]
    if not bound:
        return None, found
    family = socket.AF_INET6 if ":" in bound[-1] else socket.AF_INET
    first, _, last = port.partition("-")
    candidates = range(int(first), int(last or first) + 1) if port else range(1)
    failure: OSError | None = None
    for candidate in candidates:
        try:
            held = _socket(family, protocol, "" if len(bound) > 1 else bound[0], candidate)
        except OSError as error:
            failure = error
            continue
        outer = held.getsockname()[1]
        made = [Published(container=inner, protocol=protocol, address=text, port=outer) for text in bound]
        return held, sorted((*made, *found), key=lambda port: ":" in port.address)
    assert failure is not None
    where = f"{address or '0.0.0.0'}:{port}"
    if failure.errno == errno.EADDRINUSE:
        name = holder.get((protocol, candidates[-1]))
        by = f" (by container {name})" if name else ""
        raise NetworkError(
            f"Bind for {where} failed: port is already allocated: address already in use{by}",
            hint="publish it at another port, or stop what has it",
        ) from failure
    hint = None
    if failure.errno in (errno.EACCES, errno.EPERM):
        hint = "an ordinary user has the ports from net.ipv4.ip_unprivileged_port_start (sysctl) on, usually 1024"
    elif failure.errno == errno.EPROTONOSUPPORT:
        hint = "modprobe sctp, where the kernel was built with it"
    elif failure.errno == errno.EADDRNOTAVAIL:
        hint = "the address is none of this machine's: `ip address` lists them"
    raise NetworkError(f"Bind for {where} failed: {failure.strerror or failure}", hint=hint) from failure


def _socket(family: int, protocol: str, address: str, port: int) -> socket.socket:
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    try:
        held = socket.socket(family, kind, PROTOCOLS[protocol])
    except OSError as error:
        if protocol == "sctp" and error.errno in (errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT):
            raise OSError(errno.EPROTONOSUPPORT, "protocol not supported: this kernel has no SCTP") from error
        raise
    try:
        if protocol == "tcp":
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(bool(address)))
        held.bind((address, port))
        if protocol != "udp":
            held.listen(128)
    except BaseException:
        held.close()
        raise
    return held


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::", 0))
    except OSError:
        return False
    return True


def _family(address: str) -> int | None:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, address)
        except (OSError, ValueError):
            continue
        return family
    return None


def _range(text: str, what: str, whole: str) -> range:
    first, dash, last = text.partition("-")
    if not all(part.isascii() and part.isdecimal() for part in ((first, last) if dash else (first,))):
        raise UsageError(f"invalid {what}: {text}", hint=f"a port is a number, as in -p 8080:80; not {whole}")
    begin, end = int(first), int(last) if dash else int(first)
    if not (1 if what == "containerPort" else 0) <= begin <= end <= 65535:
        raise UsageError(f"invalid {what}: {text}", hint="a port is a number up to 65535, a range goes upwards")
    return range(begin, end + 1)


def forwards(ports: Iterable[Published], to: int = 0) -> list[tuple[tuple[int, int, int], int]]:
    """Return what the firewall sends on (portrules): IPv4 alone.

    A port that is published at no port of the host, in a routed network, is one of the container's address `to`.
    """
    return _forwards(ports, number, to)


def forwards6(ports: Iterable[Published], to: int = 0) -> list[tuple[tuple[int, int, int], int]]:
    """Return what the firewall sends on to a container that has an IPv6 address; from ::1 there is no way out."""
    return [forward for forward in _forwards(ports, number6, to) if forward[0][0] != 1]


def _forwards(
    ports: Iterable[Published], read: Callable[[str], int | None], to: int
) -> list[tuple[tuple[int, int, int], int]]:
    found = []
    for port in ports:
        host, protocol = read(port.address), PROTOCOLS[port.protocol]
        if host is not None and (port.port or to):
            where = (host, protocol, port.port) if port.port else (to, protocol, port.container)
            found.append((where, port.container))
    return found


def documents(ports: Iterable[Published]) -> Bindings:
    """Return the Engine API's document of published ports, those of one inside in the order of the host's."""
    found: Bindings = {}
    for port in sorted(ports, key=lambda port: port.port):
        found.setdefault(port.key, []).append({"HostIp": port.address, "HostPort": str(port.port or "")})
    return found


def read_documents(bindings: Mapping[str, Sequence[Mapping[str, str]] | None]) -> list[Published]:
    """Read such a document again."""
    return [
        Published(
            container=int(key.partition("/")[0]),
            protocol=key.partition("/")[2],
            address=place["HostIp"],
            port=int(place["HostPort"] or 0),
        )
        for key, places in bindings.items()
        for place in places or ()
    ]
