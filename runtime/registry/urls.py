"""Judge and combine the URLs that servers name."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from runtime.errors import RegistryError

_LONGEST = 16384
_PORTS = {"http": 80, "https": 443}


def origin_of(url: str) -> tuple[str, str, int]:
    """Give scheme, host and port: what credentials belong to."""
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or _PORTS.get(parts.scheme, 0)


def resolve(base: str, target: str) -> str:
    """Make `target`, which a server named, absolute; raises RegistryError for what is no HTTP URL.

    A plain-HTTP URL of the very host that was asked over HTTPS is meant as HTTPS: its server stands behind another one
    that does the TLS, and does not know.
    """
    host = urlsplit(base).netloc
    try:
        url = urljoin(base, target)
        parts = urlsplit(url)
        usable = parts.scheme in _PORTS and bool(parts.hostname) and parts.username is None and parts.port != 0
    except ValueError:
        usable = False
    if not usable or len(url) > _LONGEST or any(c <= " " or c == "\x7f" for c in url):
        raise RegistryError(f"{host} sends us to {shown(target)!a}, which is no URL that can be used")
    if parts.scheme == "http" and base.startswith("https:") and parts.netloc == host:
        return "https" + url.removeprefix("http")
    return url


def shown(url: str) -> str:
    """Shorten a URL to what may be told: neither a name and password nor a query, which may let somebody in."""
    before, mark, rest = url.partition("://")
    if not mark:
        return url.partition("?")[0][:100]
    authority, slash, path = rest.partition("?")[0].partition("/")
    return f"{before}://{authority.rpartition('@')[2]}{slash}{path}"[:100]


def add_query(url: str, query: str) -> str:
    """Add `name=value` pairs to those that a URL has already, such as an upload's state."""
    return f"{url}{'&' if '?' in url else '?'}{query}"
