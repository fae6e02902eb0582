"""Write the ports of a container as lists have them, in the order and in the groups that Docker gives them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

Ports = Mapping[str, Sequence[Mapping[str, str]] | None]
"""Ports as `80/tcp` to where each is published (HostIp, HostPort), nowhere or None for one that is exposed alone."""


def place_words(place: Mapping[str, str]) -> str:
    """Write where a port is published, as `0.0.0.0:8080` or `[::]:8080`."""
    return _at(place.get("HostIp") or "0.0.0.0", place["HostPort"])


def in_order(lines: Iterable[str]) -> list[str]:
    """Sort lines in which numbers count as such: `9/tcp` before `80/tcp`."""
    return sorted(lines, key=lambda line: [(text, int(digits or 0)) for text, digits in _PARTS.findall(line)])


def summary(ports: Ports) -> str:
    """Write all ports in one line: `0.0.0.0:8000-8001->8000-8001/tcp, 443/tcp, 127.0.0.1:53->5353/udp`.

    Neighbours that are published at their own numbers, or nowhere, are one word; those that have another number
    outside come last, each for itself.
    """
    groups: dict[tuple[str, str], list[list[int]]] = {}
    others = []
    for number, host, outer, protocol in sorted(_rows(ports)):
        if host and outer != number:
            others.append(f"{_at(host, str(outer))}->{number}/{protocol}")
            continue
        spans = groups.setdefault((host, protocol), [])
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    # What is followed by a gap stands before the last of each group.
    early = sorted(
        (spans[place + 1][0], key, spans[place]) for key, spans in groups.items() for place in range(len(spans) - 1)
    )
    words = [_span(key, span) for _, key, span in early] + [_span(key, spans[-1]) for key, spans in groups.items()]
    return ", ".join([*words, *others])


_PARTS = re.compile(r"([^0-9]*)([0-9]*)")


def _rows(ports: Ports) -> set[tuple[int, str, int, str]]:
    """Return (port inside, host's address, port outside, protocol) of each; without an address it is not published."""
    rows = set()
    for port, places in ports.items():
        number, _, protocol = port.partition("/")
        if not number.isdecimal():
            continue
        for place in places or ({},):
            host = (place.get("HostIp") or "0.0.0.0") if place else ""
            rows.add((int(number), host, int(place.get("HostPort") or 0), protocol or "tcp"))
    return rows


def _span(key: tuple[str, str], span: Sequence[int]) -> str:
    host, protocol = key
    numbers = f"{span[0]}" if span[0] == span[1] else f"{span[0]}-{span[1]}"
    return f"{_at(host, numbers)}->{numbers}/{protocol}" if host else f"{numbers}/{protocol}"


def _at(host: str, port: str) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
