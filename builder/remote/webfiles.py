"""Answer, once in a build for each URL, which file it leads to now.

A file with a checksum is never asked for once it is here; another one is asked for with its validators, and for want
of a network the stored copy serves.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from builder.interfaces import NotFetched
from builder.remote.asking import Asker, Questions
from builder.remote.words import file_name, without_password
from frozen import Frozen
from runtime.oci.digests import Digest

if TYPE_CHECKING:
    from builder.remote.files import Arrival, Download, Downloads
    from builder.remote.web import WebClient
    from builder.reporter import Vertex
    from runtime.registry.answers import Response
    from runtime.registry.transport import Tries

_PROGRESS = 1 << 16
"""Bytes that make up for a connection that broke."""
_CHECKSUMS = {"sha256": 64, "sha384": 96, "sha512": 128}


class RemoteFile(Frozen):
    """A file that is in the store: `name` is what its URL calls it, `mtime_ns` what the server said."""

    name: str
    digest: Digest
    size: int
    mtime_ns: int
    path: Path


class WebFiles:
    """The files of one build's URLs. Thread-safe."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._questions = Questions()
        self._lock = threading.Lock()
        self._web: WebClient | None = None
        self._files: Downloads | None = None
        self._checked: set[Digest] = set()

    def close(self) -> None:
        """Close all connections."""
        if self._web is not None:
            self._web.close()

    def file(self, url: str, checksum: str | None = None, *, fetch: bool = True) -> RemoteFile:
        """Return what a URL leads to now; one with a checksum is not asked again once the file is here.

        Raises NotFetched without `fetch` where it has to be downloaded, DigestMismatch, and PybuildError for a URL
        that leads nowhere.
        """
        name = file_name(url)
        pin = self._checksum(url, checksum)
        once = self._questions.about("file", url, pin)
        with once.lock:
            if once.answer is None:
                once.answer = self._asked(url, pin, fetch=fetch)
            download: Download = once.answer  # type: ignore[assignment]  # a question of this kind
        if not pin and self._asker.pins is not None:
            self._asker.pins.found(without_password(url), download.digest)
        return RemoteFile(
            name=name,
            digest=download.digest,
            size=download.size,
            mtime_ns=download.mtime_ns,
            path=self._downloads().path(download.digest),
        )

    def verified(self, file: RemoteFile, url: str, checksum: str | None) -> RemoteFile:
        """Return the file, read once to see that it still is what its name says; else it is downloaded anew."""
        question = self._questions.about("file", url, self._checksum(url, checksum))
        download = question.answer
        if file.digest not in self._checked and download is not None:
            if not self._downloads().is_whole(download):  # type: ignore[arg-type]  # a question of this kind
                question.answer = None
                return self.file(url, checksum)
            self._checked.add(file.digest)
        return file

    def _checksum(self, url: str, checksum: str | None) -> str:
        """Give what a file's digest has to be: what the instruction says, else what is pinned, "" for neither."""
        if checksum:
            return check_checksum(checksum)
        return self._asker.pins.file(without_password(url)) if self._asker.pins is not None else ""

    def _asked(self, url: str, pin: str, *, fetch: bool) -> Download:
        downloads = self._downloads()
        known = downloads.pinned(pin) if pin else downloads.known(url)
        if known is not None and (pin or self._asker.context.offline):
            downloads.touch(known)
            return known
        if not fetch:
            raise NotFetched
        from builder.remote.web import NoNetwork  # lazy: 90 ms of requests

        headers = {} if known is None else known.validators
        tries = self._client().tries()
        try:
            response = self._client().get(url, headers, tries=tries, expect=(200, 304) if headers else (200,))
        except NoNetwork as error:
            if known is None:
                raise
            self._asker.reporter.warn(f"{error.message}: the stored copy is used")
            downloads.touch(known)
            return known
        if response.status == 304 and known is not None:
            response.close()
            downloads.touch(known)
            return known
        return self._downloaded(url, pin, response, tries)

    def _downloaded(self, url: str, pin: str, response: Response, tries: Tries) -> Download:
        from runtime.errors import RegistryError
        from runtime.registry.answers import heals

        shown = without_password(url)
        downloads = self._downloads()
        with (
            self._asker.reporter.working(f"[internal] load remote file {shown}") as vertex,
            downloads.arrival(url, pin, shown) as arrival,
        ):
            while True:
                before = arrival.size
                try:
                    with response:
                        arrival.take(response, _Progress(vertex, response, before))
                    break
                except RegistryError as error:
                    if not heals(error):
                        raise
                    if arrival.size - before > _PROGRESS:
                        tries.progress()
                    tries.again(error)
                    response = self._rest(url, arrival, tries)
            download = downloads.kept(arrival)
            vertex.status(f"transferring: {_size(download.size)}", key="transfer", done=True)
        self._checked.add(download.digest)
        return download

    def _rest(self, url: str, arrival: Arrival, tries: Tries) -> Response:
        """Ask for what did not come before a connection broke, or for all of it where that cannot be told apart."""
        headers = arrival.rest()
        if headers:
            response = self._client().get(url, headers, tries=tries, expect=(200, 206, 416))
            if arrival.goes_on_with(response):
                return response
            response.close()
        return self._client().get(url, {}, tries=tries)

    def _downloads(self) -> Downloads:
        from builder.remote.files import Downloads  # only where something is remote

        with self._lock:
            if self._files is None:
                self._files = Downloads(self._asker.store)
            return self._files

    def _client(self) -> WebClient:
        from builder.remote.web import WebClient  # lazy: 90 ms of requests

        with self._lock:
            if self._web is None:
                self._web = WebClient(self._asker.context, self._asker.secrets)
            return self._web


def check_checksum(text: str) -> str:
    """Return a checksum in lower case. Raises UsageError for one that is none."""
    from runtime.errors import UsageError

    algorithm, _, digits = text.lower().partition(":")
    if len(digits) != _CHECKSUMS.get(algorithm) or frozenset(digits) - frozenset("0123456789abcdef"):
        raise UsageError(f"invalid checksum {text!r}", hint="write sha256: and 64 hexadecimal digits")
    return f"{algorithm}:{digits}"


class _Progress:
    """Shows how much of a file has come, a few times a second."""

    def __init__(self, vertex: Vertex, response: Response, before: int) -> None:
        """`before` bytes have come already, which the answer does not count if it is the rest."""
        self._vertex = vertex
        length = response.headers.get("Content-Length", "")
        self._total = int(length) + (before if response.status == 206 else 0) if length.isdecimal() else 0
        self._next = 0

    def __call__(self, size: int) -> None:
        if size >= self._next:
            self._next = size + (8 << 20)
            total = f" / {_size(self._total)}" if self._total else ""
            self._vertex.status(f"transferring: {_size(size)}{total}", key="transfer")


def _size(size: int) -> str:
    for factor, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= factor:
            return f"{size / factor:.2f}{unit}"
    return f"{size}B"
