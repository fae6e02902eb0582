"""Read a blob from a registry: bounded, verified while it comes, and taken up again where a connection broke.

OCI distribution-spec § Pulling blobs; RFC 9110 § Range Requests.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Protocol

from runtime.errors import DigestMismatch, RegistryError
from runtime.oci.digests import Digest, algorithm_of
from runtime.registry.answers import ConnectionCut, Response
from runtime.registry.transport import CHUNK, Tries

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_WORTH = 1 << 20
"""Bytes after which a cut counts as the first again: a slow but honest server gets through, a hostile one does not."""


class Hash(Protocol):
    """An object of hashlib."""

    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


class BlobStream:
    """A blob on its way here; a context manager. For one thread.

    `read` raises DigestMismatch as soon as the blob is longer than its size, and at its end where size or digest
    are wrong: b"" is returned only by a blob that is whole.
    """

    def __init__(
        self,
        digest: Digest,
        size: int | None,
        open_at: Callable[[int, Tries], Response],
        tries: Tries,
        *,
        offset: int = 0,
        hasher: Hash | None = None,
        verify: bool = True,
    ) -> None:
        self.digest = digest
        self.size = size
        """In bytes; where it was not known, what the registry says, after the first read."""
        self.offset = offset
        """Where the next byte stands in the blob."""
        if offset and verify and hasher is None:
            raise ValueError("what is read from the middle can be verified only by who read the beginning")
        self._hash = (hasher or hashlib.new(algorithm_of(digest))) if verify else None
        self._open_at = open_at
        self._tries = tries
        self._worth = offset + _WORTH
        self._response: Response | None = None
        self._done = False

    def read(self, size: int = CHUNK) -> bytes:
        """Read at most `size` bytes; raises DigestMismatch, RegistryError, Cancelled."""
        if self._done:
            return b""
        while True:
            try:
                data = self._read(size)
                break
            except ConnectionCut as cut:
                self.close()
                if self.size is not None and self.offset == self.size:
                    data = b""  # it broke behind the last byte
                    break
                self._tries.again(cut)
        if not data:
            self._verify()
            return b""
        self.offset += len(data)
        self._tries.alive()
        if self.size is not None and self.offset > self.size:
            raise self._mismatch(f"{self.size} bytes", "more")
        if self._hash is not None:
            self._hash.update(data)
        if self.offset >= self._worth:
            self._worth = self.offset + _WORTH
            self._tries.progress()
        return data

    def close(self) -> None:
        """Let go of the connection."""
        if self._response is not None:
            self._response.close()
            self._response = None

    def __enter__(self) -> BlobStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, size: int) -> bytes:
        if self.size is not None and self.offset == self.size and self._response is None:
            return b""  # nothing is left to ask for
        if self._response is None:
            response = self._open_at(self.offset, self._tries)
            try:
                self._accept(response)
            except BaseException:
                response.close()
                raise
            self._response = response
        if self.size is not None:
            # One byte more than there should be, to see that there is none.
            size = min(size, self.size - self.offset + 1)
        data = self._response.read(size)
        if not data and self.size is not None and self.offset < self.size:
            raise ConnectionCut(f"{self._response.host}: the blob ended early")
        return data

    def _accept(self, response: Response) -> None:
        """Check what the server is about to send against what was asked for, and skip what was not."""
        if response.status == 206:
            match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if match is None or int(match[1]) != self.offset:
                raise RegistryError(
                    f"{response.host} sent another part of blob {self.digest} than was asked for", status=206
                )
            total = int(match[3]) if match[3] != "*" else None
        else:
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdecimal() else None
        if total is not None and self.size is None:
            self.size = total
        if total is not None and total != self.size:
            raise self._mismatch(f"{self.size} bytes", f"{total} bytes at {response.host}")
        skip = self.offset if response.status == 200 else 0
        while skip:
            data = response.read(min(skip, CHUNK))
            if not data:
                raise ConnectionCut(f"{response.host}: the blob ended early")
            skip -= len(data)

    def _verify(self) -> None:
        self.close()
        if self._hash is not None:
            actual = f"{algorithm_of(self.digest)}:{self._hash.hexdigest()}"
            if actual != self.digest:
                raise DigestMismatch(
                    "a registry sent a blob that is not what its digest says",
                    expected=self.digest,
                    actual=actual,
                    hint="nothing of it was kept; try again, or ask who runs the registry",
                )
        if self.size is None:
            self.size = self.offset
        self._done = True

    def _mismatch(self, expected: str, actual: str) -> DigestMismatch:
        self.close()
        return DigestMismatch(f"size of blob {self.digest}", expected=expected, actual=actual)
