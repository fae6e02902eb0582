"""Read image names as Docker does: `app` is `docker.io/library/app:latest`.

The grammar is github.com/distribution/reference: `[domain[:port]/]path[:tag][@digest]`. The first component is a
domain if it has a dot, a colon or an upper-case letter, or is `localhost`.
"""

from __future__ import annotations

import re

from frozen import Frozen, replace
from runtime.errors import DocumentError, ReferenceInvalid
from runtime.oci.digests import Digest, parse_digest

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
_OFFICIAL = "library/"
_LEGACY_DOMAIN = "index.docker.io"
_LONGEST_PATH = 255
_LONGEST = 1024
"""Characters that a whole reference may have: no valid one comes near, and no check gets slow below."""

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[(?:[a-fA-F0-9:]+)\])(?::[0-9]+)?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")


class Reference(Frozen):
    """A normalised name; `tag` and `digest` are None where they were not said (see `tagged`)."""

    domain: str
    path: str
    tag: str | None = None
    digest: Digest | None = None

    @property
    def name(self) -> str:
        """The repository: domain and path."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        """The repository as people write it: `app`, `user/app`, `example.com/app`."""
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        short = self.path.removeprefix(_OFFICIAL)
        return self.path if "/" in short else short

    def familiar(self) -> str:
        """Write the whole reference as people write it."""
        return self.familiar_name + self._suffix()

    def tagged(self) -> Reference:
        """Add `latest` where neither tag nor digest was said."""
        return replace(self, tag=DEFAULT_TAG) if self.tag is None and self.digest is None else self

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag is not None else "") + (f"@{self.digest}" if self.digest else "")

    def __str__(self) -> str:
        return self.name + self._suffix()


def parse_reference(text: str) -> Reference:
    """Normalise an image name; raises ReferenceInvalid, which shows it as written."""
    if not text:
        raise _invalid(text, "it is empty")
    if len(text) > _LONGEST:
        raise _invalid(text, f"it has {len(text)} characters")
    if _IDENTIFIER.fullmatch(text):
        raise _invalid(text, "64 hex digits are an image id, not a name")
    domain, rest = split_domain(text)
    rest, at, digest_text = rest.partition("@")
    path, colon, tag = rest.rpartition(":") if ":" in rest.rpartition("/")[2] else (rest, "", "")
    digest = None
    if at:
        try:
            digest = parse_digest(digest_text)
        except DocumentError as error:
            raise _invalid(text, error.message) from None
    if colon and not _TAG.fullmatch(tag):
        raise _invalid(text, f"{tag!a} is no tag (letters, digits, _ . -, at most 128, and not . or - first)")
    if not _DOMAIN.fullmatch(domain):
        raise _invalid(text, f"{domain!a} is no host name")
    if path != path.lower() and _PATH.fullmatch(path.lower()):
        reason = f"repository name ({_full_path(domain, path)}) must be lowercase"
        raise _invalid(text, reason, hint=f"write {text.replace(path, path.lower())}")
    if not _PATH.fullmatch(path):
        raise _invalid(text, f"{path!a} is no repository name")
    path = _full_path(domain, path)
    if len(domain) + 1 + len(path) > _LONGEST_PATH:
        raise _invalid(text, f"a repository name has at most {_LONGEST_PATH} characters")
    return Reference(domain=domain, path=path, tag=tag if colon else None, digest=digest)


def _full_path(domain: str, path: str) -> str:
    return _OFFICIAL + path if domain == DEFAULT_DOMAIN and "/" not in path else path


def split_domain(text: str) -> tuple[str, str]:
    """Divide a name into domain and rest as Docker does; a name without a domain is Docker Hub's."""
    first, slash, rest = text.partition("/")
    is_domain = bool(slash) and ("." in first or ":" in first or first == "localhost" or first.lower() != first)
    if not is_domain:
        return DEFAULT_DOMAIN, text
    return (DEFAULT_DOMAIN if first == _LEGACY_DOMAIN else first), rest


def _invalid(text: str, reason: str, *, hint: str | None = None) -> ReferenceInvalid:
    shown = ascii(text if len(text) <= 300 else text[:300] + "…")
    return ReferenceInvalid(
        f"invalid reference format: {shown}: {reason}",
        hint=hint or "a name looks like [host[:port]/]name[:tag][@digest]",
    )
