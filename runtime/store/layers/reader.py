"""Read the members of a tar from a stream: ustar, pax, GNU and old forms, as writers of layers use them.

Everything in the archive is hostile until it was checked: sizes of headers are limited, numbers must be numbers, and
what is cut off or damaged raises LayerError with the member's name. Nothing is unpacked here.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

from runtime.errors import LayerError
from runtime.store.layers.headers import BLOCK, XATTR_PREFIX
from runtime.store.layers.numbers import decimal, nanoseconds, number, owner, pax_time
from runtime.store.layers.sparse import Extent, gnu_extents, is_extended, parse_map, pax_extents

if TYPE_CHECKING:
    from runtime.store.layers.writer import StreamDigest

CHUNK = 1 << 20
_MAX_SPECIAL = 1 << 20
"""Bytes of a pax header, long name or sparse map, as Go's reader has it; the largest xattr of Linux is 64 KiB."""
_MAX_SIZE = 1 << 62

FILE, OLD_FILE, LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO, CONTIGUOUS = (
    b"0", b"\0", b"1", b"2", b"3", b"4", b"5", b"6", b"7",
)  # fmt: skip
_GNU_SPARSE, _GNU_NAME, _GNU_LINK, _PAX, _PAX_GLOBAL = b"S", b"L", b"K", b"x", b"g"
_HAS_DATA = frozenset({FILE, CONTIGUOUS, _GNU_SPARSE})
_NO_DATA = frozenset({LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO})
_MAX_MAJOR, _MAX_MINOR = 1 << 12, 1 << 20  # of Linux
_NO_RECORDS: Mapping[bytes, bytes] = {}
_ZERO_BLOCK = bytes(BLOCK)
_ORDINARY = re.compile(rb"([0-7]{7})\0([0-7]{7})\0([0-7]{7})\0([0-7]{11})\0([0-7]{11})\0")
"""Mode, owner, group, size and mtime as nearly all writers have them: one match in place of five readings (5 us)."""


class Member(NamedTuple):
    """One member: `typeflag` is one of `0` to `6`. `size` is the file's; `extents` where its data lies, if sparse."""

    typeflag: bytes
    name: bytes
    link: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    rdev: int
    xattrs: Mapping[str, bytes]
    extents: tuple[Extent, ...] | None

    @property
    def shown(self) -> str:
        """The name for a message."""
        return os.fsdecode(self.name)


class Source(Protocol):
    """Whatever gives the bytes of a tar: a file, a decompressor, a socket. Fewer bytes than asked for are fine."""

    def read(self, size: int, /) -> bytes:
        """Give at most `size` bytes, none at the end."""


class TarReader:
    """Iterate over the members of `stream`; `data` gives what belongs to the one that came last.

    Every byte that is read from the stream goes to `digest`, too. At the end of the archive the stream is read to its
    end: what follows counts in its digest.
    """

    def __init__(self, stream: Source, digest: StreamDigest | None = None) -> None:
        self._stream = stream
        self._digest = digest
        self._buffer = b""
        self._position = 0
        self._data = 0
        self._padding = 0
        self.size = 0
        """Bytes read from the stream so far."""

    def __iter__(self) -> Iterator[Member]:
        long_name = long_link = None
        records: list[tuple[bytes, bytes]] = []
        while True:
            self._skip_data()
            header = self._header()
            if header is None:
                break
            typeflag = header[156:157]
            if typeflag in {_PAX, _GNU_NAME, _GNU_LINK, _PAX_GLOBAL}:
                body = self._special(header)
                if typeflag == _PAX:
                    records = _parse_records(body)
                elif typeflag == _GNU_NAME:
                    long_name = body.partition(b"\0")[0]
                elif typeflag == _GNU_LINK:
                    long_link = body.partition(b"\0")[0]
                continue
            yield self._member(header, typeflag, records, long_name, long_link)
            long_name = long_link = None
            records = []
        if long_name is not None or records:
            raise LayerError("the layer ends after a header that announces another member")
        while self._fill():
            self._position = len(self._buffer)

    def whole(self) -> memoryview | None:
        """Give all bytes of the current member at once if they are in the buffer already, else None: see `data`."""
        start = self._position
        if len(self._buffer) - start < self._data:
            return None
        self._position = start + self._data
        self._data = 0
        return memoryview(self._buffer)[start : self._position]

    def data(self) -> Iterator[memoryview]:
        """Give the bytes of the current member in pieces of at most 1 MiB."""
        while self._data:
            if self._position == len(self._buffer) and not self._fill():
                raise LayerError("the layer is cut off within the content of a file")
            piece = memoryview(self._buffer)[self._position : self._position + self._data]
            self._position += len(piece)
            self._data -= len(piece)
            yield piece

    def _member(
        self,
        header: bytes,
        typeflag: bytes,
        records: list[tuple[bytes, bytes]],
        long_name: bytes | None,
        long_link: bytes | None,
    ) -> Member:
        pax = dict(records) if records else _NO_RECORDS
        name = long_name or pax.get(b"path") or _ustar_name(header)
        try:
            mode, uid, gid, size, mtime_ns = _numbers(header, pax)
            if not 0 <= size <= _MAX_SIZE:
                raise ValueError(f"size {size} is out of range")
            if typeflag == OLD_FILE:
                typeflag = DIRECTORY if name.endswith(b"/") else FILE
            extents = None
            if typeflag in _HAS_DATA:
                self._data = size
                self._padding = -size % BLOCK
                if records or typeflag == _GNU_SPARSE:
                    extents, size, sparse_name = self._sparse(header, records, size)
                    name = sparse_name or name
                typeflag = FILE
            elif typeflag in _NO_DATA:
                size = 0
            else:
                raise ValueError(f"type {os.fsdecode(typeflag)!r} is unknown")
            return Member(
                typeflag,
                name,
                long_link or pax.get(b"linkpath") or _text(header[157:257]),
                mode & 0o7777,
                uid,
                gid,
                size,
                mtime_ns,
                _device(header) if typeflag in {CHARACTER, BLOCK_DEVICE} else 0,
                _xattrs(records) if records else {},
                extents,
            )
        except (ValueError, OverflowError) as error:
            shown = os.fsdecode(name)
            raise LayerError(f"{shown!r} has a header that cannot be read: {error}", entry=shown) from error

    def _sparse(
        self, header: bytes, records: list[tuple[bytes, bytes]], size: int
    ) -> tuple[tuple[Extent, ...] | None, int, bytes | None]:
        """Give the extents, size and other name of a file; no extents for one that is not sparse. Raises ValueError."""
        if header[156:157] == _GNU_SPARSE:
            extents = gnu_extents(header, self._extension_blocks(header))
            found: tuple[tuple[Extent, ...], int, bytes | None] = (extents, number(header[483:495]), None)
        else:
            described = pax_extents(records, self._sparse_map)
            if described is None:
                return None, size, None
            found = described
        _check_extents(found[0], found[1], self._data)
        return found

    def _header(self) -> bytes | None:
        """Read the next header block, None at the end of the archive."""
        block = self._take(BLOCK, optional=True)
        if not block:
            return None
        if block == _ZERO_BLOCK:
            second = self._take(BLOCK, optional=True)
            if second and second != _ZERO_BLOCK:
                raise LayerError("the layer has a member after the mark of its end")
            return None
        total = _sum(block[:148]) + 256 + _sum(block[156:256]) + _sum(block[256:])
        if block[148:156] != b"%06o\0 " % total:
            try:
                recorded = number(block[148:156])
            except ValueError:
                recorded = -1
            if recorded not in {total, _signed_sum(block)}:
                shown = os.fsdecode(_text(block[:100]))
                raise LayerError("the layer is no tar, or is damaged: a header has a wrong checksum", entry=shown)
        return block

    def _special(self, header: bytes) -> bytes:
        """Read the body of a pax or GNU header."""
        try:
            size = number(header[124:136])
        except ValueError:
            size = -1
        if not 0 <= size <= _MAX_SPECIAL:
            raise LayerError(f"the layer has an extended header of {size} bytes; the limit is {_MAX_SPECIAL}")
        return self._take(size + -size % BLOCK)[:size]

    def _extension_blocks(self, header: bytes) -> Iterator[bytes]:
        """Read the blocks that continue an old GNU sparse map: they lie before the data, outside its size."""
        more = header[482:483] not in {b"\0", b"0"}
        for _ in range(_MAX_SPECIAL // BLOCK):
            if not more:
                return
            block = self._take(BLOCK)
            yield block
            more = is_extended(block)
        raise ValueError("sparse map is too long")

    def _sparse_map(self) -> tuple[Extent, ...]:
        """Read the map at the start of the data of a pax sparse member, version 1.0."""
        text = b""
        while len(text) < _MAX_SPECIAL:
            if self._data < BLOCK:
                break
            text += self._take(BLOCK)
            self._data -= BLOCK
            extents = parse_map(text)
            if extents is not None:
                return extents
        raise ValueError("sparse map is cut off or too long")

    def _skip_data(self) -> None:
        if self._data:
            for _ in self.data():
                pass
        if self._padding:
            self._take(self._padding)
            self._padding = 0

    def _take(self, size: int, *, optional: bool = False) -> bytes:
        """Read exactly `size` bytes; with `optional`, nothing at the end of the stream."""
        while len(self._buffer) - self._position < size:
            if not self._fill():
                if optional and self._position == len(self._buffer):
                    return b""
                raise LayerError("the layer is cut off")
        start = self._position
        self._position = start + size
        return self._buffer[start : self._position]

    def _fill(self) -> bool:
        """Read more of the stream behind what is left of the buffer; False at its end."""
        piece = self._stream.read(CHUNK)
        if not piece:
            return False
        self.size += len(piece)
        if self._digest is not None:
            self._digest.update(piece)
        rest = self._buffer[self._position :]
        self._buffer = rest + piece if rest else piece
        self._position = 0
        return True


def _ustar_name(header: bytes) -> bytes:
    """Put a name together from its two fields; the second is shorter in star's form, and something else in GNU's."""
    name = _text(header[:100])
    if header[257:263] != b"ustar\0" or header[345] == 0:
        return name
    return b"%b/%b" % (_text(header[345:476] if header[508:512] == b"tar\0" else header[345:500]), name)


def _numbers(header: bytes, pax: Mapping[bytes, bytes]) -> tuple[int, int, int, int, int]:
    """Give mode, owner, group, size in bytes and mtime in nanoseconds; what pax says counts more. Raises ValueError."""
    ordinary = _ORDINARY.match(header, 100)
    if ordinary is not None:
        mode, uid, gid, size, mtime = (int(digits, 8) for digits in ordinary.groups())
    else:
        mode = number(header[100:108])
        uid = 0 if pax.get(b"uid") else number(header[108:116])
        gid = 0 if pax.get(b"gid") else number(header[116:124])
        size = 0 if pax.get(b"size") else number(header[124:136])
        mtime = 0 if pax.get(b"mtime") else number(header[136:148])
    if pax:
        uid = decimal(pax[b"uid"]) if pax.get(b"uid") else uid
        gid = decimal(pax[b"gid"]) if pax.get(b"gid") else gid
        size = decimal(pax[b"size"]) if pax.get(b"size") else size
        if pax.get(b"mtime"):
            return mode, owner(uid), owner(gid), size, pax_time(pax[b"mtime"])
    return mode, owner(uid), owner(gid), size, nanoseconds(mtime)


def _sum(data: bytes) -> int:
    """Add up to 256 bytes: the low half of their Adler-32 from 0, four times as fast as `sum`."""
    return zlib.adler32(data, 0) & 0xFFFF


def _signed_sum(block: bytes) -> int:
    """Add the header as signed bytes, which some old writers did."""
    return sum(b - 256 if b > 127 else b for b in block[:148] + block[156:]) + 256


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _device(header: bytes) -> int:
    major, minor = number(header[329:337]), number(header[337:345])
    if not (0 <= major < _MAX_MAJOR and 0 <= minor < _MAX_MINOR):
        raise ValueError("device number is out of range")
    return os.makedev(major, minor)


def _xattrs(records: list[tuple[bytes, bytes]]) -> dict[str, bytes]:
    return {
        os.fsdecode(keyword[len(XATTR_PREFIX) :]): value
        for keyword, value in records
        if keyword.startswith(XATTR_PREFIX) and b"\0" not in keyword
    }


def _parse_records(body: bytes) -> list[tuple[bytes, bytes]]:
    """Divide a pax header into its records, in order: `LENGTH KEYWORD=VALUE\\n`."""
    records = []
    position = 0
    while position < len(body):
        blank = body.find(b" ", position, position + 10)
        digits = body[position:blank] if blank > position else b""
        end = position + int(digits) if digits.isdigit() else -1
        if not blank + 1 < end <= len(body) or body[end - 1] != 0x0A:
            raise LayerError("the layer has a damaged pax header")
        keyword, equals, value = body[blank + 1 : end - 1].partition(b"=")
        if not equals or not keyword or (b"\0" in value and keyword in {b"path", b"linkpath", b"GNU.sparse.name"}):
            raise LayerError("the layer has a damaged pax header")
        records.append((keyword, value))
        position = end
    return records


def _check_extents(extents: tuple[Extent, ...], size: int, available: int) -> None:
    """Check that a sparse map is in order, lies in the file, and needs exactly the data that is there."""
    end = 0
    for offset, length in extents:
        if offset < end or length < 0:
            raise ValueError("sparse map is out of order")
        end = offset + length
    if end > size or size > _MAX_SIZE or sum(length for _, length in extents) != available:
        raise ValueError("sparse map does not fit the file")
