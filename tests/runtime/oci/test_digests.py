from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import DocumentError
from runtime.oci.digests import (
    ChainID,
    DiffID,
    canonical_json,
    chain_ids,
    digest_of,
    hex_of,
    is_digest,
    parse_digest,
    sha256_of,
)

A = DiffID("sha256:" + "a" * 64)
B = DiffID("sha256:" + "b" * 64)


def test_the_first_chain_id_is_the_diff_id() -> None:
    assert list(chain_ids([A])) == [ChainID(A)]


def test_a_chain_id_covers_the_stack_below() -> None:
    assert list(chain_ids([A, B])) == [ChainID(A), ChainID(sha256_of(f"{A} {B}".encode()))]
    assert chain_ids([]) == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256",
        "sha256:",
        "sha256:" + "A" * 64,
        "sha256:" + "a" * 63,
        "md5:" + "a" * 32,
        "sha512:" + "a" * 64,
        "sha256:" + "a" * 63 + "\n",
        "sha256:../../" + "a" * 58,
    ],
)
def test_what_is_no_digest_is_refused(text: str) -> None:
    assert not is_digest(text)
    with pytest.raises(DocumentError):
        parse_digest(text)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_both_algorithms_are_digests(algorithm: str) -> None:
    digest = digest_of(b"x", algorithm)
    assert parse_digest(digest) == digest
    assert len(hex_of(digest)) in {64, 128}


def test_canonical_json_is_pinned() -> None:
    value = {"b": [1, None, True, 1.5], "a": "ä\n\x00", "B": {}}
    assert canonical_json(value) == '{"B":{},"a":"ä\\n\\u0000","b":[1,null,true,1.5]}'.encode()


def test_canonical_json_writes_a_lone_surrogate_as_its_escape() -> None:
    assert canonical_json("\udc80a") == b'"\\udc80a"'


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_canonical_json_says_the_same_value(value: object) -> None:
    assert json.loads(canonical_json(value)) == value


def test_canonical_json_refuses_what_json_does_not_have() -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(float("nan"))
