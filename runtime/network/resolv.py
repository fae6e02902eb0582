"""Write the resolv.conf and hosts files of a container (resolv.conf(5), hosts(5)), as Docker does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from frozen import Frozen, replace
from runtime.errors import UsageError

HOST_RESOLV_CONF = Path("/etc/resolv.conf")
RESOLVED_UPSTREAM = Path("/run/systemd/resolve/resolv.conf")
"""What systemd-resolved itself asks, where /etc/resolv.conf names only its stub on the loopback."""

PUBLIC_SERVERS = ("8.8.8.8", "8.8.4.4")
"""Used, as Docker does, where the host has no name server that a container can reach."""

HOST_GATEWAY = "host-gateway"

_LOCALHOST = (
    ("127.0.0.1", "localhost"),
    ("::1", "localhost ip6-localhost ip6-loopback"),
    ("fe00::", "ip6-localnet"),
    ("ff00::", "ip6-mcastprefix"),
    ("ff02::1", "ip6-allnodes"),
    ("ff02::2", "ip6-allrouters"),
)


class Resolver(Frozen):
    """What a resolv.conf says; `rest` are lines of other kinds, as written."""

    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    rest: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"nameserver {server}" for server in self.servers]
        if self.search:
            lines.append("search " + " ".join(self.search))
        if self.options:
            lines.append("options " + " ".join(self.options))
        return "".join(f"{line}\n" for line in (*lines, *self.rest))


def parse(text: str) -> Resolver:
    """Read a resolv.conf. Comments go; of several `search` or `domain` lines the last counts; options add up."""
    servers: list[str] = []
    search: tuple[str, ...] = ()
    options: list[str] = []
    rest: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if not words or words[0][0] in "#;":
            continue
        match words[0]:
            case "nameserver" if len(words) > 1:
                servers.append(words[1])
            case "search" | "domain":
                search = tuple(words[1:])
            case "options":
                options.extend(words[1:])
            case _:
                rest.append(line.strip())
    return Resolver(servers=tuple(servers), search=search, options=tuple(options), rest=tuple(rest))


def host_resolver(path: Path = HOST_RESOLV_CONF, upstream: Path = RESOLVED_UPSTREAM) -> Resolver:
    """Read how the host resolves names: through systemd-resolved's upstream where it uses only a loopback stub."""
    found = parse(_read(path))
    if found.servers and all(is_loopback(server) for server in found.servers):
        behind = parse(_read(upstream))
        if any(not is_loopback(server) for server in behind.servers):
            return replace(behind, search=behind.search or found.search, options=found.options or behind.options)
    return found


def for_container(
    host: Resolver,
    *,
    shares_loopback: bool = False,
    ipv6: bool = False,
    forward: str | None = None,
    dns: Sequence[str] = (),
    dns_search: Sequence[str] = (),
    dns_options: Sequence[str] = (),
) -> Resolver:
    """Give the container's resolver: the host's, without servers that cannot be reached from where it is.

    `shares_loopback` is True in the host's network, where all can be reached; `ipv6` says whether servers with IPv6
    addresses can. `forward` is an address that the rootless helper answers at, used where no server is left. `dns`,
    `dns_search` (`.` for none) and `dns_options` each replace what the host says.
    """
    reachable = tuple(
        server
        for server in host.servers
        if shares_loopback or not (is_loopback(server) or (":" in server and (not ipv6 or "%" in server)))
    )
    fallback = () if shares_loopback else (forward,) if forward else PUBLIC_SERVERS
    search = tuple(dns_search) or host.search
    return replace(
        host,
        servers=tuple(dns) or reachable or fallback,
        search=() if search == (".",) else search,
        options=tuple(dns_options) or host.options,
    )


def for_names(resolver: Resolver, server: str) -> Resolver:
    """Give the resolver of a container whose names are asked for at `server`, as Docker writes it."""
    options = resolver.options
    if not any(option.startswith("ndots:") for option in options):
        options = (*options, "ndots:0")
    return replace(resolver, servers=(server,), options=options)


def is_loopback(server: str) -> bool:
    """Tell whether an address is the machine's own loopback."""
    return server.startswith("127.") or server == "::1" or server.lower().startswith("::ffff:127.")


def hosts_text(
    *, hostname: str, address: str | None, add_hosts: Iterable[str], gateway: str | None, more: Iterable[str] = ()
) -> str:
    """Write a hosts file: the loopback's names, the added ones, and `hostname` for `address` (None: there is none).

    `more` are further addresses of the container.

    `gateway` is what `host-gateway` stands for. Raises UsageError for an entry that is not `NAME:ADDRESS` or
    `NAME=ADDRESS`, and for `host-gateway` where there is no such address.
    """
    lines = [*_LOCALHOST]
    for entry in add_hosts:
        lines.append(_added(entry, gateway))
    if hostname:
        lines += [(own, hostname) for own in (address, *more) if own]
    return "".join(f"{where}\t{names}\n" for where, names in lines)


def host_hosts(add_hosts: Iterable[str], path: Path = Path("/etc/hosts")) -> str:
    """Write the hosts file of a container in the host's network: the host's own, and the added names."""
    text = _read(path)
    if text and not text.endswith("\n"):
        text += "\n"
    return text + "".join("{}\t{}\n".format(*_added(entry, "127.0.0.1")) for entry in add_hosts)


def _added(entry: str, gateway: str | None) -> tuple[str, str]:
    import ipaddress  # lazy: 9 ms, and few add hosts

    cut = min((place for place in (entry.find("="), entry.find(":")) if place >= 0), default=-1)
    name, address = entry[:cut].strip(), entry[cut + 1 :].strip()
    if cut < 0 or not name or not address or any(character.isspace() for character in name):
        raise UsageError(f'bad format for add-host: "{entry}"', hint="write it as NAME:ADDRESS, as db:10.0.0.5")
    if address == HOST_GATEWAY:
        if gateway is None:
            raise UsageError(
                f'add-host "{entry}": no address of the host can be reached from this network',
                hint="use --network host, or name an address",
            )
        return gateway, name
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    with suppress(ValueError):
        ipaddress.ip_address(address)
        return address, name
    raise UsageError(f'invalid IP address in add-host: "{address}"', hint="write it as NAME:ADDRESS, as db:10.0.0.5")


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
