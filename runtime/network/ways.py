"""Say which of its networks is a container's way out: what it has for elsewhere, and its published ports, go there.

Standard library alone, and usable under `python -I -S`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


def way_out(endpoints: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the name of the network with the highest priority that has a gateway; "" for none.

    Of several one with gateways of both versions of IP, then the first in the order of their names, as Docker has it:
    which that is does not depend on when a container joined them. `endpoints` are those of a container's record.
    """

    def rank(name: str) -> tuple[int, bool]:
        endpoint = endpoints[name]
        return endpoint.get("priority", 0), bool(endpoint.get("gateway") and endpoint.get("gateway6"))

    ways = sorted(name for name, endpoint in endpoints.items() if endpoint.get("gateway") or endpoint.get("gateway6"))
    return max(ways, key=rank, default="")
