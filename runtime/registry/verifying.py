"""Compare what streams by with what was said of it, and describe manifests by what they say of themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from runtime.errors import DigestMismatch, DocumentError
from runtime.oci import documents
from runtime.oci.digests import Digest, algorithm_of, digest_of
from runtime.oci.documents import Descriptor, Index, Manifest


def checked(pieces: Iterable[bytes], blob: Descriptor) -> Iterator[bytes]:
    """Pass on the pieces of a blob; raises DigestMismatch as soon as it is too long, and at its end if it is wrong."""
    hasher = hashlib.new(algorithm_of(blob.digest))
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > blob.size:
            break
        hasher.update(piece)
        yield piece
    if size != blob.size:
        actual = "more" if size > blob.size else f"{size} bytes"
        raise DigestMismatch(f"size of blob {blob.digest}", expected=f"{blob.size} bytes", actual=actual)
    found = f"{algorithm_of(blob.digest)}:{hasher.hexdigest()}"
    if found != blob.digest:
        raise DigestMismatch("digest of a blob", expected=blob.digest, actual=found)


def verified(data: bytes, digest: Digest, limit: int) -> bytes:
    """Give a small blob that was read whole; raises DocumentError for one over `limit` bytes, DigestMismatch."""
    if len(data) > limit:
        raise DocumentError(f"blob {digest} is larger than the {limit} bytes that it may have")
    actual = digest_of(data, algorithm_of(digest))
    if actual != digest:
        raise DigestMismatch(f"blob {digest} is damaged", expected=digest, actual=actual)
    return data


def document_of(data: bytes) -> Manifest | Index:
    """Read a manifest or an index; raises DocumentError."""
    is_index = documents.media_type_of(data) in documents.INDEX_TYPES
    return documents.decode_index(data) if is_index else documents.decode_manifest(data)


def described(digest: Digest, data: bytes) -> Descriptor:
    """Describe a manifest as an index of referrers does: by its type, artifact type and annotations.

    OCI distribution-spec § Listing Referrers.
    """
    document = document_of(data)
    kind = document.artifact_type
    if not kind and isinstance(document, Manifest) and document.subject is not None:
        kind = document.config.media_type
    return Descriptor(
        media_type=documents.media_type_of(data),
        digest=digest,
        size=len(data),
        artifact_type=kind,
        annotations=document.annotations if document.subject is not None else {},
    )


def subject_of(data: bytes) -> Digest | None:
    """Give the digest of the manifest that a manifest or index speaks of."""
    subject = document_of(data).subject
    return subject.digest if subject is not None else None
