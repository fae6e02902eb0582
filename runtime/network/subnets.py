"""Choose the subnet of a bridge by what the kernel routes already, so that two roots, or a VPN, do not collide."""

from __future__ import annotations

import _socket as socket
from collections.abc import Iterable

from runtime.errors import NetworkError

Subnet = tuple[int, int]
"""The lowest address as a number, and the prefix length in bits."""

PREFIX = 22
"""Bits: 1021 containers, about what one bridge has ports for."""

POOLS: tuple[Subnet, ...] = (
    (0x0AC80000, 14),  # 10.200.0.0: above what Docker (172.17-31, 192.168) and Podman (10.88, 10.89) take first
    (0xC0A8C800, 21),  # 192.168.200.0
    (0xAC1E0000, 15),  # 172.30.0.0
    (0x64480000, 13),  # 100.72.0.0, shared address space (RFC 6598)
    (0xC6120000, 15),  # 198.18.0.0, benchmarks (RFC 2544)
)

_SHORTEST = 4
"""Bits: routes with a shorter prefix are taken as default routes in pieces, as VPNs install them."""


def choose(key: str, taken: Iterable[Subnet], preferred: Subnet | None = None) -> Subnet:
    """Choose a subnet that overlaps nothing in `taken` (routes, addresses, name servers).

    `preferred`, the one of last time, is taken if it is free; else the search begins at a place that depends on the
    root's `key`. Raises NetworkError where everything is taken.
    """
    others = [(network, prefix) for network, prefix in taken if prefix > _SHORTEST]
    if preferred is not None and preferred[1] == PREFIX and not _overlaps(preferred, others):
        return preferred
    for network, prefix in POOLS:
        count = 1 << (PREFIX - prefix)
        first = int(key, 16) % count
        for number in range(count):
            candidate = (network + ((first + number) % count << (32 - PREFIX)), PREFIX)
            if not _overlaps(candidate, others):
                return candidate
    raise NetworkError(
        "no private subnet is free for the bridge: this machine has routes to all of them",
        hint="use --network host or --network none",
    )


def text(subnet: Subnet) -> str:
    """Write a subnet as `10.200.4.0/22`."""
    return f"{dotted(subnet[0])}/{subnet[1]}"


def dotted(address: int) -> str:
    """Write an address as `10.200.4.1`."""
    return ".".join(str(byte) for byte in address.to_bytes(4, "big"))


def number(address: str) -> int | None:
    """Read an address written as `10.200.4.1`; None for anything else, IPv6 included."""
    parts = address.split(".")
    if len(parts) != 4 or not all(part.isascii() and part.isdecimal() and int(part) < 256 for part in parts):
        return None
    return int.from_bytes(bytes(int(part) for part in parts), "big")


def choose6(key: str, taken: Iterable[Subnet]) -> Subnet:
    """Choose a unique local /64 (RFC 4193) whose global id is the root's key: the first that overlaps nothing taken."""
    others = [(network, prefix) for network, prefix in taken if prefix > _SHORTEST]
    base = int(f"fd{key[:10]:0<10}", 16) << 80
    for number in range(1 << 16):
        candidate = base + (number << 64), 64
        if not _overlaps(candidate, others, 128):
            return candidate
    raise NetworkError("no IPv6 subnet is free", hint="choose one with --subnet")


def text6(address: int) -> str:
    """Write an IPv6 address as RFC 5952 has it."""
    return socket.inet_ntop(socket.AF_INET6, address.to_bytes(16, "big"))


def network6(subnet: Subnet) -> str:
    """Write an IPv6 subnet as `fd00:9::/64`."""
    return f"{text6(subnet[0])}/{subnet[1]}"


def number6(address: str) -> int | None:
    """Read an IPv6 address; None for anything else."""
    try:
        return int.from_bytes(socket.inet_pton(socket.AF_INET6, address), "big")
    except (OSError, ValueError):
        return None


def overlap(one: Subnet, other: Subnet, bits: int = 32) -> bool:
    """Tell whether two subnets of addresses of so many bits have an address in common."""
    return _overlaps(one, [other], bits)


def _overlaps(subnet: Subnet, others: Iterable[Subnet], bits: int = 32) -> bool:
    network, prefix = subnet
    for other, length in others:
        shift = bits - min(prefix, length)
        if network >> shift == other >> shift:
            return True
    return False
