"""Blobs on their way here: bounded, verified, resumed."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable

import pytest

from frozen import replace
from runtime.context import Context
from runtime.errors import Cancelled, DigestMismatch, NotFound, RegistryError
from runtime.oci.digests import Digest
from runtime.oci.references import parse_reference
from runtime.registry.client import BlobStream, Repository
from runtime.registry.transport import ConnectionCut, Transport
from tests.runtime.registry.conftest import QUICK
from tests.runtime.registry.scripted import Answer, MemoryRegistry, Request, ScriptedServer, digest_of, error

DATA = os.urandom(3_000_000)
DIGEST = Digest(digest_of(DATA))
PART = "/blobs/sha256"


@pytest.fixture(autouse=True)
def stored(registry: MemoryRegistry) -> None:
    registry.add_blob("team/app", DATA)


def read(stream: BlobStream, size: int = 100_000) -> bytes:
    with stream:
        return b"".join(iter(lambda: stream.read(size), b""))


def test_a_blob_arrives_whole(repository: Repository) -> None:
    assert read(repository.blob(DIGEST, len(DATA))) == DATA


def test_a_blob_of_unknown_size_arrives_whole(repository: Repository) -> None:
    stream = repository.blob(DIGEST)
    assert read(stream) == DATA
    assert stream.size == len(DATA)


def test_an_empty_blob_is_whole_at_once(registry: MemoryRegistry, repository: Repository) -> None:
    digest = Digest(registry.add_blob("team/app", b""))
    assert read(repository.blob(digest, 0)) == b""


def test_reading_begins_where_it_was_left(repository: Repository, server: ScriptedServer) -> None:
    begun = hashlib.sha256(DATA[:1000])
    assert read(repository.blob(DIGEST, len(DATA), offset=1000, hasher=begun)) == DATA[1000:]
    assert server.asked("GET", PART)[-1].headers["range"] == "bytes=1000-"


@pytest.mark.parametrize("cut", [0, 1, 65536, len(DATA) - 1])
def test_a_cut_blob_is_taken_up_where_it_broke(repository: Repository, server: ScriptedServer, cut: int) -> None:
    server.fault("GET", PART, Answer(body=DATA, cut=cut))
    assert read(repository.blob(DIGEST, len(DATA))) == DATA
    assert len(server.asked("GET", PART)) == 2


def test_a_stalled_blob_is_taken_up_again(repository: Repository, server: ScriptedServer) -> None:
    repository.transport.timing = replace(QUICK, stall=0.5)
    server.fault("GET", PART, Answer(body=DATA, cut=1_000_000, stall=1000))
    assert read(repository.blob(DIGEST, len(DATA))) == DATA


def test_a_server_that_knows_no_ranges_is_read_from_the_start_again(
    repository: Repository, server: ScriptedServer
) -> None:
    server.fault("GET", PART, Answer(body=DATA, cut=500_000))
    server.fault("GET", PART, Answer(body=DATA))
    assert read(repository.blob(DIGEST, len(DATA))) == DATA


def test_a_body_without_a_length_that_ends_early_is_taken_up_again(
    repository: Repository, server: ScriptedServer
) -> None:
    server.fault("GET", PART, Answer(body=DATA[:777], length=-1))
    assert read(repository.blob(DIGEST, len(DATA))) == DATA


def test_a_blob_that_is_cut_again_and_again_is_given_up(repository: Repository, server: ScriptedServer) -> None:
    server.fault("GET", PART, Answer(body=DATA, cut=10), times=100)
    with pytest.raises(ConnectionCut):
        read(repository.blob(DIGEST, len(DATA)))
    assert len(server.asked("GET", PART)) <= 8


def test_a_server_that_sends_a_little_each_time_is_not_waited_for_without_end(
    repository: Repository, server: ScriptedServer
) -> None:
    def crumbs(request: Request) -> Answer:
        start = int(request.headers.get("range", "bytes=0-")[6:-1])
        told = {"Content-Range": f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"}
        return Answer(206 if start else 200, told if start else {}, DATA[start:], cut=10)

    server.fault("GET", PART, crumbs, times=1000)
    with pytest.raises(ConnectionCut):
        read(repository.blob(DIGEST, len(DATA)))
    assert len(server.asked("GET", PART)) <= 8


def test_one_flipped_bit_is_found(repository: Repository, server: ScriptedServer) -> None:
    bad = bytearray(DATA)
    bad[2_000_000] ^= 1
    server.fault("GET", PART, Answer(body=bytes(bad)))
    with pytest.raises(DigestMismatch, match=DIGEST):
        read(repository.blob(DIGEST, len(DATA)))


def test_a_blob_of_another_length_is_refused_before_it_is_read(repository: Repository, server: ScriptedServer) -> None:
    server.fault("GET", PART, Answer(body=DATA + b"more"))
    stream = repository.blob(DIGEST, len(DATA))
    with pytest.raises(DigestMismatch, match=f"{len(DATA) + 4} bytes"), stream:
        stream.read()
    assert stream.offset == 0


def test_a_blob_that_goes_on_behind_its_size_is_refused(repository: Repository, server: ScriptedServer) -> None:
    server.fault("GET", PART, Answer(body=DATA + b"x", length=-1))
    with pytest.raises(DigestMismatch, match="more"):
        read(repository.blob(DIGEST, len(DATA)))


def test_another_part_than_was_asked_for_is_refused(repository: Repository, server: ScriptedServer) -> None:
    server.fault("GET", PART, Answer(body=DATA, cut=1000))
    wrong = {"Content-Range": f"bytes 0-{len(DATA) - 1}/{len(DATA)}"}
    server.fault("GET", PART, Answer(206, wrong, DATA))
    with pytest.raises(RegistryError, match="another part"):
        read(repository.blob(DIGEST, len(DATA)))


def test_what_the_server_calls_an_encoding_does_not_change_the_bytes(
    repository: Repository, server: ScriptedServer
) -> None:
    server.fault("GET", PART, Answer(200, {"Content-Encoding": "gzip"}, DATA))
    assert read(repository.blob(DIGEST, len(DATA))) == DATA
    assert server.asked("GET", PART)[-1].headers["accept-encoding"] == "identity"


def test_a_missing_blob_is_not_found(repository: Repository) -> None:
    digest = Digest("sha256:" + "0" * 64)
    with pytest.raises(NotFound, match="blob unknown"):
        read(repository.blob(digest, 5))


def test_a_foreign_layer_is_fetched_from_its_own_place(
    repository: Repository, registry: MemoryRegistry, serve: Callable[..., ScriptedServer]
) -> None:
    del registry.blobs["team/app", DIGEST]
    elsewhere = serve(lambda _: Answer(body=DATA))
    urls = ("ftp://example.com/x", f"http://{elsewhere.host}/layer")
    assert read(repository.blob(DIGEST, len(DATA), urls=urls)) == DATA


def test_a_cancelled_read_ends_at_once(context: Context, repository: Repository, server: ScriptedServer) -> None:
    server.fault("GET", PART, Answer(body=DATA, cut=1000, stall=1000))
    repository.transport.timing = replace(QUICK, stall=1000)  # longer than a test may take
    timer = threading.Timer(0.3, context.cancel.set, (2,))
    timer.start()
    with pytest.raises(Cancelled):
        read(repository.blob(DIGEST, len(DATA)))
    timer.join()


def test_a_registry_that_restarts_is_waited_for(
    transport: Transport, registry: MemoryRegistry, serve: Callable[..., ScriptedServer]
) -> None:
    transport.timing = replace(QUICK, first_wait=0.1)
    first = ScriptedServer(registry)
    first.fault("GET", PART, Answer(body=DATA, cut=1_000_000))
    with first:
        stream = Repository(transport, parse_reference(f"{first.host}/team/app")).blob(DIGEST, len(DATA))
        begun = stream.read(100)
    port = int(first.host.rpartition(":")[2])
    timer = threading.Timer(0.1, lambda: serve(registry, port=port))
    timer.start()
    assert begun + read(stream) == DATA
    timer.join()


def test_a_small_blob_is_read_within_its_limit(registry: MemoryRegistry, repository: Repository) -> None:
    digest = Digest(registry.add_blob("team/app", b'{"a":1}'))
    assert repository.read_blob(digest, 7, limit=100) == b'{"a":1}'
    with pytest.raises(RegistryError, match="more than the 3"):
        repository.read_blob(digest, 7, limit=3)
    with pytest.raises(RegistryError, match="more than the 3"):
        repository.read_blob(digest, None, limit=3)


def test_many_threads_share_a_repository(repository: Repository) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: read(repository.blob(DIGEST, len(DATA))), range(16)))
    assert all(data == DATA for data in found)


def test_no_connection_is_left_open(
    make_transport: Callable[..., Transport], server: ScriptedServer, open_files: Callable[[], int]
) -> None:
    before = open_files()
    transport = make_transport()
    repository = Repository(transport, parse_reference(f"{server.host}/team/app"))
    with repository.blob(DIGEST, len(DATA)) as stream:
        stream.read(10)
    server.fault("GET", PART, error(500, "UNKNOWN", "no"))
    read(repository.blob(DIGEST, len(DATA)))
    transport.close()
    end = time.monotonic() + 60
    while open_files() > before and time.monotonic() < end:
        time.sleep(0.02)  # the server's half closes a moment later
    assert open_files() <= before


@pytest.mark.parametrize("pieces", [[DATA], [DATA[:10], DATA[10:999_999], DATA[999_999:]]])
def test_a_body_in_chunks_arrives_whole(repository: Repository, server: ScriptedServer, pieces: list[bytes]) -> None:
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    server.fault("GET", PART, Answer(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body))
    assert read(repository.blob(DIGEST, len(DATA))) == DATA


def test_a_body_in_chunks_that_is_cut_is_taken_up_again(repository: Repository, server: ScriptedServer) -> None:
    body = b"%x\r\n%b" % (len(DATA), DATA[:500_000])
    server.fault("GET", PART, Answer(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body))
    assert read(repository.blob(DIGEST, len(DATA))) == DATA


def test_a_part_that_is_shorter_than_asked_for_is_followed_by_the_rest(
    repository: Repository, server: ScriptedServer
) -> None:
    server.fault("GET", PART, Answer(body=DATA, cut=100_000))
    told = {"Content-Range": f"bytes 100000-199999/{len(DATA)}"}
    server.fault("GET", PART, Answer(206, told, DATA[100_000:200_000]))
    assert read(repository.blob(DIGEST, len(DATA)), 50_000) == DATA
