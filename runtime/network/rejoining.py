"""Let a container whose monitor starts it again be on the networks that it is on now, not on those of its start.

Who connects or disconnects a running container leaves the file `networks` in its directory (`leave_word`), as JSON::

    {"ports": [name, …],              of the links that it has
     "joined": [endpoint, …],         documents of those that its start did not make (runtime.network.attach)
     "gateways": {port: [4, 6]},      of its way out, as numbers
     "more": {…}}                     what the document has now beside endpoints: where published ports go, names

Standard library alone, and usable under `python -I -S`.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FILE = "networks"
_ENDPOINT = frozenset(
    "bridge port mac address gateway prefix mtu link name sysctls link_local apart address6 gateway6 prefix6".split()
)
"""What a document has of its first endpoint."""


def leave_word(directory: str, changes: dict[str, Any]) -> None:
    """Write the file; it has its name once it is whole."""
    import json

    part = f"{directory}/{_FILE}.part"
    with open(part, "w", encoding="utf-8") as file:
        json.dump(changes, file)
    os.rename(part, f"{directory}/{_FILE}")


def current(document: dict[str, Any], directory: int) -> dict[str, Any]:
    """Return the document of a plan with what has changed since, by the file in the open `directory`."""
    try:
        fd = os.open(_FILE, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        return document
    import json  # lazy: hardly any container changes its networks while it runs

    with open(fd, encoding="utf-8") as file:
        return _changed(document, json.load(file))


def _changed(document: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    first = {name: value for name, value in document.items() if name in _ENDPOINT}
    known = [*([first] if first else []), *document.get("others", ()), *changes["joined"]]
    endpoints = []
    for endpoint in known:
        if endpoint["port"] in changes["ports"]:
            gateways = dict(
                zip(("gateway", "gateway6"), changes["gateways"].get(endpoint["port"], (0, 0)), strict=True)
            )
            endpoints.append({**endpoint, **gateways})
    kept = {name: value for name, value in document.items() if name not in _ENDPOINT}
    return {**kept, **changes["more"], **(endpoints[0] if endpoints else {}), "others": endpoints[1:]}
