"""Local images, shown read-only beside what was pushed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence

import pytest

from runtime.context import Context
from runtime.oci.digests import ChainID, DiffID
from runtime.oci.documents import ImageConfig
from runtime.oci.references import parse_reference
from runtime.registry.server.serve import Settings
from runtime.store import Store
from runtime.store.images import Image
from tests.runtime.registry.server.clients import Client, StartRegistry, digest_of


def record(store: Store, layers: Sequence[Mapping[str, bytes]], *names: str) -> Image:
    """Record an image of files."""
    diff_ids: list[DiffID] = []
    parent: ChainID | None = None
    for layer in layers:
        with store.snapshots.prepare(parent) as preparation:
            for path, content in layer.items():
                (preparation.upperdir / path).write_bytes(content)
                os.utime(preparation.upperdir / path, (1, 1))
            snapshot = preparation.commit(preparation.measure())
        diff_ids.append(snapshot.diff_id)
        parent = snapshot.chain_id
    config = ImageConfig(architecture="amd64", os="linux", diff_ids=tuple(diff_ids))
    return store.images.record(config.encode(), [parse_reference(name).tagged() for name in names])


@pytest.fixture
def client(start: StartRegistry, context: Context) -> Client:
    """A registry that shows all images; the name of one is none that a repository can have."""
    with Store.open(context) as store:  # not the registry's, which lets collections pass at any time
        record(store, [{"a": b"1"}, {"b": b"2"}], "app", "localhost/own:x")
        record(store, [{"a": b"1"}], "app:2", "team/tool", "example.com:5000/app")
    return start(Settings(local="*"))


def test_local_images_are_listed_under_their_familiar_names(client: Client) -> None:
    assert client.get("/v2/_catalog").json() == {"repositories": ["app", "localhost/own", "team/tool"]}
    for name in ("app", "library/app", "docker.io/library/app"):
        assert client.get(f"/v2/{name}/tags/list").json()["tags"] == ["2", "latest"]
    assert client.get("/v2/tea/tags/list").status == 404


def test_a_local_image_is_pulled_and_its_layers_are_compressed_once(client: Client) -> None:
    before = set(client.store.blobs.digests())
    answer = client.get("/v2/app/manifests/latest")
    manifest = answer.json()
    assert digest_of(answer.body) == answer.headers["Docker-Content-Digest"]
    assert client.get(f"/v2/app/manifests/{answer.headers['Docker-Content-Digest']}").body == answer.body
    for blob in (manifest["config"], *manifest["layers"]):
        data = client.get(f"/v2/app/blobs/{blob['digest']}").body
        assert (digest_of(data), len(data)) == (blob["digest"], blob["size"])
    made = set(client.store.blobs.digests()) - before
    assert made == {answer.headers["Docker-Content-Digest"], *(layer["digest"] for layer in manifest["layers"])}
    assert client.get("/v2/app/manifests/latest").body == answer.body
    assert set(client.store.blobs.digests()) - before == made


def test_a_repository_shows_the_blobs_of_its_own_images_alone(client: Client) -> None:
    layer = client.get("/v2/app/manifests/latest").json()["layers"][1]["digest"]
    assert client.call("HEAD", f"/v2/app/blobs/{layer}").status == 200
    assert client.call("HEAD", f"/v2/team/tool/blobs/{layer}").status == 404


def test_local_images_are_not_changed(client: Client) -> None:
    answer = client.get("/v2/app/manifests/latest")
    digest, layer = answer.headers["Docker-Content-Digest"], answer.json()["layers"][0]["digest"]
    for path in ("manifests/latest", f"manifests/{digest}", f"blobs/{layer}"):
        assert client.call("DELETE", f"/v2/app/{path}").code == "UNSUPPORTED"


def test_a_push_to_the_name_of_a_local_image_does_not_move_it(client: Client) -> None:
    image = client.store.images.require("app")
    digest = client.push_image("app", "latest", b"1")
    assert client.store.images.require("app").id == image.id
    assert client.get("/v2/app/manifests/latest").headers["Docker-Content-Digest"] == digest
    assert client.get("/v2/app/tags/list").json()["tags"] == ["2", "latest"]
    client.call("DELETE", "/v2/app/manifests/latest")
    assert client.get("/v2/app/manifests/latest").headers["Docker-Content-Digest"] != digest


def test_a_local_layer_is_mounted_by_a_push(client: Client) -> None:
    layer = client.get("/v2/app/manifests/latest").json()["layers"][0]["digest"]
    answer = client.call("POST", f"/v2/new/blobs/uploads/?mount={layer}&from=app", b"")
    assert answer.status == 201
    assert client.call("HEAD", f"/v2/new/blobs/{layer}").status == 200


@pytest.mark.parametrize(
    ("pattern", "names"),
    [("app", ["app"]), ("team/*", ["team/tool"]), ("*:2", ["app"]), ("none", []), ("localhost/*", ["localhost/own"])],
)
def test_a_pattern_chooses_what_is_shown(client: Client, start: StartRegistry, pattern: str, names: list[str]) -> None:
    chosen = start(Settings(local=pattern))
    assert chosen.get("/v2/_catalog").json() == {"repositories": names}
    status = chosen.get("/v2/app/manifests/latest").status
    assert status == (200 if pattern == "app" else 404)


def test_without_the_flag_nothing_local_is_seen(client: Client, start: StartRegistry) -> None:
    client.get("/v2/app/manifests/latest")
    plain = start()
    assert plain.get("/v2/_catalog").json() == {"repositories": []}
    assert plain.get("/v2/app/manifests/latest").status == 404
    blob = next(iter(plain.store.blobs.digests()))
    assert plain.get(f"/v2/app/blobs/{blob}").status == 404
    assert plain.call("POST", f"/v2/x/blobs/uploads/?mount={blob}", b"").status == 202


def test_pages_go_through_both_kinds(client: Client) -> None:
    client.push_image("between", "v")
    assert client.get("/v2/_catalog?n=2").json() == {"repositories": ["app", "between"]}
    answer = client.get("/v2/_catalog?n=2&last=between")
    assert answer.json() == {"repositories": ["localhost/own", "team/tool"]}
    assert answer.headers["Link"] is None


def test_an_image_that_is_removed_is_gone(client: Client) -> None:
    client.get("/v2/app/manifests/2")
    client.store.images.remove(client.store.images.require("app:2"))
    assert client.get("/v2/app/manifests/2").status == 404
    assert client.get("/v2/app/tags/list").json()["tags"] == ["latest"]


def test_a_config_is_served_as_it_is(client: Client) -> None:
    manifest = json.loads(client.get("/v2/team/tool/manifests/latest").body)
    data = client.get(f"/v2/team/tool/blobs/{manifest['config']['digest']}").body
    assert f"sha256:{hashlib.sha256(data).hexdigest()}" == client.store.images.require("team/tool").id
