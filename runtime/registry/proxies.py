"""Choose the proxy for a host as Go's programs do: HTTP_PROXY, HTTPS_PROXY, NO_PROXY, in upper or lower case."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from runtime.errors import RegistryError
from runtime.registry.hosts import is_loopback, split_port


def proxy_for(url: str, environ: Mapping[str, str]) -> str | None:
    """Give the proxy's URL for `url`, None for a direct connection; loopback never goes through one.

    Raises RegistryError, without the proxy's password, where a variable holds no proxy that we can speak to.
    """
    parts = urlsplit(url)
    name = f"{parts.scheme}_proxy"
    value = environ.get(name.upper()) or environ.get(name) or ""
    host = parts.netloc.rpartition("@")[2]
    if not value or is_loopback(host) or _exempt(host, parts.scheme, environ):
        return None
    proxy = value if "://" in value else f"http://{value}"
    try:
        split = urlsplit(proxy)
        known = split.scheme in ("http", "https") and bool(split.hostname) and split.port != 0
    except ValueError:
        known = False
    if not known and proxy.lower().startswith("socks"):
        raise RegistryError(
            f"{name.upper()} names a SOCKS proxy, through which {host} cannot be reached: only HTTP proxies are used",
            hint=f"name one as http://HOST:PORT, or leave this host out of it with NO_PROXY={host}",
        )
    if not known:
        raise RegistryError(
            f"{name.upper()} holds no proxy that can be used for {host}",
            hint="write it as http://HOST:PORT",
        )
    return proxy


def _exempt(host: str, scheme: str, environ: Mapping[str, str]) -> bool:
    bare, port = split_port(host.lower())
    bare = bare.rstrip(".")
    port = port or (443 if scheme == "https" else 80)
    entries = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    return any(_covers(entry, bare, port) for entry in entries.lower().replace(",", " ").split())


def _covers(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    if "/" in entry:
        try:
            return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    name, wanted = split_port(entry)
    if wanted is not None and wanted != port:
        return False
    name = name.removeprefix("*")
    suffix = name if name.startswith(".") else f".{name}"
    return host == name or (bool(name.strip(".")) and host.endswith(suffix))
