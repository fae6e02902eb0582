"""Pushing: what is sent and what is not, in which order, and what the registry has afterwards."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterator, Mapping

import pytest

from runtime.context import Context
from runtime.errors import NotFound, PybuildError
from runtime.oci.digests import DiffID
from runtime.oci.documents import ImageConfig, decode_manifest
from runtime.oci.platforms import parse_platform
from runtime.oci.references import parse_reference
from runtime.registry.events import BlobProgress, Event
from runtime.registry.pull import pull
from runtime.registry.push import Pushed, push, tags_of
from runtime.registry.transport import Transport
from runtime.store import Store
from runtime.store.images import Image
from tests.runtime.registry.samples import MANIFEST, add_artifact, add_image, add_index
from tests.runtime.registry.scripted import Answer, MemoryRegistry, ScriptedServer, digest_of
from tests.runtime.registry.transfers import session_for

Push = Callable[..., Pushed]


@pytest.fixture
def store(context: Context) -> Iterator[Store]:
    with Store.open(context) as opened:
        yield opened


@pytest.fixture
def send(store: Store, make_transport: Callable[..., Transport], server: ScriptedServer) -> Push:
    """Return a function that pushes a name below the server's."""

    def run(name: str = "team/app", **options: object) -> Pushed:
        with session_for(store, make_transport) as session:
            return push(store, parse_reference(f"{server.host}/{name}"), session, **options)  # type: ignore[arg-type]

    return run


@pytest.fixture
def fetch(store: Store, make_transport: Callable[..., Transport], server: ScriptedServer) -> Callable[..., Image]:
    def run(name: str, **options: object) -> Image:
        with session_for(store, make_transport) as session:
            reference = parse_reference(f"{server.host}/{name}")
            return pull(store, reference, session, **options).image  # type: ignore[arg-type]

    return run


def _built(store: Store, name: str, *layers: Mapping[str, bytes]) -> Image:
    """Record an image that was built: layers that are directories and no blobs yet."""
    diff_ids: list[DiffID] = []
    parent = None
    for layer in layers:
        with store.snapshots.prepare(parent) as preparation:
            for path, content in layer.items():
                (preparation.upperdir / path).write_bytes(content)
                os.utime(preparation.upperdir / path, (1, 1))
            snapshot = preparation.commit(preparation.measure())
        diff_ids.append(snapshot.diff_id)
        parent = snapshot.chain_id
    config = ImageConfig(architecture="amd64", os="linux", diff_ids=tuple(diff_ids))
    return store.images.record(config.encode(), [parse_reference(name).tagged()])


def test_a_built_image_is_pushed_and_known_by_its_digest(
    store: Store, registry: MemoryRegistry, server: ScriptedServer, send: Push
) -> None:
    image = _built(store, f"{server.host}/team/app", {"a": b"1"}, {"b": b"2"})
    pushed = send()
    kind, data = registry.manifests["team/app", "latest"]
    assert (kind, digest_of(data), len(data)) == (MANIFEST, pushed.digest, pushed.size)
    manifest = decode_manifest(data)
    assert manifest.config.digest == image.id
    layers = [registry.blobs["team/app", layer.digest] for layer in manifest.layers]
    assert [digest_of(gzip.decompress(layer)) for layer in layers] == list(image.config.diff_ids)
    digests = [str(name) for name in store.images.get(image.id).digests]
    assert digests == [f"{server.host}/team/app@{pushed.digest}"]


def test_manifests_come_after_blobs_and_the_tag_last(
    store: Store, registry: MemoryRegistry, server: ScriptedServer, send: Push
) -> None:
    _built(store, f"{server.host}/team/app", {"a": b"1"})
    pushed = send()
    puts = [request.path for request in server.asked("PUT")]
    assert puts[-2:] == [f"/v2/team/app/manifests/{pushed.digest}", "/v2/team/app/manifests/latest"]


def test_what_is_there_is_not_sent_again(
    store: Store, registry: MemoryRegistry, server: ScriptedServer, send: Push
) -> None:
    _built(store, f"{server.host}/team/app", {"a": b"1"})
    first = send()
    server.requests.clear()
    events: list[Event] = []
    assert send(progress=events.append) == first
    assert not server.asked("POST")
    assert {event.phase for event in events if isinstance(event, BlobProgress)} == {"preparing", "exists"}


def test_a_blob_of_another_repository_is_mounted(
    store: Store, registry: MemoryRegistry, server: ScriptedServer, send: Push
) -> None:
    image = _built(store, f"{server.host}/team/app", {"a": b"1"})
    send()
    store.images.tag(image, parse_reference(f"{server.host}/other/app:v2"))
    server.requests.clear()
    events: list[Event] = []
    send("other/app:v2", progress=events.append)
    assert {request.query.get("from") for request in server.asked("POST")} == {"team/app"}
    assert not server.asked("PATCH")
    ends = [event for event in events if isinstance(event, BlobProgress) and event.phase == "uploaded"]
    assert {event.mounted_from for event in ends} == {"team/app"}


def test_a_repository_that_lost_its_blob_costs_an_upload(
    store: Store, registry: MemoryRegistry, server: ScriptedServer, send: Push
) -> None:
    image = _built(store, f"{server.host}/team/app", {"a": b"1"})
    send()
    registry.blobs.clear()
    store.images.tag(image, parse_reference(f"{server.host}/other/app:v2"))
    send("other/app:v2")
    assert ("other/app", image.id) in registry.blobs


def test_a_large_layer_is_compressed_while_it_is_sent_and_kept(
    store: Store, registry: MemoryRegistry, server: ScriptedServer, send: Push, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.registry.push._STREAMED", 1)
    image = _built(store, f"{server.host}/team/app", {"a": os.urandom(10 << 20)})
    send()
    assert server.asked("PATCH")
    layer = decode_manifest(registry.manifests["team/app", "latest"][1]).layers[0]
    assert digest_of(gzip.decompress(registry.blobs["team/app", layer.digest])) == image.config.diff_ids[0]
    assert store.blobs.has(layer.digest)


def test_a_layer_goes_out_with_the_compression_asked_for(
    store: Store, registry: MemoryRegistry, server: ScriptedServer, send: Push
) -> None:
    _built(store, f"{server.host}/team/app", {"a": b"1"})
    send(compression="zstd")
    manifest = decode_manifest(registry.manifests["team/app", "latest"][1])
    assert manifest.layers[0].media_type.endswith("+zstd")


def test_what_was_pulled_goes_out_with_the_digest_that_it_had(
    store: Store, registry: MemoryRegistry, server: ScriptedServer, send: Push, fetch: Callable[..., Image]
) -> None:
    sample = add_image(registry, "team/app", docker=True)
    store.images.tag(fetch("team/app"), parse_reference(f"{server.host}/other/app"))
    assert send("other/app").digest == sample.digest


def _two_platforms(registry: MemoryRegistry, fetch: Callable[..., Image]) -> tuple[bytes, Image]:
    entries = []
    for architecture in ("amd64", "arm64"):
        sample = add_image(registry, "team/app", architecture, architecture=architecture)
        entries.append(sample.descriptor(platform={"os": "linux", "architecture": architecture}))
    index = add_index(registry, "team/app", "latest", entries)
    fetch("team/app", platform=parse_platform("linux/arm64"))
    return index, fetch("team/app", platform=parse_platform("linux/amd64"))


def test_an_index_that_is_here_goes_out_whole(
    store: Store, registry: MemoryRegistry, server: ScriptedServer, send: Push, fetch: Callable[..., Image]
) -> None:
    index, image = _two_platforms(registry, fetch)
    store.images.tag(image, parse_reference(f"{server.host}/other/app"))
    assert send("other/app").digest == digest_of(index)
    names = [target for name, target in registry.manifests if name == "other/app"]
    assert len(names) == 4  # two manifests, the index, the tag


def test_one_platform_of_an_index_goes_out_alone(
    store: Store, registry: MemoryRegistry, server: ScriptedServer, send: Push, fetch: Callable[..., Image]
) -> None:
    _, image = _two_platforms(registry, fetch)
    store.images.tag(image, parse_reference(f"{server.host}/other/app"))
    pushed = send("other/app", platform=parse_platform("linux/arm64"))
    assert pushed.digest == digest_of(registry.manifests["team/app", "arm64"][1])


@pytest.mark.parametrize("api", [True, False], ids=["by the API", "by a tag"])
def test_referrers_go_along_where_asked(
    store: Store,
    registry: MemoryRegistry,
    server: ScriptedServer,
    send: Push,
    fetch: Callable[..., Image],
    api: bool,
) -> None:
    sample = add_image(registry, "team/app")
    signature = add_artifact(registry, "team/app", sample.descriptor(), b"signed")
    store.images.tag(fetch("team/app", referrers=True), parse_reference(f"{server.host}/other/app"))
    registry.referrers_api = api
    send("other/app")
    assert ("other/app", signature) not in registry.manifests
    send("other/app", referrers=True)
    assert ("other/app", signature) in registry.manifests
    if not api:
        _, data = registry.manifests["other/app", sample.digest.replace(":", "-")]
        entry = json.loads(data)["manifests"][0]
        assert (entry["digest"], entry["artifactType"]) == (signature, "application/example")


def test_foreign_layers_stay_where_they_are(
    store: Store, registry: MemoryRegistry, server: ScriptedServer, send: Push, fetch: Callable[..., Image]
) -> None:
    sample = add_image(registry, "team/app", files=({"a": b"1"},))
    layer = json.loads(sample.manifest)["layers"][0]
    kind = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    add_image(registry, "team/app", files=({"a": b"1"},), manifest={"layers": [{**layer, "mediaType": kind}]})
    store.images.tag(fetch("team/app"), parse_reference(f"{server.host}/other/app"))
    send("other/app")
    assert ("other/app", layer["digest"]) not in registry.blobs


def test_a_name_that_is_not_here_is_refused_before_anything_is_sent(server: ScriptedServer, send: Push) -> None:
    with pytest.raises(NotFound, match="An image does not exist locally with the tag"):
        send("nothing")
    assert not server.requests


def test_a_tag_that_is_not_here_is_told_apart_from_a_repository(
    store: Store, server: ScriptedServer, send: Push
) -> None:
    _built(store, f"{server.host}/team/app:v1", {"a": b"1"})
    with pytest.raises(NotFound, match=f"tag does not exist: {server.host}/team/app:v2") as caught:
        send("team/app:v2")
    assert "there is v1" in str(caught.value.hint)
    assert not server.requests


def test_an_upload_that_fails_leaves_no_tag(
    store: Store, registry: MemoryRegistry, server: ScriptedServer, send: Push
) -> None:
    _built(store, f"{server.host}/team/app", {"a": b"1"})
    server.fault("POST", "/blobs/uploads/", Answer(403), times=99)
    with pytest.raises(PybuildError):
        send()
    assert not registry.manifests


def test_all_names_of_a_repository_are_listed(store: Store) -> None:
    image = _built(store, "example.com/app:b", {"a": b"1"})
    store.images.tag(image, parse_reference("example.com/app:a"))
    store.images.tag(image, parse_reference("example.com/apple:c"))
    assert [name.tag for name in tags_of(store, parse_reference("example.com/app"))] == ["a", "b"]
    with pytest.raises(NotFound):
        tags_of(store, parse_reference("example.com/nothing"))
