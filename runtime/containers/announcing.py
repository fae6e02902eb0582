"""Write events of what is no container: images, networks, volumes (`pybuild events` shows them)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite3 import Connection

    from runtime.oci.references import Reference
    from runtime.store import Store
    from runtime.store.images import Image

_INSERT = "INSERT INTO events(time, type, action, actor, attributes) VALUES(?, ?, ?, ?, ?)"


def announce(connection: Connection, moment: int, kind: str, action: str, actor: str, told: dict[str, str]) -> None:
    """Write one event of the Engine API's shape in a transaction, where containers' tables are there to hold it."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'events'").fetchone() is not None:
        connection.execute(_INSERT, (moment, kind, action, actor, json.dumps(told)))


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
