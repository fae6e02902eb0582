"""Headers of a layer tar, read back by the standard library's tarfile and by our own reader."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.store.layers.headers import END, encode_header
from runtime.store.layers.reader import TarReader
from runtime.store.layers.tree import Metadata

PLAIN = Metadata("file", 0o644, 0, 0, mtime_ns=1_700_000_000_000_000_000)


def read_back(header: bytes) -> tarfile.TarInfo:
    with tarfile.open(fileobj=io.BytesIO(header + END), errorlevel=2) as tar:
        info = tar.next()
    assert info is not None
    return info


def test_ordinary_file_needs_one_block() -> None:
    header = encode_header(b"0", b"etc/passwd", PLAIN, size=5)
    assert len(header) == 512
    info = read_back(header)
    assert (info.name, info.mode, info.size, info.mtime, info.uname) == ("etc/passwd", 0o644, 5, 1_700_000_000, "")


def test_header_bytes_stay_as_they_are() -> None:
    header = encode_header(b"5", b"usr/share/", Metadata("directory", 0o2755, 0, 50, mtime_ns=1_000_000_001))
    assert header[:157] == (
        b"usr/share/" + bytes(90) + b"0002755\x000000000\x000000062\x0000000000000\x0000000000001\x00011133\x00 5"
    )
    assert header[157:] == bytes(100) + b"ustar\x0000" + bytes(64) + b"0000000\x000000000\x00" + bytes(167)


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        pytest.param("a" * 100, 1, id="a name of 100 bytes"),
        pytest.param("a" * 101, 3, id="a name of 101 bytes"),
        pytest.param("d" * 155 + "/" + "a" * 100, 1, id="the longest that a prefix can say"),
        pytest.param("d" * 156 + "/" + "a" * 100, 3, id="a directory of 156 bytes"),
        pytest.param("d/" * 75 + "a" * 101, 3, id="a last component of 101 bytes"),
        pytest.param("d/" * 400 + "file", 4, id="a path of 804 bytes"),
        pytest.param("é" * 30, 1, id="not ASCII"),
    ],
)
def test_long_names_come_back(name: str, blocks: int) -> None:
    header = encode_header(b"0", name.encode(), PLAIN)
    assert read_back(header).name == name
    assert len(header) == blocks * 512


def test_name_that_is_no_utf8_stays_raw() -> None:
    info = read_back(encode_header(b"0", b"\xff\xfe", PLAIN))
    assert info.name.encode("utf-8", "surrogateescape") == b"\xff\xfe"


def test_directory_with_long_name_keeps_its_slash_in_the_record_alone() -> None:
    header = encode_header(b"5", b"d" * 100 + b"/", PLAIN)
    info = read_back(header)
    assert info.isdir()
    assert info.name == "d" * 100


@pytest.mark.parametrize(
    ("metadata", "size", "field", "value"),
    [
        (PLAIN._replace(uid=0o7777777), 0, "uid", 0o7777777),
        (PLAIN._replace(uid=0o10000000), 0, "uid", 0o10000000),
        (PLAIN._replace(gid=4_000_000_000), 0, "gid", 4_000_000_000),
        (PLAIN, (8 << 30) - 1, "size", (8 << 30) - 1),
        (PLAIN, 8 << 30, "size", 8 << 30),
        (PLAIN._replace(mtime_ns=-5_000_000_000), 0, "mtime", -5),
        (PLAIN._replace(mtime_ns=-5_000_000_001), 0, "mtime", -6),
        (PLAIN._replace(mtime_ns=10**10 * 10**9), 0, "mtime", 10**10),
    ],
)
def test_numbers_beyond_ustar_come_back(metadata: Metadata, size: int, field: str, value: int) -> None:
    assert getattr(read_back(encode_header(b"0", b"f", metadata, size=size)), field) == value


def test_extended_attribute_is_a_pax_record() -> None:
    value = b"\x01\x00\x00\x02\n= \xff"
    header = encode_header(b"0", b"f", PLAIN._replace(xattrs={"security.capability": value}))
    info = read_back(header)
    found = info.pax_headers["SCHILY.xattr.security.capability"]
    assert found.encode("utf-8", "surrogateescape") == value


names = st.lists(
    st.binary(min_size=1, max_size=120).map(lambda b: b.translate(None, b"/\0")).filter(bool), min_size=1, max_size=6
)


@given(
    names.map(b"/".join),
    names.map(b"/".join),
    st.integers(0, 0o7777),
    st.integers(0, 2**32 - 2),
    st.integers(0, 2**32 - 2),
    st.integers(-(2**40), 2**40),
    st.dictionaries(st.text("abcé.", min_size=1, max_size=20), st.binary(max_size=300), max_size=3),
)
def test_reader_gives_back_what_was_written(
    name: bytes, link: bytes, mode: int, uid: int, gid: int, mtime: int, xattrs: dict[str, bytes]
) -> None:
    metadata = Metadata("symlink", mode, uid, gid, mtime_ns=mtime * 10**9, xattrs=xattrs)
    (member,) = TarReader(io.BytesIO(encode_header(b"2", name, metadata, link=link) + END))
    assert (member.name, member.link, member.mode, member.uid, member.gid) == (name, link, mode, uid, gid)
    assert member.mtime_ns == mtime * 10**9
    assert member.xattrs == xattrs
