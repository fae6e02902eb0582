"""What the specification says of pulling: blobs, ranges of them, manifests, and what is refused."""

from __future__ import annotations

import pytest

from tests.runtime.registry.server.clients import MANIFEST, Answer, Client, digest_of, encode, image

DATA = bytes(range(256)) * 8
ABSENT = "sha256:" + "0" * 64


def test_the_base_says_that_the_protocol_is_spoken(client: Client) -> None:
    for path in ("/v2/", "/v2"):
        answer = client.get(path)
        assert (answer.status, answer.headers["Docker-Distribution-Api-Version"]) == (200, "registry/2.0")


def test_a_blob_is_given_with_its_digest_and_size(client: Client) -> None:
    digest = client.push_blob("a", DATA)
    for method, body in (("GET", DATA), ("HEAD", b"")):
        answer = client.call(method, f"/v2/a/blobs/{digest}")
        assert (answer.status, answer.body) == (200, body)
        assert answer.headers["Content-Length"] == str(len(DATA))
        assert answer.headers["Docker-Content-Digest"] == digest
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["ETag"] == f'"{digest}"'
        assert answer.headers["Accept-Ranges"] == "bytes"


def test_a_digest_may_be_percent_encoded(client: Client) -> None:
    digest = client.push_blob("a", DATA)
    assert client.get(f"/v2/a/blobs/{digest.replace(':', '%3A')}").body == DATA


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=500-1499", 500, 1499),
        ("bytes=500-", 500, 2047),
        ("bytes=-500", 1548, 2047),
        ("bytes=-5000", 0, 2047),
        ("bytes=2000-5000", 2000, 2047),
        ("Bytes=1-2", 1, 2),
    ],
)
def test_a_range_of_a_blob_is_given(client: Client, wanted: str, first: int, last: int) -> None:
    digest = client.push_blob("a", DATA)
    answer = client.get(f"/v2/a/blobs/{digest}", Range=wanted)
    assert (answer.status, answer.body) == (206, DATA[first : last + 1])
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/2048"
    head = client.call("HEAD", f"/v2/a/blobs/{digest}", headers={"Range": wanted})
    assert head.headers["Content-Length"] == str(last - first + 1)


@pytest.mark.parametrize("wanted", ["bytes=2048-", "bytes=5000-10000", "bytes=-0", "bytes=500-0"])
def test_a_range_that_is_not_there_is_refused_with_the_size(client: Client, wanted: str) -> None:
    digest = client.push_blob("a", DATA)
    answer = client.get(f"/v2/a/blobs/{digest}", Range=wanted)
    assert (answer.status, answer.headers["Content-Range"]) == (416, "bytes */2048")


@pytest.mark.parametrize("wanted", ["x", "bytes", "bytes=-", "lines=1-2", "bytes=1-2,5-6", "bytes=a-b"])
def test_a_range_that_is_not_understood_gives_the_whole(client: Client, wanted: str) -> None:
    digest = client.push_blob("a", DATA)
    answer = client.get(f"/v2/a/blobs/{digest}", Range=wanted)
    assert (answer.status, answer.body) == (200, DATA)


def test_a_range_on_the_condition_of_other_content_gives_the_whole(client: Client) -> None:
    digest = client.push_blob("a", DATA)
    same = client.get(f"/v2/a/blobs/{digest}", Range="bytes=0-1", If_Range=f'"{digest}"')
    other = client.get(f"/v2/a/blobs/{digest}", Range="bytes=0-1", If_Range=f'"{ABSENT}"')
    assert (same.status, other.status, other.body) == (206, 200, DATA)


def test_any_range_of_an_empty_blob_is_refused_and_the_whole_is_empty(client: Client) -> None:
    digest = client.push_blob("a", b"")
    assert client.get(f"/v2/a/blobs/{digest}").body == b""
    assert client.get(f"/v2/a/blobs/{digest}", Range="bytes=0-").status == 416


def test_who_has_the_content_does_not_get_it_again(client: Client) -> None:
    manifest = client.push_image("a", "v", DATA)
    for path, digest in ((f"/v2/a/blobs/{digest_of(DATA)}", digest_of(DATA)), ("/v2/a/manifests/v", manifest)):
        for tags in (f'"{digest}"', f'"x", W/"{digest}"', "*"):
            answer = client.get(path, If_None_Match=tags)
            assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", f'"{digest}"')
        assert client.get(path, If_None_Match='"x"').status == 200


def test_a_manifest_is_given_by_tag_and_digest(client: Client) -> None:
    digest = client.push_image("a", "v", DATA)
    for target in ("v", digest):
        for method in ("GET", "HEAD"):
            answer = client.call(method, f"/v2/a/manifests/{target}", headers={"Accept": "text/html"})
            assert (answer.status, answer.headers["Content-Type"]) == (200, MANIFEST)
            assert answer.headers["Docker-Content-Digest"] == digest
            assert answer.headers["Content-Length"] == str(len(encode(image(b"{}", DATA))))


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        (f"a/blobs/{ABSENT}", 404, "BLOB_UNKNOWN"),
        (f"none/blobs/{ABSENT}", 404, "BLOB_UNKNOWN"),
        (f"a/manifests/{ABSENT}", 404, "MANIFEST_UNKNOWN"),
        ("a/manifests/none", 404, "MANIFEST_UNKNOWN"),
        ("none/manifests/v", 404, "MANIFEST_UNKNOWN"),
        ("a/manifests/.INVALID_MANIFEST_NAME", 404, "MANIFEST_UNKNOWN"),
        ("a/manifests/sha256:baddigeststring", 400, "DIGEST_INVALID"),
        ("a/blobs/sha256:baddigeststring", 400, "DIGEST_INVALID"),
        ("a/blobs/x", 400, "DIGEST_INVALID"),
        ("none/tags/list", 404, "NAME_UNKNOWN"),
        ("a/referrers/x", 400, "DIGEST_INVALID"),
        ("UPPER/manifests/v", 400, "NAME_INVALID"),
        ("a//b/manifests/v", 400, "NAME_INVALID"),
        ("a/../b/manifests/v", 400, "NAME_INVALID"),
        ("..%2F..%2Fetc/manifests/v", 400, "NAME_INVALID"),
        ("a%00/manifests/v", 400, "NAME_INVALID"),
        ("a/" * 200 + "a/manifests/v", 400, "NAME_INVALID"),
        ("a/b", 404, "NAME_UNKNOWN"),
        ("../../etc/passwd", 404, "NAME_UNKNOWN"),
        ("a/" * 2000 + "manifests/v", 414, "NAME_INVALID"),
    ],
)
def test_what_cannot_be_had_is_refused_in_the_words_of_the_specification(
    client: Client, path: str, status: int, code: str
) -> None:
    client.push_image("a", "v")
    answer = client.get(f"/v2/{path}")
    assert (answer.status, answer.code) == (status, code)
    assert answer.headers["Content-Type"] == "application/json"
    assert client.call("HEAD", f"/v2/{path}").status == status


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "", "GET, HEAD"),
        ("DELETE", "_catalog", "GET, HEAD"),
        ("PUT", "a/tags/list", "GET, HEAD"),
        ("POST", f"a/referrers/{ABSENT}", "GET, HEAD"),
        ("PUT", f"a/blobs/{ABSENT}", "GET, HEAD, DELETE"),
        ("PATCH", "a/manifests/v", "GET, HEAD, PUT, DELETE"),
        ("GET", "a/blobs/uploads/", "POST"),
        ("POST", "a/blobs/uploads/x", "GET, HEAD, PATCH, PUT, DELETE"),
        ("OPTIONS", "", "GET, HEAD"),
    ],
)
def test_a_method_that_is_not_for_a_path_is_refused(client: Client, method: str, path: str, allowed: str) -> None:
    answer: Answer = client.call(method, f"/v2/{path}")
    assert (answer.status, answer.code, answer.headers["Allow"]) == (405, "UNSUPPORTED", allowed)


def test_paths_outside_the_protocol_are_nothing(client: Client) -> None:
    for path in ("//", "/?n=1", "/v1/", "/v2x", "/etc/passwd", "//v2/", "/v2/../state.db"):
        assert client.get(path).status == 404


def test_repositories_may_be_named_like_parts_of_the_protocol(client: Client) -> None:
    for name in ("a/blobs", "a/manifests", "tags", "a/tags/list", "blobs/uploads"):
        digest = client.push_image(name, "v", DATA)
        assert client.get(f"/v2/{name}/manifests/v").headers["Docker-Content-Digest"] == digest
        assert client.get(f"/v2/{name}/tags/list").json() == {"name": name, "tags": ["v"]}
        assert client.get(f"/v2/{name}/blobs/{digest_of(DATA)}").body == DATA
