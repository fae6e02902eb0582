"""Compress and decompress layer and archive streams: gzip (by isal), zstd, bzip2, xz, or none.

What we compress is deterministic: no name, no time, one thread. What we read is told by its first bytes.
"""

from __future__ import annotations

import io
from collections.abc import Callable

from runtime.errors import StoreError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO, Literal, Protocol

    import zstandard

    Compression = Literal["gzip", "zstd", "none"]

    class Sink(Protocol):
        """Whatever takes bytes."""

        def write(self, data: bytes, /) -> object:
            """Take all of `data`."""
else:
    Compression, Protocol = str, object

CHUNK = 1 << 20
_GZIP_LEVEL = 1
_ZSTD_LEVEL = 3
_LARGEST_WINDOW = 128 << 20
"""Bytes of memory that a zstd stream may ask for (what `zstd -d` grants by default)."""

_MAGIC = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
)
_SKIPPABLE = frozenset(bytes([0x50 + n, 0x2A, 0x4D, 0x18]) for n in range(16))
"""Magic numbers of zstd frames that hold no data; a stream may begin with one (RFC 8878 § Skippable Frames)."""


class Compressor:
    """A sink that compresses into another one; `close` writes what is left, and does not close the other one."""

    def __init__(self, sink: Sink, compression: Compression, level: int | None = None) -> None:
        self._sink = sink
        self._compress: Callable[[bytes], bytes]
        self._flush: Callable[[], bytes]
        if compression == "gzip":
            from isal import isal_zlib  # lazy: 3 ms

            gzip = isal_zlib.compressobj(_level(level, _GZIP_LEVEL, 0, 3, 9), isal_zlib.DEFLATED, 31)
            self._compress, self._flush = gzip.compress, gzip.flush
        elif compression == "zstd":
            import zstandard  # lazy: 21 ms

            zstd = zstandard.ZstdCompressor(level=_level(level, _ZSTD_LEVEL, 1, 22, 22)).compressobj()
            self._compress, self._flush = zstd.compress, zstd.flush
        elif compression == "none":
            self._compress, self._flush = bytes, bytes
        else:
            raise UsageError(f"unknown compression {compression!a}", hint="gzip, zstd and none are known")

    def write(self, data: bytes, /) -> int:
        """Compress a piece."""
        compressed = self._compress(data)
        if compressed:
            self._sink.write(compressed)
        return len(data)

    def close(self) -> None:
        """Write the end of the stream."""
        rest = self._flush()
        if rest:
            self._sink.write(rest)


def _level(asked: int | None, default: int, low: int, high: int, accepted: int) -> int:
    """Give the level to use; levels that other programs have above our highest mean the highest."""
    if asked is None:
        return default
    if not low <= asked <= accepted:
        raise UsageError(f"compression level {asked} is not between {low} and {accepted}")
    return min(asked, high)


def detect(start: bytes) -> str:
    """Name the compression of a stream by its first bytes: gzip, zstd, bzip2, xz or none."""
    for magic, name in _MAGIC:
        if start.startswith(magic):
            return name
    return "zstd" if start[:4] in _SKIPPABLE else "none"


def decompressed(stream: BinaryIO, what: str, *, limit: int | None = None, garbage: bool = False) -> BinaryIO:
    """Give a reader of the plain bytes of `stream`, which need not be seekable and is not closed.

    Reads raise StoreError, which names `what`, for a damaged or cut off stream, and for a compressed one that has
    more than `limit` plain bytes. With `garbage`, what follows a whole stream and is none ends it, as `gzip -d` has it.
    Memory is bounded, whatever the stream says.
    """
    start = b""
    while len(start) < 6 and (more := stream.read(6 - len(start))):
        start += more
    rest = _Joined(start, stream)
    kind = detect(start)
    if kind == "none":
        return rest  # type: ignore[return-value]  # what of a BinaryIO is used here
    return _Plain(_decoder(kind), rest, what, kind, limit, garbage)  # type: ignore[return-value]  # as above


class _Decoder(Protocol):
    """What the decompressor objects of bz2, lzma, isal and (adapted) zstandard share."""

    @property
    def eof(self) -> bool:
        """Whether the end of one compressed stream was seen."""

    @property
    def needs_input(self) -> bool:
        """Whether nothing more comes without further input."""

    @property
    def unused_data(self) -> bytes:
        """What came after that end."""

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Give at most `max_length` plain bytes, of `data` after what is left of earlier input."""


class _ZstdDecoder:
    """zstandard's object, which has no `max_length`: small pieces of input bound what comes out at once."""

    _PIECE = 4 << 10
    """4 KiB of input hold at most 1365 blocks of 128 KiB (RFC 8878 § Blocks)."""

    def __init__(self, decompressor: zstandard.ZstdDecompressor) -> None:
        self._object = decompressor.decompressobj()
        self._input = memoryview(b"")

    @property
    def eof(self) -> bool:
        return self._object.eof

    @property
    def needs_input(self) -> bool:
        return not self._input

    @property
    def unused_data(self) -> bytes:
        return self._object.unused_data + bytes(self._input)

    def decompress(self, data: bytes, _max_length: int, /) -> bytes:
        if data:
            self._input = memoryview(bytes(self._input) + data)
        piece, self._input = self._input[: self._PIECE], self._input[self._PIECE :]
        return self._object.decompress(piece)


def _decoder(kind: str) -> Callable[[], _Decoder]:
    if kind == "gzip":
        from isal import igzip_lib  # lazy: 3 ms

        return lambda: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
    if kind == "bzip2":
        import bz2  # lazy: 2 ms

        return bz2.BZ2Decompressor
    if kind == "xz":
        import lzma  # lazy: 2 ms

        return lambda: lzma.LZMADecompressor(memlimit=_LARGEST_WINDOW * 2)
    import zstandard  # lazy: 21 ms

    return lambda: _ZstdDecoder(zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW))


class _Joined(io.RawIOBase):
    """The bytes that were read ahead, and then the stream they came from."""

    def __init__(self, start: bytes, stream: BinaryIO) -> None:
        super().__init__()
        self._start = start
        self._stream = stream

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if self._start:
            if size < 0:
                start, self._start = self._start, b""
                return start + self._stream.read()
            start, self._start = self._start[:size], self._start[size:]
            return start
        return self._stream.read(size)


class _Plain(io.RawIOBase):
    """Decompress several streams one after the other, as `gzip -d` and `zstd -d` do."""

    def __init__(
        self,
        decoder: Callable[[], _Decoder],
        source: io.RawIOBase,
        what: str,
        kind: str,
        limit: int | None,
        garbage: bool,
    ) -> None:
        super().__init__()
        self._garbage = garbage
        self._limit = limit
        self._given = 0
        self._new = decoder
        self._decoder: _Decoder | None = decoder()
        self._source = source
        self._what = what
        self._kind = kind
        self._input = b""
        self._output = b""
        self._taken = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            return b"".join(iter(lambda: self.read(CHUNK), b""))
        while not self._output:
            if not self._fill():
                return b""
        if self._taken == 0 and size >= len(self._output):  # without a copy
            piece, self._output = self._output, b""
            return piece
        piece = self._output[self._taken : self._taken + size]
        self._taken += len(piece)
        if self._taken == len(self._output):
            self._output, self._taken = b"", 0
        return piece

    def _goes_on(self) -> bool:
        """Tell whether what follows a whole stream is another one."""
        while len(self._input) < 6 and (more := self._source.read(CHUNK)):
            self._input += more
        return detect(self._input) == self._kind

    def _fill(self) -> bool:
        """Decompress a piece, which may come to nothing yet; False at the end of the source."""
        if not self._input and (self._decoder is None or self._decoder.needs_input):
            self._input = self._source.read(CHUNK) or b""
            if not self._input:
                if self._decoder is not None:
                    raise StoreError(f"{self._what}: the {self._kind} stream is cut off")
                return False
        if self._decoder is None:
            if not self._input.strip(b"\0"):  # padding, as tapes and some writers leave
                self._input = b""
                return True
            if self._garbage and not self._goes_on():
                self._input, self._source = b"", io.BytesIO()  # type: ignore[assignment]  # reads as one
                return False
            self._decoder = self._new()
        try:
            self._output = self._decoder.decompress(self._input, CHUNK)
        except Exception as error:  # each library has an exception of its own
            raise StoreError(f"{self._what}: the {self._kind} stream is damaged: {error}") from error
        self._input = b""
        self._given += len(self._output)
        if self._limit is not None and self._given > self._limit:
            raise StoreError(
                f"{self._what} is refused: it unpacks to more than {self._limit} bytes, far more than its size allows"
            )
        if self._decoder.eof:
            self._input = self._decoder.unused_data
            self._decoder = None
        return True
