"""What the specification says of pushing: uploads in all their forms, mounts, manifests."""

from __future__ import annotations

import errno
import http.client
import json
import os
import threading
import time
from collections.abc import Iterator

import pytest

from tests.runtime.registry.server.clients import (
    INDEX,
    LAYER,
    MANIFEST,
    Client,
    descriptor,
    digest_of,
    encode,
    image,
)

DATA = bytes(range(256)) * 40
ABSENT = "sha256:" + "0" * 64


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("data", [b"", b"x", DATA])
def test_a_blob_comes_in_with_one_post(client: Client, data: bytes, algorithm: str) -> None:
    digest = digest_of(data, algorithm)
    answer = client.call("POST", f"/v2/a/b/blobs/uploads/?digest={digest}", data)
    assert answer.status == 201
    assert answer.headers["Location"] == f"/v2/a/b/blobs/{digest}"
    assert answer.headers["Docker-Content-Digest"] == digest
    assert client.get(answer.headers["Location"]).body == data


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_blob_comes_in_with_post_and_put_whatever_algorithm_was_announced(client: Client, algorithm: str) -> None:
    place = client.begin("a")
    digest = digest_of(DATA, algorithm)
    assert client.call("PUT", f"{place}?digest={digest}", DATA).status == 201
    assert client.get(f"/v2/a/blobs/{digest}").body == DATA


def test_chunks_come_in_one_after_another(client: Client) -> None:
    place = client.begin("a")
    for first in range(0, len(DATA), 3000):
        part = DATA[first : first + 3000]
        answer = client.call("PATCH", place, part, {"Content-Range": f"{first}-{first + len(part) - 1}"})
        assert answer.status == 202
        assert answer.headers["Range"] == f"0-{first + len(part) - 1}"
        place = answer.headers["Location"]
    answer = client.call("PUT", f"{place}?digest={digest_of(DATA)}", b"")
    assert (answer.status, client.get(answer.headers["Location"]).body) == (201, DATA)


def test_the_last_chunk_may_come_with_the_put(client: Client) -> None:
    place = client.begin("a")
    client.call("PATCH", place, DATA[:100], {"Content-Range": "0-99"})
    answer = client.call(
        "PUT", f"{place}?digest={digest_of(DATA)}", DATA[100:], {"Content-Range": f"100-{len(DATA) - 1}"}
    )
    assert answer.status == 201


def test_a_stream_without_length_comes_in(client: Client) -> None:
    place = client.begin("a")

    def pieces() -> Iterator[bytes]:
        yield from (DATA[start : start + 1000] for start in range(0, len(DATA), 1000))

    assert client.call("PATCH", place, pieces()).status == 202
    assert client.call("PUT", f"{place}?digest={digest_of(DATA)}", b"").status == 201


@pytest.mark.parametrize("first", [0, 50, 99, 101, 5000])
def test_a_chunk_out_of_order_is_refused_and_the_answer_says_where_to_go_on(client: Client, first: int) -> None:
    place = client.begin("a")
    client.call("PATCH", place, DATA[:100])
    answer = client.call("PATCH", place, b"12345", {"Content-Range": f"{first}-{first + 4}"})
    assert (answer.status, answer.code, answer.headers["Range"]) == (416, "BLOB_UPLOAD_INVALID", "0-99")
    put = client.call("PUT", f"{place}?digest={ABSENT}", b"12345", {"Content-Range": f"{first}-{first + 4}"})
    assert put.status == 416
    state = client.get(answer.headers["Location"])
    assert (state.status, state.headers["Range"], state.headers["Location"]) == (204, "0-99", place)


def test_the_state_of_an_upload_can_be_asked_for(client: Client) -> None:
    place = client.begin("a")
    assert client.get(place).headers["Range"] == "0-0"
    client.call("PATCH", place, DATA)
    answer = client.get(place)
    assert (answer.status, answer.headers["Range"]) == (204, f"0-{len(DATA) - 1}")


@pytest.mark.parametrize(
    ("header", "code"), [("x", "BLOB_UPLOAD_INVALID"), ("5-0", "BLOB_UPLOAD_INVALID"), ("0-1", "SIZE_INVALID")]
)
def test_a_wrong_content_range_is_refused_and_nothing_is_taken(client: Client, header: str, code: str) -> None:
    place = client.begin("a")
    answer = client.call("PATCH", place, b"12345", {"Content-Range": header})
    assert (answer.status, answer.code) == (400, code)
    assert client.get(place).headers["Range"] == "0-0"


def test_content_that_is_not_what_its_digest_says_gets_no_name(client: Client) -> None:
    for answer in (
        client.call("POST", f"/v2/a/blobs/uploads/?digest={ABSENT}", DATA),
        client.call("PUT", f"{client.begin('a')}?digest={ABSENT}", DATA),
    ):
        assert (answer.status, answer.code) == (400, "DIGEST_INVALID")
    assert client.get(f"/v2/a/blobs/{ABSENT}").status == 404
    assert list(client.store.blobs.digests()) == []
    assert list((client.store.layout.root / "registry/uploads").iterdir()) == []


@pytest.mark.parametrize("digest", ["", "x", "sha256:abc", "md5:" + "0" * 32, "sha256:" + "A" * 64])
def test_a_digest_that_is_none_is_refused(client: Client, digest: str) -> None:
    for answer in (
        client.call("POST", f"/v2/a/blobs/uploads/?digest={digest}", DATA),
        client.call("PUT", f"{client.begin('a')}?digest={digest}", DATA),
        client.call("POST", f"/v2/a/blobs/uploads/?mount={digest}", b""),
    ):
        assert (answer.status, answer.code) == (400, "DIGEST_INVALID")


def test_an_unknown_digest_algorithm_is_refused(client: Client) -> None:
    assert client.call("POST", "/v2/a/blobs/uploads/?digest-algorithm=sha512", b"").status == 202
    answer = client.call("POST", "/v2/a/blobs/uploads/?digest-algorithm=md5", b"")
    assert (answer.status, answer.code) == (400, "DIGEST_INVALID")


def test_a_put_without_a_digest_is_refused_and_the_upload_goes_on(client: Client) -> None:
    place = client.begin("a")
    assert client.call("PUT", place, DATA).code == "DIGEST_INVALID"
    assert client.call("PUT", f"{place}?digest={digest_of(DATA)}", DATA).status == 201


def test_a_cancelled_upload_is_gone(client: Client) -> None:
    place = client.begin("a")
    client.call("PATCH", place, DATA)
    assert client.call("DELETE", place).status == 204
    for answer in (client.get(place), client.call("PATCH", place, b"x"), client.call("DELETE", place)):
        assert (answer.status, answer.code) == (404, "BLOB_UPLOAD_UNKNOWN")
    assert list((client.store.layout.root / "registry/uploads").iterdir()) == []


def test_a_finished_upload_is_gone(client: Client) -> None:
    place = client.begin("a")
    client.call("PUT", f"{place}?digest={digest_of(DATA)}", DATA)
    assert client.get(place).code == "BLOB_UPLOAD_UNKNOWN"


@pytest.mark.parametrize("upload", ["x", "..", "%2e%2e", "%2e%2e%2fx", "00000000-0000-4000-8000-000000000000"])
def test_an_upload_that_nobody_began_is_unknown(client: Client, upload: str) -> None:
    answer = client.call("PATCH", f"/v2/a/blobs/uploads/{upload}", b"x")
    assert answer.status in {400, 404}
    assert answer.code in {"BLOB_UPLOAD_UNKNOWN", "NAME_INVALID", "NAME_UNKNOWN"}


def test_an_upload_belongs_to_its_repository(client: Client) -> None:
    upload = client.begin("a").rpartition("/")[2]
    assert client.get(f"/v2/b/blobs/uploads/{upload}").code == "BLOB_UPLOAD_UNKNOWN"


def test_an_upload_whose_connection_broke_goes_on_where_it_stopped(client: Client) -> None:
    data = DATA * 400
    place = client.begin("a")
    connection = http.client.HTTPConnection(client.host, client.port)
    connection.putrequest("PATCH", place)
    connection.putheader("Content-Length", str(len(data)))
    connection.endheaders(data[: 3 << 20])
    upload = client.store.layout.root / "registry/uploads" / place.rpartition("/")[2]
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (upload.exists() and upload.stat().st_size >= 1 << 20):
        time.sleep(0.02)
    connection.close()
    answer = client.call("PATCH", place, b"x", {"Content-Range": "0-0"})  # waits for the end of the other one
    assert answer.status == 416
    there = int(answer.headers["Range"].removeprefix("0-")) + 1
    assert 1 << 20 <= there <= 3 << 20
    chunk = {"Content-Range": f"{there}-{len(data) - 1}"}
    assert client.call("PATCH", place, data[there:], chunk).status == 202
    assert client.call("PUT", f"{place}?digest={digest_of(data)}", b"").status == 201


def test_a_full_disk_is_said_and_does_not_stay_full_of_what_was_sent(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = client.begin("app")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("runtime.registry.server.uploads._write_some", full)
        answer = client.call("PATCH", place, DATA)
    assert answer.status == 507
    assert "no space left" in answer.json()["errors"][0]["message"]
    assert client.get(place).status == 404
    assert not list((client.store.layout.root / "registry" / "uploads").iterdir())
    client.push_blob("app", DATA)


def test_content_encoding_does_not_change_what_is_stored(client: Client) -> None:
    digest = digest_of(DATA)
    answer = client.call("POST", f"/v2/a/blobs/uploads/?digest={digest}", DATA, {"Content-Encoding": "gzip"})
    assert answer.status == 201


def test_a_body_is_asked_for_only_from_who_is_not_refused(client: Client) -> None:
    for name, first in (("a", b"HTTP/1.1 100"), ("UPPER", b"HTTP/1.1 400")):
        connection = http.client.HTTPConnection(client.host, client.port, timeout=60)
        connection.putrequest("POST", f"/v2/{name}/blobs/uploads/?digest={digest_of(DATA)}")
        connection.putheader("Expect", "100-continue")
        connection.putheader("Content-Length", str(len(DATA)))
        connection.endheaders()
        assert connection.sock.recv(len(first)) == first
        connection.close()


def test_equal_blobs_that_come_at_once_are_one(client: Client) -> None:
    data = bytes(3 << 20)
    digest = digest_of(data)
    answers: list[int] = []

    def push(number: int) -> None:
        answers.append(client.call("POST", f"/v2/r{number}/blobs/uploads/?digest={digest}", data).status)

    threads = [threading.Thread(target=push, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [201] * 8
    assert list(client.store.blobs.digests()) == [digest]
    assert all(client.call("HEAD", f"/v2/r{number}/blobs/{digest}").status == 200 for number in range(8))


# -- mounts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["&from=first", ""])
def test_a_blob_of_another_repository_is_mounted(client: Client, source: str) -> None:
    digest = client.push_blob("first", DATA)
    answer = client.call("POST", f"/v2/second/x/blobs/uploads/?mount={digest}{source}", b"")
    assert (answer.status, answer.headers["Location"]) == (201, f"/v2/second/x/blobs/{digest}")
    assert client.get(answer.headers["Location"]).body == DATA


@pytest.mark.parametrize("source", ["&from=other", "", "&from=..%2F..", "&from=UPPER"])
def test_what_cannot_be_mounted_is_uploaded(client: Client, source: str) -> None:
    client.push_blob("first", DATA)
    wanted = digest_of(DATA) if source else ABSENT
    answer = client.call("POST", f"/v2/second/blobs/uploads/?mount={wanted}{source}", b"")
    assert answer.status == 202
    assert client.call("PUT", f"{answer.headers['Location']}?digest={digest_of(DATA)}", DATA).status == 201


# -- manifests -----------------------------------------------------------------------------------------------------


def test_a_manifest_is_kept_byte_for_byte(client: Client) -> None:
    document = json.dumps(image(b"{}", DATA, future={"x": [1]}), indent=3).encode()
    client.push_blob("a", b"{}")
    client.push_blob("a", DATA)
    answer = client.push_manifest("a", "v1", document)
    digest = digest_of(document)
    assert answer.status == 201
    assert answer.headers["Docker-Content-Digest"] == digest
    assert answer.headers["Location"] == f"/v2/a/manifests/{digest}"
    for target in ("v1", digest):
        found = client.get(f"/v2/a/manifests/{target}")
        assert (found.status, found.body, found.headers["Content-Type"]) == (200, document, MANIFEST)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_manifest_is_pushed_by_its_digest(client: Client, algorithm: str) -> None:
    client.push_blob("a", b"{}")
    document = encode(image(b"{}"))
    digest = digest_of(document, algorithm)
    assert client.push_manifest("a", digest, document).status == 201
    assert client.get(f"/v2/a/manifests/{digest}").headers["Docker-Content-Digest"] == digest
    answer = client.push_manifest("a", ABSENT, document)
    assert (answer.status, answer.code) == (400, "DIGEST_INVALID")


def test_a_tag_moves(client: Client) -> None:
    first, second = client.push_image("a", "v", b"1"), client.push_image("a", "v", b"2")
    assert client.get("/v2/a/manifests/v").headers["Docker-Content-Digest"] == second
    assert client.get(f"/v2/a/manifests/{first}").status == 200


def test_tags_may_go_with_a_push_by_digest(client: Client) -> None:
    client.push_blob("a", b"{}")
    document = encode(image(b"{}"))
    query = "&".join(f"tag={number}" for number in range(20))
    answer = client.push_manifest("a", f"{digest_of(document)}?{query}", document)
    assert answer.headers["OCI-Tag"] == ", ".join(map(str, range(20)))
    assert len(client.get("/v2/a/tags/list").json()["tags"]) == 20
    assert client.push_manifest("a", f"{digest_of(document)}?tag=-x", document).code == "MANIFEST_INVALID"
    assert client.push_manifest("a", "t?tag=x", document).code == "MANIFEST_INVALID"


def test_a_manifest_whose_blobs_are_absent_is_refused_and_each_is_named(client: Client) -> None:
    client.push_blob("a", b"{}")
    client.push_blob("other", DATA)  # of no use: it is not this repository's
    answer = client.push_manifest("a", "v", image(b"{}", DATA, b"more"))
    assert answer.status == 404
    assert [error["code"] for error in answer.json()["errors"]] == ["MANIFEST_BLOB_UNKNOWN"] * 2
    assert {error["detail"]["digest"] for error in answer.json()["errors"]} == {digest_of(DATA), digest_of(b"more")}
    assert client.get("/v2/a/manifests/v").status == 404


def test_an_index_needs_its_manifests(client: Client) -> None:
    document = encode(image(b"{}"))
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(MANIFEST, document)]}
    assert client.push_manifest("a", "v", index).code == "MANIFEST_BLOB_UNKNOWN"
    client.push_blob("a", b"{}")
    client.push_manifest("a", digest_of(document), document)
    assert client.push_manifest("a", "v", index).status == 201
    assert client.get("/v2/a/manifests/v").headers["Content-Type"] == INDEX


def test_layers_that_lie_elsewhere_may_be_absent(client: Client) -> None:
    client.push_blob("a", b"{}")
    foreign = LAYER.replace("layer.", "layer.nondistributable.")
    document = image(b"{}") | {"layers": [descriptor(foreign, b"far", urls=["https://example.com/x"])]}
    assert client.push_manifest("a", "v", document).status == 201


@pytest.mark.parametrize(
    ("content_type", "document"),
    [
        (MANIFEST, b"no JSON"),
        (MANIFEST, b"[]"),
        (MANIFEST, b"{}"),
        (MANIFEST, b'{"schemaVersion":1}'),
        (MANIFEST, encode(image(b"{}") | {"config": None})),
        (MANIFEST, encode(image(b"{}") | {"manifests": []})),
        (MANIFEST, encode(image(b"{}") | {"config": {"mediaType": "x", "digest": "sha256:1", "size": 2}})),
        (INDEX, encode(image(b"{}"))),
        ("application/vnd.example+json", encode(image(b"{}"))),
        ("application/vnd.example+json", encode({"mediaType": "application/vnd.example+json"})),
        (MANIFEST, b"[" * 100_000),
    ],
)
def test_a_document_that_is_no_manifest_is_refused(client: Client, content_type: str, document: bytes) -> None:
    client.push_blob("a", b"{}")
    answer = client.call("PUT", "/v2/a/manifests/v", document, {"Content-Type": content_type})
    assert (answer.status, answer.code) == (400, "MANIFEST_INVALID")


@pytest.mark.parametrize("content_type", [f"{MANIFEST}; charset=utf-8", "", "application/octet-stream"])
def test_a_manifest_says_itself_what_it_is_where_the_header_does_not(client: Client, content_type: str) -> None:
    client.push_blob("a", b"{}")
    answer = client.call("PUT", "/v2/a/manifests/v", encode(image(b"{}")), {"Content-Type": content_type})
    assert answer.status == 201
    assert client.get("/v2/a/manifests/v").headers["Content-Type"] == MANIFEST


@pytest.mark.parametrize("chunked", [False, True])
def test_a_manifest_of_four_mebibytes_fits_and_a_larger_one_does_not(client: Client, chunked: bool) -> None:
    client.push_blob("a", b"{}")
    document = image(b"{}", annotations={"x": ""})
    document["annotations"] = {"x": "y" * ((4 << 20) - len(encode(document)))}
    fits, too_large = encode(document), encode(document) + b" "

    def push(data: bytes) -> int:
        body = (data[start : start + 65536] for start in range(0, len(data), 65536)) if chunked else data
        return client.call("PUT", "/v2/a/manifests/v", body, {"Content-Type": MANIFEST}).status

    assert len(fits) == 4 << 20
    assert push(fits) == 201
    assert push(too_large) == 413


@pytest.mark.parametrize("tag", [".x", "-x", "x" * 129, "a%20b", "%C3%A4"])
def test_a_manifest_gets_no_tag_that_is_none(client: Client, tag: str) -> None:
    client.push_blob("a", b"{}")
    answer = client.push_manifest("a", tag, image(b"{}"))
    assert (answer.status, answer.code) == (400, "MANIFEST_INVALID")


def test_a_tag_moves_only_on_the_conditions_that_a_client_sets(client: Client) -> None:
    first = client.push_image("a", "v", b"1")
    client.push_blob("a", b"2")
    document = encode(image(b"{}", b"2"))

    def put(**headers: str) -> int:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return client.call("PUT", "/v2/a/manifests/v", document, {"Content-Type": MANIFEST, **named}).status

    assert put(If_None_Match="*") == 412
    assert put(If_Match=f'"{ABSENT}"') == 412
    assert put(If_Match=f'"{first}"') == 201
    assert put(If_Match=f'"{first}"') == 412
