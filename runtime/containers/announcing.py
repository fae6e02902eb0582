"""Write events of what is no container: images, networks, volumes (`pybuild events` shows them)."""

from __future__ import annotations

import json

from runtime.oci.shortsha import hex_sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sqlite3 import Connection

    from runtime.containers.records import Container
    from runtime.oci.references import Reference
    from runtime.store import Store
    from runtime.store.images import Image

_KINDS = {"none": "null", "host": "host"}
"""The drivers of the networks that are none."""
_INSERT = "INSERT INTO events(time, type, action, actor, attributes) VALUES(?, ?, ?, ?, ?)"


def announce(connection: Connection, moment: int, kind: str, action: str, actor: str, told: dict[str, str]) -> None:
    """Write one event of the Engine API's shape in a transaction, where containers' tables are there to hold it."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'events'").fetchone() is not None:
        connection.execute(_INSERT, (moment, kind, action, actor, json.dumps(told)))


def announce_surroundings(connection: Connection, key: str, container: Container, moment: int, *, begins: bool) -> None:
    """Write which networks and volumes a container has joined that starts, or has left that ended."""
    row = connection.execute("SELECT network, started FROM containers WHERE id = ?", (container.id,)).fetchone()
    if not row[1]:
        return  # it ended before anybody knew of its start
    joined = json.loads(row[0]).get("networks") or {}
    mode = container.host_config.get("NetworkMode") or "bridge"
    if not joined and mode in _KINDS:
        joined = {mode: {}}
    for mount in container.mounts:
        if mount.get("Type") == "volume":
            told = {"container": container.id, "driver": "local"}
            if begins:
                told |= {
                    "destination": mount["Destination"],
                    "propagation": mount.get("Propagation", ""),
                    "read/write": "true" if mount.get("RW") else "false",
                }
            action = "mount" if begins else "unmount"
            connection.execute(_INSERT, (moment, "volume", action, mount["Name"], json.dumps(told)))
    for name, endpoint in joined.items():
        number = endpoint.get("id") or predefined_id(key, name)
        told = {"container": container.id, "name": name, "type": _KINDS.get(name, "bridge")}
        action = "connect" if begins else "disconnect"
        connection.execute(_INSERT, (moment, "network", action, number, json.dumps(told)))


def predefined_id(key: str, name: str) -> str:
    """Return the id of a predefined network, which goes with the root that has this key."""
    return hex_sha256(f"{key}:{name}".encode())


def announce_image(store: Store, action: str, image: Image, name: Reference | None = None) -> None:
    """Write that something happened to an image, under `name` or its id."""
    labels = image.config.config.labels
    told = {**labels, "name": image.id if name is None else name.familiar()}
    with store.database.write() as connection:
        announce(connection, store.context.now(), "image", action, image.id, told)


def announce_network(store: Store, action: str, number: str, name: str, **told: str) -> None:
    """Write that something happened to a network."""
    with store.database.write() as connection:
        announce(connection, store.context.now(), "network", action, number, {**told, "name": name, "type": "bridge"})
