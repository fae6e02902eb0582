"""A machine of the test's own: a network namespace with a way out to another one, in which a server answers.

::

    machine (this thread)  198.51.100.1/24 uplink ---- eth0 198.51.100.2/24  outside

Whatever a test leaves behind goes with the namespaces.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from runtime.context import Context
from runtime.store import Store
from tests.runtime.network.machines import OUTSIDE, UPLINK, ip, namespace, server, sleeper


@pytest.fixture
def store(context: Context) -> Iterator[Store]:
    with Store.open(context) as opened:
        yield opened


@pytest.fixture
def machine() -> Iterator[int]:
    """Be in the machine's namespace; gives the pid of a process in the one outside, where a server answers."""
    with ExitStack() as stack:
        outside = stack.enter_context(sleeper())
        stack.enter_context(namespace())
        ip("link", "add", "uplink", "mtu", "1400", "type", "veth", "peer", "name", "eth0", "netns", str(outside))
        ip("addr", "add", f"{UPLINK}/24", "dev", "uplink")
        ip("link", "set", "uplink", "up")
        ip("addr", "add", f"{OUTSIDE}/24", "dev", "eth0", pid=outside)
        ip("link", "set", "eth0", "up", pid=outside)
        ip("route", "add", "default", "via", OUTSIDE)
        stack.enter_context(server(pid=outside))
        yield outside


@pytest.fixture
def container(machine: int) -> Iterator[int]:
    """Give the pid of a process that waits to become a container's first."""
    with sleeper() as pid:
        yield pid


@pytest.fixture
def locks(tmp_path: Path) -> str:
    """Give a directory for lock files."""
    directory = tmp_path / "locks"
    directory.mkdir()
    return str(directory)
