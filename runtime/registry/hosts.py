"""Say which endpoints serve a registry's name: Docker Hub's, mirrors, blocked ones, TLS or plain HTTP.

Read from pybuild's configuration (`[registry."HOST"]`), containers' registries.conf, Docker's daemon.json, and the
`certs.d` directories of all three. In this order the first that says something of a name is believed; within one of
them the longest prefix wins.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from frozen import Frozen
from runtime.errors import RegistryError
from runtime.oci.references import DEFAULT_DOMAIN
from runtime.registry.hostfiles import Place, Rule, config_home, read_rules

if TYPE_CHECKING:
    from runtime.context import Context

Scheme = Literal["http", "https"]
Schemes = tuple[Scheme, ...]
_T = TypeVar("_T")

HUB_HOST = "registry-1.docker.io"
_CERTIFICATES = (Path("/etc/pybuild/certs.d"), Path("/etc/containers/certs.d"), Path("/etc/docker/certs.d"))


class Tls(Frozen):
    """How a server's certificate is judged, and what we show of ourselves; hashable, for connections that share it."""

    verify: bool = True
    authorities: tuple[Path, ...] = ()
    """Files of CAs that are trusted beside the system's."""
    client: tuple[Path, Path] | None = None
    """Our certificate and its key."""


class Endpoint(Frozen):
    """One server that has a repository."""

    host: str
    """`name[:port]`."""
    repository: str = ""
    """The repository's path on that server."""
    credential: str = ""
    """The name under which credentials for it are kept: a domain such as `docker.io`; "" where it is to get none."""
    schemes: Schemes = ("https",)
    """Tried in this order; the first that gets an answer is kept."""
    tls: Tls = Tls()
    mirror: bool = False
    """One that is passed over when it fails."""


class Hosts:
    """What the configuration says of registries. Use `load`."""

    def __init__(
        self,
        sources: tuple[tuple[Rule, ...], ...] = (),
        certificates: tuple[Path, ...] = (),
    ) -> None:
        # Stable: of two rules with one prefix, the one that was read last stays first.
        self._sources = tuple(tuple(sorted(rules, key=lambda rule: -len(rule.prefix))) for rules in sources)
        self._certificates = certificates

    @classmethod
    def load(cls, context: Context) -> Hosts:
        """Read all configuration files; raises DocumentError that names the file and key at fault."""
        home = config_home(context.environ)
        users = tuple(home / program / "certs.d" for program in ("pybuild", "containers", "docker")) if home else ()
        return cls(read_rules(context), (*users, *_CERTIFICATES))

    def with_rule(self, rule: Rule) -> Hosts:
        """Give the same with one more rule, which comes before all others."""
        return Hosts(((rule,), *self._sources), self._certificates)

    def endpoints(self, domain: str, path: str, *, push: bool = False, by_digest: bool = False) -> tuple[Endpoint, ...]:
        """Give the servers of a repository in the order in which they are asked, mirrors first; a push has one.

        `path` may be "" for what concerns the registry alone. Raises RegistryError where it is blocked.
        """
        name = f"{domain}/{path}" if path else domain
        if self.blocked(name):
            raise RegistryError(
                f"registry {domain} is blocked by the configuration", hint="`blocked` stands in a file that names it"
            )
        found = [] if push or not path else list(self._mirrors(name, by_digest))
        location = self._first(name, lambda rule: rule.location)
        insecure = self._insecure(name)  # said of the name, wherever it is served
        if location is not None:
            insecure = insecure or self._insecure(location[1].host)
            found.append(self._endpoint(location[1], name, location[0], insecure=insecure))
        else:
            found.append(self._endpoint(Place(host=domain), name, domain, insecure=insecure))
        return tuple(found)

    def elsewhere(self, scheme: str, host: str) -> Endpoint:
        """Give an endpoint for a server that a document names (a foreign layer's URL), which is not told who we are.

        Raises RegistryError where it is blocked.
        """
        if self.blocked(host):
            raise RegistryError(f"{host} is blocked by the configuration")
        schemes: Schemes = ("http",) if scheme == "http" else ("https",)
        return Endpoint(host=host, schemes=schemes, tls=self.tls(host))

    def blocked(self, name: str) -> bool:
        """Tell whether nothing may be asked of a registry or repository."""
        said = self._first(name, lambda rule: rule.blocked)
        return said is not None and said[1]

    def _schemes(self, domain: str, insecure: bool) -> Schemes:
        """Give the schemes to try at a host of which no scheme was said."""
        if (plain := self._first(domain, lambda rule: rule.plain_http)) and plain[1]:
            return ("http",)
        if is_loopback(domain):
            # A TLS server ends a plain request at once, while a plain one may wait for more of a TLS greeting.
            return ("https", "http") if self._certificate_files(domain) else ("http", "https")
        return ("https", "http") if insecure else ("https",)

    def tls(self, host: str, *, insecure: bool | None = None) -> Tls:
        """Say how to judge the certificate of `host[:port]`, where it is not known already whether at all.

        Raises RegistryError for half a client certificate.
        """
        files = self._certificate_files(host)
        if host == HUB_HOST:
            files += self._certificate_files(DEFAULT_DOMAIN)
        authorities = tuple(file for file in files if file.suffix == ".crt")
        client = None
        for file in files:
            other = file.with_suffix({".cert": ".key", ".key": ".cert"}.get(file.suffix, file.suffix))
            if not other.exists():
                raise RegistryError(f"{file} is of no use without {other.name} beside it")
            if file.suffix == ".cert" and client is None:
                client = (file, other)
        verify = not (self._insecure(host) if insecure is None else insecure)
        return Tls(verify=verify, authorities=authorities, client=client)

    def _endpoint(self, place: Place, name: str, prefix: str, *, insecure: bool, mirror: bool = False) -> Endpoint:
        rest = name[len(prefix) :] if name.startswith(prefix) else "/" + name.partition("/")[2]
        host = HUB_HOST if place.host == DEFAULT_DOMAIN else place.host
        schemes: Schemes = self._schemes(place.host, insecure)
        if place.scheme:
            schemes = ("http",) if place.scheme == "http" else ("https",)
        return Endpoint(
            host=host,
            repository="/".join(part for part in (place.path, rest.strip("/")) if part),
            credential=place.host,
            schemes=schemes,
            tls=self.tls(host, insecure=insecure),
            mirror=mirror,
        )

    def _mirrors(self, name: str, by_digest: bool) -> Iterator[Endpoint]:
        found = self._first(name, lambda rule: rule.mirrors)
        for place in found[1] if found else ():
            asked = place.by_digest if by_digest else place.by_tag
            if asked and not self.blocked(place.host):
                insecure = place.insecure or self._insecure(place.host)
                yield self._endpoint(place, name, found[0] if found else "", insecure=insecure, mirror=True)

    def _insecure(self, name: str) -> bool:
        said = self._first(name, lambda rule: rule.insecure, networks=True)
        return said is not None and said[1]

    def _first(self, name: str, said: Callable[[Rule], _T | None], *, networks: bool = False) -> tuple[str, _T] | None:
        """Return the first that a rule for `name` says, with the rule's prefix."""
        for rules in self._sources:
            alone: str | None = None
            for rule in rules:
                if alone not in (None, rule.prefix):
                    continue
                matches = _matches(rule.prefix, name)
                value = said(rule) if matches or (networks and _in_network(rule.prefix, name)) else None
                if value is not None:
                    return rule.prefix, value
                if matches and rule.alone:
                    alone = rule.prefix
        return None

    def _certificate_files(self, host: str) -> tuple[Path, ...]:
        found: list[Path] = []
        for directory in self._certificates:
            try:
                names = sorted(os.listdir(directory / host))
            except OSError:  # most have none; and one's own are none of another user's business
                continue
            found.extend(directory / host / name for name in names if name.endswith((".crt", ".cert", ".key")))
        return tuple(found)


def _matches(prefix: str, name: str) -> bool:
    if prefix.startswith("*."):
        return name.partition("/")[0].endswith(prefix[1:])
    return name == prefix or name.startswith(prefix + "/")


def _in_network(prefix: str, host: str) -> bool:
    if "/" not in prefix:
        return False
    address = _address(host.partition("/")[0])
    try:
        return address is not None and address in ipaddress.ip_network(prefix, strict=False)
    except ValueError:
        return False


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    bare = split_port(host)[0]
    try:
        return ipaddress.ip_address(bare)
    except ValueError:
        return None


def split_port(host: str) -> tuple[str, int | None]:
    """Divide `name:port` or `[address]:port`; brackets are taken off, a port that was not said is None."""
    if host.startswith("["):
        bare, _, rest = host[1:].partition("]")
        port = rest.removeprefix(":")
    else:
        bare, _, port = host.partition(":") if host.count(":") < 2 else (host, "", "")
    return bare, int(port) if port.isdecimal() else None


def is_loopback(host: str) -> bool:
    """Tell whether `host[:port]` is this machine by its name alone: `localhost` or a loopback address."""
    address = _address(host)
    return address.is_loopback if address is not None else split_port(host)[0].lower() == "localhost"
