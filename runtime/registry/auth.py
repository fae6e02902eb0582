"""Answer a registry's question who asks: nothing, a user name and password, or a token from its token server.

RFC 7235 (challenges), RFC 7617 (Basic), and the token protocol of distribution (docs: spec/auth/token, oauth2). One
`Authorization` belongs to one server. Every authenticator says why it was of no help; none shows what is secret.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlencode, urlsplit, urlunsplit

from frozen import Frozen
from runtime.errors import DocumentError, RegistryError
from runtime.oci.fields import Reader, decode_object
from runtime.registry.hosts import is_loopback
from runtime.registry.urls import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.registry.credentials import Credentials

CLIENT_ID = "pybuild"
_SECOND = 1_000_000_000
_SHORTEST = 60
"""Seconds that a token lives where its server says nothing (or nonsense): the protocol's default."""
_MARGIN = 10
"""Seconds before its end at which a token is renewed, at most half its life."""
TOKEN_LIMIT = 1 << 20
"""Bytes that a token server's answer may have."""


class Challenge(Frozen):
    """One `WWW-Authenticate`: the scheme in lower case, and its parameters by their names in lower case."""

    scheme: str
    parameters: Mapping[str, str]


_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PART = re.compile(
    rf"\s*,*\s*(?:({_TOKEN})\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|({_TOKEN}|[^\s,\"]+))|({_TOKEN})(?:\s+|,|$))"
)


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """Read the value of `WWW-Authenticate`, which may hold several challenges; what cannot be read is left out."""
    found: list[tuple[str, dict[str, str]]] = []
    position = 0
    while match := _PART.match(header[:8192], position):
        name, quoted, plain, scheme = match.groups()
        if scheme:
            found.append((scheme.lower(), {}))
        elif found:
            value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain
            found[-1][1].setdefault(name.lower(), value)
        position = match.end()
    return tuple(Challenge(scheme=scheme, parameters=parameters) for scheme, parameters in found)


def merged_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """Bring scopes in one order, one for each resource with all actions that are wanted of it."""
    actions: dict[str, set[str]] = {}
    for scope in scopes:
        resource, _, wanted = scope.rpartition(":")
        actions.setdefault(resource, set()).update(action for action in wanted.split(",") if action)
    return tuple(f"{resource}:{','.join(sorted(actions[resource]))}" for resource in sorted(actions) if resource)


class Fetch(Protocol):
    """How a token server is asked: returns status and body; redirects to other hosts are not followed."""

    def __call__(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, /
    ) -> tuple[int, bytes]: ...


class _Bearer(Frozen):
    """A token and when it has to be renewed, in nanoseconds since the epoch."""

    header: str
    renew: int


class Authorization:
    """What one server wants to know, and the tokens it was given. Threads share one.

    `secure` is False for a server that is spoken to over plain HTTP. `account` looks up the credentials, when they are
    asked for and not before. `challenge` is what the server asked about another of its repositories.
    """

    def __init__(
        self,
        host: str,
        account: Callable[[], Credentials | None],
        fetch: Fetch,
        *,
        secure: bool,
        now: Callable[[], int],
        challenge: Challenge | None = None,
    ) -> None:
        self._host = host
        self._account = account
        self._fetch = fetch
        self._secure = secure
        self._now = now
        self._lock = threading.RLock()
        self.challenge = challenge
        """What the server asks for, as far as is known."""
        self._tokens: dict[tuple[str, ...], _Bearer] = {}
        self.refresh_token: str = ""
        """What a token server gave in place of the password, for later logins."""

    def header(self, scopes: tuple[str, ...]) -> str | None:
        """Give the Authorization for a request that needs `scopes`; None as long as the server has not asked.

        Raises RegistryError where the token server refuses.
        """
        with self._lock:
            if self.challenge is None:
                return None
            if self.challenge.scheme == "basic":
                return self._basic()
            scopes = merged_scopes(scopes)
            token = self._tokens.get(scopes)
            if token is None or token.renew <= self._now():
                token = self._tokens[scopes] = self._request(self.challenge, scopes)
            return token.header

    def challenged(self, header: str, scopes: tuple[str, ...], sent: str | None) -> bool:
        """Learn from a 401; tells whether another try, with another Authorization than `sent`, may work."""
        with self._lock:
            known = {challenge.scheme: challenge for challenge in reversed(parse_challenges(header))}
            if "bearer" in known and known["bearer"].parameters.get("realm"):
                return self._learn_bearer(known["bearer"], merged_scopes(scopes), sent)
            if "basic" not in known:
                return False
            self.challenge = known["basic"]
            answer = self._basic()
            return answer is not None and answer != sent

    def _learn_bearer(self, challenge: Challenge, scopes: tuple[str, ...], sent: str | None) -> bool:
        self.challenge = challenge
        held = self._tokens.get(scopes)
        if held is not None and held.header != sent:
            return True  # another thread has got a new one in the meantime
        account = self._account()
        if account is not None and account.registry_token and held is not None:
            return False  # it is sent as it is, and there is no other
        self._tokens.pop(scopes, None)
        asked = tuple(challenge.parameters.get("scope", "").split())
        self._tokens[scopes] = self._request(challenge, merged_scopes((*scopes, *asked)))
        return True

    def _basic(self) -> str | None:
        account = self._account()
        if account is None or not account.username:
            return None
        return _basic(account)

    def _request(self, challenge: Challenge, scopes: tuple[str, ...]) -> _Bearer:
        """Get a token: with an identity token by OAuth2, else by GET with or without user name and password."""
        account = self._account()
        if account is not None and account.registry_token:
            return _Bearer(header=f"Bearer {account.registry_token}", renew=1 << 63)
        realm = self._realm(challenge, account)
        service = challenge.parameters.get("service", "")
        if account is not None and account.identity_token:
            form = {"grant_type": "refresh_token", "refresh_token": account.identity_token, "client_id": CLIENT_ID}
            form |= {"service": service, "scope": " ".join(scopes)}
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            status, data = self._fetch("POST", realm, headers, urlencode(form).encode())
        else:
            query = [("service", service)] if service else []
            query += [("scope", scope) for scope in scopes]
            named = account is not None and bool(account.username)
            if named and account is not None:
                query += [("account", account.username), ("client_id", CLIENT_ID), ("offline_token", "true")]
            parts = urlsplit(realm)
            url = urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, urlencode(query))))))
            status, data = self._fetch(
                "GET", url, {"Authorization": _basic(account)} if named and account else {}, None
            )
        if status != 200:
            raise self._refused(status, data, named=account is not None)
        return self._read(data)

    def _realm(self, challenge: Challenge, account: Credentials | None) -> str:
        """Check where the server sends us: a password goes over TLS alone, unless the registry itself has none."""
        realm = challenge.parameters["realm"]
        try:
            parts = urlsplit(realm)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None
        except ValueError:
            usable = False
        if not usable:
            raise RegistryError(f"{self._host} names {shown(realm)!a} as its token server, which is no URL")
        if parts.scheme == "http" and account is not None and self._secure and not is_loopback(parts.netloc):
            raise RegistryError(
                f"{self._host} wants the credentials for it sent to {parts.netloc} without encryption",
                hint="ask who runs the registry; nothing was sent",
            )
        return realm

    def _read(self, data: bytes) -> _Bearer:
        try:
            reader = Reader(decode_object(data, "the answer", limit=TOKEN_LIMIT), "")
            token = reader.optional_text("token") or reader.optional_text("access_token")
            lifetime = reader.optional_integer("expires_in") or _SHORTEST
            refresh = reader.optional_text("refresh_token")
        except DocumentError:  # whose words could hold a token
            token, lifetime, refresh = None, 0, None
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise RegistryError(f"the token server of {self._host} gave no token that can be used")
        if refresh:
            self.refresh_token = refresh
        lifetime = min(max(lifetime, 1), 365 * 86400)
        margin = min(_MARGIN, lifetime / 2)
        return _Bearer(header=f"Bearer {token}", renew=self._now() + int((lifetime - margin) * _SECOND))

    def _refused(self, status: int, data: bytes, *, named: bool) -> RegistryError:
        said = error_text(data) or f"HTTP status {status}"
        if status in (400, 401, 403):
            reason = "incorrect username or password" if named and status == 401 else said
            code = "DENIED" if status == 403 else "UNAUTHORIZED"
            hint = f"run 'pybuild login {self._host}'" + (" again" if named else "")
            return RegistryError(f"unauthorized: {self._host}: {reason}", status=401, code=code, hint=hint)
        return RegistryError(f"the token server of {self._host} failed: {said}", status=status, hint="try again later")


def _basic(account: Credentials) -> str:
    return "Basic " + base64.b64encode(f"{account.username}:{account.secret}".encode()).decode()


def error_text(data: bytes) -> str:
    """Give what an error body says, at most 300 characters: `errors`, `details`, `message` or `error_description`."""
    try:
        document = json.loads(data[:65536])
    except (ValueError, RecursionError):
        return ""
    if not isinstance(document, dict):
        return ""
    errors = document.get("errors")
    if isinstance(errors, list):
        said = [str(e.get("message") or e.get("code") or "") for e in errors[:5] if isinstance(e, dict)]
        return "; ".join(filter(None, said))[:300]
    for name in ("details", "error_description", "message", "error"):
        if isinstance(document.get(name), str):
            return str(document[name])[:300]
    return ""
