from __future__ import annotations

import hashlib

import pytest

from runtime.oci.shortsha import LONG, hex_sha256


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, LONG - 1, LONG, LONG + 1])
def test_it_is_sha256_whatever_the_length(size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    assert hex_sha256(data[:size]) == hashlib.sha256(data[:size]).hexdigest()
