from __future__ import annotations

import io
import os
from typing import Any

from runtime.context import Context
from runtime.oci.digests import sha256_of
from runtime.store import Store
from runtime.store.archive import save
from runtime.store.collect import collect, disk_usage, unneeded
from runtime.store.leases import add_pins, drop_pins, lease
from runtime.store.loading import load

MakeImage = Any


def test_what_an_image_needs_stays(store: Store, make_image: MakeImage) -> None:
    image = make_image([{"a": b"1"}, {"b": b"2"}], "app")
    store.images.manifest(image)
    before = list(store.blobs.digests())
    assert collect(store).size == 0
    assert list(store.blobs.digests()) == before
    assert store.images.unpacked(image) == image.chain_id


def test_what_nothing_needs_goes(store: Store, make_image: MakeImage) -> None:
    image = make_image([{"a": b"1"}, {"b": b"22"}], "app")
    store.images.manifest(image)
    stray = store.blobs.put(b"stray")
    store.images.remove(image)
    collected = collect(store)
    assert stray in collected.blobs
    assert len(collected.snapshots) == 2
    assert list(store.blobs.digests()) == []
    assert os.listdir(store.layout.snapshots) == []
    assert os.listdir(store.layout.trash) == []
    assert store.images.layers.remembered(image.config.diff_ids[0]) is None


def test_a_layer_that_two_images_share_stays(store: Store, make_image: MakeImage) -> None:
    base = make_image([{"a": b"1"}], "base")
    top = make_image([{"a": b"1"}, {"b": b"2"}], "top")
    store.images.remove(top)
    assert len(collect(store).snapshots) == 1
    assert store.images.unpacked(base) == base.chain_id


def test_pins_hold_layers_blobs_and_images(store: Store, make_image: MakeImage) -> None:
    image = make_image([{"a": b"1"}, {"b": b"2"}], "app")
    blob = store.blobs.put(b"kept")
    add_pins(store.database, "cache:x", "snapshot", image.chain_id)
    add_pins(store.database, "transfer:x", "blob", blob)
    add_pins(store.database, "container:x", "image", image.id)
    store.images.remove(image)
    assert collect(store).size == 0
    drop_pins(store.database, "container:x")
    assert collect(store).blobs == (image.id,)
    drop_pins(store.database, "cache:x")
    assert len(collect(store).snapshots) == 2
    drop_pins(store.database, "transfer:x")
    assert collect(store).blobs == (blob,)


def test_a_lease_holds_what_does_not_exist_yet(store: Store) -> None:
    with lease(store) as held:
        held.pin("blob", sha256_of(b"later"))
        digest = store.blobs.put(b"later")
        assert collect(store).blobs == ()
    assert collect(store).blobs == (digest,)


def test_nothing_is_deleted_while_another_has_the_store_open(context: Context, store: Store) -> None:
    store.blobs.put(b"stray")
    with Store.open(context):
        assert collect(store, wait=False).blobs == ()
    assert len(collect(store, wait=False).blobs) == 1


def test_a_directory_that_nobody_recorded_goes(store: Store) -> None:
    (store.layout.snapshots / ("a" * 64) / "fs").mkdir(parents=True)
    collect(store)
    assert os.listdir(store.layout.snapshots) == []


def test_a_layer_of_another_writer_keeps_its_only_blob(store: Store, make_image: MakeImage) -> None:
    image = make_image([{"a": b"1"}], "app")
    sink = io.BytesIO()
    save(store, ["app"], sink)
    store.images.remove(image)
    collect(store)
    (loaded,) = load(store, io.BytesIO(sink.getvalue()))
    add_pins(store.database, "cache:x", "snapshot", loaded.image.chain_id or "")
    store.images.remove(loaded.image)
    collect(store)
    assert store.images.layers.remembered(image.config.diff_ids[0]) is not None


def test_what_would_go_is_known_before(store: Store) -> None:
    digest = store.blobs.put(b"12345")
    found = unneeded(store)
    assert (found.blobs, found.size) == ((digest,), 5)
    assert store.blobs.has(digest)


def test_hard_links_are_counted_once(store: Store) -> None:
    directory = store.workspace()
    (directory / "a").write_bytes(b"x" * 100_000)
    once = disk_usage([directory])
    os.link(directory / "a", directory / "b")
    assert disk_usage([directory]) == once
    assert disk_usage([directory / "nothing"]) == 0


def test_a_collection_that_waits_syncs_first(store: Store) -> None:
    garbage, kept = store.blobs.put(b"garbage"), store.blobs.put(b"kept")
    add_pins(store.database, "container:x", "blob", kept)
    assert set(store.blobs.unsettled()) == {garbage, kept}
    collect(store, wait=False)
    assert store.blobs.unsettled() == (kept,)
    collect(store)
    assert store.blobs.unsettled() == ()
