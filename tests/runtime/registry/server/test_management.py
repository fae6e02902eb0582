"""What the specification says of content management, and what becomes of the content."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest

from runtime.registry.server.records import LIFETIME, Records
from runtime.registry.server.serve import Settings
from runtime.registry.server.storage import Storage
from runtime.registry.server.uploads import Uploads
from runtime.registry.server.workers import Workers
from runtime.store import Store
from runtime.store.collect import collect
from runtime.store.projection import expected_index
from tests.runtime.registry.server.clients import Client, StartRegistry, digest_of, encode, image

ABSENT = "sha256:" + "0" * 64


def eventually(said: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + 60
    while not said():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_tag_is_deleted_alone(client: Client) -> None:
    digest = client.push_image("a", "v")
    client.push_image("a", "w")
    assert client.call("DELETE", "/v2/a/manifests/v").status == 202
    assert client.get("/v2/a/manifests/v").status == 404
    assert client.get("/v2/a/tags/list").json()["tags"] == ["w"]
    assert client.get(f"/v2/a/manifests/{digest}").status == 200


def test_a_manifest_is_deleted_with_its_tags(client: Client) -> None:
    digest = client.push_image("a", "v", b"1")
    client.push_image("a", "w", b"1")
    client.push_image("a", "other", b"2")
    assert client.call("DELETE", f"/v2/a/manifests/{digest}").status == 202
    assert client.get("/v2/a/tags/list").json()["tags"] == ["other"]
    for target in (digest, "v", "w"):
        assert client.get(f"/v2/a/manifests/{target}").code == "MANIFEST_UNKNOWN"


def test_a_blob_is_deleted_from_one_repository(client: Client) -> None:
    digest = client.push_blob("a", b"x")
    client.push_blob("b", b"x")
    assert client.call("DELETE", f"/v2/a/blobs/{digest}").status == 202
    assert client.get(f"/v2/a/blobs/{digest}").code == "BLOB_UNKNOWN"
    assert client.get(f"/v2/b/blobs/{digest}").body == b"x"
    assert client.call("DELETE", f"/v2/a/blobs/{digest}").status == 404


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        (f"a/manifests/{ABSENT}", 404, "MANIFEST_UNKNOWN"),
        ("a/manifests/none", 404, "MANIFEST_UNKNOWN"),
        (f"none/manifests/{ABSENT}", 404, "NAME_UNKNOWN"),
        ("a/manifests/sha256:x", 400, "DIGEST_INVALID"),
        (f"a/blobs/{ABSENT}", 404, "BLOB_UNKNOWN"),
        ("a/blobs/x", 400, "DIGEST_INVALID"),
    ],
)
def test_what_is_not_there_is_not_deleted(client: Client, path: str, status: int, code: str) -> None:
    client.push_image("a", "v")
    answer = client.call("DELETE", f"/v2/{path}")
    assert (answer.status, answer.code) == (status, code)


def test_what_is_deleted_leaves_the_disk_while_the_registry_serves(client: Client) -> None:
    kept, doomed = client.push_image("a", "kept", b"1", b"2"), client.push_image("a", "doomed", b"2", b"3")
    assert client.call("DELETE", f"/v2/a/manifests/{doomed}").status == 202
    assert client.call("DELETE", f"/v2/a/blobs/{digest_of(b'3')}").status == 202
    eventually(lambda: not client.store.blobs.has(digest_of(b"3")))
    there = set(client.store.blobs.digests())
    assert there == {kept, digest_of(b"{}"), digest_of(b"1"), digest_of(b"2")}
    assert client.get("/v2/a/manifests/kept").status == 200


def test_blobs_of_a_deleted_manifest_can_be_deleted_one_by_one_or_go_by_themselves(client: Client) -> None:
    digest = client.push_image("a", "v", b"1", b"2")
    client.call("DELETE", f"/v2/a/manifests/{digest}")
    assert client.call("DELETE", f"/v2/a/blobs/{digest_of(b'1')}").status == 202
    records = Records(client.store)
    assert records.drop_unreferenced(time.time_ns() - LIFETIME) == 0
    assert records.drop_unreferenced(time.time_ns() - LIFETIME + (31 * 10**9)) == 2
    assert client.get(f"/v2/a/blobs/{digest_of(b'2')}").status == 404


def test_a_blob_that_was_asked_for_since_stays_for_the_push_under_way(client: Client) -> None:
    digest = client.push_image("a", "v", b"1")
    assert client.call("HEAD", f"/v2/a/blobs/{digest_of(b'1')}").status == 200
    client.call("DELETE", f"/v2/a/manifests/{digest}")
    Records(client.store).drop_unreferenced(time.time_ns() - LIFETIME + (31 * 10**9))
    assert client.get(f"/v2/a/blobs/{digest_of(b'1')}").body == b"1"


def test_a_collection_by_another_command_keeps_what_was_pushed(client: Client) -> None:
    client.push_image("a", "v", b"1")
    place = client.begin("a")
    client.call("PATCH", place, b"12345")
    with Store.open(client.store.context) as other:
        stray = other.blobs.put(b"stray")
        collect(other)
        assert not other.blobs.has(stray)
    assert client.get(f"/v2/a/blobs/{digest_of(b'1')}").body == b"1"
    assert client.call("PUT", f"{place}?digest={digest_of(b'12345')}", b"").status == 201


def test_what_is_pushed_is_no_image_and_moves_no_name(client: Client) -> None:
    client.push_image("app", "latest", b"1")
    assert client.store.images.list() == ()
    assert b'"manifests":[]' in expected_index(client.store)


def test_content_stays_when_the_registry_stops(start: StartRegistry, client: Client) -> None:
    client.push_image("a", "v", b"1")
    again = start()
    assert again.get("/v2/_catalog").json() == {"repositories": ["a"]}
    assert again.get(f"/v2/a/blobs/{digest_of(b'1')}").body == b"1"


def test_unreferenced_blobs_go_after_their_time(client: Client) -> None:
    client.push_image("a", "v", b"1")
    lonely = client.push_blob("a", b"lonely")
    records = Records(client.store)
    assert records.drop_unreferenced(0) == 0
    assert records.drop_unreferenced(time.time_ns() + 1) == 1
    assert client.get(f"/v2/a/blobs/{lonely}").status == 404
    assert client.get(f"/v2/a/blobs/{digest_of(b'1')}").status == 200


def test_a_manifest_that_nobody_asked_for_is_dropped_from_a_cache(client: Client) -> None:
    digest = client.push_image("a", "v", b"1")
    records = Records(client.store)
    records.touch_manifest("a", digest)
    assert records.drop_unused(0) == 0
    assert records.drop_unused(time.time_ns() + 1) == 1
    assert client.get("/v2/a/manifests/v").status == 404


def test_a_read_only_registry_refuses_every_change(start: StartRegistry) -> None:
    start().push_image("a", "v", b"1")
    client = start(Settings(read_only=True))
    digest = digest_of(b"1")
    for method, path in (
        ("POST", "a/blobs/uploads/"),
        ("PUT", "a/manifests/v"),
        ("DELETE", "a/manifests/v"),
        ("DELETE", f"a/blobs/{digest}"),
        ("PATCH", "a/blobs/uploads/00000000-0000-4000-8000-000000000000"),
    ):
        answer = client.call(method, f"/v2/{path}", b"")
        assert (answer.status, answer.code) == (405, "UNSUPPORTED")
    assert client.get("/v2/a/manifests/v").status == 200


def test_a_blob_that_has_gone_from_the_disk_is_unknown(client: Client) -> None:
    client.push_image("a", "v", b"1")
    client.store.blobs.path(digest_of(b"1")).unlink()
    client.store.blobs.path(digest_of(encode(image(b"{}", b"1")))).unlink()
    assert client.get(f"/v2/a/blobs/{digest_of(b'1')}").code == "BLOB_UNKNOWN"
    assert client.get("/v2/a/manifests/v").code == "MANIFEST_UNKNOWN"


def test_an_upload_to_which_nothing_came_for_a_day_ends(client: Client) -> None:
    left, current = client.begin("a"), client.begin("a")
    for place in (left, current):
        assert client.call("PATCH", place, b"half").status == 202
    directory = client.store.layout.root / "registry" / "uploads"
    long_ago = time.time_ns() - LIFETIME - 10**9
    with client.store.database.write() as connection:
        connection.execute("UPDATE registry_uploads SET started = ?", (long_ago,))
    os.utime(directory / left.rpartition("/")[2], ns=(long_ago, long_ago))
    with Workers() as workers:
        Uploads(Storage(client.store), workers).sweep(time.time_ns() - LIFETIME)
    assert client.get(left).code == "BLOB_UPLOAD_UNKNOWN"
    assert client.get(current).headers["Range"] == "0-3"
    assert [path.name for path in directory.iterdir()] == [current.rpartition("/")[2]]
