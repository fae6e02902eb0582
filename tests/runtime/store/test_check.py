from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.oci.digests import sha256_of
from runtime.store import Store
from runtime.store.check import check
from runtime.store.images import Image

MakeImage = Any


@pytest.fixture
def image(store: Store, make_image: MakeImage) -> Image:
    made: Image = make_image([{"a": b"1"}, {"b": b"2"}], "app")
    store.images.manifest(made)
    return store.images.get(made.id)


def test_a_sound_store_has_no_problems(store: Store, image: Image) -> None:
    report = check(store)
    assert report.problems == ()
    assert (report.images, report.snapshots, report.blobs) == (1, 2, 4)


def test_an_empty_store_is_sound(store: Store) -> None:
    assert check(store).problems == ()


def layer_file(store: Store, image: Image) -> Path:
    snapshot = store.snapshots.get(image.chain_id) if image.chain_id else None
    assert snapshot is not None
    return snapshot.path / "b"


def blob_file(store: Store, image: Image) -> Path:
    assert image.manifest is not None
    return store.blobs.path(store.images.read_manifest(image.manifest).layers[0].digest)


def forget_layers(store: Store, image: Image) -> None:
    blob_file(store, image).unlink()
    for snapshot in reversed(store.snapshots.list()):
        store.snapshots.remove(snapshot.chain_id)


def rename_blob(store: Store, image: Image) -> None:
    blob_file(store, image).rename(store.blobs.path(sha256_of(b"wrong")))


def lie_about_layer(store: Store, image: Image) -> None:
    diff_ids = image.config.diff_ids
    with store.database.write() as connection:
        connection.execute("UPDATE layer_blobs SET diff_id = ? WHERE diff_id = ?", (sha256_of(b""), diff_ids[0]))
        connection.execute("UPDATE layer_blobs SET diff_id = ? WHERE diff_id = ?", (diff_ids[0], diff_ids[1]))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda store, image: layer_file(store, image).write_bytes(b"3"), ["layer ", "'b'"]),
        (lambda store, image: blob_file(store, image).write_bytes(b"3"), ["blob sha256:", "damaged"]),
        (lambda store, image: blob_file(store, image).unlink(), ["image ", "is missing"]),
        (lambda store, image: store.blobs.path(image.id).unlink(), ["image ", "config cannot be read"]),
        (lambda store, _: (store.layout.images / "index.json").write_bytes(b"{}"), ["index.json", "database"]),
        (lambda store, _: (store.layout.images / "oci-layout").unlink(), ["oci-layout"]),
        (lambda store, _: (store.layout.images / "blobs/sha256/x").touch(), ["blobs/sha256/x", "no digest"]),
        (lambda store, _: (store.layout.images / "blobs/md5").mkdir(), ["blobs/md5"]),
        (lambda store, _: (store.layout.snapshots / "x").mkdir(), ["snapshots/x", "no recorded layer"]),
        (forget_layers, ["neither unpacked nor a blob"]),
        (rename_blob, ["blob sha256:", "damaged"]),
        (lie_about_layer, ["layer: expected"]),
    ],
)
def test_what_is_wrong_is_named(
    store: Store, image: Image, damage: Callable[[Store, Image], object], words: list[str]
) -> None:
    damage(store, image)
    problems = [str(problem) for problem in check(store).problems]
    assert any(all(word in text for word in words) for text in problems), problems


def test_a_damaged_database_is_named(store: Store, image: Image) -> None:
    store.database.close()
    data = bytearray(store.layout.database.read_bytes())
    for name in ("state.db-wal", "state.db-shm"):
        (store.layout.root / name).unlink(missing_ok=True)
    data[4096:] = b"\xff" * (len(data) - 4096)
    store.layout.database.write_bytes(data)
    assert check(store).problems
