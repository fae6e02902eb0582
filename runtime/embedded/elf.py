"""Read what a program asks of the dynamic loader out of its ELF headers (System V gABI, chapters 4 and 5; elf(5))."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from frozen import Frozen

ELF_MAGIC = b"\x7fELF"
ELFCLASS64 = 2
ELFDATA2LSB = 1
PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
DT_NULL, DT_NEEDED, DT_STRTAB, DT_STRSZ, DT_RPATH, DT_RUNPATH = 0, 1, 5, 10, 15, 29

_IDENT = 16
_LARGEST_TABLE = 1 << 22
"""Bytes: a string or dynamic table that says to be larger is taken as damaged."""
_MOST_SEGMENTS = 1024


class ElfError(ValueError):
    """A file whose ELF headers contradict themselves."""


class Elf(Frozen):
    """One program or library: `machine` and `bits` say what loads it.

    `interpreter` is None for a library or a static program. `needed` are the names of shared libraries,
    in order. `rpath` and `runpath` are directories, as written.
    """

    machine: int
    bits: int
    interpreter: str | None
    needed: tuple[str, ...]
    rpath: tuple[str, ...]
    runpath: tuple[str, ...]


class _Segment(Frozen, kw_only=False):
    kind: int
    offset: int
    address: int
    size: int


def read_elf(path: Path) -> Elf | None:
    """Read the headers of a file; None for one that is no ELF file. Raises ElfError for damaged ones, OSError."""
    with path.open("rb") as file:
        return _Reader(file.fileno()).read()


class _Reader:
    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._order = "<"
        self._wide = True

    def read(self) -> Elf | None:
        ident = os.pread(self._fd, _IDENT, 0)
        if len(ident) < _IDENT or not ident.startswith(ELF_MAGIC):
            return None
        self._wide = ident[4] == ELFCLASS64
        self._order = "<" if ident[5] == ELFDATA2LSB else ">"
        machine, segments = self._segments()
        interpreter = next((self._text(segment) for segment in segments if segment.kind == PT_INTERP), None)
        tags = next((self._dynamic(segment) for segment in segments if segment.kind == PT_DYNAMIC), [])
        strings = self._strings(tags, segments)
        return Elf(
            machine=machine,
            bits=64 if self._wide else 32,
            interpreter=interpreter,
            needed=tuple(_string(strings, value) for tag, value in tags if tag == DT_NEEDED),
            rpath=_directories(strings, tags, DT_RPATH),
            runpath=_directories(strings, tags, DT_RUNPATH),
        )

    def _segments(self) -> tuple[int, list[_Segment]]:
        layout = "HHIQQQIHHH" if self._wide else "HHIIIIIHHH"
        header = self._unpack(layout, _IDENT)
        machine, table, entry, count = header[1], header[4], header[8], header[9]
        if count > _MOST_SEGMENTS:
            raise ElfError("too many segments")
        segments = []
        for number in range(count):
            if self._wide:
                kind, _, offset, address, _, size = self._unpack("IIQQQQ", table + number * entry)
            else:
                kind, offset, address, _, size = self._unpack("IIIII", table + number * entry)
            segments.append(_Segment(kind, offset, address, size))
        return machine, segments

    def _dynamic(self, segment: _Segment) -> list[tuple[int, int]]:
        data = self._bytes(segment.offset, segment.size)
        pair = struct.Struct(self._order + ("qQ" if self._wide else "iI"))
        tags = []
        for tag, value in pair.iter_unpack(data[: len(data) - len(data) % pair.size]):
            if tag == DT_NULL:
                break
            tags.append((tag, value))
        return tags

    def _strings(self, tags: list[tuple[int, int]], segments: list[_Segment]) -> bytes:
        """Read the string table, which the dynamic section names by its address in memory."""
        found = dict(tags)
        if DT_STRTAB not in found:
            return b""
        address, size = found[DT_STRTAB], found.get(DT_STRSZ, 0)
        for segment in segments:
            if segment.kind == PT_LOAD and segment.address <= address < segment.address + segment.size:
                return self._bytes(segment.offset + address - segment.address, size)
        raise ElfError("the string table lies in no segment")

    def _text(self, segment: _Segment) -> str:
        return _string(self._bytes(segment.offset, segment.size), 0)

    def _unpack(self, layout: str, offset: int) -> tuple[int, ...]:
        form = struct.Struct(self._order + layout)
        return form.unpack(self._bytes(offset, form.size))

    def _bytes(self, offset: int, size: int) -> bytes:
        if size > _LARGEST_TABLE or offset >= 1 << 62:
            raise ElfError("a table that is too large")
        data = os.pread(self._fd, size, offset)
        if len(data) != size:
            raise ElfError("cut off")
        return data


def _string(table: bytes, offset: int) -> str:
    if offset > len(table):
        raise ElfError("a name outside the string table")
    return os.fsdecode(table[offset:].partition(b"\0")[0])


def _directories(strings: bytes, tags: list[tuple[int, int]], wanted: int) -> tuple[str, ...]:
    texts = (_string(strings, value) for tag, value in tags if tag == wanted)
    return tuple(part for text in texts for part in text.split(":") if part)
