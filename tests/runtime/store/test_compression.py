from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
from collections.abc import Callable
from typing import Any

import pytest
import zstandard
from hypothesis import assume, given
from hypothesis import strategies as st

from runtime.errors import StoreError, UsageError
from runtime.store.compression import Compressor, decompressed, detect

DATA = random.Random(1).randbytes(100_000) + b"a" * 3_000_000
COMPRESSORS: list[Callable[[bytes], bytes]] = [
    gzip.compress,
    bz2.compress,
    lzma.compress,
    zstandard.ZstdCompressor().compress,
]


def compressed(data: bytes, kind: Any, level: int | None = None) -> bytes:
    sink = io.BytesIO()
    compressor = Compressor(sink, kind, level)
    for place in range(0, len(data), 70_001):
        compressor.write(data[place : place + 70_001])
    compressor.close()
    return sink.getvalue()


@pytest.mark.parametrize("kind", ["gzip", "zstd", "none"])
def test_what_is_compressed_comes_back(kind: str) -> None:
    once = compressed(DATA, kind)
    assert detect(once) == kind
    assert decompressed(io.BytesIO(once), "x").read() == DATA
    assert compressed(DATA, kind) == once


def test_a_gzip_header_has_neither_name_nor_time() -> None:
    header = compressed(b"x", "gzip")[:10]
    assert header[3] == 0
    assert header[4:8] == bytes(4)


@pytest.mark.parametrize("compress", COMPRESSORS, ids=["gzip", "bzip2", "xz", "zstd"])
def test_several_streams_are_read_as_one(compress: Callable[[bytes], bytes]) -> None:
    data = compress(DATA) + compress(b"end")
    assert decompressed(io.BytesIO(data), "x").read() == DATA + b"end"


@pytest.mark.parametrize("compress", COMPRESSORS, ids=["gzip", "bzip2", "xz", "zstd"])
def test_a_cut_off_stream_is_named(compress: Callable[[bytes], bytes]) -> None:
    with pytest.raises(StoreError, match=r"it: the .* stream is cut off"):
        decompressed(io.BytesIO(compress(DATA)[:-5]), "it").read()


@pytest.mark.parametrize("compress", COMPRESSORS[:3], ids=["gzip", "bzip2", "xz"])  # zstd need not have a checksum
def test_a_damaged_stream_is_named(compress: Callable[[bytes], bytes]) -> None:
    data = compress(DATA)
    with pytest.raises(StoreError, match=r"it: the .* stream is"):
        decompressed(io.BytesIO(data[:200] + b"damage" + data[206:]), "it").read()


def test_padding_after_a_stream_is_no_damage() -> None:
    assert decompressed(io.BytesIO(gzip.compress(b"x") + bytes(1000)), "it").read() == b"x"


@pytest.mark.parametrize("compress", COMPRESSORS)
@pytest.mark.parametrize("garbage", [b"\n", b"garbage that is no header"])
def test_garbage_after_a_stream_may_be_passed_over(compress: Callable[[bytes], bytes], garbage: bytes) -> None:
    data = compress(b"one") + compress(b"two") + garbage
    with pytest.raises(StoreError):
        decompressed(io.BytesIO(data), "it").read()
    assert decompressed(io.BytesIO(data), "it", garbage=True).read() == b"onetwo"


def test_a_bomb_comes_in_pieces() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(200 << 20))
    stream = decompressed(io.BytesIO(bomb), "it")
    assert len(stream.read(10)) == 10


@pytest.mark.parametrize(("kind", "level"), [("gzip", 10), ("zstd", 0), ("zstd", 23), ("lz4", None)])
def test_a_wrong_level_or_kind_is_refused(kind: str, level: int | None) -> None:
    with pytest.raises(UsageError):
        compressed(b"", kind, level)


@given(st.binary(max_size=3000), st.sampled_from(["gzip", "zstd", "none"]), st.integers(1, 500))
def test_any_bytes_come_back_in_any_pieces(data: bytes, kind: str, piece: int) -> None:
    assume(kind != "none" or detect(data) == "none")
    stream = decompressed(io.BytesIO(compressed(data, kind)), "x")
    assert b"".join(iter(lambda: stream.read(piece), b"")) == data
