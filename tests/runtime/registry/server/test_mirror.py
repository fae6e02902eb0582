"""A pull-through cache: what it asks of its upstream, what it keeps, what it says when the upstream is away."""

from __future__ import annotations

import http.client
import threading
from pathlib import Path

import pytest

from frozen import replace
from runtime.context import Context
from runtime.registry.server.serve import Settings
from tests.runtime.registry.server.clients import (
    MANIFEST,
    Client,
    StartRegistry,
    descriptor,
    digest_of,
    encode,
    image,
    served,
)

LAYER = bytes(range(256)) * (3 << 12)


@pytest.fixture
def upstream(start: StartRegistry, tmp_path: Path) -> Client:
    return start(root=tmp_path / "upstream")


@pytest.fixture
def mirror(start: StartRegistry, upstream: Client) -> Client:
    return start(Settings(mirror=upstream.url))


@pytest.fixture
def lonely(start: StartRegistry, context: Context, tmp_path: Path) -> Client:
    """A mirror that has seen `a:v` and its layer, and whose upstream is away now."""
    with served(replace(context, layout=replace(context.layout, root=tmp_path / "gone")), Settings(port=0)) as upstream:
        mirror = start(Settings(mirror=upstream.url))
        upstream.push_image("a", "v", LAYER)
        upstream.push_image("a", "unseen", b"x")
        assert mirror.get("/v2/a/manifests/v").status == 200
        assert mirror.get(f"/v2/a/blobs/{digest_of(LAYER)}").body == LAYER
    return mirror


def test_an_image_comes_through_and_stays(mirror: Client, upstream: Client) -> None:
    digest = upstream.push_image("team/app", "v", LAYER)
    answer = mirror.get("/v2/team/app/manifests/v")
    assert (answer.headers["Docker-Content-Digest"], answer.headers["Content-Type"]) == (digest, MANIFEST)
    assert mirror.get(f"/v2/team/app/blobs/{digest_of(LAYER)}").body == LAYER
    assert mirror.store.blobs.has(digest_of(LAYER))
    assert mirror.get("/v2/_catalog").json() == {"repositories": ["team/app"]}
    assert mirror.store.images.list() == ()


def test_a_tag_that_moved_upstream_moves_here(mirror: Client, upstream: Client) -> None:
    upstream.push_image("a", "v", b"1")
    mirror.get("/v2/a/manifests/v")
    second = upstream.push_image("a", "v", b"2")
    assert mirror.get("/v2/a/manifests/v").headers["Docker-Content-Digest"] == second
    upstream.call("DELETE", "/v2/a/manifests/v")
    assert mirror.get("/v2/a/manifests/v").status == 404


def test_what_was_seen_is_there_when_the_upstream_is_away(lonely: Client) -> None:
    digest = digest_of(encode(image(b"{}", LAYER)))
    for target in ("v", digest):
        assert lonely.get(f"/v2/a/manifests/{target}").headers["Docker-Content-Digest"] == digest
    assert lonely.get(f"/v2/a/blobs/{digest_of(LAYER)}", Range="bytes=5-9").body == LAYER[5:10]
    assert lonely.get("/v2/a/tags/list").json()["tags"] == ["v"]
    assert lonely.get(f"/v2/a/referrers/{digest}").json()["manifests"] == []


def test_what_was_not_seen_is_a_bad_gateway_then(lonely: Client) -> None:
    for path in ("a/manifests/unseen", f"a/blobs/{digest_of(b'x')}", "never/tags/list"):
        assert lonely.get(f"/v2/{path}").status == 502


def test_what_the_upstream_has_not_is_unknown(mirror: Client, upstream: Client) -> None:
    upstream.push_image("a", "v", b"1")
    assert mirror.get("/v2/a/manifests/none").code == "MANIFEST_UNKNOWN"
    assert mirror.get(f"/v2/a/blobs/{digest_of(b'none')}").code == "BLOB_UNKNOWN"
    assert mirror.get("/v2/none/tags/list").code == "NAME_UNKNOWN"


def test_tags_and_referrers_are_the_upstreams(mirror: Client, upstream: Client) -> None:
    digest = upstream.push_image("a", "v", b"1")
    upstream.push_image("a", "w", b"1")
    upstream.push_blob("a", b"{}")
    subject = descriptor(MANIFEST, encode(image(b"{}", b"1")))
    upstream.push_manifest("a", "sig", image(b"{}", subject=subject, artifactType="application/sig"))
    answer = mirror.get("/v2/a/tags/list?n=2")
    assert answer.json()["tags"] == ["sig", "v"]
    assert "last=v" in answer.headers["Link"]
    found = mirror.get(f"/v2/a/referrers/{digest}?artifactType=application/sig")
    assert [one["artifactType"] for one in found.json()["manifests"]] == ["application/sig"]


def test_a_head_of_a_blob_downloads_nothing(mirror: Client, upstream: Client) -> None:
    upstream.push_image("a", "v", LAYER)
    answer = mirror.call("HEAD", f"/v2/a/blobs/{digest_of(LAYER)}")
    assert (answer.status, answer.headers["Content-Length"]) == (200, str(len(LAYER)))
    assert not mirror.store.blobs.has(digest_of(LAYER))


def test_a_range_is_given_while_the_blob_downloads(mirror: Client, upstream: Client) -> None:
    upstream.push_image("a", "v", LAYER)
    answer = mirror.get(f"/v2/a/blobs/{digest_of(LAYER)}", Range="bytes=-7")
    assert (answer.status, answer.body) == (206, LAYER[-7:])


def test_many_who_want_a_blob_at_once_all_get_it(mirror: Client, upstream: Client) -> None:
    upstream.push_image("a", "v", LAYER)
    bodies: list[bytes] = []

    def pull() -> None:
        mirror.get("/v2/a/manifests/v")
        bodies.append(mirror.get(f"/v2/a/blobs/{digest_of(LAYER)}").body)

    threads = [threading.Thread(target=pull) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [body == LAYER for body in bodies] == [True] * 6


def test_a_blob_that_is_not_what_its_digest_says_is_cut_off_and_not_kept(mirror: Client, upstream: Client) -> None:
    upstream.push_image("a", "v", LAYER)
    path = upstream.store.blobs.path(digest_of(LAYER))
    path.write_bytes(LAYER[:-1] + b"?")
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        mirror.get(f"/v2/a/blobs/{digest_of(LAYER)}")
    assert not mirror.store.blobs.has(digest_of(LAYER))
    path.write_bytes(LAYER)
    assert mirror.get(f"/v2/a/blobs/{digest_of(LAYER)}").body == LAYER


def test_nothing_is_pushed_to_a_mirror(mirror: Client) -> None:
    assert mirror.call("POST", "/v2/a/blobs/uploads/", b"").code == "UNSUPPORTED"


def test_what_was_pushed_and_what_is_mirrored_do_not_meet(
    start: StartRegistry, mirror: Client, upstream: Client
) -> None:
    upstream.push_image("a", "v", b"1")
    mirror.get("/v2/a/manifests/v")
    plain = start()
    assert plain.get("/v2/a/manifests/v").status == 404
    plain.push_image("b", "v", b"1")
    assert mirror.get("/v2/_catalog").json() == {"repositories": ["a"]}
