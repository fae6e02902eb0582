"""Follow a list page after page (OCI distribution-spec § Listing Tags; RFC 8288 § Link)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from runtime.errors import RegistryError
from runtime.oci.fields import Reader, decode_object
from runtime.registry.answers import ConnectionCut
from runtime.registry.urls import resolve

if TYPE_CHECKING:
    from runtime.registry.hosts import Endpoint
    from runtime.registry.transport import Transport

_PAGE_LIMIT = 32 << 20
"""Bytes of a page: repositories with tens of thousands of tags send them in one."""
_PAGES = 10_000
_LINK = re.compile(r'<([^<>]*)>\s*((?:;\s*[a-zA-Z*]+\s*=\s*(?:"[^"]*"|[^",;\s]*)\s*)*)')


def pages(transport: Transport, endpoint: Endpoint, path: str, scopes: Sequence[str]) -> Iterator[Reader]:
    """Fetch each page's document; raises RegistryError, DocumentError."""
    url = path
    seen = {url}
    for _ in range(_PAGES):
        tries = transport.tries()
        while True:
            try:
                with transport.request("GET", endpoint, url, scopes=scopes, tries=tries) as answer:
                    data = answer.whole(_PAGE_LIMIT)
                break
            except ConnectionCut as cut:
                tries.again(cut)
        yield Reader(decode_object(data, f"the list of {answer.host}", limit=_PAGE_LIMIT), "")
        following = next_link(answer.headers.get("Link", ""))
        if following is None:
            return
        url = resolve(answer.url, following)
        if url in seen:
            break
        seen.add(url)
    raise RegistryError(f"{endpoint.host} gives a list that does not end")


def next_link(header: str) -> str | None:
    """Give the target of the link whose relation is `next`."""
    for match in _LINK.finditer(header[:16384]):
        if re.search(r';\s*rel\s*=\s*"?([^";]*\s)?next(\s[^";]*)?"?\s*(;|$)', match[2], re.IGNORECASE):
            return match[1]
    return None
