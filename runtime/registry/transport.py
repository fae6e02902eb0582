"""Send one HTTP request to a registry, whatever it takes: authentication, redirects, retries, time-outs, cancellation.

OCI distribution-spec § Endpoints. Nothing here knows manifests or blobs; `client` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from runtime.context import Context
    from runtime.registry.credentials import CredentialSource
    from runtime.registry.hosts import Endpoint, Hosts

CHUNK = 1 << 20


class Readable(Protocol):
    """What a body is read from: `read(n)` gives at most n bytes, b"" at the end."""

    def read(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """The body of a request; `open` gives it anew from its start for each try, `size` is its length in bytes."""

    open: Callable[[], Readable]
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long to wait for what, in seconds."""

    connect: float = 30
    stall: float = 30
    """Without a single byte in either direction."""
    answer: float = 300
    """For the first byte of an answer to a request with a body, which a registry may have to move somewhere."""
    tries: int = 6
    total: float = 120
    """From the first try to the beginning of the last one."""
    longest_wait: float = 60
    """The longest Retry-After that is waited for."""
    first_wait: float = 0.5


class Response:
    """An answer whose body has not been read; a context manager, and its connection is free after it."""

    status: int
    headers: Mapping[str, str]
    """Names in any case."""
    url: str
    """Where the answer came from, after redirects."""

    def read(self, size: int) -> bytes:
        """Read at most `size` bytes, b"" at the end; raises ConnectionCut where the body ends early, Cancelled."""
        raise NotImplementedError

    def whole(self, limit: int) -> bytes:
        """Read all of the body; raises RegistryError where it has more than `limit` bytes."""
        raise NotImplementedError

    def __enter__(self) -> Response:
        raise NotImplementedError

    def __exit__(self, *_: object) -> None:
        raise NotImplementedError


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
        raise NotImplementedError

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
        retry: bool = True,
    ) -> Response:
        """Send a request to `endpoint` and return its answer, whose status is one of `expect`.

        `url` is a path (`/v2/…`), or whole (an upload's Location): credentials go along only to the endpoint's own
        origin. `scopes` are what a token must allow (`repository:library/app:pull`). `retry=False` leaves cut
        connections and 5xx to the caller. Raises RegistryError(status, code), Cancelled.
        """
        raise NotImplementedError
