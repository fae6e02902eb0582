"""Plan how a container is connected: choose the way, lease an address, write its resolv.conf and hosts.

The document of a plan is carried out by runtime.network.attach, in the process that makes the container.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from frozen import Frozen
from runtime.errors import NetworkError, UsageError
from runtime.network import bridge, janitor, leases, resolv, subnets
from runtime.store.leases import boot_mark, is_alive, own_name, start_time

if TYPE_CHECKING:
    from runtime.context import Context
    from runtime.network.rtnetlink import Rtnetlink
    from runtime.store import Store

BRIDGE, NONE, HOST = "bridge", "none", "host"
PASTA, SLIRP4NETNS = "pasta", "slirp4netns"
MODES = (BRIDGE, NONE, HOST, PASTA, SLIRP4NETNS)

_DEFAULT_MTU = 1500
_NS_GET_USERNS = 0xB701
"""ioctl_ns(2): open the user namespace that owns a namespace."""
_WAIT = 0.002
"""Seconds between two looks while an unused bridge is being taken away (50 ms in all)."""


class Plan:
    """How one container is connected; valid inside the `with` block of `plan`.

    `mode` is one of MODES. `document` is for `attach`. `resolv_conf` and `hosts` are texts of the container's files.
    `address`, `gateway` (dotted), `prefix` (bits) and `mac` are None where the container has no address of ours.
    `users_fd` keeps the bridge: a process that outlives the block inherits it, and holds it open for the
    container's life; None where there is no bridge.
    """

    __slots__ = (
        *("_lease", "address", "document", "gateway", "hosts", "mac", "mode", "prefix", "resolv_conf", "users_fd"),
    )

    def __init__(
        self,
        *,
        mode: str,
        document: dict[str, Any],
        resolv_conf: str,
        hosts: str,
        address: str | None = None,
        gateway: str | None = None,
    ) -> None:
        self.mode = mode
        self.document = document
        self.resolv_conf = resolv_conf
        self.hosts = hosts
        self.address = address
        self.gateway = gateway
        self.prefix: int | None = None
        self.mac: str | None = None
        self.users_fd: int | None = None
        self._lease: _Lease | None = None

    def follow(self, pid: int) -> None:
        """Let the address belong to process `pid`: it stays leased after the block for as long as that one lives."""
        if self._lease is not None:
            self._lease.follow(pid)


class _Lease:
    """The address of one container, and the process that it is leased to."""

    def __init__(self, store: Store, subnet: subnets.Subnet, owner: str) -> None:
        self._database = store.database
        self._followed = False
        self._process = own_name(store.context)
        self.address = leases.take(self._database, subnet, owner=owner, process=self._process)

    def follow(self, pid: int) -> None:
        started = start_time(pid)
        if started is None:
            return  # it has ended: the block's end gives the address back
        process = f"{pid}-{started}-{boot_mark()}-{self._process.rpartition('-')[2]}"
        leases.hand_over(self._database, self.address, process=self._process, to=process)
        self._process = process
        self._followed = True

    def close(self) -> None:
        if not (self._followed and is_alive(self._process)):
            leases.release(self._database, self.address, process=self._process)


@contextmanager
def plan(  # noqa: PLR0913 - all but three are what `run` has flags for
    context: Context,
    store: Store,
    mode: str = BRIDGE,
    *,
    owner: str,
    hostname: str = "",
    add_hosts: Sequence[str] = (),
    dns: Sequence[str] = (),
    dns_search: Sequence[str] = (),
    dns_options: Sequence[str] = (),
) -> Iterator[Plan]:
    """Plan the network of one container; what was made for it is given back at the end of the block.

    `mode`: "bridge" (also "" and "default"; for an unprivileged user pasta, else slirp4netns), "none", "host", or
    a helper by name. `owner` is "container:ID" or "step:ID". `hostname` is named in the hosts file. Raises NetworkError
    where the network cannot be had, with what to do instead; UsageError for a mode, an added host or a name server
    that cannot be read. Nothing falls back to another mode by itself.
    """
    wanted = mode if mode not in {"", "default"} else BRIDGE
    if wanted not in MODES:
        raise UsageError(f'network mode "{mode}" is not known', hint=f"use one of {', '.join(MODES)}")
    resolver = _Resolving(tuple(add_hosts), hostname, _servers(dns), tuple(dns_search), tuple(dns_options))
    if wanted in {NONE, HOST}:
        yield resolver.plan(wanted, {"mode": wanted})
    elif wanted == BRIDGE and not context.rootless and _owns_network():
        with _bridged(context, store, owner, resolver) as made:
            yield made
    else:
        from runtime.network import rootless  # lazy: 4 ms that the superuser does not need

        helper = rootless.find(context.environ, None if wanted == BRIDGE else wanted)
        made = resolver.plan(helper.mode, {}, ipv6=helper.mode == PASTA, forward=helper.dns)
        place, forward = _place(context), f"nameserver {helper.dns}\n" in made.resolv_conf
        made.document = {"mode": helper.mode, "command": helper.command(place, forward=forward), "place": place}
        yield made


class _Resolving(Frozen, kw_only=False):
    """What the caller wants of names; makes the two files of a plan."""

    add_hosts: tuple[str, ...]
    hostname: str
    dns: tuple[str, ...]
    dns_search: tuple[str, ...]
    dns_options: tuple[str, ...]

    def plan(
        self,
        mode: str,
        document: dict[str, Any],
        *,
        address: str | None = None,
        gateway: str | None = None,
        ipv6: bool = False,
        forward: str | None = None,
    ) -> Plan:
        resolver = resolv.for_container(
            resolv.host_resolver(),
            shares_loopback=mode == HOST,
            ipv6=ipv6,
            forward=forward,
            dns=self.dns,
            dns_search=self.dns_search,
            dns_options=self.dns_options,
        )
        if mode == HOST:
            hosts = resolv.host_hosts(self.add_hosts)
        else:
            hosts = resolv.hosts_text(
                hostname=self.hostname, address=address, add_hosts=self.add_hosts, gateway=gateway
            )
        return Plan(
            mode=mode, document=document, resolv_conf=str(resolver), hosts=hosts, address=address, gateway=gateway
        )


@contextmanager
def _bridged(context: Context, store: Store, owner: str, resolver: _Resolving) -> Iterator[Plan]:
    locks, key = str(context.layout.locks), context.layout.key
    leases.ensure_tables(store.database)
    users = _become_user(context, locks)
    try:
        found, mtu = _ensure_bridge(store, key)
        lease = _Lease(store, (found.network, found.prefix), owner)
        try:
            address, mac = lease.address, bridge.mac_of(lease.address)
            document = {
                "mode": BRIDGE,
                "locks": locks,
                "key": key,
                "bridge": found.index,
                "port": bridge.port_name(key, address),
                "mac": mac,
                "address": address,
                "gateway": found.gateway,
                "prefix": found.prefix,
                "mtu": mtu,
            }
            made = resolver.plan(
                BRIDGE, document, address=subnets.dotted(address), gateway=subnets.dotted(found.gateway)
            )
            made.prefix, made.mac, made.users_fd, made._lease = found.prefix, mac, users, lease
            yield made
        finally:
            lease.close()
    finally:
        os.close(users)
        janitor.leave(locks, key)


def _owns_network() -> bool:
    """Tell whether our user namespace rules this network namespace; that of `unshare -r` and its like does not."""
    descriptors: list[int] = []
    try:
        for name in ("user", "net"):
            descriptors.append(os.open(f"/proc/thread-self/ns/{name}", os.O_RDONLY | os.O_CLOEXEC))
        descriptors.append(fcntl.ioctl(descriptors[1], _NS_GET_USERNS))
        return os.path.sameopenfile(descriptors[0], descriptors[2])
    except OSError:  # the ruler is above us, where we may not look
        return False
    finally:
        for fd in descriptors:
            os.close(fd)


def _place(context: Context) -> str:
    """Name an empty file that is there, for the network namespace to be bound over in the helper's mount namespace.

    It lies in the run directory, below which AppArmor lets pasta open such files, or else with the locks.
    """
    path = context.layout.run / "netns"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
    except PermissionError:
        path = context.layout.locks / "netns"
        path.touch(mode=0o600)
    return str(path)


def _become_user(context: Context, locks: str) -> int:
    while (users := janitor.try_use(locks)) is None:
        context.cancel.check()
        context.cancel.wait(_WAIT)
    return users


def _ensure_bridge(store: Store, key: str) -> tuple[bridge.Bridge, int]:
    """Return the bridge, made if it is missing, and the MTU of the way out in bytes."""

    def choose(links: Rtnetlink) -> subnets.Subnet:
        taken = [*links.routes(), *((address, prefix) for _, address, prefix in links.addresses())]
        servers = (subnets.number(server) for server in resolv.host_resolver().servers)
        taken += [(server, 32) for server in servers if server is not None]
        return subnets.choose(key, taken, leases.recorded_subnet(store.database))

    try:
        found, mtu = bridge.ensure(key, choose)
    except OSError as error:
        raise NetworkError(
            f"the network cannot be set up: {error.strerror or error}",
            hint="it needs CAP_NET_ADMIN, nf_tables and ip_forward; else use --network none or --network host",
        ) from error
    return found, mtu or _DEFAULT_MTU


def _servers(dns: Sequence[str]) -> tuple[str, ...]:
    import ipaddress  # lazy: 9 ms, and few name servers of their own

    for server in dns:
        try:
            ipaddress.ip_address(server.partition("%")[0])
        except ValueError:
            raise UsageError(f"{server} is not an ip address", hint="--dns takes an address") from None
    return tuple(dns)
