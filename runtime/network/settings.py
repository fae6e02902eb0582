"""Name the fields of the Engine API's EndpointSettings that are acted on: how a container joins one network."""

from __future__ import annotations

from typing import TypedDict


class EndpointSettings(TypedDict, total=False):
    """What a container asks of a network: further names, an address, a link-layer address; absent for no wish."""

    Aliases: list[str]
    IPAddress: str
    MacAddress: str
