"""Find the shared libraries of a program as the dynamic loader would (ld.so(8)), without running it.

The order is: DT_RPATH of the object (where it has no DT_RUNPATH) and of the program, DT_RUNPATH of the object,
`/etc/ld.so.cache`, the standard directories. LD_LIBRARY_PATH, preloads and capability-specific variants are left out:
what is found here works for every process of the image.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from runtime.embedded.elf import Elf, ElfError, read_elf

LD_SO_CACHE = Path("/etc/ld.so.cache")

STANDARD = tuple(
    Path(place) for place in ("/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib", "/lib32", "/usr/lib32")
)

_MAGIC = b"glibc-ld.so.cache1.1"
_HEADER = struct.Struct("=20sIIB3xI12x")
_ENTRY = struct.Struct("=iIIIQ")
_HWCAP_BITS = 0xFFFFFFFF << 32
_VARIANT = "/glibc-hwcaps/"


class LibraryMissing(Exception):
    """A library that a program needs and that is nowhere to be found."""

    def __init__(self, name: str, wanted_by: Path) -> None:
        super().__init__(f"{wanted_by} needs {name}, which was not found")
        self.name = name
        self.wanted_by = wanted_by


class Library:
    """A library as it was found: `path` under the name that was asked for; `fixed` where only that very path works."""

    __slots__ = ("elf", "fixed", "path")

    def __init__(self, path: Path, elf: Elf, *, fixed: bool) -> None:
        self.path = path
        self.elf = elf
        self.fixed = fixed


class Resolver:
    """Finds libraries on one machine; remembers what it has read."""

    def __init__(self, *, cache_file: Path = LD_SO_CACHE, standard: Iterable[Path] = STANDARD) -> None:
        self._cache = read_cache(cache_file)
        self._standard = tuple(standard)
        self.elf = cache(_elf_or_none)

    def closure(self, program: Path) -> dict[str, Library]:
        """Give every library that `program` needs, directly or not, by the name it is asked for.

        Empty for a static program, and for what is no ELF file. Raises LibraryMissing, OSError, ElfError.
        """
        elf = self.elf(program)
        found: dict[str, Library] = {}
        if elf is None:
            return found
        waiting = [(name, program, elf) for name in elf.needed]
        while waiting:
            name, asking, object_elf = waiting.pop(0)
            if name in found:
                continue
            library = self._find(name, asking, object_elf, (program, elf))
            found[name] = library
            waiting.extend((needed, library.path, library.elf) for needed in library.elf.needed)
        return found

    def _find(self, name: str, asking: Path, elf: Elf, program: tuple[Path, Elf]) -> Library:
        for path, fixed in self._candidates(name, asking, elf, program):
            found = self._usable(path, elf)
            if found is not None:
                return Library(path, found, fixed=fixed)
        raise LibraryMissing(name, asking)

    def _candidates(self, name: str, asking: Path, elf: Elf, program: tuple[Path, Elf]) -> Iterator[tuple[Path, bool]]:
        if "/" in name:
            yield Path(name), True
            return
        if not elf.runpath:
            for directory in (*_expanded(elf.rpath, asking), *_expanded(program[1].rpath, program[0])):
                yield directory / name, True
        for directory in _expanded(elf.runpath, asking):
            yield directory / name, True
        for path in self._cache.get(name, ()):
            yield path, False
        if program[1].interpreter:  # the loader lies beside its C library, whatever this machine calls that directory
            yield Path(program[1].interpreter).resolve().parent / name, False
        for directory in self._standard:
            yield directory / name, False

    def _usable(self, path: Path, asking: Elf) -> Elf | None:
        """Read a candidate; None where there is no such file, or one for another machine."""
        try:
            found = self.elf(path)
        except (OSError, ElfError):
            return None
        if found is None or (found.machine, found.bits) != (asking.machine, asking.bits):
            return None
        return found


def read_cache(path: Path) -> Mapping[str, tuple[Path, ...]]:
    """Read `/etc/ld.so.cache`: paths by library name, in order. Empty where there is none of the known format."""
    try:
        data = path.read_bytes()
    except OSError:
        return {}
    start = data.find(_MAGIC)
    if start < 0 or len(data) < start + _HEADER.size:
        return {}
    _, count, _, _, _ = _HEADER.unpack_from(data, start)
    found: dict[str, list[Path]] = {}
    for number in range(count):
        offset = start + _HEADER.size + number * _ENTRY.size
        if offset + _ENTRY.size > len(data):
            break
        _, key, value, _, hwcap = _ENTRY.unpack_from(data, offset)
        place = _text(data, start + value)
        if not hwcap & _HWCAP_BITS and _VARIANT not in place:
            found.setdefault(_text(data, start + key), []).append(Path(place))
    return {name: tuple(paths) for name, paths in found.items()}


def _text(data: bytes, offset: int) -> str:
    end = data.find(b"\0", offset)
    return data[offset : end if end >= 0 else offset].decode("utf-8", "surrogateescape")


def _expanded(directories: Iterable[str], asking: Path) -> Iterator[Path]:
    for directory in directories:
        origin = str(asking.resolve().parent)
        yield Path(directory.replace("${ORIGIN}", origin).replace("$ORIGIN", origin))


def _elf_or_none(path: Path) -> Elf | None:
    return read_elf(path)
