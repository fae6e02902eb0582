"""Clear away what killed processes left of a root's network."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runtime.errors import NetworkError
from runtime.network import janitor

if TYPE_CHECKING:
    from runtime.context import Context

_LINKS = "/proc/sys/net/ipv4/conf"


def sweep(context: Context) -> None:
    """See to bridges that nobody uses any more: they are taken away in the background, and all leases with them.

    Every command begins with this; where there is no bridge it is one look into a directory. Raises nothing: what
    cannot be done now is left to the next command.
    """
    layout = context.layout
    if _is_held(f"{layout.locks}/{janitor.HOLDER}") or (not context.rootless and _has_bridge(layout.key)):
        janitor.leave(str(layout.locks), layout.key)


def _is_held(path: str) -> bool:
    """Tell whether there is a holder of the root's network, or was one that nobody has cleared away after."""
    try:
        return os.stat(path).st_size > 0
    except OSError:
        return False


def _has_bridge(key: str) -> bool:
    default, others = janitor.bridge_name(key), janitor.user_bridges(key)
    try:
        return any(name == default or name.startswith(others) for name in os.listdir(_LINKS))
    except OSError:
        return False


def teardown(context: Context) -> None:
    """Take away bridge, table, firewall entries and leases of this root, and return when they are gone.

    Raises NetworkError where a container still uses the bridge, or the kernel refuses.
    """
    locks = str(context.layout.locks)
    if not os.path.exists(f"{locks}/network.users"):
        return
    users = janitor.alone(locks)
    if users is None:
        raise NetworkError("the bridge is in use by running containers", hint="stop them first")
    try:
        janitor.clear(locks, context.layout.key)
    except OSError as error:
        raise NetworkError(f"the bridge cannot be taken away: {error.strerror or error}") from error
    finally:
        os.close(users)
