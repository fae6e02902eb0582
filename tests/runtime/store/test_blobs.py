from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from runtime.errors import BlobMissing, DigestMismatch, DocumentError, StoreError
from runtime.oci.digests import Digest, digest_of, hex_of, sha256_of
from runtime.store import Store


def leftovers(store: Store) -> list[str]:
    return os.listdir(store.workspace())


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_blobs_file_name_is_its_digest(store: Store, algorithm: str) -> None:
    expected = digest_of(b"hello", algorithm)
    with store.blobs.writer(expected, 5) as writer:
        writer.write(b"hel")
        writer.write(b"lo")
        assert writer.commit() == (expected, 5)
    path = store.layout.images / "blobs" / algorithm / hex_of(expected)
    assert path.read_bytes() == b"hello"
    assert leftovers(store) == []


def test_a_wrong_digest_leaves_nothing(store: Store) -> None:
    with pytest.raises(DigestMismatch), store.blobs.writer(sha256_of(b"other")) as writer:
        writer.write(b"hello")
        writer.commit()
    assert list(store.blobs.digests()) == []
    assert leftovers(store) == []


@pytest.mark.parametrize("size", [4, 6])
def test_a_wrong_size_leaves_nothing(store: Store, size: int) -> None:
    with pytest.raises(DigestMismatch, match="size"), store.blobs.writer(None, size) as writer:
        writer.write(b"hello")
        writer.commit()
    assert list(store.blobs.digests()) == []


def test_what_is_not_committed_is_gone(store: Store) -> None:
    with store.blobs.writer() as writer:
        writer.write(b"half")
    assert list(store.blobs.digests()) == []
    assert leftovers(store) == []


def test_a_full_disk_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        store.blobs.put(b"hello")
    assert list(store.blobs.digests()) == []
    assert leftovers(store) == []


def test_many_writers_of_one_blob_agree(store: Store) -> None:
    data = b"x" * 300_000
    found: list[Digest] = []
    threads = [threading.Thread(target=lambda: found.append(store.blobs.put(data))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {sha256_of(data)}
    assert list(store.blobs.digests()) == [sha256_of(data)]


def test_a_missing_blob_is_named(store: Store) -> None:
    digest = sha256_of(b"nothing")
    with pytest.raises(BlobMissing, match=digest):
        store.blobs.open(digest)
    with pytest.raises(BlobMissing, match=digest):
        store.blobs.size(digest)


def test_a_document_is_verified_when_it_is_read(store: Store) -> None:
    digest = store.blobs.put(b"{}")
    assert store.blobs.read(digest, 10) == b"{}"
    with pytest.raises(DocumentError, match="larger"):
        store.blobs.read(digest, 1)
    store.blobs.path(digest).write_bytes(b"[]")
    with pytest.raises(DigestMismatch, match="damaged"):
        store.blobs.read(digest, 10)
    with pytest.raises(DigestMismatch, match="damaged"):
        store.blobs.verify(digest)


def test_a_symbolic_link_is_no_blob(store: Store, tmp_path: Path) -> None:
    digest = store.blobs.put(b"{}")
    store.blobs.path(digest).unlink()
    store.blobs.path(digest).symlink_to(tmp_path)
    assert not store.blobs.has(digest)
