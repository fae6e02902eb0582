"""Looking at an image where it is: `inspect --remote`."""

from __future__ import annotations

import json

import pytest

from runtime.errors import NotFound
from runtime.oci.documents import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from runtime.oci.platforms import parse_platform
from runtime.oci.references import parse_reference
from runtime.registry.remote import remote_document
from runtime.registry.transport import Transport
from tests.runtime.registry.scripted import MemoryRegistry, ScriptedServer

NAME = "team/app"


def add_image(registry: MemoryRegistry, architecture: str, tag: str) -> dict[str, object]:
    config = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "created": "2020-01-02T03:04:05Z",
            "config": {"Env": ["A=1"]},
            "rootfs": {"type": "layers", "diff_ids": []},
        }
    ).encode()
    described = {"mediaType": OCI_CONFIG, "digest": registry.add_blob(NAME, config), "size": len(config)}
    data = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": described, "layers": []}).encode()
    digest = registry.add_manifest(NAME, tag, OCI_MANIFEST, data)
    platform = {"os": "linux", "architecture": architecture}
    return {"mediaType": OCI_MANIFEST, "digest": digest, "size": len(data), "platform": platform}


@pytest.fixture
def images(registry: MemoryRegistry) -> list[dict[str, object]]:
    found = [add_image(registry, architecture, architecture) for architecture in ("amd64", "arm64")]
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": found}).encode()
    registry.add_manifest(NAME, "latest", OCI_INDEX, index)
    return found


def test_a_manifest_is_shown_with_its_config(
    transport: Transport, server: ScriptedServer, images: list[dict[str, object]]
) -> None:
    shown = remote_document(transport, parse_reference(f"{server.host}/{NAME}:arm64"), None)
    assert shown["Digest"] == images[1]["digest"]
    assert (shown["Architecture"], shown["Os"], shown["Config"]) == ("arm64", "linux", {"Env": ["A=1"]})
    assert shown["RepoTags"] == [f"{server.host}/{NAME}:arm64"]
    assert shown["Index"] is None


def test_of_an_index_the_platforms_image_is_shown(
    transport: Transport, server: ScriptedServer, images: list[dict[str, object]]
) -> None:
    reference = parse_reference(f"{server.host}/{NAME}")
    shown = remote_document(transport, reference, parse_platform("linux/arm64"))
    assert isinstance(shown["Index"], dict)
    assert shown["Index"]["manifests"] == images
    assert (shown["Architecture"], shown["ManifestDigest"]) == ("arm64", images[1]["digest"])
    with pytest.raises(NotFound, match="no matching manifest"):
        remote_document(transport, reference, parse_platform("linux/s390x"))


def test_referrers_of_the_image_are_shown(
    transport: Transport, server: ScriptedServer, registry: MemoryRegistry, images: list[dict[str, object]]
) -> None:
    config = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": registry.add_blob(NAME, b"{}"), "size": 2}
    data = json.dumps(
        {"schemaVersion": 2, "artifactType": "a/b", "config": config, "layers": [], "subject": images[0]}
    ).encode()
    digest = registry.add_manifest(NAME, "sbom", OCI_MANIFEST, data)
    shown = remote_document(transport, parse_reference(f"{server.host}/{NAME}:amd64"), None)
    assert isinstance(shown["Referrers"], list)
    assert [(item["digest"], item["artifactType"]) for item in shown["Referrers"]] == [(digest, "a/b")]


def test_an_artifact_is_shown_without_a_config(
    transport: Transport, server: ScriptedServer, registry: MemoryRegistry
) -> None:
    config = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": registry.add_blob(NAME, b"{}"), "size": 2}
    data = json.dumps({"schemaVersion": 2, "artifactType": "a/b", "config": config, "layers": []}).encode()
    registry.add_manifest(NAME, "sbom", OCI_MANIFEST, data)
    shown = remote_document(transport, parse_reference(f"{server.host}/{NAME}:sbom"), None)
    assert shown["ImageConfig"] is None
    assert isinstance(shown["Manifest"], dict)
