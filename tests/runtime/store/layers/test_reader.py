"""Tars as other programs write them, and tars that are damaged."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import LayerError
from runtime.store.layers.headers import BARE, END, encode_header
from runtime.store.layers.reader import Member, TarReader
from tests.runtime.store.layers.trees import describe, entry, opened, tar_of, unpack


def read(tar: bytes) -> list[tuple[Member, bytes]]:
    reader = TarReader(io.BytesIO(tar))
    return [(member, b"".join(reader.data())) for member in reader]


def patched(tar: bytes, position: int, value: bytes) -> bytes:
    """Change bytes of the first header, and its checksum with them."""
    block = bytearray(tar[:512])
    block[position : position + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + tar[512:]


def pax(body: bytes) -> bytes:
    return encode_header(b"x", b"PaxHeaders.0/f", BARE, size=len(body)) + body + bytes(-len(body) % 512)


FILE = encode_header(b"0", b"f", BARE)
LONG = "directory/" * 20 + "n" * 120


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_forms_of_tar_read_the_same(form: Literal[0, 1, 2]) -> None:
    info, data = entry("dir/file", data=b"content", uid=1000, gid=2000, mtime=1_700_000_000)
    ((member, content),) = read(info.tobuf(form) + data + bytes(512 - len(data)) + END)
    assert (member.name, member.uid, member.gid, member.mtime_ns) == (b"dir/file", 1000, 2000, 1_700_000_000 * 10**9)
    assert content == b"content"


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_and_links_and_large_numbers(form: Literal[0, 1, 2]) -> None:
    info, _ = entry(LONG, tarfile.SYMTYPE, linkname=LONG[::-1], uid=3_000_000_000, mtime=-5)
    ((member, _),) = read(info.tobuf(form) + END)
    assert (member.name, member.link) == (LONG.encode(), LONG[::-1].encode())
    assert (member.uid, member.mtime_ns) == (3_000_000_000, -5 * 10**9)


def test_fractions_of_a_pax_time_are_kept() -> None:
    ((member, _),) = read(pax(b"20 mtime=-1.5\n"[:0] + b"14 mtime=-1.5\n") + FILE + END)
    assert member.mtime_ns == -1_500_000_000


def test_old_directory_is_known_by_its_slash() -> None:
    ((member, _),) = read(encode_header(b"\0", b"d/", BARE) + END)
    assert member.typeflag == b"5"


def test_records_for_all_members_are_passed_over() -> None:
    ((member, _),) = read(tar_of(entry("f"), pax={"comment": "0123", "path": "elsewhere"}))
    assert member.name == b"f"


def test_size_of_what_has_no_content_is_not_believed() -> None:
    members = read(encode_header(b"2", b"l", BARE, size=512, link=b"t") + FILE + END)
    assert [member.name for member, _ in members] == [b"l", b"f"]


def test_signed_checksum_is_accepted() -> None:
    header = bytearray(encode_header(b"0", b"\xc3\xa9", BARE))
    header[148:156] = b"%06o\0 " % (sum(b - 256 if b > 127 else b for b in header[:148] + header[156:]) + 256)
    ((member, _),) = read(bytes(header) + END)
    assert member.name == b"\xc3\xa9"


@pytest.mark.parametrize("tar", [b"", END, END[:512], FILE, FILE + END + b"what follows"], ids=str)
def test_ends_that_are_accepted(tar: bytes) -> None:
    assert len(read(tar)) in {0, 1}


def test_stream_is_read_to_its_end() -> None:
    stream = io.BytesIO(FILE + END + bytes(3 << 20))
    reader = TarReader(stream)
    list(reader)
    assert reader.size == stream.tell() == len(stream.getvalue())


DAMAGED: dict[str, bytes] = {
    "text": b"this is no tar at all" * 50,
    "a checksum": FILE[:10] + b"x" + FILE[11:] + END,
    "a cut header": FILE[:300],
    "cut content": encode_header(b"0", b"f", BARE, size=600) + bytes(512),
    "missing padding": encode_header(b"0", b"f", BARE, size=5) + b"12345",
    "a zero block between": FILE + bytes(512) + FILE + END,
    "an unknown type": encode_header(b"Z", b"f", BARE) + END,
    "letters in a number": patched(FILE, 124, b"0000000000z\0"),
    "a negative size": patched(FILE, 124, b"\xff" * 12),
    "an enormous size": patched(FILE, 124, b"\x80" + b"\xff" * 11),
    "the id that means none": patched(FILE, 108, b"\x80\0\0\0\xff\xff\xff\xff"),
    "a negative id": patched(FILE, 108, b"\xff" * 8),
    "a time beyond all clocks": patched(FILE, 136, b"\x80\x7f" + b"\xff" * 10),
    "a device that Linux does not have": patched(encode_header(b"3", b"f", BARE), 337, b"4000000\0"),
    "a pax header that is too large": encode_header(b"x", b"p", BARE, size=(1 << 20) + 1) + bytes(2 << 20) + END,
    "a long name that is too large": encode_header(b"L", b"p", BARE, size=(1 << 30)) + END,
    "a pax record without a length": pax(b"path=x\n") + FILE + END,
    "a pax record that is too long": pax(b"99 path=x\n") + FILE + END,
    "a pax record of no length": pax(b"0 path=x\n") + FILE + END,
    "a pax record without its end": pax(b"10 path=xy") + FILE + END,
    "a zero byte in a pax path": pax(b"12 path=a\0b\n") + FILE + END,
    "a pax size that is no number": pax(b"10 size=x\n") + FILE + END,
    "a pax time that is no number": pax(b"13 mtime=1e9\n") + FILE + END,
    "a pax header and no member": pax(b"10 path=x\n"[:9] + b"\n") + END,
    "a sparse map out of order": pax(
        b"22 GNU.sparse.major=0\n22 GNU.sparse.size=100\n\n"[:44] + b"26 GNU.sparse.map=9,1,1,1\n"
    )
    + FILE
    + END,
}


@pytest.mark.parametrize("tar", DAMAGED.values(), ids=DAMAGED)
def test_damage_is_a_layer_error(tar: bytes) -> None:
    with pytest.raises(LayerError):
        read(tar)


@given(st.binary(max_size=2048))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        read(data)
    except LayerError:
        pass


@given(st.data())
def test_any_change_of_a_header_is_read_or_refused(data: st.DataObject) -> None:
    tar = tar_of(entry("dir/file", data=b"x" * 600), entry(LONG), entry("link", tarfile.SYMTYPE, linkname="t"))
    position = data.draw(st.integers(0, 511))
    value = data.draw(st.binary(min_size=1, max_size=12))
    try:
        read(patched(tar, min(position, 512 - len(value)), value))
    except LayerError:
        pass


@given(st.lists(st.binary(max_size=40).filter(lambda b: b"\0" not in b), max_size=6).map(b"\n".join))
def test_any_pax_header_is_read_or_refused(body: bytes) -> None:
    try:
        read(pax(body) + FILE + END)
    except LayerError:
        pass


def sparse_file(path: Path, extents: int) -> None:
    with open(path, "wb") as file:
        for index in range(extents):
            file.seek(index * (128 << 10) + (64 << 10))
            file.write(b"%d" % index)
        file.truncate(extents * (128 << 10) + 4096)


@pytest.mark.parametrize("arguments", [["--format=gnu"], *([f"--sparse-version={v}"] for v in ("0.0", "0.1", "1.0"))])
@pytest.mark.parametrize("extents", [0, 3, 70])
def test_sparse_files_of_gnu_tar_are_read(
    tmp_path: Path, arguments: list[str], extents: int, missing: Callable[[str], None]
) -> None:
    if shutil.which("tar") is None:
        missing("GNU tar")
    source = tmp_path / "source"
    source.mkdir()
    sparse_file(source / "sparse", extents)
    (source / "z").write_text("what follows")
    form = [] if arguments == ["--format=gnu"] else ["--format=pax"]
    command = ["tar", "-C", os.fspath(source), "--sort=name", "-S", *form, *arguments, "-cf", "-", "."]
    tar = subprocess.run(command, capture_output=True, check=True).stdout
    stats = unpack(tar, tmp_path / "copy")
    assert describe(tmp_path / "copy") == describe(source)
    assert stats.size == (source / "sparse").stat().st_size + len("what follows")
    assert os.stat(tmp_path / "copy" / "sparse").st_blocks * 512 < 1 << 20


def test_content_digest_of_a_sparse_file_counts_its_holes(tmp_path: Path) -> None:
    from runtime.store.layers.content import digest_tree, read_content

    source = tmp_path / "source"
    source.mkdir()
    sparse_file(source / "sparse", 3)
    tar = subprocess.run(["tar", "-C", source, "-S", "-cf", "-", "sparse"], capture_output=True, check=True).stdout
    contents = unpack(tar, tmp_path / "copy").contents
    with opened(tmp_path / "copy") as fd:
        expected = digest_tree((fd,), read_content).digest()
        assert digest_tree((fd,), lambda path, *_: contents[path]).digest() == expected
