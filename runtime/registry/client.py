"""Speak the OCI distribution protocol: manifests, blobs, tags, referrers of one repository.

OCI distribution-spec v1.1. Whatever a registry sends is bounded, and is verified where it has a digest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlencode, urlsplit

from runtime.errors import DigestMismatch, DocumentError, RegistryError, RegistryMissing
from runtime.oci import documents
from runtime.oci.digests import Digest, algorithm_of, digest_of, hex_of, is_digest, sha256_of
from runtime.oci.documents import DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Descriptor, Index
from runtime.oci.fields import MANIFEST_LIMIT
from runtime.registry.answers import ConnectionCut, Response, Unreachable
from runtime.registry.blobstream import BlobStream, Hash
from runtime.registry.hosts import Endpoint
from runtime.registry.paging import pages
from runtime.registry.refusals import explained, named
from runtime.registry.transport import Body, Readable, Transport, Tries
from runtime.registry.uploads import Growing, Uploads

if TYPE_CHECKING:
    from runtime.oci.references import Reference

__all__ = ["ACCEPTED", "BlobStream", "Body", "Hash", "Readable", "Repository"]

ACCEPTED = (OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST)
_DELETED = (200, 202, 204)
_MIRROR_FAILURES = 2
"""Cuts of one blob after which its mirrors are left alone."""


class Repository:
    """One repository of a registry, through its mirrors when reading; threads may share one.

    `target` is a tag or a digest everywhere. With `push`, nothing is asked of mirrors and tokens allow writing.
    Raises RegistryMissing (a NotFound) where the repository or object is not there or must not be seen, in Docker's
    words (`pull access denied for X, …`, `manifest unknown`), RegistryError otherwise.
    """

    def __init__(self, transport: Transport, reference: Reference, *, push: bool = False) -> None:
        self.reference = reference
        self.transport = transport
        self._pushing = push
        self._passed: set[Endpoint] = set()
        """Mirrors that could not be reached, and are asked no more."""
        self._uploads: Uploads | None = None

    # -- manifests -------------------------------------------------------------------------------------------------

    def head_manifest(self, target: str, *, accept: Sequence[str] = ACCEPTED) -> Descriptor | None:
        """Ask for media type, digest and size alone; None where it is not there.

        Falls back to a GET where the registry does not answer a HEAD in full.
        """
        try:
            answer = self._read("HEAD", f"manifests/{target}", {"Accept": ", ".join(accept)}, by_digest=":" in target)
        except RegistryError as error:
            if error.status == 404:
                return None
            if error.status not in (400, 405, 501):
                self._refuse(error, target)
            return self._found_by_get(target, accept)
        with answer:
            digest = answer.headers.get("Docker-Content-Digest", target)
            size = answer.headers.get("Content-Length", "")
            media_type = _media_type(answer)
        if not is_digest(digest) or not size.isdecimal() or not media_type:
            return self._found_by_get(target, accept)
        if ":" in target and digest != target:
            raise DigestMismatch(f"{self._name(target)}", expected=target, actual=digest)
        return Descriptor(media_type=media_type, digest=Digest(digest), size=int(size))

    def get_manifest(self, target: str, *, accept: Sequence[str] = ACCEPTED) -> tuple[Descriptor, bytes]:
        """Fetch a manifest or index, at most 4 MiB, verified; its media type is what it is by its content.

        Raises RegistryMissing, DigestMismatch, DocumentError (a schema 1 manifest, or none at all), RegistryError.
        """
        tries = self.transport.tries()
        while True:
            try:
                headers = {"Accept": ", ".join(accept)}
                with self._read("GET", f"manifests/{target}", headers, by_digest=":" in target, tries=tries) as answer:
                    data = answer.whole(MANIFEST_LIMIT)
                break
            except ConnectionCut as cut:  # in the middle of the document
                tries.again(cut)
            except RegistryError as error:
                self._refuse(error, target)
        said = target if ":" in target else answer.headers.get("Docker-Content-Digest", "")
        digest = digest_of(data, algorithm_of(said)) if is_digest(said) else sha256_of(data)
        if is_digest(said) and digest != said:
            raise DigestMismatch(
                f"{self._name(target)}: the registry sent another manifest", expected=said, actual=digest
            )
        try:
            media_type = documents.media_type_of(data)
        except DocumentError as error:
            raise DocumentError(f"{self._name(target)}: {error.message}", hint=error.hint) from error
        return Descriptor(media_type=media_type, digest=digest, size=len(data)), data

    def _found_by_get(self, target: str, accept: Sequence[str]) -> Descriptor | None:
        try:
            return self.get_manifest(target, accept=accept)[0]
        except RegistryMissing as error:
            if error.status == 404:
                return None
            raise

    def put_manifest(self, target: str, media_type: str, data: bytes) -> tuple[Digest, Digest | None]:
        """Store a manifest under a tag or digest; returns its digest and the subject the registry took note of."""
        digest = digest_of(data, algorithm_of(target)) if ":" in target else sha256_of(data)
        answer = self._write("PUT", f"manifests/{target}", (201, 200, 202), {"Content-Type": media_type}, data)
        with answer:
            stored = answer.headers.get("Docker-Content-Digest", "")
            subject = answer.headers.get("OCI-Subject", "")
        if is_digest(stored) and stored != digest and algorithm_of(stored) == algorithm_of(digest):
            raise DigestMismatch(
                f"{self._name(target)}: the registry stored another manifest", expected=digest, actual=stored
            )
        return digest, Digest(subject) if is_digest(subject) else None

    def delete_manifest(self, target: str) -> None:
        """Delete a manifest by digest, or a tag."""
        self._write("DELETE", f"manifests/{target}", _DELETED).close()

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
        it not. Nothing is asked before the first read.
        """
        return BlobStream(
            digest,
            size,
            lambda position, tries: self._open_blob(digest, position, tuple(urls), tries),
            self.transport.tries(),
            offset=offset,
            hasher=hasher,
            verify=verify,
        )

    def read_blob(self, digest: Digest, size: int | None, *, limit: int) -> bytes:
        """Fetch a small blob (a config) whole and verified; RegistryError where it has more than `limit` bytes."""
        if size is not None and size > limit:
            raise RegistryError(f"blob {digest} of {self._name()} has {size} bytes, more than the {limit} it may have")
        parts: list[bytes] = []
        with self.blob(digest, size) as stream:
            while data := stream.read(limit + 1):
                parts.append(data)
                if stream.offset > limit:
                    raise RegistryError(f"blob {digest} of {self._name()} has more than the {limit} bytes it may have")
        return b"".join(parts)

    def has_blob(self, digest: Digest) -> int | None:
        """Give a blob's size in bytes, None where it is not there; asked of the registry itself, not of mirrors."""
        endpoint = self._primary()
        path = f"/v2/{endpoint.repository}/blobs/{digest}"
        try:
            answer = self.transport.request("HEAD", endpoint, path, scopes=self._scopes(endpoint), expect=(200, 404))
        except RegistryError as error:
            self._refuse(error, digest)
        with answer:
            size = answer.headers.get("Content-Length", "")
            return None if answer.status == 404 else int(size) if size.isdecimal() else 0

    def upload_blob(self, body: Body, digest: Digest, *, progress: Callable[[int], None] | None = None) -> None:
        """Upload a blob of known digest and size in one piece; a cut one is resumed where that is possible.

        `body.open()` is called once a try. `progress` gets the bytes sent so far, which go down after a cut.
        """
        try:
            self._uploading().whole(body, digest, progress or _nothing)
        except RegistryError as error:
            self._refuse(error, digest)

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
        try:
            return self._uploading().stream(stream, algorithm, chunk, progress or _nothing)
        except RegistryError as error:
            self._refuse(error, "a blob")

    def upload_growing(
        self, blob: Growing, *, progress: Callable[[int], None] | None = None, chunk: int = 8 << 20
    ) -> Digest:
        """Upload what is still being made, `chunk` bytes at least at a time; nothing of it is kept in memory."""
        try:
            return self._uploading().growing(blob, chunk, progress or _nothing)
        except RegistryError as error:
            self._refuse(error, "a blob")

    def mount_blob(self, digest: Digest, from_repository: str) -> bool:
        """Ask the registry to take a blob from another of its repositories (a path as `library/app`); False if not."""
        return self._uploading().mount(digest, from_repository)

    def delete_blob(self, digest: Digest) -> None:
        """Delete a blob."""
        self._write("DELETE", f"blobs/{digest}", _DELETED).close()

    # -- discovery -------------------------------------------------------------------------------------------------

    def tags(self, *, page: int | None = None, last: str | None = None) -> Iterator[str]:
        """List tags in the registry's order, `page` at a time, those behind `last` alone; raises RegistryMissing."""
        endpoint = self._primary()
        query = urlencode({name: value for name, value in (("n", page), ("last", last)) if value is not None})
        path = f"/v2/{endpoint.repository}/tags/list" + (f"?{query}" if query else "")
        try:
            for document in pages(self.transport, endpoint, path, self._scopes(endpoint)):
                yield from document.texts("tags")
        except RegistryError as error:
            self._refuse(error, "")

    def referrers(self, digest: Digest, *, artifact_type: str | None = None) -> tuple[Descriptor, ...]:
        """List manifests whose subject is `digest`: the referrers API, else the tag `sha256-HEX` (§ Listing Referrers).

        `artifact_type` filters, here too where the registry does not.
        """
        endpoint = self._primary()
        query = "?" + urlencode({"artifactType": artifact_type}) if artifact_type else ""
        path = f"/v2/{endpoint.repository}/referrers/{digest}{query}"
        found: list[Descriptor] = []
        try:
            for document in pages(self.transport, endpoint, path, self._scopes(endpoint)):
                found += [documents.decode_descriptor(item) for item in document.items("manifests")]
        except RegistryError as error:
            if error.status not in (400, 404, 405):
                self._refuse(error, digest)
            found = list(self._tagged_referrers(digest))
        if artifact_type is not None:
            found = [item for item in found if item.artifact_type == artifact_type]
        return tuple({item.digest: item for item in found}.values())

    def add_referrer(self, subject: Digest, referrer: Descriptor) -> None:
        """Note a referrer in the tag `sha256-HEX`: for registries whose answer to its push named no subject."""
        known = self._tagged_referrers(subject)
        if all(item.digest != referrer.digest for item in known):
            data = Index(manifests=(*known, referrer)).encode()
            self.put_manifest(_referrers_tag(subject), OCI_INDEX, data)

    def _tagged_referrers(self, digest: Digest) -> tuple[Descriptor, ...]:
        try:
            _, data = self.get_manifest(_referrers_tag(digest), accept=(OCI_INDEX,))
            return documents.decode_index(data).manifests
        except RegistryMissing:
            return ()

    # -- asking ----------------------------------------------------------------------------------------------------

    def _primary(self) -> Endpoint:
        return self.transport.hosts.endpoints(self.reference.domain, self.reference.path, push=True)[-1]

    def _uploading(self) -> Uploads:
        if self._uploads is None:
            endpoint = self._primary()
            scope = f"repository:{endpoint.repository}:pull,push"
            self._uploads = Uploads(self.transport, endpoint, (scope,))
        return self._uploads

    def _scopes(self, endpoint: Endpoint, *, push: bool | None = None, delete: bool = False) -> tuple[str, ...]:
        actions = "pull,push" if (self._pushing if push is None else push) else "pull"
        return (f"repository:{endpoint.repository}:{'delete,' if delete else ''}{actions}",)

    def _read(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        *,
        by_digest: bool,
        expect: Sequence[int] = (200,),
        tries: Tries | None = None,
    ) -> Response:
        """Ask the mirrors, then the registry itself; that alone when something has failed again and again."""
        endpoints = self.transport.hosts.endpoints(
            self.reference.domain, self.reference.path, push=self._pushing, by_digest=by_digest
        )
        for endpoint in endpoints[:-1]:
            if endpoint in self._passed or (tries is not None and tries.failed >= _MIRROR_FAILURES):
                continue
            try:
                return self._ask(method, endpoint, path, headers, expect, self.transport.once())
            except RegistryError as error:
                if isinstance(error, ConnectionCut | Unreachable) and not self.transport.context.offline:
                    self._passed.add(endpoint)
        return self._ask(method, endpoints[-1], path, headers, expect, tries)

    def _ask(
        self,
        method: str,
        endpoint: Endpoint,
        path: str,
        headers: Mapping[str, str],
        expect: Sequence[int],
        tries: Tries | None = None,
    ) -> Response:
        return self.transport.request(
            method,
            endpoint,
            f"/v2/{endpoint.repository}/{path}",
            scopes=self._scopes(endpoint),
            headers=headers,
            expect=expect,
            tries=tries,
        )

    def _write(
        self,
        method: str,
        path: str,
        expect: Sequence[int],
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
    ) -> Response:
        endpoint = self._primary()
        scopes = self._scopes(endpoint, push=True, delete=method == "DELETE")
        url = f"/v2/{endpoint.repository}/{path}"
        try:
            return self.transport.request(
                method, endpoint, url, scopes=scopes, headers=headers, body=data, expect=expect
            )
        except RegistryError as error:
            self._refuse(error, path.partition("/")[2], writing=method)

    def _open_blob(self, digest: Digest, offset: int, urls: Sequence[str], tries: Tries) -> Response:
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        expect = (200, 206) if offset else (200,)
        try:
            return self._read("GET", f"blobs/{digest}", headers, by_digest=True, expect=expect, tries=tries)
        except RegistryError as error:
            found = self._open_elsewhere(urls, headers, expect, tries) if error.status in (403, 404) else None
            if found is None:
                self._refuse(error, digest)
            return found

    def _open_elsewhere(
        self, urls: Sequence[str], headers: Mapping[str, str], expect: Sequence[int], tries: Tries
    ) -> Response | None:
        """Ask a foreign layer's own places, which are told nothing of the user."""
        for url in urls:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc:
                continue
            with suppress(RegistryError):
                endpoint = self.transport.hosts.elsewhere(parts.scheme, parts.netloc)
                return self.transport.request("GET", endpoint, url, headers=headers, expect=expect, tries=tries)
        return None

    def _name(self, target: str = "") -> str:
        return named(self.reference, target)

    def _refuse(self, error: RegistryError, target: str, *, writing: str = "") -> NoReturn:
        """Raise a refusal in Docker's words; `writing`: the method, where something was to be changed."""
        pushing = self._pushing or bool(writing) or self._uploads is not None
        told = explained(error, self.reference, target, pushing=pushing, deleting=writing == "DELETE")
        troubles = self.transport.credentials.troubles
        if told.status in (401, 403) and troubles and troubles[0] not in str(told.hint):
            told.hint = f"{troubles[0]}; {told.hint}"
        if told is error:
            raise error
        raise told from error


def _nothing(_: int) -> None:
    return


def _media_type(answer: Response) -> str:
    return answer.headers.get("Content-Type", "").partition(";")[0].strip()


def _referrers_tag(digest: Digest) -> str:
    """Give the tag that stands in for the referrers API (§ Referrers Tag Schema)."""
    return f"{algorithm_of(digest)[:32]}-{hex_of(digest)[:64]}"
