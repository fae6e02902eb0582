"""Manifests, tags, referrers, mirrors, deletion: what a repository is asked."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from runtime.errors import DigestMismatch, DocumentError, NotFound, RegistryError
from runtime.oci.digests import Digest
from runtime.oci.documents import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Descriptor
from runtime.oci.references import parse_reference
from runtime.registry.client import Repository
from runtime.registry.hostfiles import Place, Rule
from runtime.registry.hosts import Hosts
from runtime.registry.paging import next_link
from runtime.registry.transport import Transport
from tests.runtime.registry.scripted import Answer, MemoryRegistry, ScriptedServer, digest_of, error

EMPTY = digest_of(b"{}")
NOWHERE = Digest("sha256:" + "0" * 64)


def manifest(**more: object) -> bytes:
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": EMPTY, "size": 2}
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [], **more}).encode()


MANIFEST = manifest()


@pytest.fixture(autouse=True)
def stored(registry: MemoryRegistry) -> None:
    registry.add_manifest("team/app", "latest", OCI_MANIFEST, MANIFEST)


def test_a_manifest_is_found_by_tag_and_digest(repository: Repository) -> None:
    expected = Descriptor(media_type=OCI_MANIFEST, digest=Digest(digest_of(MANIFEST)), size=len(MANIFEST))
    assert repository.get_manifest("latest") == (expected, MANIFEST)
    assert repository.get_manifest(expected.digest) == (expected, MANIFEST)
    assert repository.head_manifest("latest") == expected


def test_all_kinds_of_manifests_are_asked_for(repository: Repository, server: ScriptedServer) -> None:
    repository.get_manifest("latest")
    accept = server.asked("GET", "/manifests/")[0].headers["accept"]
    assert OCI_INDEX in accept
    assert DOCKER_MANIFEST in accept


def test_an_unknown_repository_is_told_in_dockers_words(repository: Repository, server: ScriptedServer) -> None:
    server.fault("GET", "/tags/list", error(404, "NAME_UNKNOWN", "repository name not known to registry"))
    with pytest.raises(NotFound, match=f"repository {server.host}/team/app not found: name unknown"):
        list(repository.tags())


def test_a_missing_manifest_is_told_in_dockers_words(repository: Repository, server: ScriptedServer) -> None:
    assert repository.head_manifest("nope") is None
    with pytest.raises(
        NotFound, match=f"manifest for {server.host}/team/app:nope not found: manifest unknown"
    ) as caught:
        repository.get_manifest("nope")
    assert isinstance(caught.value, RegistryError)
    assert caught.value.code == "MANIFEST_UNKNOWN"


@pytest.mark.parametrize("missing", ["Docker-Content-Digest", "Content-Type"])
def test_a_head_without_all_headers_is_followed_by_a_get(
    repository: Repository, server: ScriptedServer, missing: str
) -> None:
    headers = {"Docker-Content-Digest": digest_of(MANIFEST), "Content-Type": OCI_MANIFEST}
    del headers[missing]
    server.fault("HEAD", "/manifests/", Answer(200, headers, MANIFEST))
    found = repository.head_manifest("latest")
    assert found is not None
    assert found.digest == digest_of(MANIFEST)


def test_a_head_that_is_not_offered_is_followed_by_a_get(repository: Repository, server: ScriptedServer) -> None:
    server.fault("HEAD", "/manifests/", Answer(405))
    assert repository.head_manifest("latest") is not None


def test_another_manifest_than_the_digest_says_is_refused(repository: Repository, server: ScriptedServer) -> None:
    server.fault("GET", "/manifests/", Answer(200, {"Content-Type": OCI_MANIFEST}, manifest(x=1)))
    with pytest.raises(DigestMismatch):
        repository.get_manifest(digest_of(MANIFEST))


def test_another_manifest_than_the_header_says_is_refused(repository: Repository, server: ScriptedServer) -> None:
    server.fault("GET", "/manifests/", Answer(200, {"Docker-Content-Digest": digest_of(MANIFEST)}, manifest(x=1)))
    with pytest.raises(DigestMismatch):
        repository.get_manifest("latest")


def test_a_giant_manifest_is_refused_unread(repository: Repository, server: ScriptedServer) -> None:
    server.fault("GET", "/manifests/", Answer(200, {}, b" " * (20 << 20)))
    with pytest.raises(RegistryError, match="more than the 4194304 bytes"):
        repository.get_manifest("latest")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[" * 100_000,
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b"<html></html>",
        b"{}",
        b'{"schemaVersion": 1, "name": "x", "fsLayers": []}',
        b'{"mediaType": 5}',
        b"\xff\xfe\x00",
    ],
)
def test_what_is_no_manifest_is_refused(repository: Repository, server: ScriptedServer, data: bytes) -> None:
    server.fault("GET", "/manifests/", Answer(200, {"Content-Type": OCI_MANIFEST}, data))
    with pytest.raises(DocumentError, match="team/app:latest"):
        repository.get_manifest("latest")


def test_a_manifest_that_is_cut_is_fetched_again(repository: Repository, server: ScriptedServer) -> None:
    server.fault("GET", "/manifests/", Answer(200, {"Content-Type": OCI_MANIFEST}, MANIFEST, cut=20), times=2)
    assert repository.get_manifest("latest")[1] == MANIFEST


def test_a_manifest_is_stored_and_its_subject_noted(repository: Repository, registry: MemoryRegistry) -> None:
    data = manifest(subject={"mediaType": OCI_MANIFEST, "digest": digest_of(MANIFEST), "size": len(MANIFEST)})
    assert repository.put_manifest("v2", OCI_MANIFEST, data) == (digest_of(data), digest_of(MANIFEST))
    assert registry.manifests["team/app", "v2"] == (OCI_MANIFEST, data)


def test_tags_are_listed_page_after_page(
    repository: Repository, registry: MemoryRegistry, server: ScriptedServer
) -> None:
    names = [f"v{number:02}" for number in range(25)]
    for name in names:
        registry.add_manifest("team/app", name, OCI_MANIFEST, MANIFEST)
    assert list(repository.tags(page=10)) == ["latest", *names]
    assert list(repository.tags(page=10, last="v20")) == names[21:]
    assert len(server.asked("GET", "/tags/list")) == 4


def test_a_list_that_turns_in_circles_is_left(repository: Repository, server: ScriptedServer) -> None:
    page = Answer(200, {"Link": '</v2/team/app/tags/list?n=1>; rel="next"'}, b'{"tags": ["a"]}')
    server.fault("GET", "/tags/list", page, times=100)
    with pytest.raises(RegistryError, match="does not end"):
        list(repository.tags())


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('</a?b=1>; rel="next"', "/a?b=1"),
        ("</a>; rel=next", "/a"),
        ('<x>; rel="prev", <y>; rel="next"', "y"),
        ('<x>; title="a, b"; rel="next"', "x"),
        ('<x>; rel="prev"', None),
        ("", None),
    ],
)
def test_the_next_page_is_read(header: str, expected: str | None) -> None:
    assert next_link(header) == expected


@pytest.mark.parametrize("api", [True, False])
def test_referrers_are_listed_by_the_api_or_the_tag(
    repository: Repository, registry: MemoryRegistry, api: bool
) -> None:
    registry.referrers_api = api
    subject = {"mediaType": OCI_MANIFEST, "digest": digest_of(MANIFEST), "size": len(MANIFEST)}
    for kind in ("application/sbom", "application/signature"):
        data = manifest(subject=subject, artifactType=kind)
        digest, noted = repository.put_manifest(digest_of(data), OCI_MANIFEST, data)
        if noted is None:
            item = Descriptor(media_type=OCI_MANIFEST, digest=digest, size=len(data), artifact_type=kind)
            repository.add_referrer(Digest(digest_of(MANIFEST)), item)
            repository.add_referrer(Digest(digest_of(MANIFEST)), item)
    found = repository.referrers(Digest(digest_of(MANIFEST)))
    assert [item.artifact_type for item in found] == ["application/sbom", "application/signature"]
    only = repository.referrers(Digest(digest_of(MANIFEST)), artifact_type="application/sbom")
    assert [item.artifact_type for item in only] == ["application/sbom"]
    assert repository.referrers(NOWHERE) == ()


def test_deletion_says_what_is_not_allowed(repository: Repository, server: ScriptedServer) -> None:
    repository.delete_manifest(digest_of(MANIFEST))
    server.fault("DELETE", "/manifests/", error(405, "UNSUPPORTED", "no"))
    with pytest.raises(RegistryError, match="does not allow to delete"):
        repository.delete_manifest(digest_of(MANIFEST))


def through_mirror(transport: Callable[..., Transport], server: ScriptedServer, mirror: str) -> Repository:
    place = Place(host=mirror, path="cache", scheme="http")
    hosts = Hosts(((Rule(prefix=server.host, mirrors=(place,)),),))
    return Repository(transport(hosts=hosts), parse_reference(f"{server.host}/team/app"))


def test_a_mirror_is_asked_first(
    make_transport: Callable[..., Transport], server: ScriptedServer, serve: Callable[..., ScriptedServer]
) -> None:
    copy = MemoryRegistry()
    copy.add_manifest("cache/team/app", "latest", OCI_MANIFEST, MANIFEST)
    mirror = serve(copy)
    assert through_mirror(make_transport, server, mirror.host).get_manifest("latest")[1] == MANIFEST
    assert not server.requests


@pytest.mark.parametrize(
    "answer", [error(404, "X", "no"), error(503, "X", "no"), error(401, "X", "no"), Answer(drop=True)]
)
def test_a_mirror_that_fails_is_passed_over(
    make_transport: Callable[..., Transport],
    server: ScriptedServer,
    serve: Callable[..., ScriptedServer],
    answer: Answer,
) -> None:
    mirror = serve(lambda _: answer)
    repository = through_mirror(make_transport, server, mirror.host)
    assert repository.get_manifest("latest")[1] == MANIFEST
    assert len(mirror.requests) <= 2


def test_a_mirror_that_is_not_there_is_asked_once(
    make_transport: Callable[..., Transport], server: ScriptedServer
) -> None:
    repository = through_mirror(make_transport, server, "127.0.0.1:1")
    assert repository.get_manifest("latest")[1] == MANIFEST
    assert repository.get_manifest("latest")[1] == MANIFEST


def test_a_blob_that_a_mirror_breaks_off_comes_on_from_the_registry(
    make_transport: Callable[..., Transport],
    registry: MemoryRegistry,
    server: ScriptedServer,
    serve: Callable[..., ScriptedServer],
) -> None:
    data = bytes(range(256)) * 2000
    digest = Digest(registry.add_blob("team/app", data))
    calls: list[int] = []

    def broken(_: object) -> Answer:
        calls.append(1)
        return Answer(body=data, cut=1000) if len(calls) == 1 else Answer(drop=True)

    mirror = serve(broken)
    with through_mirror(make_transport, server, mirror.host).blob(digest, len(data)) as stream:
        assert b"".join(iter(lambda: stream.read(100_000), b"")) == data
    assert server.asked("GET", "/blobs/")[0].headers["range"].startswith("bytes=")


def test_another_manifest_of_a_mirror_is_refused_by_digest(
    make_transport: Callable[..., Transport], server: ScriptedServer, serve: Callable[..., ScriptedServer]
) -> None:
    mirror = serve(lambda _: Answer(200, {"Content-Type": OCI_MANIFEST}, manifest(evil=1)))
    with pytest.raises(DigestMismatch):
        through_mirror(make_transport, server, mirror.host).get_manifest(digest_of(MANIFEST))
