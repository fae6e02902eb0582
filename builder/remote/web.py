"""Ask web servers for files: redirects, proxies, certificates and retries as for registries, and credentials by host.

Secrets of these names serve as credentials, as BuildKit has it: `HTTP_AUTH_HEADER_HOST` is the whole value of the
header, `HTTP_AUTH_TOKEN_HOST` a bearer token.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

from builder.remote.words import without_password
from runtime.errors import PybuildError, RegistryError
from runtime.registry.answers import Unreachable, failure, heals
from runtime.registry.connections import Call, Connections
from runtime.registry.exchange import exchange
from runtime.registry.hosts import Hosts
from runtime.registry.proxies import proxy_for
from runtime.registry.transport import Timing, Tries
from runtime.registry.urls import origin_of, resolve
from runtime.version import VERSION

if TYPE_CHECKING:
    from builder.secrets import Secret
    from runtime.context import Context
    from runtime.registry.answers import Response

_REDIRECTS = 10
_MOVED = (301, 302, 303, 307, 308)
_TIMING = Timing(tries=4, total=60)


class NoNetwork(PybuildError):
    """Nobody could be asked: no connection, or nothing may connect."""


class WebClient:
    """Connections to web servers; threads may share it. Closed by `close`."""

    def __init__(self, context: Context, secrets: Mapping[str, Secret]) -> None:
        self._context = context
        self._secrets = secrets
        self._hosts = Hosts.load(context)
        self._connections = Connections(context.cancel, context.environ)

    def close(self) -> None:
        """Close all connections."""
        self._connections.close()

    def tries(self) -> Tries:
        """Give the patience for one file."""
        return Tries(self._context, _TIMING)

    def get(self, url: str, headers: Mapping[str, str], *, tries: Tries, expect: Sequence[int] = (200,)) -> Response:
        """Ask for a URL; the answer's status is one of `expect`, its body still to be read.

        Raises NoNetwork where nobody could be asked, and PybuildError that names URL and status, else.
        """
        shown = without_password(url)
        if self._context.offline:
            raise NoNetwork(
                f"{shown} is not asked for: nothing connects with --offline",
                hint="leave --offline and PYBUILD_OFFLINE away",
            )
        while True:
            try:
                response = self._follow(url, headers)
                if response.status in expect:
                    return response
                error: RegistryError = failure(response, self._context.now())
            except RegistryError as problem:
                error = problem
            if not heals(error):
                raise _explained(error, shown)
            try:
                tries.again(error)
            except RegistryError as last:
                raise _explained(last, shown) from last

    def _follow(self, url: str, headers: Mapping[str, str]) -> Response:
        """Ask once, as often as redirects want it; credentials go to the first host alone."""
        own = origin_of(url)
        url, credentials = self._divided(url)
        for _ in range(_REDIRECTS + 1):
            whole = {"User-Agent": f"pybuild/{VERSION}", "Accept-Encoding": "identity", **headers}
            if origin_of(url) == own:
                whole.update(credentials)
            call = Call(
                method="GET",
                url=url,
                tls=self._hosts.tls(urlsplit(url).netloc),
                proxy=proxy_for(url, self._context.environ),
                timeout=(_TIMING.connect, _TIMING.stall),
            )
            response = exchange(self._context, self._connections, call, whole, None)
            if response.status not in _MOVED or not response.headers.get("Location"):
                return response
            with response:
                target = resolve(url, response.headers["Location"])
            if url.startswith("https:") and target.startswith("http:"):
                raise RegistryError(f"it redirects from HTTPS to plain HTTP at {urlsplit(target).netloc}")
            url = target
        raise RegistryError(f"it redirects more than {_REDIRECTS} times")

    def _divided(self, url: str) -> tuple[str, dict[str, str]]:
        """Take user and password out of a URL; gives it, and the header that says them."""
        try:
            parts = urlsplit(url)
            host = parts.netloc.rpartition("@")[2]
            usable = bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable or any(character <= " " or character == "\x7f" for character in url):
            shown = without_password(url)
            raise PybuildError(f"{shown!a} is no URL that can be used", hint="a blank is written as %20")
        plain = urlunsplit((parts.scheme, host, parts.path, parts.query, ""))
        for name, form in (("HTTP_AUTH_HEADER_", "{}"), ("HTTP_AUTH_TOKEN_", "Bearer {}")):
            secret = self._secrets.get(name + host)
            if secret is not None:
                return plain, {"Authorization": form.format(secret.value.decode("latin-1").strip())}
        if parts.username is None:
            return plain, {}
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        return plain, {"Authorization": "Basic " + b64encode(pair.encode()).decode()}


def _explained(error: RegistryError, shown: str) -> PybuildError:
    """Put what a server or the network did in words about the URL."""
    if isinstance(error, Unreachable) or (not error.status and heals(error)):
        return NoNetwork(f"{shown}: {error.message}", hint="check the URL, the network and the proxies")
    if error.status:
        hint = "check the URL: nothing is there" if error.status in (404, 410) else error.hint
        if error.status in (401, 403):
            host = urlsplit(shown).netloc.rpartition("@")[2]
            hint = f"give a token with --secret id=HTTP_AUTH_TOKEN_{host},env=VARIABLE"
        return PybuildError(f"{shown}: invalid response status {error.status} ({error.message})", hint=hint)
    return PybuildError(f"{shown}: {error.message}", hint=error.hint)
