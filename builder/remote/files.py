"""Keep files that were downloaded, by their content, and what is known of each URL.

::

    ROOT/downloads/HEX        one file, named by the SHA-256 of its content; never written again

A row of `builder_downloads` says what a URL led to when it was last asked: the digest, and the validators with which
the server can be asked whether that is still so (RFC 9110, 13.1).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from hashlib import new as new_hash
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from frozen import Frozen
from runtime.errors import DigestMismatch, PybuildError
from runtime.oci.digests import Digest, hex_of, parse_digest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runtime.registry.answers import Response
    from runtime.store.facade import Store

_VERSION = 1
_TABLES = (
    """CREATE TABLE IF NOT EXISTS builder_downloads(
        url TEXT PRIMARY KEY,
        digest TEXT NOT NULL,
        size INTEGER NOT NULL,
        etag TEXT NOT NULL,
        modified TEXT NOT NULL,
        used INTEGER NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS builder_downloads_by_digest ON builder_downloads(digest)",
)
_CHUNK = 1 << 20
_MODE = 0o600


class Download(Frozen):
    """What a URL led to: `size` in bytes, and the validators as the server wrote them, "" where it gave none."""

    url: str
    digest: Digest
    size: int
    etag: str = ""
    modified: str = ""

    @property
    def mtime_ns(self) -> int:
        """When the server says that the file was changed last; 0, the epoch, where it says nothing."""
        from email.utils import parsedate_to_datetime  # lazy: 8 ms

        try:
            return int(parsedate_to_datetime(self.modified).timestamp()) * 10**9
        except (ValueError, TypeError, OverflowError):
            return 0

    @property
    def validators(self) -> dict[str, str]:
        """The headers of a request that asks whether the file has changed."""
        headers = {"If-None-Match": self.etag} if self.etag else {}
        if self.modified:
            headers["If-Modified-Since"] = self.modified
        return headers


class Arrival:
    """A file on its way: what has come of it, and its digests so far. A context manager; what is not kept is deleted.

    An answer that breaks off is gone on with where the server knows ranges and can tell that the file is still the same
    (RFC 9110, 13.1.5 and 14.2), or a checksum will.
    """

    def __init__(self, downloads: Downloads, url: str, checksum: str, shown: str) -> None:
        self.url = url
        self.checksum = checksum
        self.shown = shown
        self.path = downloads.workspace_file()
        self._algorithm = checksum.partition(":")[0] or "sha256"
        self._begin()

    def _begin(self) -> None:
        self.size = 0
        self.etag = self.modified = ""
        self._content, self._checked = sha256(), new_hash(self._algorithm)

    def __enter__(self) -> Arrival:
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
        self._file = open(fd, "wb")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)

    def take(self, response: Response, progress: Callable[[int], None]) -> None:
        """Take an answer's body to its end; `progress` is told how many bytes have come in all."""
        if response.status != 206:
            self._begin()
            self._file.seek(0)
            self._file.truncate()
            self.etag, self.modified = response.headers.get("ETag", ""), response.headers.get("Last-Modified", "")
        while piece := response.read(_CHUNK):
            self._file.write(piece)
            self._content.update(piece)
            if self._algorithm != "sha256":
                self._checked.update(piece)
            self.size += len(piece)
            progress(self.size)
        self._file.flush()
        os.fsync(self._file.fileno())

    def rest(self) -> dict[str, str]:
        """Return the headers that ask for what is still to come; none where all has to come again."""
        same = self.etag if self.etag.startswith('"') else self.modified
        if not self.size or not (same or self.checksum):
            return {}
        return {"Range": f"bytes={self.size}-", **({"If-Range": same} if same else {})}

    def goes_on_with(self, response: Response) -> bool:
        """Tell whether an answer is the whole file again, or begins where the one before broke off."""
        unit, _, places = response.headers.get("Content-Range", "").partition(" ")
        return response.status == 200 or (unit == "bytes" and places.startswith(f"{self.size}-"))

    @property
    def digest(self) -> Digest:
        return parse_digest("sha256:" + self._content.hexdigest())

    @property
    def found(self) -> str:
        """The digest in the kind that the checksum has."""
        return str(self.digest) if self._algorithm == "sha256" else f"{self._algorithm}:{self._checked.hexdigest()}"


class Downloads:
    """The files and rows of one store. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.database.ensure("builder.downloads", _VERSION, _TABLES)

    def path(self, digest: Digest) -> Path:
        """Return where the file with that content lies, or would lie."""
        return self._store.layout.root / "downloads" / hex_of(digest)

    def known(self, url: str) -> Download | None:
        """Return what a URL last led to, if that file is still there and whole as far as its size tells."""
        return self._first("url = ?", url)

    def pinned(self, digest: str) -> Download | None:
        """Return a file with that content, whatever URL it came from: digests of any kind have rows, too."""
        return self._first("digest = ? OR url = ?", digest, digest)

    def is_whole(self, download: Download) -> bool:
        """Tell whether the file has the content that its name says; one that has not is forgotten."""
        digest = sha256()
        with suppress(FileNotFoundError), self.path(download.digest).open("rb") as file:
            while piece := file.read(_CHUNK):
                digest.update(piece)
        if "sha256:" + digest.hexdigest() == download.digest:
            return True
        self.forget(download.digest)
        return False

    def forget(self, digest: Digest) -> None:
        """Delete a file and what is known of it."""
        with self._store.database.write() as connection:
            connection.execute("DELETE FROM builder_downloads WHERE digest = ?", (digest,))
        self.path(digest).unlink(missing_ok=True)

    def touch(self, download: Download) -> None:
        """Note that a file was used now."""
        with self._store.database.write() as connection:
            connection.execute(
                "UPDATE builder_downloads SET used = ? WHERE url = ?", (self._store.context.now(), download.url)
            )

    def arrival(self, url: str, checksum: str, shown: str) -> Arrival:
        """Return what takes the body of a URL's answer into the store; to be entered."""
        return Arrival(self, url, checksum, shown)

    def kept(self, arrival: Arrival) -> Download:
        """Give a whole file its name. Raises DigestMismatch, with both digests, where it is not what was to come."""
        checksum, found = arrival.checksum, arrival.found
        if checksum and found != checksum:
            raise DigestMismatch(
                f"{arrival.shown}: checksum mismatch",
                expected=checksum,
                actual=found,
                hint="the file is another one than was meant: check the URL, then the checksum",
            )
        digest = arrival.digest
        self._place(arrival.path, digest)
        download = Download(
            url=arrival.url, digest=digest, size=arrival.size, etag=arrival.etag, modified=arrival.modified
        )
        # By its digest a file is known also when its URL leads elsewhere: something may have pinned it.
        self._remember(download, {str(digest), checksum or str(digest)})
        return download

    def workspace_file(self) -> Path:
        """Return a new name for a file that is on its way."""
        return self._store.workspace() / f"download-{self._store.context.token(12)}"

    def _place(self, temporary: Path, digest: Digest) -> None:
        path = self.path(digest)
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            temporary.rename(path)
            fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise PybuildError(f"{path} cannot be written: {error.strerror}") from error

    def _remember(self, download: Download, names: Iterable[str]) -> None:
        now = self._store.context.now()
        with self._store.database.write() as connection:
            for name in (download.url, *names):
                connection.execute(
                    "INSERT OR REPLACE INTO builder_downloads VALUES (?, ?, ?, ?, ?, ?)",
                    (name, download.digest, download.size, download.etag, download.modified, now),
                )

    def _first(self, condition: str, *values: str) -> Download | None:
        rows = self._store.database.read(
            f"SELECT url, digest, size, etag, modified FROM builder_downloads WHERE {condition} LIMIT 1",
            *values,
        )
        for url, digest, size, etag, modified in rows:
            found = Download(
                url=str(url), digest=Digest(str(digest)), size=int(size), etag=str(etag), modified=str(modified)
            )
            with suppress(OSError):
                if self.path(found.digest).stat().st_size == found.size:
                    return found
        return None
