"""Keep the networks that users made: a row each; their bridges exist while a container of the root runs.

A container's membership is in its own row: `host_config.Networks` says what it was asked to join (Endpoints), `network`
what it has now. The three predefined networks (bridge, host, none) have no row.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from frozen import Frozen, field, replace
from runtime.errors import Conflict, NetworkError, NotFound, UsageError
from runtime.network import bridge, home, namespaces, nftables, options, pools, subnets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.network.rtnetlink import Link, Rtnetlink
    from runtime.store import Store
    from runtime.store.database import Row

PREDEFINED = ("bridge", "host", "none")

_VERSION = 2
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
        created INTEGER NOT NULL,
        more TEXT NOT NULL DEFAULT '{}')""",
)
_MIGRATIONS = {1: ("ALTER TABLE networks ADD COLUMN more TEXT NOT NULL DEFAULT '{}'",)}
_COLUMNS = ("id", "name", "created")
_PLACE = ("network", "prefix", "gateway", "first", "last", "ip_range")


class Network(Frozen):
    """A user's network: its `pool` of IPv4 addresses, and `pool6` where IPv6 addresses were asked for or given.

    `ipv4` and `ipv6` say whether containers get those: without `ipv4` the pool's are only what its links are named by.
    `created` is in nanoseconds.
    """

    id: str
    name: str
    pool: pools.Pool
    pool6: pools.Pool | None = None
    ipv4: bool = True
    ipv6: bool = False
    internal: bool
    attachable: bool = False
    scope: str = "local"
    ipam_options: dict[str, str] = field(default_factory=dict)
    options: dict[str, str]
    labels: dict[str, str]
    created: int

    @property
    def mtu(self) -> int:
        """Bytes; 0 where it is that of the way out."""
        return options.mtu(self.options)

    @property
    def link_prefix(self) -> str:
        """What the names of its links in containers begin with."""
        return options.link_prefix(self.options)

    def gateway_mode(self, version: int) -> str:
        """How others reach its containers over IPv4 (4) or IPv6 (6): one of the modes of options."""
        return options.gateway_mode(self.options, version)

    def design(self, key: str) -> bridge.Design:
        """Say what its bridge is to be, in the root with `key`."""
        six = self.pool6 if self.ipv6 else None
        bare = options.inhibit_ipv4(self.options) or self.gateway_mode(4) == options.ISOLATED
        return bridge.Design(
            options.bridge_name(self.options) or bridge.user_bridge_name(key, self.id),
            bridge.table_name(key, self.id),
            manner=self._manner(4),
            manner6=self._manner(6),
            six=(six.gateway, six.prefix) if six else None,
            bare=(self.pool.gateway, self.pool.prefix) if bare else None,
            bare6=self.gateway_mode(6) == options.ISOLATED,
        )

    def keeps_gateway(self, version: int) -> bool:
        """Tell whether the gateway's address is kept free: not where nobody has it, nor asked for it."""
        pool = self.pool if version == 4 else self.pool6
        bare = self.gateway_mode(version) == options.ISOLATED or (version == 4 and options.inhibit_ipv4(self.options))
        return not (self.internal and bare) or bool(pool and pool.routed)

    def _manner(self, version: int) -> nftables.Manner:
        return nftables.Manner(
            internal=self.internal,
            icc=options.icc(self.options),
            masquerade=options.masquerade(self.options),
            routed=self.gateway_mode(version) == options.ROUTED,
            unprotected=self.gateway_mode(version) == options.UNPROTECTED,
            source=options.source(self.options, version),
        )


class Networks:
    """The user networks of an open store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.database = store.database
        self.database.ensure("networks", _VERSION, _TABLES, migrations=_MIGRATIONS)

    def all(self) -> tuple[Network, ...]:
        """Return them, the oldest first."""
        return tuple(_network(row) for row in self.database.read("SELECT * FROM networks ORDER BY created, id"))

    def find(self, text: str) -> Network:
        """Return the network that an id, a name or the unique beginning of an id stands for. Raises NotFound."""
        row = self.database.one("SELECT * FROM networks WHERE name = ? OR id = ? ORDER BY id = ? DESC", *(text,) * 3)
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

    def has(self, network: Network) -> bool:
        """Tell whether a network is there still."""
        return self.database.one("SELECT 1 FROM networks WHERE id = ?", network.id) is not None

    def create(
        self,
        name: str,
        *,
        wishes: pools.Wishes | None = None,
        internal: bool = False,
        attachable: bool = False,
        scope: str = "local",
        driver_options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Network:
        """Record a new bridge network with subnets that are free. Raises Conflict and NetworkError."""
        if not name.strip():
            raise NetworkError("invalid name: name is empty", hint="letters, digits, `_`, `.` and `-` are usual")
        if not name.isprintable() or name.startswith("container:"):
            raise NetworkError(
                f"invalid network name {name!a}", hint="no control characters, and nothing that means a container"
            )
        if name in (*PREDEFINED, "default"):
            raise Conflict(f"operation is not permitted on predefined {name} network", hint="choose another name")
        known = options.check(driver_options or {}, internal=internal)
        wishes = _switched(wishes or pools.Wishes(), known)
        context = self.store.context
        with bridge.NetworkLock(), self.database.write() as connection:
            if connection.execute("SELECT 1 FROM networks WHERE name = ?", (name,)).fetchone():
                raise Conflict(f"network with name {name} already exists", hint="choose another name, or remove it")
            self._check_bridge(options.bridge_name(known))
            others = {other.id[:4] for other in self.all()}
            network_id = context.token(64)
            while network_id[:4] in others:  # its bridge is named by these
                network_id = context.token(64)
            pool, pool6 = self._pools(network_id, wishes)
            made = Network(
                id=network_id,
                name=name,
                pool=pool,
                pool6=pool6,
                ipv4=wishes.ipv4,
                ipv6=wishes.ipv6,
                internal=internal,
                attachable=attachable,
                scope=scope,
                ipam_options=dict(wishes.options),
                options=known,
                labels=dict(labels or {}),
                created=context.now(),
            )
            connection.execute("INSERT INTO networks VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", _row_of(made))
        return made

    def remove(self, network: Network) -> None:
        """Take away a network with its bridge. Raises Conflict where a running container is on it."""
        with self.database.write() as connection:
            users = self.members(network)
            if users:
                names = ", ".join(sorted(name for name, _ in users.values()))
                raise Conflict(
                    f"error while removing network: network {network.name} has active endpoints ({names})",
                    hint="stop or disconnect them first; the network is in use",
                )
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
        """Return the IPv4 subnets of all user networks."""
        return [(row[0], row[1]) for row in self.database.read("SELECT network, prefix FROM networks")]

    def _check_bridge(self, name: str) -> None:
        """Raise Conflict where a bridge cannot have the name that the user gives it."""
        if not name:
            return
        for other in self.all():
            if options.bridge_name(other.options) == name:
                raise Conflict(
                    f"conflicts with network {other.id} ({other.name}): networks have same bridge name",
                    hint="choose another name for the bridge",
                )
        with home.present(self.store.context) as at:
            link = namespaces.within(at.namespace, lambda: _link(name)) if at is not None else None
        if link is not None and link.kind != "bridge":
            raise Conflict(f"existing interface {name} is not a bridge", hint="choose another name for the bridge")

    def _pools(self, network_id: str, wishes: pools.Wishes) -> tuple[pools.Pool, pools.Pool | None]:
        taken6 = [other.pool6.subnet for other in self.all() if other.pool6]
        given = pools.read(wishes, [*self.taken(), *self._addresses()], [*taken6, *_addresses6()])
        pool, pool6 = given.get(4), given.get(6)
        if pool is None:
            pool = pools.automatic(subnets.choose(network_id[:10], self._used()), 32)
        if pool6 is None and wishes.ipv6:
            pool6 = pools.automatic(subnets.choose6(self.store.layout.key, [*taken6, *_routes6()]), 128)
        return pool, pool6

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


def _switched(wishes: pools.Wishes, known: Mapping[str, str]) -> pools.Wishes:
    """Return the wishes with what the options say of versions of IP. Raises NetworkError where none is left."""
    four, six = options.enabled(known, 4), options.enabled(known, 6)
    wishes = replace(wishes, ipv4=wishes.ipv4 if four is None else four, ipv6=wishes.ipv6 if six is None else six)
    if not wishes.ipv4 and not wishes.ipv6:
        raise NetworkError("IPv4 or IPv6 must be enabled")
    return wishes


def _link(name: str) -> Link | None:
    from runtime.network.rtnetlink import Rtnetlink

    with Rtnetlink() as links:
        return links.link(name)


def _addresses6() -> list[subnets.Subnet]:
    """Return the IPv6 subnets of the host's own links."""
    from runtime.network.rtnetlink import AF_INET6, Rtnetlink

    with Rtnetlink() as links:
        return [(address, prefix) for _, address, prefix in links.addresses(AF_INET6)]


def _routes6() -> list[subnets.Subnet]:
    from runtime.network.rtnetlink import AF_INET6, Rtnetlink

    with Rtnetlink() as links:
        return links.routes(AF_INET6)


def kernel_subnets(links: Rtnetlink, servers: tuple[str, ...]) -> list[subnets.Subnet]:
    """Return what the kernel routes, its addresses, and the name servers: where no new subnet may lie."""
    taken = [*links.routes(), *((address, prefix) for _, address, prefix in links.addresses())]
    numbers = (subnets.number(server) for server in servers)
    return [*taken, *((server, 32) for server in numbers if server is not None)]


def _network(row: Row) -> Network:
    more = json.loads(row["more"])
    place = {name: row[name] for name in _PLACE}
    six = more.get("pool6")
    return Network(
        **{name: row[name] for name in _COLUMNS},
        pool=pools.Pool(**place, fixed=bool(row["fixed"]), routed=more.get("routed", True), aux=more.get("aux", {})),
        pool6=pools.Pool(**{**six, **{name: int(six[name], 16) for name in _LONG}}) if six else None,
        ipv4=more.get("ipv4", True),
        ipv6=more.get("ipv6", False),
        internal=bool(row["internal"]),
        attachable=more.get("attachable", False),
        scope=more.get("scope", "local"),
        ipam_options=more.get("ipam", {}),
        options=json.loads(row["options"]),
        labels=json.loads(row["labels"]),
    )


_LONG = ("network", "gateway", "first", "last")
"""What of a pool of IPv6 has more digits than other programs read of a number in JSON: hex."""


def _row_of(network: Network) -> tuple[object, ...]:
    pool, six = network.pool, network.pool6
    more: dict[str, object] = {
        "ipv4": network.ipv4,
        "ipv6": network.ipv6,
        "attachable": network.attachable,
        "scope": network.scope,
        "ipam": network.ipam_options,
        "routed": pool.routed,
        "aux": pool.aux,
    }
    if six is not None:
        plain = {name: getattr(six, name) for name in (*_PLACE, "fixed", "routed", "aux")}
        more["pool6"] = {**plain, **{name: f"{plain[name]:x}" for name in _LONG}}
    return (
        *(network.id, network.name, *(getattr(pool, name) for name in _PLACE), pool.fixed, network.internal),
        *(json.dumps(network.options), json.dumps(network.labels), network.created, json.dumps(more)),
    )
