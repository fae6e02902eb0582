"""Compute and check digests: of bytes, of stacks of layers, of our own JSON values.

A digest is `ALGORITHM:HEX` (OCI image-spec, descriptor.md § Digests); sha256 and sha512 are the registered ones and
the only ones known here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from runtime.errors import DocumentError
from runtime.oci.shortsha import hex_sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NewType

    Digest = NewType("Digest", str)
    """The digest of a blob: a config, manifest, index or (compressed) layer."""
    DiffID = NewType("DiffID", str)
    """The digest of a layer's uncompressed tar (OCI image-spec, config.md § Layer DiffID)."""
    ChainID = NewType("ChainID", str)
    """The digest of a stack of layers (OCI image-spec, config.md § Layer ChainID)."""
else:
    Digest = DiffID = ChainID = str  # typing is 3 ms

HEX_LENGTHS = {"sha256": 64, "sha512": 128}
_HEX = frozenset("0123456789abcdef")


def is_digest(text: str) -> bool:
    """Tell whether `text` is a digest of a known algorithm in its one canonical spelling (lower-case hex)."""
    algorithm, _, value = text.partition(":")
    return len(value) == HEX_LENGTHS.get(algorithm, -1) and _HEX.issuperset(value)


def parse_digest(text: str) -> Digest:
    """Check that `text` is a sha256 or sha512 digest; raises DocumentError, without a field, if it is not."""
    if is_digest(text):
        return Digest(text)
    algorithm, colon, _ = text.partition(":")
    shown = ascii(text if len(text) <= 160 else text[:160] + "…")
    if not colon:
        raise DocumentError(f"{shown} is no digest", hint="a digest looks like sha256:<64 hex digits>")
    if algorithm not in HEX_LENGTHS:
        raise DocumentError(f"{shown} has an unknown digest algorithm", hint="sha256 and sha512 are supported")
    raise DocumentError(f"{shown} must have {HEX_LENGTHS[algorithm]} lower-case hex digits after the colon")


def parse_diff_id(text: str) -> DiffID:
    """Check a layer's diff ID, as `parse_digest` does."""
    return DiffID(parse_digest(text))


def algorithm_of(digest: str) -> str:
    """Give `sha256` of `sha256:…`."""
    return digest.partition(":")[0]


def hex_of(digest: str) -> str:
    """Give the part after the colon: 64 or 128 hex digits, a file name below `blobs/ALGORITHM`."""
    return digest.partition(":")[2]


def sha256_of(data: bytes) -> Digest:
    """Digest bytes that are in memory."""
    return Digest(f"sha256:{hex_sha256(data)}")


def digest_of(data: bytes, algorithm: str) -> Digest:
    """Digest bytes that are in memory with `sha256` or `sha512`."""
    if algorithm == "sha256":
        return sha256_of(data)
    import hashlib  # lazy: see shortsha

    return Digest(f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}")


def chain_ids(diff_ids: Sequence[DiffID]) -> tuple[ChainID, ...]:
    """Name each stack of layers, bottom first: the last one is the whole image (OCI image-spec, config.md)."""
    chain: list[ChainID] = []
    for diff_id in diff_ids:
        chain.append(ChainID(sha256_of(f"{chain[-1]} {diff_id}".encode())) if chain else ChainID(diff_id))
    return tuple(chain)


def canonical_json(value: object) -> bytes:
    """Encode a JSON value in its one form: keys sorted by code point, no blanks, UTF-8, no NaN.

    What our own digests are over. A lone surrogate (a name that was no UTF-8) is written as its escape, so that any
    str has an encoding. Raises ValueError for NaN and infinities, TypeError for what JSON does not have.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return "".join(c if not "\ud800" <= c <= "\udfff" else f"\\u{ord(c):04x}" for c in text).encode()
