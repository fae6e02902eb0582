from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.oci.digests import chain_ids
from runtime.store import Store
from runtime.store.check import check
from runtime.store.images import Image
from runtime.store.leases import add_pins
from runtime.store.repair import repair
from tests.runtime.store.test_check import (
    MakeImage,
    blob_file,
    forget_layers,
    layer_file,
    lie_about_layer,
    rename_blob,
)


@pytest.fixture
def image(store: Store, make_image: MakeImage) -> Image:
    made: Image = make_image([{"a": b"1"}, {"b": b"2"}], "app")
    store.images.manifest(made)
    return store.images.get(made.id)


def _first_layer(store: Store, image: Image) -> Path:
    snapshot = store.snapshots.get(chain_ids(image.config.diff_ids)[0])
    assert snapshot is not None
    return snapshot.path / "a"


@pytest.mark.parametrize(
    ("damage", "words", "image_stays"),
    [
        (lambda store, image: layer_file(store, image).write_bytes(b"3"), "unpacked again", True),
        (lambda store, image: _first_layer(store, image).write_bytes(b"3"), "unpacked again", True),
        (lambda store, image: blob_file(store, image).write_bytes(b"3"), "removed, it was damaged", True),
        (lambda store, image: blob_file(store, image).unlink(), "manifest is made again", True),
        (lambda store, image: store.blobs.path(image.id).unlink(), "its config is lost", False),
        (lambda store, _: (store.layout.images / "index.json").write_bytes(b"{}"), "index.json: written again", True),
        (lambda store, _: (store.layout.images / "oci-layout").unlink(), "oci-layout: written again", True),
        (lambda store, _: (store.layout.images / "blobs/sha256/x").touch(), "blobs/sha256/x: removed", True),
        (lambda store, _: (store.layout.images / "blobs/md5").mkdir(), "blobs/md5: removed", True),
        (lambda store, _: (store.layout.snapshots / "x").mkdir(), "snapshots/x: removed", True),
        (forget_layers, "is lost", False),
        (rename_blob, "removed, it was damaged", True),
        (lie_about_layer, "no longer taken for layer", True),
    ],
)
def test_what_was_damaged_is_sound_afterwards(
    store: Store, image: Image, damage: Callable[[Store, Image], object], words: str, image_stays: bool
) -> None:
    damage(store, image)
    assert check(store).problems
    done = repair(store)
    assert any(words in text for text in done), done
    assert check(store).problems == ()
    assert (store.images.resolve("app") is not None) is image_stays
    if image_stays:
        assert layer_file(store, image).read_bytes() == b"2"
        store.images.manifest(store.images.get(image.id))
        assert check(store).problems == ()
    assert list(store.layout.trash.iterdir()) == []
    assert repair(store) == ()


def test_a_sound_store_is_left_alone(store: Store, image: Image) -> None:
    assert repair(store) == ()
    assert store.images.get(image.id) == image


def test_an_empty_store_is_left_alone(store: Store) -> None:
    assert repair(store) == ()
    assert check(store).problems == ()


def test_a_layer_that_is_nowhere_else_goes_with_its_images(store: Store, make_image: MakeImage) -> None:
    lost = make_image([{"a": b"1"}, {"b": b"2"}], "lost")
    make_image([{"c": b"1"}], "kept")
    _first_layer(store, lost).write_bytes(b"3")
    done = repair(store)
    assert sum(text.startswith("layer ") for text in done) == 2
    assert [image.names[0].familiar() for image in store.images.list()] == ["kept:latest"]
    assert check(store).problems == ()


def test_what_a_container_uses_is_left_as_it_is_and_said(store: Store, make_image: MakeImage) -> None:
    used = make_image([{"a": b"1"}], "used")
    add_pins(store.database, "container:" + "c" * 64, "image", used.id)
    _first_layer(store, used).write_bytes(b"3")
    (done,) = repair(store)
    assert "left as it is, since container cccccccccccc uses it" in done
    assert store.images.resolve("used") is not None
    assert _first_layer(store, used).read_bytes() == b"3"


def test_a_damaged_database_is_beyond_repair(store: Store, image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store.database, "check", lambda: ["damaged"])
    blob_file(store, image).unlink()
    assert repair(store) == ()
    assert store.images.get(image.id).manifest is not None
