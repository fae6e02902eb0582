"""Judge the URLs of submodules: anybody can have written them."""

from __future__ import annotations

import posixpath
from urllib.parse import urlsplit, urlunsplit

from builder.remote.words import parse_git, without_password
from runtime.errors import PybuildError, UsageError


def submodule_remote(parent: str, url: str, path: str) -> str:
    """Return where the submodule at `path` comes from; a relative URL counts from its parent's (gitmodules(5)).

    Raises PybuildError for one that is no remote repository: a path of this machine, or another protocol.
    """
    if url.startswith(("./", "../")):
        return _relative(parent, url)
    try:
        return parse_git(url).remote
    except UsageError as error:
        raise PybuildError(
            f"{without_password(parent)}: the submodule {path} has the URL {url!a}, which is not fetched",
            hint="submodules come from https, http, ssh or git URLs; ?submodules=false leaves them out",
        ) from error


def _relative(parent: str, url: str) -> str:
    if "://" not in parent:
        host, _, path = parent.partition(":")
        return f"{host}:{posixpath.normpath(posixpath.join(path, url)).lstrip('/')}"
    parts = urlsplit(parent)
    path = posixpath.normpath(posixpath.join(parts.path, url))
    return urlunsplit((parts.scheme, parts.netloc, "/" + path.lstrip("/"), "", ""))
