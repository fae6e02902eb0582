"""What goes to registries, and in which form: media types, digests for names, nothing kept."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from builder.cli import build
from frozen import replace
from runtime.cli.arguments import read_arguments
from runtime.context import Context
from runtime.errors import UsageError
from runtime.oci import documents
from runtime.store import Store
from tests.runtime.registry.scripted import MemoryRegistry, ScriptedServer

Build = Callable[..., dict[str, Any]]


@pytest.fixture
def registry() -> MemoryRegistry:
    return MemoryRegistry()


@pytest.fixture
def host(registry: MemoryRegistry) -> Iterator[str]:
    with ScriptedServer(registry) as server:
        yield server.host


@pytest.fixture
def build_with(context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    """Return the verb on a context with one file; it gives what `--metadata-file` says."""
    monkeypatch.chdir(tmp_path)
    Path("src").mkdir()
    Path("src/a").write_text("a")
    Path("src/Dockerfile").write_text("FROM scratch AS first\nCOPY a /\nFROM first\nCOPY a /b\n")

    def run(*words: str) -> dict[str, Any]:
        quiet = replace(context, stdout=io.StringIO(), stderr=io.StringIO(), environ={})
        arguments = read_arguments(build.VERB, ("-q", "--metadata-file", "facts", *words, "src"))
        assert build.run(arguments, quiet) == 0
        facts: dict[str, Any] = json.loads(Path("facts").read_text())
        return facts

    return run


def manifest_of(registry: MemoryRegistry, name: str, target: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(registry.manifests[name, target][1])
    return found


def test_media_types_are_dockers_where_that_is_asked_for(
    build_with: Build, registry: MemoryRegistry, host: str
) -> None:
    build_with("-o", f"type=registry,name={host}/app:1,oci-mediatypes=false")
    manifest = manifest_of(registry, "app", "1")
    assert registry.manifests["app", "1"][0] == manifest["mediaType"] == documents.DOCKER_MANIFEST
    assert manifest["config"]["mediaType"] == documents.DOCKER_CONFIG
    assert {layer["mediaType"] for layer in manifest["layers"]} == {documents.DOCKER_LAYER + ".gzip"}
    build_with("-o", f"type=registry,name={host}/app:2,oci-mediatypes=false", "--platform", "linux/amd64,linux/arm64")
    index = manifest_of(registry, "app", "2")
    assert index["mediaType"] == documents.DOCKER_INDEX
    assert {item["mediaType"] for item in index["manifests"]} == {documents.DOCKER_MANIFEST}
    build_with("-o", f"type=registry,name={host}/app:3")
    assert manifest_of(registry, "app", "3")["mediaType"] == documents.OCI_MANIFEST


def test_a_push_by_digest_moves_no_tag(
    build_with: Build, registry: MemoryRegistry, host: str, context: Context
) -> None:
    facts = build_with("-o", f"type=image,name={host}/app,push=true,push-by-digest=true")
    digest = facts["containerimage.digest"]
    assert [target for _, target in registry.manifests] == [digest]
    assert facts["image.name"] == f"{host}/app"
    with Store.open(context) as store:
        image = store.images.require(f"{host}/app@{digest}")
        assert image.names == ()
    with pytest.raises(UsageError, match="can't push tagged ref"):
        build_with("-o", f"type=registry,name={host}/app:1,push-by-digest=true")
    with pytest.raises(UsageError, match="tag is needed"):
        build_with("-o", "type=registry,push-by-digest=true")


def test_a_name_may_come_with_its_digest(build_with: Build, context: Context) -> None:
    digest = build_with("-o", "type=image,name-canonical=true", "-t", "app:1")["containerimage.digest"]
    with Store.open(context) as store:
        image = store.images.require("app:1")
        assert [str(name) for name in image.digests] == [f"docker.io/library/app@{digest}"]


@pytest.mark.parametrize("platforms", ["linux/amd64", "linux/amd64,linux/arm64"])
def test_what_is_not_stored_is_pushed_all_the_same(
    build_with: Build, registry: MemoryRegistry, host: str, context: Context, platforms: str
) -> None:
    words = ("--platform", platforms, "-t", f"{host}/app:1", "-t", f"first={host}/app:first")
    facts = build_with("-o", "type=image,push=true,store=false", *words)
    assert manifest_of(registry, "app", "1")
    assert manifest_of(registry, "app", "first")
    assert facts["containerimage.digest"] in {target for _, target in registry.manifests}
    assert facts["image.name"] == f"{host}/app:1"
    build_with("-o", "type=image,store=false", "-t", "nowhere")
    with Store.open(context) as store:
        assert store.images.list() == ()


def test_stages_alone_may_be_pushed(build_with: Build, registry: MemoryRegistry, host: str) -> None:
    build_with("--push", "-t", f"first={host}/app:first")
    assert {target for _, target in registry.manifests if ":" not in target} == {"first"}
