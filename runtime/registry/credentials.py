"""Find, keep and forget what registries are told of the user: `--creds`, auth files, credential helpers.

$REGISTRY_AUTH_FILE, $DOCKER_CONFIG/config.json (`auths`, `credsStore`, `credHelpers`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.context import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Who the user is for one registry; nothing secret is in its repr."""

    username: str = ""
    secret: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    """An OAuth2 refresh token."""
    registry_token: str = field(default="", repr=False)
    """A bearer token to be sent as it is."""


class CredentialSource:
    """Credentials by registry; looked for once a registry. `given` (`--creds`) is for every registry asked."""

    def __init__(self, context: Context, given: Credentials | None = None) -> None:
        raise NotImplementedError

    def lookup(self, domain: str, repository: str = "") -> Credentials | None:
        """Give the credentials for `domain` (`docker.io`, `host:5000`), the most specific entry; None if none."""
        raise NotImplementedError

    def store(self, domain: str, credentials: Credentials) -> str | None:
        """Keep credentials as `docker login` does; returns the file if the secret is in it unencrypted."""
        raise NotImplementedError

    def erase(self, domain: str) -> bool:
        """Forget credentials; False where there were none."""
        raise NotImplementedError


def parse_creds(text: str) -> Credentials:
    """Read `USERNAME[:PASSWORD]` as `--creds` has it; raises UsageError."""
    raise NotImplementedError
