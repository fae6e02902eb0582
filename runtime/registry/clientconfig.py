"""Read Docker's client configuration, `config.json`, of which `credentials` reads what opens registries.

Docker's documentation: § Use a proxy server with the Docker CLI.
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


def proxy_variables(context: Context, given: Container[str]) -> dict[str, str]:
    """Give the variables of `proxies.default`, in upper and lower case, that are not `given` under that name.

    Containers and steps get them as if they had been asked for. Of a file that cannot be read a warning tells.
    """
    path = client_file(context.environ)
    if path is None:
        return {}
    try:
        with open(path, "rb") as file:
            data = file.read(_LIMIT)
    except OSError:  # most have none
        return {}
    if b'"proxies"' not in data:
        return {}
    import json  # lazy: few have proxies

    try:
        wanted = json.loads(data)["proxies"]["default"]
        said = {name: str(wanted[key]) for key, name in _PROXIES.items() if wanted.get(key)}
    except KeyError:
        return {}
    except (ValueError, TypeError, AttributeError, RecursionError):
        context.stderr.write(f"warning: the proxies of {path} cannot be read\n")
        return {}
    return {
        spelling: value for name, value in said.items() for spelling in (name, name.lower()) if spelling not in given
    }
