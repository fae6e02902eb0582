"""Say which endpoints serve a registry's name: Docker Hub's, mirrors, blocked ones, TLS or plain HTTP.

Read from pybuild's configuration (`[registry."HOST"]`), Docker's daemon.json, containers' registries.conf, certs.d.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.context import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """How a server's certificate is judged, and what we show of ourselves."""

    verify: bool = True
    authorities: tuple[Path, ...] = ()
    """Trusted beside the system's own."""
    client: tuple[tuple[Path, Path], ...] = ()
    """Pairs of certificate and key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One server that has a repository; `host` is `name[:port]`, the key of its credentials."""

    host: str
    repository: str
    """The repository's path on that server."""
    schemes: tuple[str, ...] = ("https",)
    """Tried in this order: `https`, `http`."""
    tls: Tls = Tls()
    mirror: bool = False
    """A failing mirror is passed over."""
    credential: str = ""
    """Under which name credentials are kept: a domain such as `docker.io`."""


class Hosts:
    """What the configuration says of registries."""

    @classmethod
    def load(cls, context: Context) -> Hosts:
        """Read all configuration files; raises DocumentError that names the file and key at fault."""
        raise NotImplementedError

    def endpoints(self, domain: str, path: str, *, push: bool = False, by_digest: bool = False) -> tuple[Endpoint, ...]:
        """Give the servers of a repository, mirrors first; a push goes to none of those. RegistryError if blocked."""
        raise NotImplementedError
