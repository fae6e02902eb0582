"""Read Docker's client configuration, `config.json`, of which `credentials` reads what opens registries.

Docker's documentation: § Use a proxy server with the Docker CLI, § Docker CLI configuration file.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.context import Context

_LIMIT = 4 << 20
_PROXIES = {
    "httpProxy": "HTTP_PROXY",
    "httpsProxy": "HTTPS_PROXY",
    "noProxy": "NO_PROXY",
    "ftpProxy": "FTP_PROXY",
    "allProxy": "ALL_PROXY",
}


def client_file(environ: Mapping[str, str]) -> Path | None:
    """Give `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`; None where neither is known."""
    if environ.get("DOCKER_CONFIG"):
        return Path(environ["DOCKER_CONFIG"]) / "config.json"
    return Path(environ["HOME"]) / ".docker" / "config.json" if environ.get("HOME") else None


def client_setting(context: Context, name: str) -> str | None:
    """Give what the file says of one thing, such as `psFormat`; None where that is nothing."""
    value = _said(context, name)
    return value if isinstance(value, str) and value else None


def proxy_variables(context: Context, given: Container[str]) -> dict[str, str]:
    """Give the variables of `proxies.default`, in upper and lower case, that are not `given` under that name.

    Containers and steps get them as if they had been asked for.
    """
    proxies = _said(context, "proxies")
    default = proxies.get("default") if isinstance(proxies, dict) else None
    if not isinstance(default, dict):
        return {}
    return {
        spelling: str(default[key])
        for key, name in _PROXIES.items()
        if default.get(key)
        for spelling in (name, name.lower())
        if spelling not in given
    }


def _said(context: Context, name: str) -> object:
    """Read one entry, None where there is none; a file that cannot be read is told of and left alone."""
    path = client_file(context.environ)
    if path is None:
        return None
    try:
        with open(path, "rb") as file:
            data = file.read(_LIMIT)
    except OSError:  # most have none
        return None
    if name.encode() not in data:
        return None
    import json  # lazy: few have such entries

    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        context.stderr.write(f"warning: {path} is not JSON: its {name} cannot be read\n")
        return None
    return document.get(name) if isinstance(document, dict) else None
