"""Speak the OCI distribution protocol: manifests, blobs, tags, referrers of one repository.

OCI distribution-spec v1.1. Whatever a registry sends is bounded, and is verified where it has a digest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from runtime.oci.digests import Digest
from runtime.oci.documents import DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Descriptor
from runtime.registry.transport import Body, Readable, Transport

if TYPE_CHECKING:
    from runtime.oci.references import Reference

ACCEPTED = (OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST)


class Hash(Protocol):
    """An object of hashlib."""

    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


class BlobStream:
    """A blob on its way here; a context manager.

    `read` raises DigestMismatch as soon as the blob is longer than its size, and at its end where size or digest
    are wrong: b"" is returned only by a blob that is whole. A cut connection is taken up again where it broke.
    """

    size: int
    """In bytes: the descriptor's, or where that was not known what the registry says."""
    offset: int
    """Where the next byte stands in the blob."""

    def read(self, size: int = 1 << 20) -> bytes:
        """Read at most `size` bytes; raises DigestMismatch, RegistryError, Cancelled."""
        raise NotImplementedError

    def __enter__(self) -> BlobStream:
        raise NotImplementedError

    def __exit__(self, *_: object) -> None:
        raise NotImplementedError


class Repository:
    """One repository of a registry, through its mirrors when reading; threads may share one.

    `target` is a tag or a digest everywhere. Raises NotFound where the repository or object is not there or must not
    be seen (docker's words: `pull access denied for X, …`, `manifest unknown`), RegistryError otherwise.
    """

    def __init__(self, transport: Transport, reference: Reference) -> None:
        raise NotImplementedError

    # -- manifests -------------------------------------------------------------------------------------------------

    def head_manifest(self, target: str, *, accept: Sequence[str] = ACCEPTED) -> Descriptor | None:
        """Ask for media type, digest and size alone; None where it is not there.

        Falls back to a GET where the registry's HEAD names no digest.
        """
        raise NotImplementedError

    def get_manifest(self, target: str, *, accept: Sequence[str] = ACCEPTED) -> tuple[Descriptor, bytes]:
        """Fetch a manifest or index, at most 4 MiB, verified; media type from the document, else the header.

        Raises NotFound, DigestMismatch, DocumentError (a schema 1 manifest, or what is no manifest), RegistryError.
        """
        raise NotImplementedError

    def put_manifest(self, target: str, media_type: str, data: bytes) -> tuple[Digest, Digest | None]:
        """Store a manifest under a tag or digest; returns its digest and the subject the registry took note of."""
        raise NotImplementedError

    def delete_manifest(self, target: str) -> None:
        """Delete a manifest by digest, or a tag."""
        raise NotImplementedError

    # -- blobs -----------------------------------------------------------------------------------------------------

    def blob(
        self,
        digest: Digest,
        size: int | None = None,
        *,
        offset: int = 0,
        hasher: Hash | None = None,
        verify: bool = True,
        urls: Sequence[str] = (),
    ) -> BlobStream:
        """Stream a blob from `offset` bytes on.

        With an offset, `hasher` must have taken in the bytes before it. `verify=False` leaves the digest (not the
        size) to the caller, who hashes anyway. `urls` are a foreign layer's own places, tried when the registry has
        it not. Nothing is asked before the first read or `__enter__`.
        """
        raise NotImplementedError

    def read_blob(self, digest: Digest, size: int | None, *, limit: int) -> bytes:
        """Fetch a small blob (a config) whole and verified; RegistryError where it has more than `limit` bytes."""
        raise NotImplementedError

    def has_blob(self, digest: Digest) -> int | None:
        """Give a blob's size in bytes, None where it is not there (HEAD)."""
        raise NotImplementedError

    def upload_blob(self, body: Body, digest: Digest, *, progress: Callable[[int], None] | None = None) -> None:
        """Upload a blob of known digest and size in one piece (POST, PUT); a cut one is resumed where that is possible.

        `body.open()` is called once a try. `progress` gets the bytes sent so far, which go down after a cut.
        """
        raise NotImplementedError

    def upload_stream(
        self,
        stream: Readable,
        *,
        progress: Callable[[int], None] | None = None,
        chunk: int = 8 << 20,
        algorithm: str = "sha256",
    ) -> tuple[Digest, int]:
        """Upload what is read once, its digest unknown before its end (POST, PATCH…, PUT); returns digest and size.

        `chunk` bytes are in memory at a time, for a chunk whose connection was cut is sent again.
        """
        raise NotImplementedError

    def mount_blob(self, digest: Digest, from_repository: str) -> bool:
        """Ask the registry to take a blob from another of its repositories (a path as `library/app`); False if not."""
        raise NotImplementedError

    def delete_blob(self, digest: Digest) -> None:
        """Delete a blob."""
        raise NotImplementedError

    # -- discovery -------------------------------------------------------------------------------------------------

    def tags(self, *, page: int | None = None, last: str | None = None) -> Iterator[str]:
        """List tags in the registry's order, page after page (Link headers followed)."""
        raise NotImplementedError

    def referrers(self, digest: Digest, *, artifact_type: str | None = None) -> tuple[Descriptor, ...]:
        """List manifests whose subject is `digest`: the referrers API, else the tag `sha256-HEX`; filtered here, too."""
        raise NotImplementedError
