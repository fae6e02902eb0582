"""Images made in memory and put into a registry in memory, good ones and bad ones."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.runtime.registry.scripted import MemoryRegistry, digest_of

OCI = "application/vnd.oci.image."
MANIFEST = OCI + "manifest.v1+json"
INDEX = OCI + "index.v1+json"
CONFIG = OCI + "config.v1+json"
LAYER = OCI + "layer.v1.tar+gzip"
DOCKER = "application/vnd.docker."


@dataclass
class Sample:
    """One image of one platform as a registry has it."""

    digest: str
    manifest: bytes
    config: bytes
    layers: list[bytes]
    """As blobs."""

    @property
    def id(self) -> str:
        return digest_of(self.config)

    def descriptor(self, **more: Any) -> dict[str, Any]:
        return {"mediaType": MANIFEST, "digest": self.digest, "size": len(self.manifest), **more}


def tar_of(files: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(content), 0o644, 1
            tar.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def add_image(
    registry: MemoryRegistry,
    name: str,
    tag: str = "latest",
    *,
    files: Sequence[Mapping[str, bytes]] = ({"a": b"1"}, {"b": b"2"}),
    architecture: str = "amd64",
    config: Mapping[str, Any] | None = None,
    manifest: Mapping[str, Any] | None = None,
    diff_ids: Sequence[str] | None = None,
    docker: bool = False,
) -> Sample:
    """Put an image into the registry; `manifest` and `diff_ids` replace what would be right."""
    tars = [tar_of(layer) for layer in files]
    blobs = [gzip.compress(tar, mtime=0) for tar in tars]
    document = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": list(diff_ids or map(digest_of, tars))},
        **(config or {}),
    }
    config_data = json.dumps(document).encode()
    layer_type = DOCKER + "image.rootfs.diff.tar.gzip" if docker else LAYER
    kind = DOCKER + "distribution.manifest.v2+json" if docker else MANIFEST
    config_type = DOCKER + "container.image.v1+json" if docker else CONFIG
    data = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": kind,
            "config": {"mediaType": config_type, "digest": digest_of(config_data), "size": len(config_data)},
            "layers": [{"mediaType": layer_type, "digest": digest_of(blob), "size": len(blob)} for blob in blobs],
            **(manifest or {}),
        }
    ).encode()
    for blob in (config_data, *blobs):
        registry.add_blob(name, blob)
    return Sample(registry.add_manifest(name, tag, kind, data), data, config_data, blobs)


def add_index(registry: MemoryRegistry, name: str, tag: str, manifests: Sequence[Mapping[str, Any]]) -> bytes:
    """Put an index into the registry; returns its bytes."""
    data = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": list(manifests)}).encode()
    registry.add_manifest(name, tag, INDEX, data)
    return data


def add_artifact(registry: MemoryRegistry, name: str, subject: Mapping[str, Any] | None, content: bytes) -> str:
    """Put an artifact that speaks of something into the registry; returns its digest."""
    empty = b"{}"
    for blob in (empty, content):
        registry.add_blob(name, blob)
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": "application/example",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest_of(empty), "size": 2},
        "layers": [{"mediaType": "text/plain", "digest": digest_of(content), "size": len(content)}],
    }
    if subject is not None:
        document["subject"] = {key: subject[key] for key in ("mediaType", "digest", "size")}
    data = json.dumps(document).encode()
    return registry.add_manifest(name, digest_of(data), MANIFEST, data)


def sha512_of(data: bytes) -> str:
    return "sha512:" + hashlib.sha512(data).hexdigest()
