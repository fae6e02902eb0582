"""Keep the networks that users made: a row each; their bridges exist while a container of the root runs.

A container's membership is in its own row: `host_config.Networks` says what it was asked to join (Endpoints), `network`
what it has now. The three predefined networks (bridge, host, none) have no row.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from frozen import Frozen
from runtime.errors import Conflict, NetworkError, NotFound, UsageError
from runtime.network import bridge, home, namespaces, subnets

if TYPE_CHECKING:
    from runtime.network.rtnetlink import Rtnetlink
    from runtime.store import Store
    from runtime.store.database import Row

PREDEFINED = ("bridge", "host", "none")

_VERSION = 1
_TABLES = (
    """CREATE TABLE IF NOT EXISTS networks(
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        network INTEGER NOT NULL,
        prefix INTEGER NOT NULL,
        gateway INTEGER NOT NULL,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        ip_range TEXT NOT NULL,
        fixed INTEGER NOT NULL,
        internal INTEGER NOT NULL,
        options TEXT NOT NULL,
        labels TEXT NOT NULL,
        created INTEGER NOT NULL)""",
)
_COLUMNS = ("id", "name", "network", "prefix", "gateway", "first", "last", "ip_range", "created")
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_LINK_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,15}")
_BRIDGE_NAME, _ICC, _MTU = (
    "com.docker.network.bridge.name",
    "com.docker.network.bridge.enable_icc",
    "com.docker.network.driver.mtu",
)
_OPTIONS = {"bridge": _BRIDGE_NAME, "name": _BRIDGE_NAME, "icc": _ICC, "mtu": _MTU}
_KNOWN = (*_OPTIONS.values(), "com.docker.network.bridge.enable_ip_masquerade")


class Network(Frozen):
    """A user's network; addresses are numbers. `fixed`: its subnet was given, so that containers may ask for addresses.

    `first` and `last` are the addresses that containers get, those of `ip_range` (as 10.9.0.0/28) where there is one.
    `created` is in nanoseconds.
    """

    id: str
    name: str
    network: int
    prefix: int
    gateway: int
    first: int
    last: int
    ip_range: str
    fixed: bool
    internal: bool
    options: dict[str, str]
    labels: dict[str, str]
    created: int

    @property
    def subnet(self) -> subnets.Subnet:
        """Its lowest address and prefix length."""
        return self.network, self.prefix

    @property
    def mtu(self) -> int:
        """Bytes; 0 where it is that of the way out."""
        return int(self.options.get(_MTU, "0"))

    def design(self, key: str) -> bridge.Design:
        """Say what its bridge is to be, in the root with `key`."""
        return bridge.Design(
            self.options.get(_BRIDGE_NAME) or bridge.user_bridge_name(key, self.id),
            bridge.table_name(key, self.id),
            internal=self.internal,
            icc=self.options.get(_ICC, "true") == "true",
        )


class Networks:
    """The user networks of an open store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.database = store.database
        self.database.ensure("networks", _VERSION, _TABLES)

    def all(self) -> tuple[Network, ...]:
        """Return them, the oldest first."""
        return tuple(_network(row) for row in self.database.read("SELECT * FROM networks ORDER BY created, id"))

    def find(self, text: str) -> Network:
        """Return the network that a name, an id or the unique beginning of an id stands for. Raises NotFound."""
        row = self.database.one("SELECT * FROM networks WHERE name = ? OR id = ? ORDER BY name = ? DESC", *(text,) * 3)
        if row is None and text and re.fullmatch("[0-9a-f]+", text):
            rows = self.database.read("SELECT * FROM networks WHERE id >= ? AND id < ? LIMIT 2", text, text + "g")
            if len(rows) > 1:
                raise UsageError(f"network {text} is ambiguous ({len(rows)} matches found on ID prefix)")
            row = rows[0] if rows else None
        if row is None:
            raise NotFound(
                f"network {text} not found: No such network: {text}",
                hint="`pybuild network ls` lists them: bridge, host, none and those that were made",
            )
        return _network(row)

    def create(
        self,
        name: str,
        *,
        subnet: str = "",
        gateway: str = "",
        ip_range: str = "",
        internal: bool = False,
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Network:
        """Record a new bridge network with a subnet that is free. Raises UsageError, Conflict and NetworkError."""
        if not _NAME.fullmatch(name):
            raise UsageError(
                f'invalid network name "{name}"', hint="letters, digits, `_`, `.` and `-`, a letter or digit first"
            )
        if name in (*PREDEFINED, "default"):
            raise Conflict(f"operation is not permitted on predefined {name} network", hint="choose another name")
        known = _check_options(options or {})
        context = self.store.context
        with bridge.NetworkLock(), self.database.write() as connection:
            if connection.execute("SELECT 1 FROM networks WHERE name = ?", (name,)).fetchone():
                raise Conflict(f"network with name {name} already exists", hint="choose another name, or remove it")
            others = {other.id[:4] for other in self.all()}
            network_id = context.token(64)
            while network_id[:4] in others:  # its bridge is named by these
                network_id = context.token(64)
            place = self._place(network_id, subnet, gateway, ip_range)
            made = Network(
                id=network_id,
                name=name,
                network=place[0],
                prefix=place[1],
                gateway=place[2],
                first=place[3],
                last=place[4],
                ip_range=str(_cidr(ip_range, "ip-range")) if ip_range else "",
                fixed=bool(subnet),
                internal=internal,
                options=known,
                labels=dict(labels or {}),
                created=context.now(),
            )
            connection.execute(
                "INSERT INTO networks VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(made.id, made.name, *place, made.ip_range, made.fixed, made.internal),
                    *(json.dumps(made.options), json.dumps(made.labels), made.created),
                ),
            )
        return made

    def remove(self, network: Network) -> None:
        """Take away a network with its bridge. Raises Conflict where a running container is on it."""
        users = self.members(network)
        if users:
            names = ", ".join(sorted(name for name, _ in users.values()))
            raise Conflict(
                f"error while removing network: network {network.name} has active endpoints ({names})",
                hint="stop or disconnect them first; the network is in use",
            )
        with self.database.write() as connection:
            connection.execute("DELETE FROM networks WHERE id = ?", (network.id,))
        design = network.design(self.store.layout.key)
        try:
            with home.present(self.store.context) as at:
                if at is not None:
                    namespaces.within(at.namespace, lambda: bridge.take_down_one(design.name, design.table))
        except OSError as error:
            raise NetworkError(f"the bridge of {network.name} cannot be taken away: {error.strerror}") from error

    def members(self, network: Network | None) -> dict[str, tuple[str, dict[str, object]]]:
        """Return the running containers on a network (None: the default one): id to (name, endpoint)."""
        name = network.name if network else "bridge"
        found = {}
        for row in self.database.read(
            "SELECT id, name, network FROM containers WHERE state NOT IN ('created', 'exited', 'dead')"
        ):
            endpoint = json.loads(row["network"]).get("networks", {}).get(name)
            if endpoint is not None and (network is None or endpoint.get("id") == network.id):
                found[row["id"]] = (row["name"], endpoint)
        return found

    def taken(self) -> list[subnets.Subnet]:
        """Return the subnets of all user networks."""
        return [(row[0], row[1]) for row in self.database.read("SELECT network, prefix FROM networks")]

    def _place(self, network_id: str, subnet: str, gateway: str, ip_range: str) -> tuple[int, int, int, int, int]:
        """Return (network, prefix, gateway, first, last); raises UsageError and NetworkError."""
        if not subnet:
            if ip_range or gateway:
                raise UsageError("no matching subnet for gateway or ip-range", hint="give --subnet as well")
            network, prefix = subnets.choose(network_id[:10], self._used())
            return network, prefix, network + 1, network + 2, network + (1 << (32 - prefix)) - 2
        whole = _cidr(subnet, "subnet")
        network, prefix = int(whole.network_address), whole.prefixlen
        if prefix > 30:
            raise UsageError(f"subnet {subnet} has no room for a gateway and a container")
        for other in (*self.taken(), *self._addresses()):
            if whole.overlaps(ipaddress.IPv4Network((other[0] >> (32 - other[1]) << (32 - other[1]), other[1]))):
                raise Conflict(
                    "invalid pool request: Pool overlaps with other one on this address space",
                    hint=f"{subnets.text(other)} is in use already",
                )
        own = network + 1
        if gateway:
            own = subnets.number(gateway) or 0
            if not own:
                raise UsageError(f"invalid gateway address: {gateway}")
            if ipaddress.IPv4Address(own) not in whole:
                raise UsageError(f"no matching subnet for gateway {gateway}")
        first, last = network + 1, int(whole.broadcast_address) - 1
        if ip_range:
            part = _cidr(ip_range, "ip-range")
            if not part.subnet_of(whole):
                raise UsageError(f"no matching subnet for range {ip_range}")
            first = max(first, int(part.network_address))
            last = min(last, int(part.broadcast_address))
        return network, prefix, own, first, last

    def _addresses(self) -> list[subnets.Subnet]:
        """Return the subnets of the host's own links and of the default bridge."""
        from runtime.network import leases
        from runtime.network.rtnetlink import LOOPBACK_INDEX, Rtnetlink

        leases.ensure_tables(self.database)
        default = leases.recorded_subnet(self.database)
        with Rtnetlink() as links:
            found = [(address, prefix) for index, address, prefix in links.addresses() if index != LOOPBACK_INDEX]
        return [*found, *([default] if default else [])]

    def _used(self) -> list[subnets.Subnet]:
        from runtime.network.resolv import host_resolver
        from runtime.network.rtnetlink import Rtnetlink

        with Rtnetlink() as links:
            return [*self.taken(), *self._addresses(), *kernel_subnets(links, host_resolver().servers)]


def kernel_subnets(links: Rtnetlink, servers: tuple[str, ...]) -> list[subnets.Subnet]:
    """Return what the kernel routes, its addresses, and the name servers: where no new subnet may lie."""
    taken = [*links.routes(), *((address, prefix) for _, address, prefix in links.addresses())]
    numbers = (subnets.number(server) for server in servers)
    return [*taken, *((server, 32) for server in numbers if server is not None)]


def _check_options(options: Mapping[str, str]) -> dict[str, str]:
    known = {}
    for short, value in options.items():
        name = _OPTIONS.get(short, short)
        if name not in _KNOWN:
            raise UsageError(f"--opt {short} is not known", hint=f"there are: {', '.join(_KNOWN)}")
        if name == _MTU and not (value.isascii() and value.isdecimal() and 68 <= int(value) <= 65535):
            raise UsageError(f"invalid MTU: {value}", hint="a number of bytes from 68 to 65535")
        if name == _BRIDGE_NAME and not _LINK_NAME.fullmatch(value):
            raise UsageError(f"invalid bridge name: {value}", hint="at most 15 letters, digits, `_`, `.` and `-`")
        if name.endswith((_ICC, "masquerade")) and value not in ("true", "false"):
            raise UsageError(f"invalid value of {short}: {value}", hint="true or false")
        if name.endswith("masquerade") and value == "false":
            raise UsageError(f"--opt {short}=false cannot be had", hint="an --internal network has no way out")
        known[name] = value
    return known


def _cidr(text: str, what: str) -> ipaddress.IPv4Network:
    try:
        network = ipaddress.ip_network(text, strict=False)
        if "/" not in text:
            raise ValueError
    except ValueError:
        raise UsageError(
            f"invalid {what} {text}: invalid CIDR block notation", hint="write it as 10.9.0.0/24"
        ) from None
    if network.version == 6:
        raise UsageError(f"{what} {text}: networks have IPv4 alone", hint="give an IPv4 subnet")
    return network


def _network(row: Row) -> Network:
    return Network(
        **{name: row[name] for name in _COLUMNS},
        fixed=bool(row["fixed"]),
        internal=bool(row["internal"]),
        options=json.loads(row["options"]),
        labels=json.loads(row["labels"]),
    )
