"""Read the maps of sparse members, which GNU tar writes in four forms (tar manual, § Storing Sparse Files)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from runtime.store.layers.numbers import decimal, number

Extent = tuple[int, int]
"""Where data lies in a file: (offset, length), in bytes."""

_MAX_EXTENTS = 1 << 17
_OLD_ENTRY = 24


def gnu_extents(header: bytes, extensions: Iterable[bytes]) -> tuple[Extent, ...]:
    """Read an old GNU map: four entries in the header, 21 in each block that follows. Raises ValueError."""
    extents = _entries(header[386:482])
    for block in extensions:
        extents += _entries(block[:504])
    return tuple(extents)


def is_extended(block: bytes) -> bool:
    """Tell whether another block follows this one in an old GNU map."""
    return block[504:505] not in {b"\0", b"0"}


def _entries(table: bytes) -> list[Extent]:
    extents = []
    for start in range(0, len(table) - _OLD_ENTRY + 1, _OLD_ENTRY):
        offset, length = table[start : start + 12], table[start + 12 : start + 24]
        if not offset.strip(b"\0 ") and not length.strip(b"\0 "):
            break
        extents.append((number(offset), number(length)))
    return extents


def pax_extents(
    records: list[tuple[bytes, bytes]], read_map: Callable[[], tuple[Extent, ...]]
) -> tuple[tuple[Extent, ...], int, bytes | None] | None:
    """Read a pax map of version 0.0, 0.1 or 1.0; `read_map` reads the one that lies in the data.

    Returns the map, the file's size and its real name, where another one stands in the header. None for a member that
    is not sparse. Raises ValueError.
    """
    if not any(keyword.startswith(b"GNU.sparse.") for keyword, _ in records):
        return None
    pax = dict(records)
    version = pax.get(b"GNU.sparse.major", b"0"), pax.get(b"GNU.sparse.minor", b"1")
    size = pax.get(b"GNU.sparse.realsize") or pax.get(b"GNU.sparse.size")
    if size is None:
        return None
    name = pax.get(b"GNU.sparse.name")
    if version == (b"1", b"0"):
        return read_map(), decimal(size), name
    if version[0] != b"0":
        raise ValueError(f"sparse format {os.fsdecode(version[0][:20])} is unknown")
    if b"GNU.sparse.map" in pax:
        numbers = [decimal(field) for field in pax[b"GNU.sparse.map"].split(b",")] if pax[b"GNU.sparse.map"] else []
    else:
        numbers = [decimal(value) for key, value in records if key in {b"GNU.sparse.offset", b"GNU.sparse.numbytes"}]
    return _pairs(numbers), decimal(size), name


def parse_map(text: bytes) -> tuple[Extent, ...] | None:
    """Read a map of version 1.0: lines with a count, then offset and length of each. None where more is needed."""
    lines = text.split(b"\n")
    if len(lines) < 2:
        return None
    count = decimal(lines[0])
    if count > _MAX_EXTENTS:
        raise ValueError("sparse map is too long")
    if len(lines) < 2 * count + 2:
        return None
    return _pairs([decimal(line) for line in lines[1 : 2 * count + 1]])


def _pairs(numbers: list[int]) -> tuple[Extent, ...]:
    if len(numbers) % 2:
        raise ValueError("sparse map has an offset without a length")
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))
