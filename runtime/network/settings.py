"""Name the fields of the Engine API's EndpointSettings that are acted on: how a container joins one network."""

from __future__ import annotations

from frozen import TypedDict


class EndpointSettings(TypedDict, total=False):
    """What a container asks of a network: further names, addresses, a link-layer address; absent for no wish.

    `DriverOpts` are options of the link (endpointoptions). `Links` are other containers and what they are called here,
    `NAME:ALIAS`. `GwPriority` says which network is the way out: the highest. `LinkLocalIPs` are further addresses of
    the link. `Connected`: it joined by a command of its own, of which documents show the empty wishes, too.
    """

    Aliases: list[str]
    IPAddress: str
    IPv6Address: str
    DriverOpts: dict[str, str]
    Links: list[str]
    GwPriority: int
    MacAddress: str
    LinkLocalIPs: list[str]
    Connected: bool
