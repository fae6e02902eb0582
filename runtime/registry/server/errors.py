"""Name the ways in which the registry refuses a request, with the status and code that the specification has for each.

OCI distribution-spec § Error Codes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping


class Refusal(Exception):
    """A request that is answered with an error; `headers` go into the answer, `detail` into its body."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        detail: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.detail = detail
        self.headers = dict(headers or {})

    def body(self) -> bytes:
        """Write the JSON body."""
        return error_body((self,))


class SeveralRefusals(Refusal):
    """A request with several faults of one kind, each an entry of the body."""

    def __init__(self, refusals: tuple[Refusal, ...]) -> None:
        first = refusals[0]
        super().__init__(first.status, first.code, first.message, headers=first.headers)
        self.refusals = refusals

    def body(self) -> bytes:
        """Write the JSON body."""
        return error_body(self.refusals)


def error_body(refusals: tuple[Refusal, ...]) -> bytes:
    """Write errors as the specification has them."""
    errors = []
    for refusal in refusals:
        entry: dict[str, object] = {"code": refusal.code, "message": refusal.message}
        if refusal.detail is not None:
            entry["detail"] = refusal.detail
        errors.append(entry)
    return json.dumps({"errors": errors}, separators=(",", ":")).encode()


def name_invalid(name: str) -> Refusal:
    return Refusal(400, "NAME_INVALID", "invalid repository name", detail={"name": shown(name)})


def name_unknown(name: str) -> Refusal:
    return Refusal(404, "NAME_UNKNOWN", "repository name not known to registry", detail={"name": name})


def blob_unknown(digest: str) -> Refusal:
    return Refusal(404, "BLOB_UNKNOWN", "blob unknown to registry", detail={"digest": shown(digest)})


def manifest_unknown(name: str, target: str) -> Refusal:
    return Refusal(404, "MANIFEST_UNKNOWN", "manifest unknown", detail={"name": name, "target": shown(target)})


def manifest_invalid(message: str) -> Refusal:
    return Refusal(400, "MANIFEST_INVALID", f"manifest invalid: {message}")


def manifest_too_large(limit: int) -> Refusal:
    return Refusal(413, "MANIFEST_INVALID", f"manifest is larger than {limit} bytes")


def digest_invalid(message: str) -> Refusal:
    return Refusal(400, "DIGEST_INVALID", message)


def upload_unknown(upload: str) -> Refusal:
    return Refusal(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry", detail={"id": shown(upload)})


def upload_invalid(message: str) -> Refusal:
    return Refusal(400, "BLOB_UPLOAD_INVALID", message)


def size_invalid(message: str) -> Refusal:
    return Refusal(400, "SIZE_INVALID", message)


def unsupported(message: str, *, allow: str = "GET, HEAD") -> Refusal:
    return Refusal(405, "UNSUPPORTED", message, headers={"Allow": allow})


def bad_query(message: str) -> Refusal:
    """Refuse a query parameter; the specification has no code of its own for it."""
    return Refusal(400, "UNSUPPORTED", message)


def shown(text: str) -> str:
    """Shorten what a client sent, so that it may go into an answer."""
    return text if len(text) <= 200 else text[:200] + "…"
