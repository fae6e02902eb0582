"""Read what a request asks for: its path, its byte ranges, its pages.

OCI distribution-spec § Pulling manifests (the grammar of names and tags), § Endpoints; RFC 9110 § 14.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal
from urllib.parse import unquote

from frozen import Frozen
from runtime.oci.digests import Digest, is_digest
from runtime.registry.server.errors import Refusal, bad_query, name_invalid

Kind = Literal["base", "catalog", "manifest", "blob", "uploads", "upload", "tags", "referrers"]

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_LONGEST_NAME = 255
_LONGEST_PATH = 2048
"""Characters of a path before its query; no valid one comes near."""

_ROUTES: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("tags", re.compile(r"/v2/(?P<name>.+)/tags/list/?")),
    ("uploads", re.compile(r"/v2/(?P<name>.+)/blobs/uploads/?")),
    ("upload", re.compile(r"/v2/(?P<name>.+)/blobs/uploads/(?P<argument>[^/]+)")),
    ("blob", re.compile(r"/v2/(?P<name>.+)/blobs/(?P<argument>[^/]+)")),
    ("manifest", re.compile(r"/v2/(?P<name>.+)/manifests/(?P<argument>[^/]+)")),
    ("referrers", re.compile(r"/v2/(?P<name>.+)/referrers/(?P<argument>[^/]+)")),
)

_CONTENT_RANGE = re.compile(r"(?:bytes[ =])?([0-9]{1,18})-([0-9]{1,18})(?:/(?:\*|[0-9]+))?")
_RANGE = re.compile(r"bytes=\s*([0-9]{0,18})\s*-\s*([0-9]{0,18})\s*", re.IGNORECASE)


class Target(Frozen):
    """What a path stands for; `argument` is a tag, digest or upload id, as written."""

    kind: Kind
    name: str = ""
    argument: str = ""


def read_path(raw: str) -> Target:
    """Take a request's path apart; raises Refusal 404 for one that is none of ours, NAME_INVALID for a wrong name."""
    text = raw.partition("?")[0]
    if len(text) > _LONGEST_PATH:
        raise Refusal(414, "NAME_INVALID", "the path is too long")
    path = unquote(text, errors="replace")
    if path in {"/v2", "/v2/"}:
        return Target(kind="base")
    if path == "/v2/_catalog":
        return Target(kind="catalog")
    for kind, pattern in _ROUTES:
        match = pattern.fullmatch(path)
        if match:
            groups = match.groupdict()
            if not is_name(groups["name"]):
                raise name_invalid(groups["name"])
            return Target(kind=kind, name=groups["name"], argument=groups.get("argument") or "")
    raise Refusal(404, "NAME_UNKNOWN", "there is nothing at this path")


def is_name(text: str) -> bool:
    """Tell whether `text` can be a repository's name."""
    return len(text) <= _LONGEST_NAME and _NAME.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Tell whether `text` can be a tag."""
    return _TAG.fullmatch(text) is not None


def as_digest(text: str) -> Digest | None:
    """Give `text` as a digest if it is one of sha256 or sha512."""
    return Digest(text) if is_digest(text) else None


class ByteRange(Frozen):
    """A part of a blob: `first` and `last` byte, both included."""

    first: int
    last: int

    @property
    def length(self) -> int:
        """In bytes."""
        return self.last - self.first + 1


def read_content_range(text: str) -> ByteRange | None:
    """Read the Content-Range of a chunk (`0-99`; `bytes 0-99/*` is read as well); None for what is none."""
    match = _CONTENT_RANGE.fullmatch(text.strip())
    if match is None or int(match[2]) < int(match[1]):
        return None
    return ByteRange(first=int(match[1]), last=int(match[2]))


def read_range(text: str | None, size: int) -> ByteRange | None:
    """Read a Range header for a blob of `size` bytes; None where the whole is to be sent.

    What is malformed, of another unit, or several ranges at once is ignored, as RFC 9110 § 14.2 lets a server do.
    Raises Refusal 416 for a range that begins behind its own end or the blob's.
    """
    match = _RANGE.fullmatch(text.strip()) if text else None
    if match is None or not (match[1] or match[2]):
        return None
    if match[1]:
        first = int(match[1])
        last = int(match[2]) if match[2] else size - 1
    else:
        first, last = max(size - int(match[2]), 0), size - 1
        if int(match[2]) == 0:
            first = size
    if first >= size or last < first:
        raise Refusal(
            416,
            "SIZE_INVALID",
            f"no such range in {size} bytes",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return ByteRange(first=first, last=min(last, size - 1))


class Page(Frozen):
    """A part of a list: at most `limit` entries after `last`."""

    limit: int
    last: str = ""


def read_page(query: Mapping[str, str], *, most: int) -> Page:
    """Read `n` and `last`; raises Refusal for an `n` that is no number. A larger `n` than `most` is `most`."""
    text = query.get("n", "")
    if text and not (text.isascii() and text.isdecimal()):
        raise bad_query("n must be a whole number that is not negative")
    return Page(limit=min(int(text[:12]), most) if text else most, last=query.get("last", ""))
