"""Which libraries a program is given: the same as ldd says, for the programs of this machine."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from runtime.embedded.elf import read_elf
from runtime.embedded.libraries import LibraryMissing, Resolver, read_cache
from tests.runtime.embedded.elves import build


def ldd(program: str) -> dict[str, Path]:
    """Give the real paths of libraries by name."""
    found = {}
    for line in subprocess.run(("ldd", program), check=True, capture_output=True, text=True).stdout.splitlines():
        name, arrow, rest = line.strip().partition(" => ")
        if arrow:
            found[name] = Path(rest.split(" (")[0]).resolve()
    return found


@pytest.mark.parametrize("name", ["sh", "bash", "ls", "tar", "cp", "grep", "python3", "curl", "git"])
def test_the_libraries_are_those_that_ldd_finds(name: str) -> None:
    program = shutil.which(name, path="/usr/bin:/bin")
    if program is None or shutil.which("ldd") is None:
        pytest.skip(f"{name} or ldd is not installed")
    found = {name: library.path.resolve() for name, library in Resolver().closure(Path(program)).items()}
    interpreter = read_elf(Path(program))
    assert interpreter is not None
    loader = Path(interpreter.interpreter or "").name
    assert {name: path for name, path in found.items() if name != loader} == ldd(program)


@pytest.fixture
def resolver(tmp_path: Path) -> Resolver:
    """Give a resolver for a machine whose only directory of libraries is empty."""
    return Resolver(cache_file=tmp_path / "none", standard=(tmp_path / "lib",))


def test_a_library_that_is_nowhere_is_named_with_who_needs_it(resolver: Resolver, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(build(needed=b"libnowhere.so.1"))
    with pytest.raises(LibraryMissing, match=r"program needs libnowhere\.so\.1"):
        resolver.closure(program)


def test_a_runpath_begins_where_the_program_lies_and_keeps_its_place(resolver: Resolver, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "own").mkdir()
    (tmp_path / "bin/program").write_bytes(build(needed=b"libown.so", runpath=b"$ORIGIN/../own"))
    (tmp_path / "own/libown.so").write_bytes(build(needed=b"libown.so"))
    library = resolver.closure(tmp_path / "bin/program")["libown.so"]
    assert library.path.resolve() == tmp_path / "own/libown.so"
    assert library.fixed


def test_a_library_for_another_machine_is_passed_over(resolver: Resolver, tmp_path: Path) -> None:
    (tmp_path / "program").write_bytes(build(needed=b"libx.so.1", runpath=b"$ORIGIN/narrow"))
    for directory, wide in (("narrow", False), ("lib", True)):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "libx.so.1").write_bytes(build(wide=wide))
    library = resolver.closure(tmp_path / "program")["libx.so.1"]
    assert library.path == tmp_path / "lib/libx.so.1"
    assert not library.fixed


def test_the_cache_of_the_loader_is_read_in_its_order_without_special_variants(tmp_path: Path) -> None:
    names = [(b"libx.so.1", b"/lib/libx.so.1", 0), (b"libx.so.1", b"/opt/libx.so.1", 0)]
    names += [(b"libx.so.1", b"/lib/glibc-hwcaps/x86-64-v3/libx.so.1", 1 << 62), (b"liby.so.2", b"/lib/liby.so.2", 0)]
    strings, entries = b"", b""
    offset = 48 + 24 * len(names)
    for name, place, hwcap in names:
        entries += struct.pack("=iIIIQ", 3, offset + len(strings), offset + len(strings) + len(name) + 1, 0, hwcap)
        strings += name + b"\0" + place + b"\0"
    data = struct.pack("=20sIIB3xI12x", b"glibc-ld.so.cache1.1", len(names), len(strings), 2, 0) + entries + strings
    path = tmp_path / "ld.so.cache"
    path.write_bytes(data)
    expected = {"libx.so.1": (Path("/lib/libx.so.1"), Path("/opt/libx.so.1")), "liby.so.2": (Path("/lib/liby.so.2"),)}
    assert read_cache(path) == expected


@pytest.mark.parametrize(
    "content", [b"", b"ld.so-1.7.0", b"glibc-ld.so.cache1.1", b"glibc-ld.so.cache1.1" + b"\xff" * 40]
)
def test_a_cache_of_another_kind_or_a_damaged_one_is_empty(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "ld.so.cache"
    path.write_bytes(content)
    assert read_cache(path) == {}


def test_a_missing_cache_is_empty(tmp_path: Path) -> None:
    assert read_cache(tmp_path / "none") == {}
