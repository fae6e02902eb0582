"""Pulling: what is fetched and what is not, what is believed and what is not, what is there afterwards."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from frozen import replace
from runtime.context import Context
from runtime.errors import Cancelled, DigestMismatch, DocumentError, NotFound, PybuildError, RegistryError, StoreError
from runtime.oci.digests import Digest
from runtime.oci.platforms import parse_platform
from runtime.oci.references import parse_reference
from runtime.registry.events import BlobProgress, Event
from runtime.registry.memory import Memory
from runtime.registry.pull import Pulled, pull, pull_all
from runtime.registry.transport import Transport
from runtime.store import Store
from runtime.store.check import check
from runtime.store.collect import collect
from runtime.store.referrers import Referrers
from tests.runtime.registry.samples import (
    LAYER,
    MANIFEST,
    Sample,
    add_artifact,
    add_image,
    add_index,
    sha512_of,
    tar_of,
)
from tests.runtime.registry.scripted import Answer, MemoryRegistry, Request, ScriptedServer, digest_of
from tests.runtime.registry.transfers import session_for

Pull = Callable[..., Pulled]


@pytest.fixture
def store(context: Context) -> Iterator[Store]:
    with Store.open(context) as opened:
        yield opened


@pytest.fixture
def fetch(store: Store, make_transport: Callable[..., Transport], server: ScriptedServer) -> Pull:
    """Return a function that pulls `team/app:latest`, or another name below the server's."""

    def run(name: str = "team/app", **options: object) -> Pulled:
        with session_for(store, make_transport) as session:
            reference = parse_reference(f"{server.host}/{name}")
            return pull(store, reference, session, **options)  # type: ignore[arg-type]

    return run


def _blobs_asked(server: ScriptedServer) -> list[str]:
    return sorted(request.path.rpartition("/")[2] for request in server.asked("GET", "/blobs/"))


def _files(store: Store, pulled: Pulled) -> dict[str, bytes]:
    with store.snapshots.view(store.images.unpacked(pulled.image)) as view:
        found = {}
        for name in view.listdir("/"):
            with view.open(name.decode()) as file:
                found[name.decode()] = file.read()
        return found


def test_an_image_is_pulled_named_and_unpacked(
    store: Store, registry: MemoryRegistry, server: ScriptedServer, fetch: Pull
) -> None:
    sample = add_image(registry, "team/app")
    pulled = fetch()
    assert (pulled.changed, pulled.digest, pulled.image.id) == (True, sample.digest, sample.id)
    assert [str(name) for name in pulled.image.names] == [f"{server.host}/team/app:latest"]
    assert [str(name) for name in pulled.image.digests] == [f"{server.host}/team/app@{sample.digest}"]
    assert _files(store, pulled) == {"a": b"1", "b": b"2"}
    assert pulled.image.manifest is not None
    assert pulled.image.manifest.digest == sample.digest


def test_the_name_of_nothing_is_reserved(store: Store, make_transport: Callable[..., Transport]) -> None:
    with session_for(store, make_transport) as session:
        for text in ("scratch", "library/scratch:1", f"docker.io/scratch@sha256:{'0' * 64}"):
            with pytest.raises(NotFound, match="'scratch' is a reserved name"):
                pull(store, parse_reference(text), session)
        with pytest.raises(NotFound, match="'scratch' is a reserved name"):
            list(pull_all(store, parse_reference("scratch"), session))


def test_docker_schema_2_is_kept_byte_for_byte(store: Store, registry: MemoryRegistry, fetch: Pull) -> None:
    sample = add_image(registry, "team/app", docker=True)
    pulled = fetch()
    assert pulled.image.manifest is not None
    assert store.blobs.read(pulled.image.manifest.digest, 1 << 20) == sample.manifest


def test_what_is_up_to_date_costs_one_question(registry: MemoryRegistry, server: ScriptedServer, fetch: Pull) -> None:
    add_image(registry, "team/app")
    fetch()
    server.requests.clear()
    assert not fetch().changed
    assert [request.method for request in server.requests if "/v2/team" in request.path] == ["HEAD"]


@pytest.mark.parametrize("what", ["blob", "layer", "both", "manifest"])
def test_what_was_lost_of_an_image_is_brought_again(
    store: Store, registry: MemoryRegistry, server: ScriptedServer, fetch: Pull, what: str
) -> None:
    sample = add_image(registry, "team/app")
    pulled = fetch()
    blob = Digest(digest_of(sample.layers[1]))
    if what in ("blob", "both"):
        os.unlink(store.blobs.path(blob))
    if what in ("layer", "both"):
        snapshot = store.snapshots.list()[-1]
        shutil.rmtree(snapshot.path.parent)
    if what == "manifest":
        os.unlink(store.blobs.path(Digest(sample.digest)))
    server.requests.clear()
    again = fetch()
    assert again.changed == (what != "layer"), "a layer is made again of its blob, where it is needed"
    assert again.image.id == pulled.image.id
    assert _files(store, again) == {"a": b"1", "b": b"2"}
    assert check(store).problems == ()
    assert _blobs_asked(server) == ([blob] if what in ("blob", "both") else [])


def test_only_layers_that_are_not_here_are_fetched(
    registry: MemoryRegistry, server: ScriptedServer, fetch: Pull
) -> None:
    add_image(registry, "team/app", files=({"a": b"1"}, {"b": b"2"}))
    fetch()
    server.requests.clear()
    more = add_image(registry, "team/app", "v2", files=({"a": b"1"}, {"b": b"3"}))
    fetch("team/app:v2")
    assert _blobs_asked(server) == sorted((more.id, digest_of(more.layers[1])))


def test_a_layer_that_is_here_under_another_compression_is_not_fetched(
    registry: MemoryRegistry, server: ScriptedServer, fetch: Pull
) -> None:
    sample = add_image(registry, "team/app", files=({"a": b"1"},))
    fetch()
    plain = tar_of({"a": b"1"})
    config = json.loads(sample.config)
    layer = {"mediaType": LAYER.removesuffix("+gzip"), "digest": digest_of(plain), "size": len(plain)}
    registry.add_blob("other/app", plain)
    add_image(registry, "other/app", files=({"a": b"1"},), config=config, manifest={"layers": [layer]})
    server.requests.clear()
    pulled = fetch("other/app")
    assert digest_of(plain) not in _blobs_asked(server)
    assert pulled.image.names


def test_one_layer_used_twice_is_fetched_once(registry: MemoryRegistry, server: ScriptedServer, fetch: Pull) -> None:
    sample = add_image(registry, "team/app", files=({"a": b"1"}, {"a": b"1"}))
    fetch()
    assert _blobs_asked(server).count(digest_of(sample.layers[0])) == 1


def test_of_an_index_the_image_for_the_platform_is_taken_and_the_index_kept(
    store: Store, registry: MemoryRegistry, server: ScriptedServer, fetch: Pull
) -> None:
    index = _two_platforms(registry)
    pulled = fetch(platform=parse_platform("linux/arm64"))
    assert pulled.image.config.architecture == "arm64"
    assert pulled.digest == digest_of(index)
    assert [str(name) for name in pulled.image.digests] == [f"{server.host}/team/app@{digest_of(index)}"]
    collect(store)
    assert store.blobs.read(pulled.digest, 1 << 20) == index


def _two_platforms(registry: MemoryRegistry) -> bytes:
    entries = []
    for architecture in ("amd64", "arm64"):
        sample = add_image(registry, "team/app", architecture, architecture=architecture)
        entries.append(sample.descriptor(platform={"os": "linux", "architecture": architecture}))
    return add_index(registry, "team/app", "latest", entries)


def test_without_a_name_the_tag_and_the_digest_of_the_index_stay_where_they_are(
    store: Store, registry: MemoryRegistry, server: ScriptedServer, fetch: Pull
) -> None:
    index = _two_platforms(registry)
    host, arm = parse_platform("linux/amd64"), parse_platform("linux/arm64")
    first = fetch(platform=host)
    other = fetch(platform=arm, named=False)
    assert other.image.names == ()
    name = f"{server.host}/team/app"
    for text in (name, f"{name}@{digest_of(index)}"):
        image = store.images.resolve(text)
        assert image is not None
        assert image.id == first.image.id
        found = Memory(store).for_platform(parse_reference(text), arm)
        assert found is not None
        assert found.id == other.image.id


def test_an_index_that_is_here_whole_is_what_the_name_stands_for(
    store: Store, registry: MemoryRegistry, fetch: Pull
) -> None:
    index = _two_platforms(registry)
    fetch(platform=parse_platform("linux/arm64"))
    fetch(platform=parse_platform("linux/amd64"))
    image = store.images.list()[0]
    target = store.images.target(image.names[0])
    assert target is not None
    assert target.digest == digest_of(index)


def test_a_platform_that_the_index_lacks_is_named_with_those_that_it_has(registry: MemoryRegistry, fetch: Pull) -> None:
    _two_platforms(registry)
    with pytest.raises(NotFound, match="no matching manifest for linux/s390x") as caught:
        fetch(platform=parse_platform("linux/s390x"))
    assert "linux/amd64, linux/arm64" in (caught.value.hint or "")


def test_an_image_of_another_platform_than_asked_for_is_refused(registry: MemoryRegistry, fetch: Pull) -> None:
    add_image(registry, "team/app")
    with pytest.raises(NotFound, match=r"its platform \(linux/amd64\) does not match"):
        fetch(platform=parse_platform("linux/arm64"))


def test_attestations_of_the_image_come_along(store: Store, registry: MemoryRegistry, fetch: Pull) -> None:
    sample = add_image(registry, "team/app", "plain")
    attestation = add_artifact(registry, "team/app", None, b"who built it")
    size = len(registry.manifests["team/app", attestation][1])
    about = {"vnd.docker.reference.digest": sample.digest, "vnd.docker.reference.type": "attestation-manifest"}
    entry = {"mediaType": MANIFEST, "digest": attestation, "size": size, "annotations": about}
    unknown = {"os": "unknown", "architecture": "unknown"}
    image = sample.descriptor(platform={"os": "linux", "architecture": "amd64"})
    add_index(registry, "team/app", "latest", [image, {**entry, "platform": unknown}])
    pulled = fetch()
    target = store.images.target(pulled.image.names[0])
    assert target is not None
    assert target.digest == pulled.digest
    assert [item.digest for item in Referrers(store).of(sample.digest)] == [attestation]


def test_referrers_are_kept_with_their_image_and_go_with_it(
    store: Store, registry: MemoryRegistry, fetch: Pull
) -> None:
    sample = add_image(registry, "team/app")
    signature = add_artifact(registry, "team/app", sample.descriptor(), b"signed")
    size = len(registry.manifests["team/app", signature][1])
    of_that = add_artifact(
        registry, "team/app", {"mediaType": MANIFEST, "digest": signature, "size": size}, b"also signed"
    )
    pulled = fetch(referrers=True)
    collect(store)
    assert store.blobs.has(Referrers(store).of(sample.digest)[0].digest)
    assert [item.digest for item in Referrers(store).of(signature)] == [of_that]
    assert store.blobs.has(Referrers(store).of(signature)[0].digest)
    store.images.remove(pulled.image)
    collect(store)
    assert not list(store.blobs.digests())


def test_by_digest_no_tag_is_made(registry: MemoryRegistry, server: ScriptedServer, fetch: Pull) -> None:
    sample = add_image(registry, "team/app")
    pulled = fetch(f"team/app:latest@{sample.digest}")
    assert pulled.image.names == ()
    assert [str(name) for name in pulled.image.digests] == [f"{server.host}/team/app@{sample.digest}"]


def test_all_tags_are_pulled(
    store: Store, registry: MemoryRegistry, server: ScriptedServer, make_transport: Callable[..., Transport]
) -> None:
    for tag in ("one", "two"):
        add_image(registry, "team/app", tag, files=({tag: b"1"},))
    with session_for(store, make_transport) as session:
        reference = parse_reference(f"{server.host}/team/app")
        assert [item.reference.tag for item in pull_all(store, reference, session)] == ["one", "two"]


def test_digests_of_sha512_are_kept(store: Store, registry: MemoryRegistry, fetch: Pull) -> None:
    blob = gzip.compress(tar_of({"a": b"1"}), mtime=0)
    layer = {"mediaType": LAYER, "digest": sha512_of(blob), "size": len(blob)}
    registry.blobs["team/app", sha512_of(blob)] = blob
    add_image(registry, "team/app", files=({"a": b"1"},), manifest={"layers": [layer]})
    assert _files(store, fetch()) == {"a": b"1"}
    assert sha512_of(blob) in list(store.blobs.digests())


def _nothing_left(store: Store, spoiled: bytes | None = None) -> None:
    assert not store.images.list()
    assert spoiled is None or digest_of(spoiled) not in list(store.blobs.digests())
    assert all(not any(path.iterdir()) for path in store.layout.tmp.iterdir())


def test_a_blob_with_a_flipped_byte_is_never_stored(
    store: Store, registry: MemoryRegistry, server: ScriptedServer, fetch: Pull
) -> None:
    sample = add_image(registry, "team/app")
    blob = sample.layers[0]
    bad = blob[:20] + bytes([blob[20] ^ 1]) + blob[21:]
    server.fault("GET", f"/blobs/{digest_of(blob)}", Answer(200, body=bad), times=99)
    with pytest.raises((DigestMismatch, StoreError)):
        fetch()
    _nothing_left(store, blob)
    assert digest_of(bad) not in list(store.blobs.digests())


def test_a_blob_that_is_cut_off_is_taken_up_where_it_broke(
    store: Store, registry: MemoryRegistry, server: ScriptedServer, fetch: Pull
) -> None:
    sample = add_image(registry, "team/app")
    blob = sample.layers[0]
    server.fault("GET", f"/blobs/{digest_of(blob)}", Answer(200, body=blob, cut=30))
    assert _files(store, fetch()) == {"a": b"1", "b": b"2"}


def test_a_layer_that_is_not_what_its_diff_id_says_is_refused(
    store: Store, registry: MemoryRegistry, fetch: Pull
) -> None:
    add_image(registry, "team/app", files=({"a": b"1"},), diff_ids=["sha256:" + "0" * 64])
    with pytest.raises(DigestMismatch, match="layer"):
        fetch()
    _nothing_left(store)
    assert not store.snapshots.list()


def test_layers_and_diff_ids_must_be_as_many(registry: MemoryRegistry, fetch: Pull) -> None:
    add_image(registry, "team/app", diff_ids=["sha256:" + "0" * 64])
    with pytest.raises(RegistryError, match="1 diff IDs and its manifest 2 layers"):
        fetch()


def test_a_manifest_of_more_than_four_mebibytes_is_refused(registry: MemoryRegistry, fetch: Pull) -> None:
    add_image(registry, "team/app", manifest={"annotations": {"x": "y" * (4 << 20)}})
    with pytest.raises(PybuildError, match=r"4194304|4 MiB"):
        fetch()


def test_a_config_of_more_than_four_mebibytes_is_refused(registry: MemoryRegistry, fetch: Pull) -> None:
    add_image(registry, "team/app", config={"author": "y" * (4 << 20)})
    with pytest.raises(RegistryError, match="more than the"):
        fetch()


def test_an_image_of_too_many_layers_is_refused(registry: MemoryRegistry, fetch: Pull) -> None:
    add_image(registry, "team/app", files=[{"a": b"1"}] * 501)
    with pytest.raises(RegistryError, match="501 layers"):
        fetch()


def test_indexes_within_indexes_have_an_end(registry: MemoryRegistry, fetch: Pull) -> None:
    inner = add_image(registry, "team/app", "image").descriptor()
    for depth in range(5):
        data = add_index(registry, "team/app", f"level{depth}", [inner])
        inner = {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": digest_of(data), "size": len(data)}
    with pytest.raises(RegistryError, match="nested"):
        fetch("team/app:level4")
    assert fetch("team/app:level1").image


def test_a_layer_that_unpacks_to_far_more_than_it_is_is_refused(
    store: Store, registry: MemoryRegistry, fetch: Pull, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.registry.pull._ROOM", 1 << 20)
    add_image(registry, "team/app", files=({"zeros": bytes(20 << 20)},))
    with pytest.raises(StoreError, match="unpacks to more than"):
        fetch()
    _nothing_left(store)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"config": {"mediaType": "application/vnd.cncf.helm.config.v1+json"}}, "helm"),
        ({"layers": [{"mediaType": "application/vnd.wasm", "digest": "sha256:" + "1" * 64, "size": 1}]}, "wasm"),
    ],
)
def test_what_is_no_image_is_called_by_its_media_type(
    registry: MemoryRegistry, fetch: Pull, change: dict[str, object], words: str
) -> None:
    sample = json.loads(add_image(registry, "team/app").manifest)
    for key, value in change.items():
        change[key] = {**sample[key], **value} if isinstance(value, dict) else value
    add_image(registry, "team/app", manifest=change)
    with pytest.raises(RegistryError, match=f"unsupported media type '.*{words}.*': this is an artifact"):
        fetch()


def test_schema_1_is_refused_with_advice(registry: MemoryRegistry, fetch: Pull) -> None:
    data = json.dumps({"schemaVersion": 1, "name": "x", "tag": "y", "fsLayers": []}).encode()
    registry.add_manifest("team/app", "latest", "application/vnd.docker.distribution.manifest.v1+json", data)
    with pytest.raises(DocumentError, match="schema 1"):
        fetch()


def test_a_foreign_layer_comes_from_its_own_place(
    store: Store, registry: MemoryRegistry, server: ScriptedServer, serve: Callable[..., ScriptedServer], fetch: Pull
) -> None:
    blob = gzip.compress(tar_of({"a": b"1"}), mtime=0)
    elsewhere = serve(lambda _request: Answer(200, body=blob))
    layer = {
        "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "digest": digest_of(blob),
        "size": len(blob),
        "urls": [f"http://{elsewhere.host}/layer"],
    }
    add_image(registry, "team/app", files=({"a": b"1"},), manifest={"layers": [layer]})
    del registry.blobs["team/app", digest_of(blob)]
    assert _files(store, fetch()) == {"a": b"1"}


def test_a_failed_blob_stops_the_others(registry: MemoryRegistry, server: ScriptedServer, fetch: Pull) -> None:
    sample = add_image(registry, "team/app", files=[{f"f{n}": bytes([n]) * 100} for n in range(30)])
    failed = threading.Event()

    def fail(_request: Request) -> Answer:
        failed.set()
        return Answer(404)

    def hold(_request: Request) -> Answer:
        failed.wait()
        return Answer(200, body=bytes(9), cut=1, stall=1000)  # none of them would ever end

    server.fault("GET", f"/blobs/{digest_of(sample.layers[0])}", fail, times=99)
    for layer in sample.layers[1:]:
        server.fault("GET", f"/blobs/{digest_of(layer)}", hold)
    with pytest.raises(PybuildError):
        fetch()
    assert len(_blobs_asked(server)) < 30


def test_an_interruption_ends_it(store: Store, registry: MemoryRegistry, server: ScriptedServer, fetch: Pull) -> None:
    sample = add_image(registry, "team/app")

    def interrupt(_request: Request) -> Answer:
        store.context.cancel.set(2)
        return Answer(200, body=sample.layers[0], cut=5, stall=20)

    server.fault("GET", f"/blobs/{digest_of(sample.layers[0])}", interrupt)
    with pytest.raises(Cancelled):
        fetch()


def test_the_end_of_each_layer_is_told(registry: MemoryRegistry, fetch: Pull) -> None:
    sample = add_image(registry, "team/app")
    events: list[Event] = []
    fetch(progress=events.append)
    phases = [event.phase for event in events if isinstance(event, BlobProgress) and event.key == _key(sample)]
    assert phases[0] == "waiting"
    assert phases.index("downloaded") < phases.index("complete")
    assert "downloaded" in phases


def _key(sample: Sample) -> str:
    return digest_of(sample.layers[0])


def test_two_stores_do_not_share_what_they_pull(
    registry: MemoryRegistry, fetch: Pull, tmp_path: Path, context: Context
) -> None:
    add_image(registry, "team/app")
    fetch()
    layout = replace(context.layout, root=tmp_path / "other")
    with Store.open(replace(context, layout=layout)) as other:
        assert other.images.list() == ()
