"""Clear away what killed processes left of a root's network."""

from __future__ import annotations

import os

from runtime.errors import NetworkError
from runtime.network import janitor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.context import Context


def sweep(context: Context) -> None:
    """See to bridges that nobody uses any more: they are taken away in the background, and all leases with them.

    Every command begins with this; where there is no bridge it is one look at a file. Raises nothing: what
    cannot be done now is left to the next command.
    """
    locks = str(context.layout.locks)
    if janitor.is_due(locks):
        janitor.leave(locks, context.layout.key)


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
