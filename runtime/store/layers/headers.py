"""Encode the headers of a layer tar: ustar, and pax records only for what ustar cannot say (POSIX.1-2017, pax(1)).

The same metadata gives the same bytes on any machine: no user names, times in whole seconds, records sorted. Names
are raw bytes in both forms, as every reader of layers takes them.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping

from runtime.store.layers.tree import Metadata

BLOCK = 512
END = bytes(2 * BLOCK)
"""What ends an archive."""

BARE = Metadata("file", 0, 0, 0)
"""The metadata of a member that is only a mark."""

XATTR_PREFIX = b"SCHILY.xattr."

_NAME_SIZE = 100
_PREFIX_SIZE = 155
_MAX_ID = 0o7777777
_MAX_NUMBER = 0o77777777777
"""The largest size and mtime of a ustar header: 8 GiB less one, and the year 2242."""

_MAGIC = b"ustar\x0000" + bytes(64)
_NO_DEVICE = b"0000000\x000000000\x00"
_TAIL = bytes(12)


def encode_header(
    typeflag: bytes, name: bytes, metadata: Metadata = BARE, *, size: int = 0, link: bytes = b""
) -> bytes:
    """Encode one member's header, with a pax header before it where ustar does not suffice.

    `name` ends with a slash for a directory. All of the metadata's `xattrs` are written: the caller leaves out what a
    layer does not keep. Returns a multiple of 512 bytes.
    """
    mode, uid, gid = metadata.mode, metadata.uid, metadata.gid
    mtime = metadata.mtime_ns // 1_000_000_000
    records: dict[bytes, bytes] = {}
    prefix = b""
    short = name
    if len(name) > _NAME_SIZE:
        split = _split(name)
        if split is None:
            records[b"path"] = name
            short = name[:_NAME_SIZE].rstrip(b"/")
        else:
            prefix, short = split
    if len(link) > _NAME_SIZE:
        records[b"linkpath"] = link
        link = link[:_NAME_SIZE]
    if uid > _MAX_ID:
        records[b"uid"] = b"%d" % uid
        uid = 0
    if gid > _MAX_ID:
        records[b"gid"] = b"%d" % gid
        gid = 0
    if size > _MAX_NUMBER:
        records[b"size"] = b"%d" % size
        size = 0
    if not 0 <= mtime <= _MAX_NUMBER:
        records[b"mtime"] = b"%d" % mtime
        mtime = 0
    if metadata.xattrs:
        for attribute, value in metadata.xattrs.items():
            records[XATTR_PREFIX + attribute.encode("utf-8", "surrogateescape")] = value
    rdev = metadata.rdev
    header = _ustar(
        typeflag,
        short,
        b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (mode, uid, gid, size, mtime),
        link,
        b"%07o\0%07o\0" % (os.major(rdev), os.minor(rdev)) if rdev else _NO_DEVICE,
        prefix,
    )
    return _pax(name, records) + header if records else header


def _ustar(typeflag: bytes, name: bytes, numbers: bytes, link: bytes, device: bytes, prefix: bytes) -> bytes:
    head = b"".join((name.ljust(_NAME_SIZE, b"\0"), numbers))
    tail = b"".join((typeflag, link.ljust(_NAME_SIZE, b"\0"), _MAGIC, device, prefix.ljust(_PREFIX_SIZE, b"\0"), _TAIL))
    # The sum of the bytes with eight blanks for itself. Adler-32 from 0 has the sum of up to 256 bytes in its low half.
    total = (
        (zlib.adler32(head, 0) & 0xFFFF)
        + (zlib.adler32(tail[:256], 0) & 0xFFFF)
        + (zlib.adler32(tail[256:], 0) & 0xFFFF)
        + 256
    )
    return b"%b%06o\0 %b" % (head, total, tail)


def _split(name: bytes) -> tuple[bytes, bytes] | None:
    """Divide a long name into ustar's prefix and name at a slash, None where it does not fit."""
    end = len(name) - 1 if name.endswith(b"/") else len(name)
    slash = name.rfind(b"/", 0, min(end, _PREFIX_SIZE + 1))
    if slash <= 0 or len(name) - slash - 1 > _NAME_SIZE:
        return None
    return name[:slash], name[slash + 1 :]


def _pax(name: bytes, records: Mapping[bytes, bytes]) -> bytes:
    """Encode an extended header (typeflag x) with its records, sorted by keyword."""
    body = b"".join(_record(keyword, records[keyword]) for keyword in sorted(records))
    base = name.rstrip(b"/").rpartition(b"/")[2]
    header = _ustar(
        b"x",
        (b"PaxHeaders.0/" + base)[:_NAME_SIZE],
        b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (0o644, 0, 0, len(body), 0),
        b"",
        _NO_DEVICE,
        b"",
    )
    return header + body + bytes(-len(body) % BLOCK)


def _record(keyword: bytes, value: bytes) -> bytes:
    """Encode `LENGTH KEYWORD=VALUE\\n`; the length counts its own digits."""
    rest = len(keyword) + len(value) + 3
    length = rest + len(str(rest))
    if len(str(length)) != len(str(rest)):
        length = rest + len(str(length))
    return b"%d %b=%b\n" % (length, keyword, value)
