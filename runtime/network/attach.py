"""Connect the network namespace of a process that waits to become a container's first.

Standard library alone, and usable under `python -I -S`: a monitor or a step server calls `attach` with the document of
a plan (runtime.network.plan), which JSON and marshal can hold::

    {"mode": "host" | "none"}                      nothing to do
    {"mode": "bridge", "locks", "key", "bridge": index, "port": name, "mac", "address", "gateway", "prefix", "mtu"}
    {"mode": "pasta" | "slirp4netns", "command": [program, argument, …], "place": path}

Addresses are numbers. The link in the namespace is `eth0` for a bridge, `tap0` for slirp4netns, and for pasta named as
the host's. The launcher sets the loopback up.
"""

from __future__ import annotations

import errno
import os

from runtime.network import janitor, rtnetlink
from runtime.network.rtnetlink import Rtnetlink
from runtime.sandbox import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_INSIDE = "eth0"


def attach(document: dict[str, Any], pid: int) -> None:
    """Give the network namespace of process `pid` what `document` says.

    The caller is in the host's network namespace and privileged over that of `pid`; it has one thread. What is made
    belongs to that namespace and goes with it. A helper of the rootless modes is a child of the caller that it may
    reap; it ends with the container and with the caller. Raises OSError(errno, text), and everything made so far goes
    with the namespace.
    """
    mode = document["mode"]
    if mode == "bridge":
        with _inside(pid) as links:
            _attach_bridge(links, document, pid)
    elif mode in {"pasta", "slirp4netns"}:
        from runtime.network import helpers  # lazy: 4 ms that a bridge does not need

        helpers.start(mode, document["command"], document["place"], pid)


def leave(document: dict[str, Any]) -> None:
    """Tell that a container which held `users_fd` of its plan has ended, after that descriptor was closed.

    The last one out has the bridge taken away in the background; this returns after a millisecond and raises nothing.
    """
    if document["mode"] == "bridge":
        janitor.leave(document["locks"], document["key"])


def _attach_bridge(inside: Rtnetlink, document: dict[str, Any], pid: int) -> None:
    port = document["port"]
    pair = rtnetlink.new_veth(
        port,
        master=document["bridge"],
        mtu=document["mtu"],
        peer=_INSIDE,
        peer_mac=document["mac"],
        pid=pid,
    )
    with Rtnetlink() as links:
        try:
            links.transact([pair])
        except FileExistsError:  # of a namespace with the same address that the kernel has not cleared away yet
            links.delete_link(port)
            links.transact([pair])
        links.transact([*rtnetlink.quiet_ipv6(port), rtnetlink.link_up(port)])
    inside.transact([*rtnetlink.quiet_ipv6(_INSIDE), rtnetlink.link_up(_INSIDE)])
    link = inside.link(_INSIDE)
    if link is None:
        raise OSError(errno.ENODEV, f"{_INSIDE} vanished from the container's network namespace")
    inside.transact(
        [
            rtnetlink.new_address(link.index, document["address"], document["prefix"]),
            rtnetlink.new_default_route(document["gateway"]),
        ]
    )


def _inside(pid: int) -> Rtnetlink:
    """Make a socket in the network namespace of `pid`; this thread is back in its own when it returns."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        other = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            if os.path.sameopenfile(own, other):
                raise OSError(errno.EINVAL, f"process {pid} has no network namespace of its own")
            syscalls.setns(other, syscalls.CLONE_NEWNET)
        finally:
            os.close(other)
        try:
            return Rtnetlink()
        finally:
            syscalls.setns(own, syscalls.CLONE_NEWNET)
    finally:
        os.close(own)
