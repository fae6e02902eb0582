"""Take away what builds left that were killed: secrets, control groups, the places of SSH agents.

Each costs one system call where there never was any. Names say whose they are (see `runtime.store.leases`).
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from builder.secretfiles import sweep_secrets
from builder.stepgroups import sweep_groups

if TYPE_CHECKING:
    from runtime.context import Context


def sweep(context: Context) -> None:
    """Take away what belongs to processes that are gone."""
    sweep_secrets(context)
    sweep_groups(context)
    _sweep_agents(context)


def _sweep_agents(context: Context) -> None:
    """Remove the places of agents, which ended with their build."""
    base = context.layout.run / "ssh"
    try:
        names = os.listdir(base)
    except FileNotFoundError:
        return
    from runtime.store.leases import is_alive

    for name in names:
        if not is_alive(name):
            with suppress(FileNotFoundError):
                (base / name / "agent").unlink()
            with suppress(OSError):
                (base / name).rmdir()
