"""Ask registries what they hold, and whether they know us: search, the catalog, a login.

OCI distribution-spec has no search: Docker Hub and some others have that of the first protocol (`/v1/search`); of the
rest the catalog is looked through.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from frozen import Frozen, replace
from runtime.errors import RegistryError
from runtime.oci.fields import Reader, decode_object
from runtime.oci.references import DEFAULT_DOMAIN
from runtime.registry.hosts import Endpoint
from runtime.registry.paging import pages

if TYPE_CHECKING:
    from runtime.registry.credentials import Credentials
    from runtime.registry.transport import Transport

_SEARCH_HOST = "index.docker.io"
_SEARCH_LIMIT = 8 << 20
_ABSENT = (400, 401, 403, 404, 405, 410, 501)
_LOOKED_THROUGH = 100_000
"""Names of a catalog that a search looks at."""


class Found(Frozen):
    """A repository that a search found."""

    name: str
    description: str = ""
    stars: int = 0
    official: bool = False
    automated: bool = False


def search(transport: Transport, domain: str, term: str, *, limit: int) -> tuple[Found, ...]:
    """Look for repositories whose name (or description) has `term` in it; raises RegistryError without a search."""
    endpoint = _registry(transport, domain)
    if domain == DEFAULT_DOMAIN:
        endpoint = transport.hosts.elsewhere("https", _SEARCH_HOST)
    query = urlencode({"q": term, "n": limit})
    try:
        with transport.request("GET", endpoint, f"/v1/search?{query}") as answer:
            document = Reader(decode_object(answer.whole(_SEARCH_LIMIT), "the list", limit=_SEARCH_LIMIT), "")
    except RegistryError as error:
        if error.status not in _ABSENT or domain == DEFAULT_DOMAIN:
            raise
        return _in_catalog(transport, domain, term, limit)
    prefix = "" if domain == DEFAULT_DOMAIN else f"{domain}/"
    return tuple(_found(item, prefix) for item in islice(document.items("results"), limit))


def catalog(transport: Transport, domain: str, *, page: int | None = None) -> Iterator[str]:
    """List the repositories of a registry, which few public ones allow; raises RegistryError."""
    path = "/v2/_catalog" + (f"?n={page}" if page is not None else "")
    for document in pages(transport, _registry(transport, domain), path, ("registry:catalog:*",)):
        yield from document.texts("repositories")


def sign_in(transport: Transport, domain: str) -> Credentials | None:
    """Try the transport's credentials at a registry; returns what is to be kept, an identity token if there is one.

    None where the transport has none for it. Raises RegistryError: `unauthorized: …`.
    """
    endpoint = _registry(transport, domain)
    transport.request("GET", endpoint, "/v2/").close()
    account = transport.credentials.lookup(domain)
    token = transport.authorization(endpoint).refresh_token
    if account is not None and token and not account.identity_token:
        return replace(account, secret="", identity_token=token)
    return account


def _registry(transport: Transport, domain: str) -> Endpoint:
    return transport.hosts.endpoints(domain, "", push=True)[-1]


def _in_catalog(transport: Transport, domain: str, term: str, limit: int) -> tuple[Found, ...]:
    names = islice(catalog(transport, domain), _LOOKED_THROUGH)
    try:
        return tuple(islice((Found(name=f"{domain}/{name}") for name in names if term in name), limit))
    except RegistryError as error:
        if error.status not in _ABSENT:
            raise
        raise RegistryError(
            f"{domain} offers no search, and does not list what it has",
            status=error.status,
            code=error.code,
            hint=f"some list it to who has logged in: pybuild login {domain}",
        ) from error


def _found(item: Reader, prefix: str) -> Found:
    return Found(
        name=prefix + item.text("name"),
        description=item.optional_text("description") or "",
        stars=item.optional_integer("star_count") or 0,
        official=item.boolean("is_official"),
        automated=item.boolean("is_automated"),
    )
