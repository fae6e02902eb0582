"""Make records of containers for tests, without images and processes."""

from __future__ import annotations

import os
from hashlib import sha256

from frozen import replace
from runtime.containers.records import Container, Containers
from runtime.store.leases import boot_mark

MONITOR = f"1-2-{boot_mark()}"
"""The name of a monitor of this boot."""

TEMPLATE = Container(
    id="",
    name="",
    image="sha256:" + "1" * 64,
    state="created",
    path="/bin/true",
    args=("-x",),
    config={"Image": "app", "Labels": {"tier": "web"}},
    host_config={"NetworkMode": "none"},
    mounts=(),
    network={},
    auto_remove=False,
    created=5,
    started=0,
    finished=0,
    pid=0,
    monitor="",
    exit_code=0,
    oom_killed=False,
    error="",
)


def make(containers: Containers, name: str, *, identity: str = "", held: bool = False, **changes: object) -> Container:
    """Record a container; its lock is free again unless `held`, which leaks the descriptor to the test."""
    container = replace(TEMPLATE, id=identity or sha256(name.encode()).hexdigest(), name=name, **changes)
    with containers.new_directory(container.id) as alive:
        containers.insert(container)
    if not held:
        os.close(alive)
    return container
