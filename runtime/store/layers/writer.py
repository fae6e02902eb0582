"""Write a layer, an overlayfs upperdir, as a tar, and take all its digests in the same read.

Equal trees give equal bytes, on any machine and at any time (OCI image-spec, layer.md § Representing Changes): byte
order with parents first; whole seconds; hard links point to the first name within the layer; whiteouts are empty
files `.wh.NAME`, an opaque directory has `.wh..wh..opq` as its first entry; sockets are left out. The root directory
has no entry: Docker's builder writes none, and what a step does to the mode of `/` is lost there, too.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from frozen import Frozen, field
from runtime.errors import LayerError, StoreError
from runtime.oci.digests import DiffID, Digest
from runtime.store.layers.content import ContentDigest, layer_xattrs
from runtime.store.layers.headers import BLOCK, END, encode_header
from runtime.store.layers.tree import Metadata, read_metadata, read_open
from runtime.store.layers.walk import DIRECTORY_FLAGS, FILE_FLAGS, TreeWalk

if TYPE_CHECKING:
    import queue
    import threading

WHITEOUT_PREFIX = b".wh."
OPAQUE_MARK = b".wh..wh..opq"
CHUNK = 1 << 20
_SECOND = 1_000_000_000
_PADDING = bytes(BLOCK)
_TYPEFLAGS = {"file": b"0", "directory": b"5", "symlink": b"2", "character": b"3", "block": b"4", "fifo": b"6"}
_LINK = b"1"


class Sink(Protocol):
    """Whatever takes the bytes of a tar: a file, a compressor, a socket."""

    def write(self, data: bytes, /) -> object:
        """Take all of `data`."""


class TimePolicy(Frozen):
    """What happens to modification times: those after `latest` (seconds since the epoch) become `latest`.

    The meaning of SOURCE_DATE_EPOCH for files (reproducible-builds.org/specs/source-date-epoch). Those from `since` on
    become it too: what a command wrote when it ran has no time of its own.
    """

    latest: int
    since: int | None = None

    def of(self, mtime_ns: int) -> int:
        """Return what a time (ns) becomes."""
        seconds = mtime_ns // _SECOND
        is_made = self.since is not None and seconds >= self.since
        return self.latest * _SECOND if is_made or mtime_ns > self.latest * _SECOND else mtime_ns


class LayerDigests(Frozen):
    """What one read of a layer gives.

    `size`: bytes of file content, hard links once. `tar_size`: bytes of the tar. `checks`: four bytes an entry, see
    `ContentDigest`.
    """

    diff_id: DiffID
    content_digest: Digest
    size: int
    tar_size: int
    checks: bytes = field(repr=False, default=b"")


class StreamDigest:
    """A digest of large pieces, computed in a second thread as soon as there are several. A context manager."""

    def __init__(self, algorithm: str = "sha256") -> None:
        self._algorithm = algorithm
        self._hash = hashlib.new(algorithm)
        self._first: bytes | None = None
        self._thread: threading.Thread | None = None
        self._queue: queue.Queue[bytes | None] | None = None

    def __enter__(self) -> StreamDigest:
        return self

    def __exit__(self, *exc: object) -> None:
        self._join()

    def update(self, data: bytes) -> None:
        """Count `data`, which nobody changes afterwards."""
        if self._queue is not None:
            self._queue.put(data)
        elif self._first is None:
            self._first = data
            self._hash.update(data)
        else:
            self._start()
            self.update(data)

    def diff_id(self) -> DiffID:
        """Give the digest of all that came; nothing comes after it."""
        self._join()
        return DiffID(f"{self._algorithm}:{self._hash.hexdigest()}")

    def _start(self) -> None:
        import queue  # lazy: 1 ms that a small layer does not need
        import threading

        self._queue = queue.Queue(maxsize=4)
        self._thread = threading.Thread(target=self._run, args=(self._queue,), name="layer-digest", daemon=True)
        self._thread.start()

    def _run(self, pieces: queue.Queue[bytes | None]) -> None:
        while (piece := pieces.get()) is not None:
            self._hash.update(piece)

    def _join(self) -> None:
        if self._thread is not None and self._queue is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None


class _NoContent(ContentDigest):
    """One that nobody asks for."""

    def add(self, path: bytes, metadata: Metadata, *, content: bytes = b"", first: bytes | None = None) -> None:
        pass


class LayerWriter:
    """Turns entries, given in order, into the bytes of a layer tar and its digests.

    Use it in a `with` block and call `finish` at the end. `sink` may be None: then only digests are taken. Without
    `content` the content digest and its checks are left out, which spares the second hash of each byte.
    """

    def __init__(
        self,
        sink: Sink | None = None,
        *,
        times: TimePolicy | None = None,
        algorithm: str = "sha256",
        content: bool = True,
    ) -> None:
        self._sink = sink
        self._times = times
        self._stream = StreamDigest(algorithm)
        self._content = ContentDigest() if content else _NoContent()
        self._hashes = content
        self._parts: list[bytes] = []
        self._buffered = 0
        self._tar_size = 0
        self._size = 0
        self._first_names: dict[tuple[int, int], bytes] = {}

    def __enter__(self) -> LayerWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stream.__exit__()

    def add(
        self, path: bytes, metadata: Metadata, fd: int = -1, *, pieces: Iterable[bytes] = (), digest: bytes = b""
    ) -> None:
        """Add one entry. `fd` is the open regular file, read from its position to `metadata.size`.

        A file that is just being written comes without `fd`: `pieces` are its bytes, `digest` their SHA-256.
        Raises LayerError for a name that a layer cannot hold, StoreError for a file that got another size meanwhile.
        """
        kind = metadata.kind
        directory, slash, name = path.rpartition(b"/")
        if name.startswith(WHITEOUT_PREFIX):
            raise LayerError(
                f"{os.fsdecode(path)!r} cannot be stored in a layer: a name that begins with .wh. marks a deleted file",
                entry=os.fsdecode(path),
                hint="remove or rename the file (OCI image-spec, layer.md § Whiteouts)",
            )
        if kind == "whiteout":
            self._put(encode_header(b"0", directory + slash + WHITEOUT_PREFIX + name))
            self._content.add(path, metadata)
            return
        if kind == "socket":
            return
        if metadata.xattrs:
            metadata = metadata._replace(xattrs=layer_xattrs(metadata.xattrs))
        if self._times is not None:
            metadata = metadata._replace(mtime_ns=self._times.of(metadata.mtime_ns))
        first = None
        if metadata.nlink > 1 and kind != "directory":
            identity = (metadata.device, metadata.inode)
            first = self._first_names.setdefault(identity, path)
            if first is path:
                first = None
        if first is not None:
            self._put(encode_header(_LINK, path, metadata._replace(xattrs={}), link=first))
            self._content.add(path, metadata, first=first)
        elif kind == "file":
            self._put(encode_header(b"0", path, metadata, size=metadata.size))
            content = self._read_file(path, metadata.size, fd) if fd >= 0 else digest
            if fd < 0:
                self._take_pieces(path, metadata.size, pieces)
            if metadata.size % BLOCK:
                self._put(_PADDING[metadata.size % BLOCK :])
            self._size += metadata.size
            self._content.add(path, metadata, content=content)
        else:
            self._add_other(path, metadata)

    def _take_pieces(self, path: bytes, size: int, pieces: Iterable[bytes]) -> None:
        left = size
        for piece in pieces:
            left -= len(piece)
            self._put(piece)
        if left:
            raise _changed_size(path)

    def _read_file(self, path: bytes, size: int, fd: int) -> bytes:
        """Put a file's content and return its SHA-256."""
        if size <= CHUNK:
            data = os.read(fd, size) if size else b""
            while len(data) < size:
                more = os.read(fd, size - len(data))
                if not more:
                    raise _changed_size(path)
                data += more
            self._put(data)
            return hashlib.sha256(data).digest() if self._hashes else b""
        sha256 = hashlib.sha256()
        while size:
            data = os.read(fd, min(size, CHUNK))
            if not data:
                raise _changed_size(path)
            self._put(data)
            if self._hashes:
                sha256.update(data)
            size -= len(data)
        return sha256.digest()

    def _add_other(self, path: bytes, metadata: Metadata) -> None:
        kind = metadata.kind
        name = path + b"/" if kind == "directory" else path
        self._put(encode_header(_TYPEFLAGS[kind], name, metadata, link=metadata.link))
        if metadata.opaque:
            self._put(encode_header(b"0", name + OPAQUE_MARK))
        self._content.add(path, metadata)

    def finish(self) -> LayerDigests:
        """End the archive and give its digests; everything is in the sink then."""
        self._put(END)
        self._flush()
        return LayerDigests(
            diff_id=self._stream.diff_id(),
            content_digest=self._content.digest(),
            size=self._size,
            tar_size=self._tar_size,
            checks=self._content.checks(),
        )

    def _put(self, data: bytes) -> None:
        self._parts.append(data)
        self._buffered += len(data)
        if self._buffered >= CHUNK:
            self._flush()

    def _flush(self) -> None:
        data = b"".join(self._parts)
        self._parts.clear()
        self._tar_size += len(data)
        self._buffered = 0
        self._stream.update(data)
        if self._sink is not None:
            self._sink.write(data)


def write_layer(
    upper: Path | Sequence[Path],
    sink: Sink | None = None,
    *,
    times: TimePolicy | None = None,
    algorithm: str = "sha256",
    content: bool = True,
) -> LayerDigests:
    """Write the upperdir `upper`, or several that are one layer (topmost first), as a tar to `sink`, or measure it.

    `algorithm` is that of the diff ID, `sha256` or `sha512`; `content` as for LayerWriter. Nothing may write to the
    tree meanwhile. Raises LayerError and StoreError as `LayerWriter.add`, OSError as the file system or the sink
    gives it.
    """
    with ExitStack() as stack:
        roots: list[int] = []
        for root in (upper,) if isinstance(upper, Path) else upper:
            roots.append(os.open(root, DIRECTORY_FLAGS))
            stack.callback(os.close, roots[-1])
        writer = stack.enter_context(LayerWriter(sink, times=times, algorithm=algorithm, content=content))
        walk = stack.enter_context(TreeWalk(*roots))
        for path, dir_fd, name, is_file in walk:
            if is_file:
                fd = os.open(name, FILE_FLAGS, dir_fd=dir_fd)
                try:
                    writer.add(path, read_open(fd), fd)
                finally:
                    os.close(fd)
                continue
            metadata = read_metadata(dir_fd, name)
            writer.add(path, metadata)
            if metadata.kind == "directory":
                walk.enter(name)
        return writer.finish()


def _changed_size(path: bytes) -> StoreError:
    return StoreError(f"{os.fsdecode(path)!r} got another size while its layer was read")
