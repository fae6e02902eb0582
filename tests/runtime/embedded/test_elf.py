"""ELF headers: what real programs say, and damaged files of every kind."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.embedded.elf import ElfError, read_elf
from tests.runtime.embedded.elves import build


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("wide", [True, False])
def test_headers_are_read_in_both_widths_and_byte_orders(order: str, wide: bool, tmp_path: Path) -> None:
    path = tmp_path / "program"
    path.write_bytes(build(order=order, wide=wide))
    elf = read_elf(path)
    assert elf is not None
    assert elf.bits == (64 if wide else 32)
    assert elf.interpreter == "/lib/ld.so"
    assert elf.needed == ("libx.so.1",)
    assert elf.runpath == ("$ORIGIN", "/opt")
    assert elf.rpath == ()


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", b"\x7fEL"])
def test_what_is_no_elf_file_reads_as_none(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "script"
    path.write_bytes(content)
    assert read_elf(path) is None


@pytest.mark.parametrize("length", [16, 40, 63, 64, 100, 200, 240, 260])
def test_a_file_that_is_cut_off_is_refused(length: int, tmp_path: Path) -> None:
    path = tmp_path / "program"
    path.write_bytes(build()[:length])
    with pytest.raises(ElfError):
        read_elf(path)


@given(st.integers(16, 300), st.binary(min_size=1, max_size=16))
def test_damage_anywhere_gives_an_answer_or_an_elf_error(tmp_path: Path, place: int, damage: bytes) -> None:
    data = bytearray(build())
    data[place : place + len(damage)] = damage
    path = tmp_path / "program"
    path.write_bytes(data)
    with contextlib.suppress(ElfError):
        read_elf(path)
