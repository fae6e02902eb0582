from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frozen import replace
from runtime.errors import DocumentError
from runtime.oci.digests import ChainID
from runtime.oci.documents import (
    DOCKER_CONFIG,
    DOCKER_INDEX,
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_MANIFEST,
    decode_config,
    decode_index,
    decode_manifest,
    layer_compression,
    media_type_of,
)

D = "sha256:" + "a" * 64
CONFIG: dict[str, object] = {
    "architecture": "amd64",
    "os": "linux",
    "created": "2024-01-02T03:04:05Z",
    "x-ours": {"kept": [1, 2]},
    "config": {
        "User": "1:2",
        "ExposedPorts": {"80/tcp": {}},
        "Env": ["A=1", "B=x y"],
        "Entrypoint": ["a"],
        "Cmd": ["b"],
        "Volumes": {"/data": {}},
        "WorkingDir": "/w",
        "Labels": {"l": "1"},
        "StopSignal": "SIGINT",
        "ArgsEscaped": True,
        "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 5_000_000_000, "X": 1},
        "OnBuild": ["RUN true"],
        "Shell": ["/bin/bash", "-c"],
        "Future": "field",
    },
    "rootfs": {"type": "layers", "diff_ids": [D]},
    "history": [{"created": "2024-01-02T03:04:05Z", "created_by": "x", "empty_layer": True, "more": 0.5}],
}
MANIFEST: dict[str, object] = {
    "schemaVersion": 2,
    "mediaType": OCI_MANIFEST,
    "config": {"mediaType": OCI_CONFIG, "digest": D, "size": 3},
    "layers": [{"mediaType": OCI_LAYER + "+gzip", "digest": D, "size": 0, "annotations": {"a": "b"}, "x": 1}],
    "annotations": {"k": "v"},
    "unknown": [None],
}


def encoded(document: object) -> bytes:
    return json.dumps(document).encode()


def test_a_config_is_written_as_it_was_read() -> None:
    config = decode_config(encoded(CONFIG))
    assert json.loads(config.encode()) == CONFIG
    assert config.config.healthcheck is not None
    assert config.config.healthcheck.interval == 5_000_000_000
    assert config.config.env == ("A=1", "B=x y")


def test_a_changed_config_keeps_what_is_unknown() -> None:
    config = decode_config(encoded(CONFIG))
    changed = replace(config, config=replace(config.config, cmd=("c", "d"), user=""))
    document = json.loads(changed.encode())
    assert document["x-ours"] == {"kept": [1, 2]}
    assert document["config"]["Cmd"] == ["c", "d"]
    assert document["config"]["Future"] == "field"
    assert "User" not in document["config"]


def test_null_is_absent() -> None:
    config = decode_config(
        encoded(
            {
                "architecture": None,
                "os": "linux",
                "config": {"Env": None, "Entrypoint": None, "Labels": None, "Volumes": None},
                "rootfs": {"diff_ids": None},
                "history": None,
            }
        )
    )
    assert config.config.env == ()
    assert config.config.entrypoint is None
    assert config.chain_id is None


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (("config", "Env"), ["A=1", "B=2", 3], "config.Env[2]"),
        (("config", "Env"), "A=1", "config.Env"),
        (("config", "Labels"), {"a": 1}, "config.Labels['a']"),
        (("config", "ExposedPorts"), ["80"], "config.ExposedPorts"),
        (("config", "Healthcheck"), {"Interval": "5s"}, "config.Healthcheck.Interval"),
        (("config", "ArgsEscaped"), 1, "config.ArgsEscaped"),
        (("config",), [], "config"),
        (("history",), [{}, 5], "history[1]"),
        (("rootfs",), {"diff_ids": [D, "sha256:x"]}, "rootfs.diff_ids[1]"),
        (("rootfs",), None, "rootfs"),
        (("os",), {}, "os"),
    ],
)
def test_a_wrong_type_names_the_field(path: tuple[str, ...], value: object, field: str) -> None:
    document = json.loads(json.dumps(CONFIG))
    inner = document
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    with pytest.raises(DocumentError) as caught:
        decode_config(encoded(document))
    assert caught.value.field == field


def test_a_manifest_is_written_as_it_was_read() -> None:
    manifest = decode_manifest(encoded(MANIFEST))
    assert json.loads(manifest.encode()) == MANIFEST
    assert manifest.is_image


def test_dockers_media_types_are_read() -> None:
    document = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": {"mediaType": DOCKER_CONFIG, "digest": D, "size": 3},
        "layers": [{"mediaType": DOCKER_LAYER + ".gzip", "digest": D, "size": 9}],
    }
    manifest = decode_manifest(encoded(document))
    assert manifest.is_image
    assert layer_compression(manifest.layers[0].media_type) == "gzip"
    assert media_type_of(encoded(document)) == DOCKER_MANIFEST
    index = decode_index(encoded({"schemaVersion": 2, "mediaType": DOCKER_INDEX, "manifests": []}))
    assert index.manifests == ()


def test_an_index_keeps_platforms_and_annotations() -> None:
    document = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            {
                "mediaType": OCI_MANIFEST,
                "digest": D,
                "size": 7,
                "platform": {"os": "linux", "architecture": "arm", "variant": "v7"},
                "annotations": {"a": "b"},
            }
        ],
    }
    assert json.loads(decode_index(encoded(document)).encode()) == document


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"manifests": []}, "does not belong"),
        ({"mediaType": "text/plain"}, "not a manifest"),
        ({"schemaVersion": 1}, "schema 1"),
        ({"layers": [{"digest": D, "size": -1}]}, "layers[0].size"),
        ({"layers": [{"digest": D}]}, "layers[0].size"),
        ({"layers": [{"digest": "x", "size": 1}]}, "layers[0].digest"),
        ({"layers": {}}, "layers"),
        ({"config": None}, "config"),
    ],
)
def test_a_wrong_manifest_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(DocumentError) as caught:
        decode_manifest(encoded({**MANIFEST, **change}))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{",
        b"\xff{}",
        b'{"a": NaN}',
        b"[" * 100_000,
        b'{"a":' * 200 + b"1" + b"}" * 200,
        b'{"schemaVersion": ' + b"9" * 10_000 + b"}",
        b" " * (5 << 20),
    ],
)
def test_what_is_no_document_is_refused(data: bytes) -> None:
    for decode in (decode_manifest, decode_index, decode_config, media_type_of):
        with pytest.raises(DocumentError):
            decode(data)


def test_half_a_surrogate_becomes_a_replacement_character() -> None:
    document = b'{"os": "a\\ud800b", "rootfs": {}, "x": "\\ud83d\\ude00"}'
    config = decode_config(document)
    assert config.os == "a\ufffdb"
    assert config.extra == {"x": "\U0001f600"}


def test_the_chain_id_of_one_layer_is_its_diff_id() -> None:
    assert decode_config(encoded(CONFIG)).chain_id == ChainID(D)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "config",
                        "rootfs",
                        "history",
                        "Env",
                        "layers",
                        "digest",
                        "size",
                        "manifests",
                        "platform",
                        "diff_ids",
                    ]
                ),
                inner,
                max_size=5,
            )
        ),
        max_leaves=20,
    )
)
def test_no_document_raises_anything_else(value: object) -> None:
    for decode in (decode_manifest, decode_index, decode_config, media_type_of):
        try:
            decode(encoded(value))
        except DocumentError:
            pass
