from __future__ import annotations

import json
import os
import signal
import threading
from typing import Any

import pytest

from runtime.errors import DocumentError, NotFound, StoreError
from runtime.oci.digests import hex_of, sha256_of
from runtime.oci.documents import ContainerConfig, layer_compression
from runtime.oci.references import parse_reference
from runtime.store import Store

MakeImage = Any


def index_names(store: Store) -> list[str]:
    document = json.loads((store.layout.images / "index.json").read_bytes())
    return [entry["annotations"]["org.opencontainers.image.ref.name"] for entry in document["manifests"]]


def test_an_image_id_is_the_digest_of_its_config(store: Store, make_image: MakeImage) -> None:
    image = make_image([{"a": b"1"}], "app")
    assert image.id == sha256_of(store.blobs.path(image.id).read_bytes())
    assert image.size == 1


@pytest.mark.parametrize(
    "text", ["app", "app:latest", "docker.io/library/app:latest", "docker.io/app", "index.docker.io/app"]
)
def test_an_image_is_found_under_every_spelling_of_its_name(store: Store, make_image: MakeImage, text: str) -> None:
    image = make_image([], "app")
    found = store.images.resolve(text)
    assert found is not None
    assert found.id == image.id


def test_an_image_is_found_by_id_and_by_prefix(store: Store, make_image: MakeImage) -> None:
    image = make_image([], "app")
    for text in (image.id, hex_of(image.id), hex_of(image.id)[:4], image.id[:20]):
        found = store.images.resolve(text)
        assert found is not None
        assert found.id == image.id
    assert store.images.resolve("sha256:" + "0" * 64) is None
    assert store.images.resolve("") is None


def test_a_name_comes_before_a_prefix_spelled_like_it(store: Store, make_image: MakeImage) -> None:
    image = make_image([], "app")
    other = make_image([{"a": b""}], hex_of(image.id)[:6])
    assert store.images.require(hex_of(image.id)[:6]).id == other.id
    assert store.images.require(hex_of(image.id)[:7]).id == image.id


def test_an_ambiguous_prefix_finds_nothing_and_says_why(store: Store, make_image: MakeImage) -> None:
    ids = [make_image([], config=ContainerConfig(user=str(number))).id for number in range(17)]
    first = {hex_of(image_id)[0] for image_id in ids}
    digit = next(d for d in first if sum(hex_of(i)[0] == d for i in ids) > 1)
    with pytest.raises(NotFound, match="No such image") as caught:
        store.images.require(digit)
    assert "write more digits" in str(caught.value.hint)


def test_a_missing_name_gets_the_nearest_as_hint(store: Store, make_image: MakeImage) -> None:
    make_image([], "webserver:1.0")
    with pytest.raises(NotFound, match=r"No such image: webservr:1\.0") as caught:
        store.images.require("webservr:1.0")
    assert caught.value.hint == "did you mean webserver:1.0?"


def test_a_name_moves_from_one_image_to_another(store: Store, make_image: MakeImage) -> None:
    old = make_image([], "app")
    new = make_image([{"a": b""}], "app")
    assert store.images.require("app").id == new.id
    assert store.images.get(old.id).names == ()


def test_a_name_with_digest_is_found_by_it(store: Store, make_image: MakeImage) -> None:
    image = make_image([{"a": b"x"}])
    digest = sha256_of(b"manifest")
    store.images.record(store.blobs.path(image.id).read_bytes(), [parse_reference(f"example.com/app:1@{digest}")])
    for text in (f"example.com/app@{digest}", f"example.com/app:other@{digest}", "example.com/app:1"):
        assert store.images.require(text).id == image.id
    assert [name.familiar() for name in store.images.get(image.id).digests] == [f"example.com/app@{digest}"]
    assert store.images.resolve(f"app@{digest}") is None


def test_an_image_whose_layer_is_missing_is_refused(store: Store) -> None:
    config = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [sha256_of(b"x")]}}
    with pytest.raises(StoreError, match="is not in the store"):
        store.images.record(json.dumps(config).encode())
    with pytest.raises(DocumentError):
        store.images.record(b"[]")
    assert store.images.list() == ()


def test_a_built_image_is_in_the_index_once_its_manifest_was_made(store: Store, make_image: MakeImage) -> None:
    image = make_image([{"a": b"1"}, {"b": b"2"}], "app:1", "example.com/x")
    assert index_names(store) == []
    descriptor = store.images.manifest(image)
    names = ["app:1", "docker.io/library/app:1", "example.com/x", "example.com/x:latest"]
    assert index_names(store) == names
    assert store.images.get(image.id).manifest == descriptor
    manifest = store.images.read_manifest(descriptor)
    assert manifest.config.digest == image.id
    assert all(store.blobs.has(layer.digest) for layer in manifest.layers)
    assert json.loads((store.layout.images / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}


def test_the_index_follows_names(store: Store, make_image: MakeImage) -> None:
    image = make_image([{"a": b"1"}], "app:1")
    store.images.manifest(image)
    store.images.tag(image, parse_reference("b/c:2"))
    assert "b/c:2" in index_names(store)
    store.images.untag(parse_reference("app:1"))
    assert index_names(store) == ["b/c:2", "docker.io/b/c:2"]
    store.images.remove(image)
    assert index_names(store) == []


def fail(*_: object) -> None:
    raise StoreError("no space left on device")


def test_the_index_that_a_killed_process_did_not_write_is_written_by_the_next(
    store: Store, make_image: MakeImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = make_image([{"a": b"1"}], "app:1")
    store.images.manifest(image)
    before = index_names(store)
    child = os.fork()
    if child == 0:
        monkeypatch.setattr("runtime.store.images.project", lambda _: os.kill(os.getpid(), signal.SIGKILL))
        with Store.open(store.context) as other:
            other.images.tag(image, parse_reference("b/c:2"))
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert index_names(store) == before
    with monkeypatch.context() as full:
        full.setattr("runtime.store.projection._replace", fail)
        with Store.open(store.context):
            assert index_names(store) == before
    with Store.open(store.context):
        assert "b/c:2" in index_names(store)
    assert len(os.listdir(store.layout.tmp)) <= 1  # what is ours


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_a_layer_is_compressed_as_asked_for(store: Store, make_image: MakeImage, compression: Any) -> None:
    image = make_image([{"a": b"1" * 100_000}], "app")
    manifest = store.images.read_manifest(store.images.manifest(image, compression))
    assert [layer_compression(layer.media_type) for layer in manifest.layers] == [compression]
    again = store.images.manifest(image, compression, force=True)
    assert store.images.read_manifest(again) == manifest


def test_forced_compression_replaces_what_is_there(store: Store, make_image: MakeImage) -> None:
    image = make_image([{"a": b"1" * 100_000}], "app")
    first = store.images.manifest(image)
    second = store.images.manifest(store.images.get(image.id), "zstd", force=True)
    assert first != second
    layers = store.images.read_manifest(second).layers
    assert [layer_compression(layer.media_type) for layer in layers] == ["zstd"]


def test_compression_is_deterministic(store: Store, make_image: MakeImage) -> None:
    image = make_image([{"a": b"1" * 100_000}, {"b": b"x" * 3_000_000}], "app")
    first = store.images.manifest(image)
    for layer in store.images.read_manifest(first).layers:
        store.blobs.delete(layer.digest)
    made = store.images.layers.made(image.config.diff_ids)
    assert made == store.images.read_manifest(first).layers


def test_a_layer_is_unpacked_again_from_its_blob(store: Store, make_image: MakeImage) -> None:
    image = make_image([{"a": b"1"}, {"b": b"2"}], "app")
    store.images.manifest(image)
    for snapshot in reversed(store.snapshots.list()):
        store.snapshots.remove(snapshot.chain_id)
    assert store.images.unpacked(image) == image.chain_id
    with store.snapshots.view(image.chain_id) as view:
        assert view.read_text("b", 10) == "2"


def test_many_threads_name_images_at_once(store: Store, make_image: MakeImage) -> None:
    image = make_image([{"a": b"1"}])
    store.images.manifest(image)
    threads = [
        threading.Thread(target=store.images.tag, args=(image, parse_reference(f"n{number}:1"))) for number in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {f"n{number}:1" for number in range(12)} < set(index_names(store))


def test_an_image_without_layers_has_no_chain(store: Store, make_image: MakeImage) -> None:
    image = make_image([], "empty")
    assert image.chain_id is None
    assert store.images.unpacked(image) is None
    assert store.images.read_manifest(store.images.manifest(image)).layers == ()
