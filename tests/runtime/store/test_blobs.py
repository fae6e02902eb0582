from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from runtime.errors import BlobMissing, DigestMismatch, DocumentError, StoreError
from runtime.oci.digests import Digest, digest_of, hex_of, sha256_of
from runtime.store import Store
from runtime.store.blobs import BlobStore


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
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "rename", full)
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


def end_boot(store: Store) -> BlobStore:
    """Make it look as if all that is unsynced came under another boot; gives the blobs as a new process sees them."""
    with store.database.write() as connection:
        connection.execute("UPDATE unsettled_blobs SET boot = '00000000'")
    return BlobStore(store)


def damage(store: Store, digest: Digest) -> None:
    """Do to a blob what a power cut does."""
    os.truncate(store.blobs.path(digest), 0)


def test_a_blob_that_another_boot_left_unsynced_counts_once_it_was_compared(store: Store) -> None:
    sound, damaged = store.blobs.put(b"sound"), store.blobs.put(b"damaged")
    damage(store, damaged)
    assert store.blobs.has(damaged), "what this boot wrote is not read again"
    blobs = end_boot(store)
    assert (blobs.has(sound), blobs.has(damaged)) == (True, False)
    with pytest.raises(BlobMissing):
        blobs.open(damaged)
    assert blobs.put(b"damaged") == damaged
    assert blobs.read(damaged, 10) == b"damaged"


def test_a_blob_is_compared_where_nothing_is_known_of_it_but_that_it_was_not_synced(store: Store) -> None:
    sound, damaged = store.blobs.put(b"sound"), store.blobs.put(b"damaged")
    damage(store, damaged)
    with store.database.write() as connection:
        connection.execute("DELETE FROM unsettled_blobs")  # the transaction went with the power
    blobs = BlobStore(store)
    assert (blobs.has(sound), blobs.has(damaged)) == (True, False)


def test_a_blob_that_was_synced_is_not_read_again(store: Store) -> None:
    digest = store.blobs.put(b"synced")
    store.settle()
    assert store.blobs.unsettled() == ()
    damage(store, digest)
    assert end_boot(store).has(digest), "a settled one is `system check`'s to judge"
