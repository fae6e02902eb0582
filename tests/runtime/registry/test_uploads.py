"""Blobs on their way out: in one piece, in chunks, mounted, and on after a cut."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable

import pytest

from runtime.errors import DigestMismatch, RegistryError
from runtime.oci.digests import Digest
from runtime.oci.references import parse_reference
from runtime.registry.client import Repository
from runtime.registry.transport import Body, Transport
from tests.runtime.registry.scripted import Answer, MemoryRegistry, Request, ScriptedServer, digest_of, error

DATA = os.urandom(1_000_000)
DIGEST = Digest(digest_of(DATA))
BODY = Body(open=lambda: io.BytesIO(DATA), size=len(DATA))


@pytest.fixture
def pushing(transport: Transport, server: ScriptedServer) -> Repository:
    return Repository(transport, parse_reference(f"{server.host}/team/app"), push=True)


def stored(registry: MemoryRegistry, digest: Digest = DIGEST) -> bytes | None:
    return registry.blobs.get(("team/app", digest))


def test_a_blob_is_uploaded_in_one_piece(pushing: Repository, registry: MemoryRegistry, server: ScriptedServer) -> None:
    seen: list[int] = []
    pushing.upload_blob(BODY, DIGEST, progress=seen.append)
    assert stored(registry) == DATA
    assert seen[-1] == len(DATA)
    assert [request.method for request in server.requests if request.path != "/v2/"] == ["POST", "PUT"]


def test_the_query_of_a_location_is_kept(pushing: Repository, server: ScriptedServer) -> None:
    pushing.upload_blob(BODY, DIGEST)
    (put,) = server.asked("PUT")
    assert put.query == {"state": "a/b", "digest": DIGEST}


@pytest.mark.parametrize("size", [0, 1, 99_999, 100_000, 100_001, 350_000])
def test_a_stream_is_uploaded_in_chunks(pushing: Repository, registry: MemoryRegistry, size: int) -> None:
    data = DATA[:size]
    digest, length = pushing.upload_stream(io.BytesIO(data), chunk=100_000)
    assert (digest, length) == (digest_of(data), size)
    assert stored(registry, digest) == data


def test_a_stream_that_gives_little_at_a_time_makes_full_chunks(
    pushing: Repository, server: ScriptedServer, registry: MemoryRegistry
) -> None:
    class Trickle(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, 7_000))

    digest, _ = pushing.upload_stream(Trickle(DATA[:250_000]), chunk=100_000)
    assert [len(request.body) for request in server.asked("PATCH")] == [100_000, 100_000, 50_000]
    assert stored(registry, digest) == DATA[:250_000]


def test_a_registry_may_want_larger_chunks(
    pushing: Repository, server: ScriptedServer, registry: MemoryRegistry
) -> None:
    def with_least(request: Request) -> Answer:
        answer = registry(request)
        answer.headers["OCI-Chunk-Min-Length"] = "200000"
        return answer

    server.fault("POST", "uploads", with_least)
    pushing.upload_stream(io.BytesIO(DATA[:450_000]), chunk=100_000)
    assert [len(request.body) for request in server.asked("PATCH")] == [200_000, 200_000, 50_000]


def test_sha512_is_announced(pushing: Repository, server: ScriptedServer) -> None:
    server.fault("PUT", "uploads", Answer(201))
    digest, _ = pushing.upload_stream(io.BytesIO(DATA), chunk=300_000, algorithm="sha512")
    assert digest == "sha512:" + hashlib.sha512(DATA).hexdigest()
    assert server.asked("POST")[0].query == {"digest-algorithm": "sha512"}


@pytest.mark.parametrize("answer", [Answer(drop=True), error(503, "X", "later"), error(500, "X", "broken")])
def test_an_upload_that_failed_is_done_again(
    pushing: Repository, registry: MemoryRegistry, server: ScriptedServer, answer: Answer
) -> None:
    server.fault("PUT", "uploads", answer, times=2)
    pushing.upload_blob(BODY, DIGEST)
    assert stored(registry) == DATA


def test_an_upload_goes_on_where_it_broke(
    pushing: Repository, registry: MemoryRegistry, server: ScriptedServer
) -> None:
    def half(request: Request) -> Answer:
        key = request.path.rpartition("/")[2]
        registry.uploads[key] = request.body[:400_000]
        return Answer(drop=True)

    server.fault("PUT", "uploads", half)
    pushing.upload_blob(BODY, DIGEST)
    assert stored(registry) == DATA
    (patch,) = server.asked("PATCH")
    assert patch.headers["content-range"] == f"400000-{len(DATA) - 1}"
    assert patch.body == DATA[400_000:]


def test_an_upload_that_arrived_whole_though_its_answer_did_not_is_only_closed(
    pushing: Repository, server: ScriptedServer, registry: MemoryRegistry
) -> None:
    def arrived(request: Request) -> Answer:
        registry.uploads[request.path.rpartition("/")[2]] = request.body
        return Answer(drop=True)

    server.fault("PUT", "uploads", arrived)
    pushing.upload_blob(BODY, DIGEST)
    assert stored(registry) == DATA
    assert not server.asked("PATCH")
    assert [len(request.body) for request in server.asked("PUT")] == [len(DATA), 0]


def test_an_upload_that_the_registry_forgot_begins_anew(
    pushing: Repository, registry: MemoryRegistry, server: ScriptedServer
) -> None:
    def forget(_: Request) -> Answer:
        registry.uploads.clear()
        return Answer(drop=True)

    server.fault("PUT", "uploads", forget)
    pushing.upload_blob(BODY, DIGEST)
    assert stored(registry) == DATA
    assert len(server.asked("POST")) == 2


def test_a_chunk_that_was_cut_is_sent_again_from_where_it_broke(
    pushing: Repository, registry: MemoryRegistry, server: ScriptedServer
) -> None:
    def half(request: Request) -> Answer:
        registry.uploads[request.path.rpartition("/")[2]] += request.body[:30_000]
        return Answer(drop=True)

    server.fault("PATCH", "uploads", half)
    server.fault("PATCH", "uploads", Answer(drop=True))
    digest, _ = pushing.upload_stream(io.BytesIO(DATA[:250_000]), chunk=100_000)
    assert stored(registry, digest) == DATA[:250_000]


def test_a_chunk_that_arrived_though_its_answer_did_not_is_not_sent_again(
    pushing: Repository, registry: MemoryRegistry, server: ScriptedServer
) -> None:
    def lost(request: Request) -> Answer:
        registry(request)
        return Answer(drop=True)

    server.fault("PATCH", "uploads", lost)
    digest, _ = pushing.upload_stream(io.BytesIO(DATA[:150_000]), chunk=100_000)
    assert stored(registry, digest) == DATA[:150_000]
    assert [len(request.body) for request in server.asked("PATCH")] == [100_000, 50_000]


def test_a_stream_whose_beginning_was_lost_cannot_go_on(
    pushing: Repository, registry: MemoryRegistry, server: ScriptedServer
) -> None:
    def forget(_: Request) -> Answer:
        registry.uploads.clear()
        return Answer(drop=True)

    server.fault("PATCH", "uploads", forget)
    with pytest.raises(RegistryError, match="lost the beginning"):
        pushing.upload_stream(io.BytesIO(DATA), chunk=300_000)


class Grown:
    """A blob that somebody makes, 70,000 bytes more at each look."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._there = 0

    def reach(self, size: int) -> int:
        while self._there < min(size, len(self._data)):
            self._there = min(self._there + 70_000, len(self._data))
        return self._there

    def part(self, offset: int, size: int) -> Body:
        assert offset + size <= self._there
        return Body(open=lambda: io.BytesIO(self._data[offset : offset + size]), size=size)

    def digest(self) -> Digest:
        assert self._there == len(self._data)
        return Digest(digest_of(self._data))


@pytest.mark.parametrize("size", [0, 1, 70_000, 99_999, 100_000, 250_000, 300_000])
def test_what_is_still_made_is_uploaded_as_it_grows(
    pushing: Repository, registry: MemoryRegistry, server: ScriptedServer, size: int
) -> None:
    told: list[int] = []
    digest = pushing.upload_growing(Grown(DATA[:size]), chunk=100_000, progress=told.append)
    assert stored(registry, digest) == DATA[:size]
    assert sum(len(request.body) for request in (*server.asked("PATCH"), *server.asked("PUT"))) == size
    assert told == sorted(told)
    assert not size or told[-1] == size


def test_of_what_is_still_made_only_what_was_cut_is_sent_again(
    pushing: Repository, registry: MemoryRegistry, server: ScriptedServer
) -> None:
    def half(request: Request) -> Answer:
        registry.uploads[request.path.rpartition("/")[2]] += request.body[:30_000]
        return Answer(drop=True)

    server.fault("PATCH", "uploads", half)
    server.fault("PATCH", "uploads", Answer(drop=True))
    digest = pushing.upload_growing(Grown(DATA[:250_000]), chunk=100_000)
    assert stored(registry, digest) == DATA[:250_000]
    assert len(server.asked("PATCH")[2].body) == 140_000 - 30_000


@pytest.mark.parametrize("times", [1, 2])
def test_what_is_still_made_is_begun_anew_once_where_the_registry_lost_it(
    pushing: Repository, registry: MemoryRegistry, server: ScriptedServer, times: int
) -> None:
    def forget(_: Request) -> Answer:
        registry.uploads.clear()
        return Answer(drop=True)

    server.fault("PATCH", "uploads", forget, times=times)
    if times > 1:
        with pytest.raises(RegistryError, match="lost the beginning"):
            pushing.upload_growing(Grown(DATA), chunk=300_000)
    else:
        digest = pushing.upload_growing(Grown(DATA), chunk=300_000)
        assert stored(registry, digest) == DATA


def test_a_commit_whose_answer_was_lost_is_one(
    pushing: Repository, registry: MemoryRegistry, server: ScriptedServer
) -> None:
    def lost(request: Request) -> Answer:
        registry(request)
        return Answer(drop=True)

    server.fault("PUT", "uploads", lost)
    digest, _ = pushing.upload_stream(io.BytesIO(DATA), chunk=300_000)
    assert stored(registry, digest) == DATA


def test_a_registry_that_never_takes_a_blob_is_given_up(pushing: Repository, server: ScriptedServer) -> None:
    server.fault("PUT", "uploads", error(502, "X", "bad gateway"), times=1000)
    with pytest.raises(RegistryError, match="bad gateway"):
        pushing.upload_blob(BODY, DIGEST)
    assert len(server.asked("PUT")) <= 8


def test_a_refused_digest_is_told(pushing: Repository) -> None:
    with pytest.raises(RegistryError, match="did not match"):
        pushing.upload_blob(BODY, Digest("sha256:" + "0" * 64))


def test_a_registry_that_stores_something_else_is_found_out(pushing: Repository, server: ScriptedServer) -> None:
    server.fault("PUT", "uploads", Answer(201, {"Docker-Content-Digest": "sha256:" + "1" * 64}))
    with pytest.raises(DigestMismatch):
        pushing.upload_blob(BODY, DIGEST)


def test_a_file_that_shrank_is_told_and_not_tried_again(pushing: Repository, server: ScriptedServer) -> None:
    with pytest.raises(RegistryError, match="before its time"):
        pushing.upload_blob(Body(open=lambda: io.BytesIO(DATA[:500]), size=len(DATA)), DIGEST)
    assert len(server.asked("PUT")) <= 1


def test_a_mounted_blob_is_not_uploaded(pushing: Repository, registry: MemoryRegistry, server: ScriptedServer) -> None:
    registry.add_blob("team/base", DATA)
    assert pushing.mount_blob(DIGEST, "team/base")
    assert stored(registry) == DATA
    assert not server.asked("PUT")


def test_an_upload_in_place_of_a_mount_is_used(pushing: Repository, server: ScriptedServer) -> None:
    assert not pushing.mount_blob(DIGEST, "team/base")
    pushing.upload_blob(BODY, DIGEST)
    assert len(server.asked("POST")) == 1


def test_a_mount_that_is_forbidden_is_none(pushing: Repository, server: ScriptedServer) -> None:
    server.fault("POST", "uploads", error(403, "DENIED", "not yours"))
    assert not pushing.mount_blob(DIGEST, "other/secret")


def test_a_denied_push_is_told_in_dockers_words(pushing: Repository, server: ScriptedServer) -> None:
    server.fault("POST", "uploads", error(403, "DENIED", "no"), times=9)
    with pytest.raises(RegistryError, match=r"denied: requested access to .*/team/app is denied") as caught:
        pushing.upload_blob(BODY, DIGEST)
    assert "pybuild login" in str(caught.value.hint)


def test_a_location_elsewhere_gets_the_content_and_no_token(
    pushing: Repository, server: ScriptedServer, serve: Callable[..., ScriptedServer]
) -> None:
    elsewhere = serve(lambda _: Answer(201))
    server.fault("POST", "uploads", Answer(202, {"Location": f"http://{elsewhere.host}/put?sig=1"}))
    pushing.upload_blob(BODY, DIGEST)
    (put,) = elsewhere.asked("PUT")
    assert put.body == DATA
    assert "authorization" not in put.headers


@pytest.mark.parametrize("location", [None, "file:///x", "http://[", "http://x:y@z/"])
def test_an_upload_needs_a_location(pushing: Repository, server: ScriptedServer, location: str | None) -> None:
    server.fault("POST", "uploads", Answer(202, {"Location": location} if location else {}))
    with pytest.raises(RegistryError):
        pushing.upload_blob(BODY, DIGEST)
