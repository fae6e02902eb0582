"""What the specification says of content discovery: tags, referrers, the catalog."""

from __future__ import annotations

from urllib.parse import unquote

import pytest

from tests.runtime.registry.server.clients import INDEX, MANIFEST, Client, descriptor, digest_of, encode, image

NEXT = '; rel="next"'


def follow(client: Client, path: str, key: str) -> list[list[object]]:
    """Read all pages of a list."""
    pages = []
    while path:
        answer = client.get(path)
        assert answer.status == 200
        pages.append(answer.json()[key])
        link = answer.headers.get("Link", "")
        assert not link or link.endswith(NEXT)
        path = unquote(link.removesuffix(NEXT).strip("<>"))
        assert len(pages) < 50
    return pages


def test_tags_are_listed_in_order_of_their_bytes(client: Client) -> None:
    for tag in ("b", "B", "1", "_", "a.1", "a"):
        client.push_image("a/b", tag)
    answer = client.get("/v2/a/b/tags/list")
    assert answer.json() == {"name": "a/b", "tags": ["1", "B", "_", "a", "a.1", "b"]}
    assert answer.headers["Link"] is None


def test_tags_come_in_pages(client: Client) -> None:
    for number in range(5):
        client.push_image("a", f"t{number}")
    assert follow(client, "/v2/a/tags/list?n=2", "tags") == [["t0", "t1"], ["t2", "t3"], ["t4"]]
    assert client.get("/v2/a/tags/list?n=5").headers["Link"] is None
    assert client.get("/v2/a/tags/list?last=t2").json()["tags"] == ["t3", "t4"]
    assert client.get("/v2/a/tags/list?n=1&last=t2x").json()["tags"] == ["t3"]
    none = client.get("/v2/a/tags/list?n=0")
    assert (none.json()["tags"], none.headers["Link"]) == ([], None)


@pytest.mark.parametrize("n", ["-1", "x", "1.5", "%C2%B2"])
def test_a_number_of_tags_that_is_none_is_refused(client: Client, n: str) -> None:
    client.push_image("a", "v")
    assert client.get(f"/v2/a/tags/list?n={n}").status == 400


def test_a_repository_without_tags_has_an_empty_list(client: Client) -> None:
    client.push_blob("a", b"x")
    assert client.get("/v2/a/tags/list").json() == {"name": "a", "tags": []}


def test_the_catalog_lists_repositories_with_manifests_in_pages(client: Client) -> None:
    assert client.get("/v2/_catalog").json() == {"repositories": []}
    for name in ("c", "a/b", "b"):
        client.push_image(name, "v")
    client.push_blob("blobs-alone", b"x")
    assert client.get("/v2/_catalog").json() == {"repositories": ["a/b", "b", "c"]}
    assert follow(client, "/v2/_catalog?n=2", "repositories") == [["a/b", "b"], ["c"]]


def push_referrers(client: Client, subject: dict[str, object]) -> list[dict[str, object]]:
    """Push manifests that refer to a subject; returns the descriptors that a list of them has to have."""
    client.push_blob("a", b"{}")
    documents: list[dict[str, object]] = [
        image(b"{}", subject=subject, artifactType="application/sbom", annotations={"k": "1"}),
        image(b"{}", subject=subject, annotations={"k": "2"}),
        {"schemaVersion": 2, "mediaType": INDEX, "manifests": [], "subject": subject, "annotations": {"k": "3"}},
        {
            "schemaVersion": 2,
            "mediaType": INDEX,
            "manifests": [],
            "subject": subject,
            "artifactType": "application/sbom",
        },
    ]
    kinds: list[str | None] = [
        "application/sbom",
        str(descriptor("", b"")["mediaType"]) or None,
        None,
        "application/sbom",
    ]
    kinds[1] = "application/vnd.oci.image.config.v1+json"
    expected = []
    for document, kind in zip(documents, kinds, strict=True):
        data = encode(document)
        answer = client.push_manifest("a", str(digest_of(data)), data)
        assert (answer.status, answer.headers["OCI-Subject"]) == (201, subject["digest"])
        entry = descriptor(str(document["mediaType"]), data)
        if kind:
            entry["artifactType"] = kind
        if "annotations" in document:
            entry["annotations"] = document["annotations"]
        expected.append(entry)
    return sorted(expected, key=lambda entry: str(entry["digest"]))


def test_referrers_are_listed_also_those_of_a_subject_that_is_not_there(client: Client) -> None:
    subject = descriptor(MANIFEST, b"not pushed")
    expected = push_referrers(client, subject)
    answer = client.get(f"/v2/a/referrers/{subject['digest']}")
    assert (answer.status, answer.headers["Content-Type"]) == (200, INDEX)
    assert answer.json() == {"schemaVersion": 2, "mediaType": INDEX, "manifests": expected}
    assert answer.headers["OCI-Filters-Applied"] is None


def test_referrers_are_filtered(client: Client) -> None:
    subject = descriptor(MANIFEST, b"not pushed")
    expected = push_referrers(client, subject)
    answer = client.get(f"/v2/a/referrers/{subject['digest']}?artifactType=application/sbom")
    assert answer.headers["OCI-Filters-Applied"] == "artifactType"
    assert answer.json()["manifests"] == [one for one in expected if one.get("artifactType") == "application/sbom"]
    assert client.get(f"/v2/a/referrers/{subject['digest']}?artifactType=none").json()["manifests"] == []


def test_referrers_come_in_pages_and_the_filter_stays(client: Client) -> None:
    subject = descriptor(MANIFEST, b"not pushed")
    expected = push_referrers(client, subject)
    pages = follow(client, f"/v2/a/referrers/{subject['digest']}?n=3", "manifests")
    assert pages == [expected[:3], expected[3:]]
    filtered = f"/v2/a/referrers/{subject['digest']}?n=1&artifactType=application/sbom"
    assert [len(page) for page in follow(client, filtered, "manifests")] == [1, 1]


def test_referrers_with_large_annotations_come_in_pages_that_are_manifests(client: Client) -> None:
    subject = descriptor(MANIFEST, b"not pushed")
    client.push_blob("a", b"{}")
    for number in range(3):
        data = encode(image(b"{}", subject=subject, annotations={"k": f"{number}" * (2 << 20)}))
        assert client.push_manifest("a", digest_of(data), data).status == 201
    pages = follow(client, f"/v2/a/referrers/{subject['digest']}", "manifests")
    assert sorted(len(page) for page in pages) == [1, 1, 1]


def test_a_subject_that_nobody_refers_to_has_an_empty_list_in_any_repository(client: Client) -> None:
    digest = client.push_image("a", "v")
    for name in ("a", "never/seen"):
        answer = client.get(f"/v2/{name}/referrers/{digest}")
        assert (answer.status, answer.json()["manifests"]) == (200, [])


def test_what_is_deleted_refers_to_nothing(client: Client) -> None:
    subject = descriptor(MANIFEST, b"not pushed")
    first = push_referrers(client, subject)[0]
    client.call("DELETE", f"/v2/a/manifests/{first['digest']}")
    found = client.get(f"/v2/a/referrers/{subject['digest']}").json()["manifests"]
    assert first not in found
    assert len(found) == 3
