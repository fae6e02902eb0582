"""Send one HTTP request to a registry, whatever it takes: authentication, redirects, retries, time-outs, cancellation.

OCI distribution-spec § Endpoints. Nothing here knows manifests or blobs; `client` does.
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from frozen import Frozen, replace
from runtime.errors import RegistryError
from runtime.registry.answers import (
    HEALING,
    ConnectionCut,
    PlainOnly,
    Refused,
    Response,
    Unreachable,
    Untrusted,
    failure,
    heals,
)
from runtime.registry.auth import TOKEN_LIMIT, Authorization, Challenge
from runtime.registry.credentials import CredentialSource
from runtime.registry.hosts import Endpoint, Hosts, Tls
from runtime.registry.proxies import proxy_for
from runtime.registry.urls import origin_of, resolve
from runtime.version import VERSION

if TYPE_CHECKING:
    from runtime.context import Context
    from runtime.registry.connections import Connections
    from runtime.registry.credentials import Credentials

__all__ = ["Body", "ConnectionCut", "Readable", "Response", "Timing", "Transport", "Tries", "Unreachable", "Untrusted"]

CHUNK = 1 << 20
"""Bytes that are in hand at a time."""
_REDIRECTS = 10
_MOVED = (301, 302, 303, 307, 308)
_PROBE_PATIENCE = 10.0
_MOVED_A_SECOND = 4 << 20
"""Bytes that a registry moves at least, where it answers an upload only after that."""


class Readable(Protocol):
    """What a body is read from: `read(n)` gives at most n bytes, b"" at the end."""

    def read(self, size: int = -1, /) -> bytes: ...


class Body(Frozen):
    """The body of a request; `open` gives it anew from its start for each try, `size` is its length in bytes.

    What `open` gives is closed after the try if it can be.
    """

    open: Callable[[], Readable]
    size: int


class Timing(Frozen):
    """How long to wait for what, in seconds."""

    connect: float = 30
    stall: float = 30
    """Without a single byte in either direction."""
    answer: float = 300
    """For the first byte of an answer to a request with a body, which a registry may have to move somewhere, at most:
    twice as long as without a body, and more the larger it is."""
    tries: int = 6
    total: float = 120
    """From the first try, or from when something moved last, to the beginning of the last try."""
    longest_wait: float = 60
    """The longest Retry-After that is waited for."""
    first_wait: float = 0.5
    """After the first failure; twice as long after each that follows."""


class _Request(Frozen):
    """What `Transport.request` was asked for."""

    method: str
    endpoint: Endpoint
    url: str
    scopes: tuple[str, ...]
    headers: Mapping[str, str]
    body: Body | bytes | None


class Tries:
    """The patience for one piece of work: counts what failed, and waits a little longer each time."""

    def __init__(self, context: Context, timing: Timing) -> None:
        self._context = context
        self._timing = timing
        self._start = time.monotonic()
        self.failed = 0
        """What failed since something was achieved."""

    def again(self, error: RegistryError) -> None:
        """Wait before another try, as long as a server asked for; raises `error` where there is none."""
        self.failed += 1
        wait = error.wait if isinstance(error, Refused) else None
        if wait is None:
            wait = self._timing.first_wait * 2 ** (self.failed - 1)
            wait *= 1 + int(self._context.token(2), 16) / 1024  # clients that failed together come back apart
        if self.failed >= self._timing.tries:
            raise error
        if wait > self._timing.longest_wait or time.monotonic() + wait - self._start > self._timing.total:
            raise error
        pause(self._context, wait)

    def alive(self) -> None:
        """Note that something moves: time is counted from now on, however long it went well; failures stay counted."""
        self._start = time.monotonic()

    def progress(self) -> None:
        """Begin anew: something worth it was done since the last failure."""
        self.failed = 0
        self._start = time.monotonic()


def pause(context: Context, seconds: float) -> None:
    """Wait; raises Cancelled as soon as somebody asks to stop."""
    poller = select.poll()
    poller.register(context.cancel.fd, select.POLLIN)
    poller.poll(seconds * 1000)
    context.cancel.check()


class Transport:
    """Connections to registries, with what was learned of each (scheme, tokens). Threads may share one.

    A context manager. Raises RegistryError before any socket where `context.offline`.
    """

    def __init__(
        self,
        context: Context,
        hosts: Hosts | None = None,
        credentials: CredentialSource | None = None,
        *,
        timing: Timing | None = None,
    ) -> None:
        self.context = context
        self.hosts = hosts if hosts is not None else Hosts.load(context)
        self.credentials = credentials if credentials is not None else CredentialSource(context)
        self.timing = timing if timing is not None else Timing()
        self._connections: Connections | None = None
        self._authorizations: dict[tuple[str, str, str], Authorization] = {}
        self._challenges: dict[str, Challenge] = {}
        self._schemes: dict[str, str] = {}
        self._reached: set[str] = set()
        self._lock = threading.Lock()
        self._probing = threading.Lock()

    def __enter__(self) -> Transport:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        if self._connections is not None:
            self._connections.close()
            self._connections = None

    def request(
        self,
        method: str,
        endpoint: Endpoint,
        url: str,
        *,
        scopes: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
        body: Body | bytes | None = None,
        expect: Sequence[int] = (200,),
        tries: Tries | None = None,
    ) -> Response:
        """Send a request to `endpoint` and return its answer, whose status is one of `expect`.

        `url` is a path (`/v2/…`), or whole (an upload's Location): credentials go along only to the endpoint's own
        origin. `scopes` are what a token must allow (`repository:library/app:pull`). `tries` is the patience of a
        larger piece of work that this is part of; `once()` has none. Raises RegistryError(status, code), of which
        ConnectionCut and Unreachable have status 0, and Cancelled.
        """
        self._refuse_offline(endpoint.host)
        sending = _Request(
            method=method, endpoint=endpoint, url=url, scopes=tuple(scopes), headers=dict(headers or {}), body=body
        )
        tries = tries or self.tries()
        while True:
            try:
                response = self._converse(sending)
            except ConnectionCut as cut:
                tries.again(cut)
                continue
            except Unreachable as error:
                if endpoint.host not in self._reached:
                    raise
                # It was there a moment ago: it restarts, or the network has a gap.
                tries.again(ConnectionCut(error.message, hint=error.hint))
                continue
            self._reached.add(endpoint.host)
            if response.status in expect:
                return response
            refused = failure(response, self.context.now())
            if not heals(refused):
                raise refused
            tries.again(refused)

    def tries(self) -> Tries:
        """Begin a piece of work that is tried as often as the protocol's users are used to."""
        return Tries(self.context, self.timing)

    def once(self) -> Tries:
        """Begin one whose first failure is told."""
        return Tries(self.context, replace(self.timing, tries=1))

    def origin(self, endpoint: Endpoint) -> str:
        """Give `scheme://host` of an endpoint, after a look which scheme it speaks if that is not known."""
        if len(endpoint.schemes) == 1:
            return f"{endpoint.schemes[0]}://{endpoint.host}"
        with self._probing:
            scheme = self._schemes.get(endpoint.host)
            if scheme is None:
                scheme = self._schemes[endpoint.host] = self._probe(endpoint)
        return f"{scheme}://{endpoint.host}"

    def authorization(self, endpoint: Endpoint) -> Authorization:
        """Give what is known of who we are for an endpoint."""
        origin = self.origin(endpoint)
        key = (origin, endpoint.credential, endpoint.repository)
        with self._lock:
            if key not in self._authorizations:
                self._authorizations[key] = Authorization(
                    endpoint.credential or endpoint.host,
                    lambda: self._account(endpoint),
                    self._fetch_token,
                    secure=origin.startswith("https:"),
                    now=self.context.now,
                    challenge=self._challenges.get(origin),
                )
            return self._authorizations[key]

    def _account(self, endpoint: Endpoint) -> Credentials | None:
        """Look up who we are; what was given for one registry (`--creds`) is not told to others, nor to its mirrors."""
        if not endpoint.credential:
            return None
        return self.credentials.lookup(endpoint.credential, endpoint.repository, configured=endpoint.mirror)

    def _refuse_offline(self, host: str) -> None:
        if self.context.offline:
            raise Unreachable(
                f"{host} is not asked: nothing connects with --offline", hint="leave --offline and PYBUILD_OFFLINE away"
            )

    def _converse(self, sending: _Request) -> Response:
        """Send a request once, as often as authentication and redirects want it."""
        endpoint, scopes = sending.endpoint, sending.scopes
        origin = self.origin(endpoint)
        authorization = self.authorization(endpoint)
        url = resolve(origin + "/", sending.url)
        redirects = challenges = 0
        while True:
            own = origin_of(url) == origin_of(origin)
            sent = authorization.header(scopes) if own else None
            headers = {**sending.headers, **({"Authorization": sent} if sent else {})}
            tls = endpoint.tls if own else self._foreign(url)
            response = self._exchange(sending.method, url, headers, sending.body, tls)
            if response.status == 401 and own and challenges < 2:
                challenges += 1
                asked = response.headers.get("WWW-Authenticate", "")
                error = failure(response, self.context.now())
                if not authorization.challenged(asked, scopes, sent):
                    raise self._unauthorized(error, endpoint)
                if authorization.challenge is not None:
                    self._challenges[origin] = authorization.challenge
            elif response.status in _MOVED and response.headers.get("Location"):
                redirects += 1
                with response:
                    url = self._moved(response, url, sending.method, redirects)
            else:
                return response

    def _unauthorized(self, error: RegistryError, endpoint: Endpoint) -> RegistryError:
        name = endpoint.credential or endpoint.host
        known = self._account(endpoint) is not None
        reason = "incorrect username or password" if known else "authentication required"
        hint = f"run 'pybuild login {name}'" + (" again" if known else "")
        if self.credentials.troubles and not known:
            hint += f" ({self.credentials.troubles[0]})"
        return RegistryError(
            f"unauthorized: {name}: {reason}", status=401, code=error.code or "UNAUTHORIZED", hint=hint
        )

    def _foreign(self, url: str) -> Tls:
        """Judge a server that an endpoint sent us to."""
        host = urlsplit(url).netloc
        if self.hosts.blocked(host):
            raise RegistryError(f"{host} is blocked by the configuration, and a registry sent us there")
        return self.hosts.tls(host)

    def _moved(self, response: Response, url: str, method: str, redirects: int) -> str:
        """Give the URL that a redirect names, if it may be followed."""
        target = resolve(url, response.headers["Location"])
        if redirects > _REDIRECTS:
            raise RegistryError(f"{response.host} redirects in circles", status=response.status)
        if method not in ("GET", "HEAD") and (response.status not in (307, 308) or origin_of(target) != origin_of(url)):
            raise RegistryError(
                f"{response.host} answers a {method} with a redirect to {urlsplit(target).netloc}: it is not followed",
                status=response.status,
            )
        if url.startswith("https:") and target.startswith("http:"):
            raise RegistryError(
                f"{response.host} redirects from HTTPS to plain HTTP at {urlsplit(target).netloc}: it is not followed",
                status=response.status,
            )
        return target

    def _probe(self, endpoint: Endpoint) -> str:
        """Find out which scheme a server speaks; nothing secret goes along."""
        failures: list[RegistryError] = []
        for scheme in endpoint.schemes:
            url = f"{scheme}://{endpoint.host}/v2/"
            try:
                with self._exchange("GET", url, {}, None, endpoint.tls, patience=_PROBE_PATIENCE) as response:
                    confused = response.status == 400 and scheme == "http"
                    if not confused or b"https" not in response.whole(65536).lower():
                        return scheme
                failures.append(Unreachable(f"{endpoint.host} speaks HTTPS alone"))
            except PlainOnly as error:
                if "http" in endpoint.schemes:  # it came up after it was asked that way, or is about to be
                    return "http"
                failures.append(error)
            except (ConnectionCut, Unreachable) as error:
                failures.append(error)
        cuts = [error for error in failures if isinstance(error, ConnectionCut)]
        raise cuts[0] if cuts else failures[-1]

    def _opened(self) -> Connections:
        from runtime.registry.connections import Connections  # lazy: 90 ms of requests

        with self._lock:
            if self._connections is None:
                self._connections = Connections(self.context.cancel, self.context.environ)
            return self._connections

    def _fetch_token(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> tuple[int, bytes]:
        """Ask a token server, as `auth.Fetch` says."""
        tries = self.tries()
        start = url
        for _ in range(_REDIRECTS * self.timing.tries):
            try:
                with self._exchange(method, url, headers, body, self._foreign(url)) as response:
                    if response.status in _MOVED and response.headers.get("Location"):
                        target = resolve(url, response.headers["Location"])
                        if method != "GET" or (headers and origin_of(target) != origin_of(start)):
                            raise RegistryError(
                                f"token server {response.host} sends us elsewhere, which is not followed"
                            )
                        url = target
                        continue
                    if response.status not in HEALING:
                        return response.status, response.whole(TOKEN_LIMIT)
                    error: RegistryError = failure(response, self.context.now())
            except ConnectionCut as cut:
                error = cut
            tries.again(error)
        raise RegistryError(f"token server {urlsplit(start).netloc} redirects in circles")

    def _patience_for(self, body: Body | bytes) -> float:
        """Say how long the answer to a body may take; that to an empty one ends an upload of any size."""
        size = len(body) if isinstance(body, bytes) else body.size
        return min(self.timing.answer, 2 * self.timing.stall + size / _MOVED_A_SECOND) if size else self.timing.answer

    def _exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Body | bytes | None,
        tls: Tls,
        *,
        patience: float | None = None,
    ) -> Response:
        """Send one request to one URL; raises ConnectionCut, Unreachable, Untrusted, Cancelled."""
        from runtime.registry.connections import Call  # lazy: 90 ms of requests
        from runtime.registry.exchange import exchange

        self.context.cancel.check()
        timing = self.timing
        waiting = timing.stall if body is None else self._patience_for(body)
        timeout = (min(timing.connect, patience or timing.connect), min(waiting, patience or waiting))
        headers = {"User-Agent": f"pybuild/{VERSION}", "Accept-Encoding": "identity", **headers}
        call = Call(method=method, url=url, tls=tls, proxy=proxy_for(url, self.context.environ), timeout=timeout)
        return exchange(self.context, self._opened(), call, headers, body)
