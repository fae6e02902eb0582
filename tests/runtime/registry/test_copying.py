"""Copies between registries, layouts and archives: what arrives has the digests that it had."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from frozen import replace
from runtime.context import Cancel, Context
from runtime.errors import BlobMissing, DigestMismatch, NotFound, PybuildError, StoreError, UsageError
from runtime.oci.platforms import parse_platform
from runtime.registry.copying import Copied, copy
from runtime.registry.places import Place, parse_place
from runtime.registry.session import Session
from runtime.registry.transport import Transport
from tests.runtime.registry.samples import add_artifact, add_image, add_index, tar_of
from tests.runtime.registry.scripted import Answer, MemoryRegistry, ScriptedServer, digest_of

Copy = Callable[..., Copied]


@pytest.fixture
def duplicate(
    context: Context, make_transport: Callable[..., Transport], server: ScriptedServer, tmp_path: Path
) -> Copy:
    """Return a function that copies between places as typed; `@` stands for the server, `~` for a directory."""

    def run(source: str, target: str, **options: object) -> Copied:
        stop = Cancel()
        transport = make_transport()
        transport.context = replace(context, cancel=stop)
        places = [
            parse_place(text.replace("@", server.host, 1).replace("~", str(tmp_path))) for text in (source, target)
        ]
        with Session(context, transport, stop) as session:
            return copy(places[0], places[1], session, **options)  # type: ignore[arg-type]

    return run


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("app", Place(kind="registry", name="app")),
        ("host:5000/app:v1", Place(kind="registry", name="host:5000/app:v1")),
        ("docker://host/app@sha256:0", Place(kind="registry", name="host/app@sha256:0")),
        ("oci:dir", Place(kind="layout", path=Path("dir"))),
        ("oci:/a/b:host/app:v1", Place(kind="layout", path=Path("/a/b"), name="host/app:v1")),
        ("oci-archive:a.tar:v1", Place(kind="oci-archive", path=Path("a.tar"), name="v1")),
        ("docker-archive:a.tar", Place(kind="docker-archive", path=Path("a.tar"))),
    ],
)
def test_places_are_written_as_skopeo_writes_them(text: str, place: Place) -> None:
    assert parse_place(text) == place


@pytest.mark.parametrize("text", ["docker:app", "oci:", "containers-storage:app", "dir:x"])
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_place(text)


@pytest.mark.parametrize("way", ["oci:~/layout:v1", "oci-archive:~/a.tar:v1", "docker-archive:~/d.tar:x/y:v1"])
def test_an_image_comes_back_as_it_went(registry: MemoryRegistry, duplicate: Copy, way: str) -> None:
    sample = add_image(registry, "team/app")
    assert duplicate("@/team/app", way).digest == sample.digest
    back = duplicate(way, "docker://@/back/app:v2")
    if way.startswith("docker"):  # a docker archive has no manifest: one is made
        config = json.loads(registry.manifests["back/app", "v2"][1])["config"]["digest"]
        assert config == sample.id
    else:
        assert back.digest == sample.digest
        assert registry.manifests["back/app", "v2"][1] == sample.manifest
    assert all(("back/app", digest_of(layer)) in registry.blobs for layer in sample.layers)


def test_between_repositories_of_one_registry_no_blob_moves(
    registry: MemoryRegistry, server: ScriptedServer, duplicate: Copy
) -> None:
    add_image(registry, "team/app")
    duplicate("@/team/app", "@/other/app")
    assert not server.asked("PATCH")
    assert all("manifests" in request.path for request in server.asked("PUT"))


def _two_platforms(registry: MemoryRegistry) -> bytes:
    entries = []
    for architecture in ("amd64", "arm64"):
        sample = add_image(registry, "team/app", architecture, architecture=architecture)
        entries.append(sample.descriptor(platform={"os": "linux", "architecture": architecture}))
    return add_index(registry, "team/app", "latest", entries)


def test_of_an_index_one_image_is_copied(registry: MemoryRegistry, duplicate: Copy) -> None:
    _two_platforms(registry)
    copied = duplicate("@/team/app", "oci:~/layout:v1", platform=parse_platform("linux/arm64"))
    assert copied.digest == digest_of(registry.manifests["team/app", "arm64"][1])


@pytest.mark.parametrize("way", ["oci:~/layout:v1", "oci-archive:~/a.tar:v1"])
def test_all_images_of_an_index_are_copied_with_it(registry: MemoryRegistry, duplicate: Copy, way: str) -> None:
    index = _two_platforms(registry)
    assert duplicate("@/team/app", way, everything=True).digest == digest_of(index)
    assert duplicate(way, "@/back/app", everything=True).digest == digest_of(index)
    assert registry.manifests["back/app", "latest"][1] == index


def test_a_docker_archive_holds_no_index(registry: MemoryRegistry, duplicate: Copy, tmp_path: Path) -> None:
    _two_platforms(registry)
    with pytest.raises(UsageError, match="one image, not an index"):
        duplicate("@/team/app", "docker-archive:~/d.tar", everything=True)
    assert not list(tmp_path.glob("*.tar*"))


@pytest.mark.parametrize("way", ["oci:~/layout:v1", "oci-archive:~/a.tar:v1"])
def test_referrers_go_along_where_asked(registry: MemoryRegistry, duplicate: Copy, way: str) -> None:
    sample = add_image(registry, "team/app")
    signature = add_artifact(registry, "team/app", sample.descriptor(), b"signed")
    duplicate("@/team/app", way, referrers=True)
    duplicate(way, "@/back/app", referrers=True)
    assert ("back/app", signature) in registry.manifests


def test_an_artifact_is_copied(registry: MemoryRegistry, duplicate: Copy) -> None:
    artifact = add_artifact(registry, "team/chart", None, b"chart")
    duplicate(f"@/team/chart@{artifact}", "@/back/chart:v1")
    assert digest_of(registry.manifests["back/chart", "v1"][1]) == artifact


def test_names_of_a_layout_move_and_others_stay(registry: MemoryRegistry, duplicate: Copy, tmp_path: Path) -> None:
    first = add_image(registry, "team/app", "one", files=({"a": b"1"},))
    second = add_image(registry, "team/app", "two", files=({"a": b"2"},))
    duplicate("@/team/app:one", "oci:~/layout:v1")
    duplicate("@/team/app:one", "oci:~/layout:stays")
    duplicate("@/team/app:two", "oci:~/layout:v1")
    entries = json.loads((tmp_path / "layout/index.json").read_bytes())["manifests"]
    names = {entry["annotations"]["org.opencontainers.image.ref.name"]: entry["digest"] for entry in entries}
    assert names == {"v1": second.digest, "stays": first.digest}
    with pytest.raises(NotFound, match="has 2 images") as caught:
        duplicate("oci:~/layout", "@/back/app")
    assert "stays, v1" in (caught.value.hint or "")


def test_a_wrong_blob_is_named_and_nothing_gets_a_name(
    registry: MemoryRegistry, server: ScriptedServer, duplicate: Copy, tmp_path: Path
) -> None:
    sample = add_image(registry, "team/app")
    blob = sample.layers[0]
    server.fault("GET", f"/blobs/{digest_of(blob)}", Answer(200, body=bytes(len(blob))), times=99)
    for way in ("oci:~/layout:v1", "oci-archive:~/a.tar"):
        with pytest.raises(DigestMismatch):
            duplicate("@/team/app", way)
    assert not (tmp_path / "layout/index.json").exists()
    assert not list(tmp_path.glob("*.tar*"))


def test_a_layout_with_a_wrong_or_missing_blob_is_refused(
    registry: MemoryRegistry, duplicate: Copy, tmp_path: Path
) -> None:
    sample = add_image(registry, "team/app")
    duplicate("@/team/app", "oci:~/layout:v1")
    blob = tmp_path / "layout/blobs/sha256" / digest_of(sample.layers[0]).removeprefix("sha256:")
    blob.write_bytes(bytes(blob.stat().st_size))
    with pytest.raises(DigestMismatch):
        duplicate("oci:~/layout:v1", "oci-archive:~/a.tar")
    blob.unlink()
    with pytest.raises(BlobMissing):
        duplicate("oci:~/layout:v1", "oci-archive:~/a.tar")


def test_a_directory_that_is_something_else_is_left_alone(
    registry: MemoryRegistry, duplicate: Copy, tmp_path: Path
) -> None:
    add_image(registry, "team/app")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").write_text("mine")
    with pytest.raises(StoreError, match="neither empty nor an OCI layout"):
        duplicate("@/team/app", "oci:~/mine")
    assert os.listdir(tmp_path / "mine") == ["file"]


@pytest.fixture
def archive(tmp_path: Path) -> Callable[[dict[str, bytes]], str]:
    def write(files: dict[str, bytes]) -> str:
        (tmp_path / "made.tar").write_bytes(tar_of(files))
        return "docker-archive:~/made.tar"

    return write


def test_an_archive_of_old_docker_is_read(
    registry: MemoryRegistry, duplicate: Copy, archive: Callable[[dict[str, bytes]], str]
) -> None:
    layer = tar_of({"a": b"1"})
    rootfs = {"type": "layers", "diff_ids": [digest_of(layer)]}
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs}).encode()
    entry = {"Config": "c.json", "RepoTags": ["app:v1"], "Layers": ["1/layer.tar"]}
    place = archive({"c.json": config, "1/layer.tar": layer, "manifest.json": json.dumps([entry]).encode()})
    duplicate(f"{place}:app:v1", "@/back/app")
    manifest = json.loads(registry.manifests["back/app", "latest"][1])
    assert manifest["config"]["digest"] == digest_of(config)
    assert registry.blobs["back/app", digest_of(layer)] == layer
    with pytest.raises(NotFound, match="has no image") as caught:
        duplicate(f"{place}:app:v2", "@/back/app")
    assert "app:v1" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"manifest.json": b"[]"},
        {"manifest.json": b"{"},
        {"manifest.json": b'[{"Config": "../../etc/passwd", "Layers": []}]'},
        {"manifest.json": b'[{"Config": "c", "Layers": ["gone"]}]', "c": b"{}"},
        {"manifest.json": b" " * (5 << 20)},
    ],
    ids=["empty", "no image", "no JSON", "leads out", "no layer", "too large"],
)
def test_a_bad_archive_is_refused(
    duplicate: Copy, archive: Callable[[dict[str, bytes]], str], files: dict[str, bytes]
) -> None:
    with pytest.raises(PybuildError):
        duplicate(archive(files), "@/back/app")


def test_a_link_in_an_archive_leads_nowhere_else(duplicate: Copy, tmp_path: Path, registry: MemoryRegistry) -> None:
    with tarfile.open(tmp_path / "made.tar", "w") as tar:
        entry = tarfile.TarInfo("manifest.json")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(entry)
    with pytest.raises(PybuildError):
        duplicate("docker-archive:~/made.tar", "@/back/app")
