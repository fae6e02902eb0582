"""Connect the network namespace of a process that waits to become a container's first.

Standard library alone, and usable under `python -I -S`: a monitor or a step server calls `attach` with the document of
a plan (runtime.network.plan), which JSON and marshal can hold::

    {"mode": "host" | "none"}                      nothing to do
    {"mode": "bridge", "locks", "key",
     "bridge": index, "port": name, "mac", "address", "gateway", "prefix", "mtu",
     "link": "eth", or what else its name begins with, "name": where one is asked for, "sysctls": [[path, value], …],
     "link_local": [[address, prefix, of IPv6], …],    further addresses of the link
     "apart": True                                     where containers do not reach each other
     "address6", "gateway6", "prefix6",                where it has IPv6; `address` is 0 where it has that alone
     "others": [{the same}, …],                        further networks
     "forwards": [[[host address, protocol, port], port inside], …], "table", "to": address, "target": dotted,
     "forwards6", "to6"                                the same for IPv6
     "sockets": [[protocol, port inside], …],          of the descriptors behind the first of `held`
     "database", "owner": container ID                 where `target` can be another later
     "dns": {"servers", "near", "database", "containers", "container", "networks"}, absent where there are no names;
                                         near are servers that are asked from its own network; networks only where no
                                         row of the container says on which it is
     "namespace": path}                  absent where the bridges are in the network namespace of the caller
    {"mode": "pasta" | "slirp4netns", "command": [program, argument, …], "place": path,
     "locks", "key", "target", "sockets"}             as above, where ports are published through slirp4netns

Addresses are numbers; a gateway of 0 stands for none. The links in the namespace are `eth0`, `eth1`… for bridges,
`tap0` for slirp4netns, and for pasta named as the host's. The launcher sets the loopback up.
"""

from __future__ import annotations

import _socket
import errno
import os

from runtime.network import janitor, namespaces, rtnetlink
from runtime.network.namespaces import HERE
from runtime.network.rtnetlink import Rtnetlink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

DNS_ADDRESS = "127.0.0.11"
"""Where a container on a user's network asks for names, as Docker has it."""

_PATIENCE = 2.0
"""Seconds to wait for attendants, whose container has ended."""


def attach(document: dict[str, Any], pid: int, held: Sequence[int] = ()) -> list[int]:
    """Give the network namespace of process `pid` what `document` says.

    The caller is in the host's network namespace and privileged over that of `pid`; it has one thread. What is made
    belongs to that namespace and goes with it. A helper of the rootless modes is a child of the caller that it may
    reap; it ends with the container and with the caller. `held` are `users_fd` of the plan and behind it the sockets of
    published ports. Returns the pids of attendants (a helper's keeper counts): children of the caller that end with the
    container, for `leave`. Raises OSError(errno, text), and everything made so far goes with the namespace.
    """
    mode = document["mode"]
    if mode == "bridge":
        return _attended(document, pid, list(held), lambda: _connect(document, pid))
    if mode in {"pasta", "slirp4netns"}:
        from runtime.network import helpers  # lazy: 4 ms that a bridge does not need

        attendants = [helpers.start(mode, document["command"], document["place"], pid)]
        if document.get("sockets"):
            namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            try:
                attendants.append(_attend(document, pid, namespace, list(held[1:]), []))
            finally:
                os.close(namespace)
        return attendants
    return []


def attend_again(document: dict[str, Any], pid: int, held: Sequence[int]) -> list[int]:
    """Give a container on bridges, which runs, another attendant for one that was killed; as `attach` otherwise."""
    return (
        _attended(document, pid, list(held), lambda: _names_of(document, pid)) if document["mode"] == "bridge" else []
    )


def _attended(document: dict[str, Any], pid: int, held: list[int], connect: Callable[[], list[int]]) -> list[int]:
    """Call `connect` where the bridges are, for the sockets of names; start an attendant where there is work for it."""
    namespace, sockets = HERE, held[1:]
    if document.get("namespace"):
        own = os.open(document["namespace"], os.O_RDONLY | os.O_CLOEXEC) if len(held) < 2 else sockets.pop(0)
        namespace = own
    names: list[int] = []
    try:
        names = namespaces.within(namespace, connect)
        if document.get("sockets") or document.get("forwards") or document.get("forwards6") or names:
            return [_attend(document, pid, namespace, sockets, names)]
    finally:
        for fd in names:
            os.close(fd)
        if namespace != HERE and len(held) < 2:
            os.close(namespace)
    return []


def _connect(document: dict[str, Any], pid: int) -> list[int]:
    """Make the links of a container from where the bridges are; returns the sockets at which it asks for names."""
    with namespaces.inside(pid, Rtnetlink) as links:
        if document.get("dns"):
            links.transact([rtnetlink.link_up("lo")])  # names are asked for there; the launcher does it later
        used: dict[str, int] = {}
        for endpoint in _endpoints(document):
            name = endpoint.get("name")
            if not name:
                prefix = endpoint.get("link", "eth")
                used[prefix] = number = used.get(prefix, -1) + 1
                name = f"{prefix}{number}"
            _attach_bridge(links, endpoint, pid, name, bool(document.get("forwards")))
    return _names_of(document, pid)


def _names_of(document: dict[str, Any], pid: int) -> list[int]:
    return namespaces.inside(pid, _name_sockets) if document.get("dns") else []


def leave(document: dict[str, Any], attendants: Sequence[int] = ()) -> None:
    """Tell that a container which held `users_fd` of its plan has ended, after that descriptor was closed.

    `attendants` are waited for, so that its ports are free. The last one out has the bridge taken away in the
    background. Returns after a few milliseconds and raises nothing.
    """
    settle(attendants)
    if document["mode"] == "bridge":
        janitor.leave(document["locks"], document["key"])


def settle(attendants: Sequence[int]) -> None:
    """Wait until the attendants of a container that has ended are gone."""
    import select  # lazy: only with attendants there is something to wait for

    for pid in attendants:
        try:
            fd = os.pidfd_open(pid)
        except OSError:
            continue
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        if poller.poll(_PATIENCE * 1000):
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass  # somebody collects our children
        os.close(fd)


def join(document: dict[str, Any], pid: int, namespace: int = HERE) -> None:
    """Connect a container that runs to one more bridge, under the next free name. Raises OSError.

    `namespace` is where the bridge is.
    """

    def work() -> None:
        with namespaces.inside(pid, Rtnetlink) as links:
            names = {link.name for link in links.links()}
            prefix = document.get("link", "eth")
            free = next(name for number in range(len(names) + 1) if (name := f"{prefix}{number}") not in names)
            _attach_bridge(links, document, pid, document.get("name") or free, False)

    namespaces.within(namespace, work)


def route(pid: int, gateway: int, gateway6: int = 0) -> None:
    """Send what a container that runs has for elsewhere through `gateway`, whatever did so before. Raises OSError."""
    with namespaces.inside(pid, Rtnetlink) as links:
        if gateway:
            links.transact([rtnetlink.new_default_route(gateway, replace=True)])
        if gateway6:
            links.transact([rtnetlink.new_default_route(gateway6, rtnetlink.AF_INET6, replace=True)])


def attach_from_program(document: dict[str, Any], pid: int) -> None:
    """Do what `attach` does, from a process that has the database open: the attendant is an interpreter of its own."""
    attach({name: value for name, value in document.items() if name != "dns"}, pid)
    if document.get("dns"):
        with namespaces.inside(pid, Rtnetlink) as links:
            links.transact([rtnetlink.link_up("lo")])
        start_names(document, pid)


def start_names(document: dict[str, Any], pid: int) -> None:
    """Start an attendant for a container that runs and has just got its first names; the caller may have threads.

    It is an interpreter of its own: SQLite does not survive a fork. Raises OSError, EADDRINUSE where there is one.
    """
    import json  # lazy: only where a container joins its first network with names while it runs

    from runtime import interpreters

    container = os.pidfd_open(pid)
    names: list[int] = []
    try:
        names = namespaces.inside(pid, _name_sockets)
        serve = "import json; module.serve(json.loads(words[0]), 3, [], [4, 5])"
        interpreters.spawn("runtime.network.attendant", serve, [json.dumps(document)], [container, *names])
    finally:
        for fd in (container, *names):
            os.close(fd)


def keep(users: int, locks: str, key: str, pid: int) -> None:
    """Keep `users_fd` open as long as process `pid` lives, for a container whose monitor has none. Raises OSError."""
    from runtime import interpreters  # lazy: only where one without a network gets one while it runs

    container = os.pidfd_open(pid)
    try:
        interpreters.spawn(
            "runtime.network.attendant", "module.keep(words[0], words[1])", [locks, key], [container, users]
        )
    finally:
        os.close(container)


def _endpoints(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [*([document] if document.get("port") else ()), *document.get("others", ())]


def _attend(document: dict[str, Any], pid: int, namespace: int, sockets: list[int], names: list[int]) -> int:
    container = os.pidfd_open(pid)
    try:
        if child := os.fork():
            if document.get("forwards") or document.get("forwards6"):
                from runtime.network import portrules  # lazy: 2 ms that a container without ports does without

                namespaces.within(namespace, lambda: portrules.publish(document))
            return child
        try:
            from runtime.network import attendant  # lazy: 20 ms, which nobody waits for

            attendant.serve(document, container, sockets, names, namespace)
        finally:
            os._exit(1)
    finally:
        os.close(container)


def _name_sockets() -> list[int]:
    """Open the UDP and TCP sockets at which this network namespace asks for names."""
    opened: list[int] = []
    for kind in (_socket.SOCK_DGRAM, _socket.SOCK_STREAM):
        sock = _socket.socket(_socket.AF_INET, kind | _socket.SOCK_CLOEXEC)
        try:
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
            sock.bind((DNS_ADDRESS, 53))
            if kind == _socket.SOCK_STREAM:
                sock.listen(64)
        except OSError:
            sock.close()
            for fd in opened:
                os.close(fd)
            raise
        opened.append(sock.detach())
    return opened


def _attach_bridge(inside: Rtnetlink, document: dict[str, Any], pid: int, name: str, hairpin: bool) -> None:
    port = document["port"]
    pair = rtnetlink.new_veth(
        port,
        master=document["bridge"],
        mtu=document["mtu"],
        peer=name,
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
        if hairpin:
            links.transact([rtnetlink.hairpin(port)])
        if document.get("apart"):
            links.transact([rtnetlink.isolated(port)])
    six = document.get("address6")
    inside.transact([*(() if six else rtnetlink.quiet_ipv6(name)), rtnetlink.link_up(name)])
    link = inside.link(name)
    if link is None:
        raise OSError(errno.ENODEV, f"{name} vanished from the container's network namespace")
    if document["address"]:
        inside.transact([rtnetlink.new_address(link.index, document["address"], document["prefix"])])
    if document["gateway"]:
        inside.transact([rtnetlink.new_default_route(document["gateway"])])
    if six:
        inside.transact([rtnetlink.new_address(link.index, six, document["prefix6"], rtnetlink.AF_INET6)])
        if document["gateway6"]:
            inside.transact([rtnetlink.new_default_route(document["gateway6"], rtnetlink.AF_INET6)])
    for address, bits, of_six in document.get("link_local", ()):
        family = rtnetlink.AF_INET6 if of_six else rtnetlink.AF_INET
        inside.transact([rtnetlink.new_address(link.index, address, bits, family)])
    if document.get("sysctls"):
        namespaces.inside(pid, lambda: _set_sysctls(document["sysctls"], name))


def _set_sysctls(settings: list[tuple[str, str]], name: str) -> None:
    """Set what was asked for of a link; the kernel shows the settings of the network namespace of the thread."""
    for place, value in settings:
        path = f"/proc/sys/{place.replace('IFNAME', name)}"
        try:
            with open(path, "wb", buffering=0) as file:
                file.write(f"{value}\n".encode())
        except FileNotFoundError:
            raise OSError(errno.ENOENT, f"{path} is not a sysctl file") from None
        except OSError as error:
            raise OSError(error.errno, f"{value} cannot be written to {path}: {error.strerror}") from error
