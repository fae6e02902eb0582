from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from frozen import replace
from runtime.context import Context
from runtime.errors import Cancelled, NotFound, PybuildError
from runtime.oci.digests import canonical_json, digest_of, hex_of, sha256_of
from runtime.oci.platforms import parse_platform
from runtime.oci.references import parse_reference
from runtime.store import Store
from runtime.store.archive import save
from runtime.store.loading import load

MakeImage = Any
Files = dict[str, bytes]


def saved(store: Store, *names: str) -> bytes:
    sink = io.BytesIO()
    save(store, names, sink)
    return sink.getvalue()


def files_of(archive: bytes) -> Files:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {
            member.name: tar.extractfile(member).read()  # type: ignore[union-attr]
            for member in tar
            if member.isfile()
        }


def tar_of(files: Files, *members: tarfile.TarInfo) -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as tar:
        for member in members:
            tar.addfile(member)
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return output.getvalue()


class Pipe(io.RawIOBase):
    """A stream that gives a little at a time and cannot be rewound."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        return self._data.read(min(size, 7919) if size >= 0 else -1)


@pytest.fixture
def other(context: Context, tmp_path: Path) -> Any:
    """A second store, which knows nothing."""
    with Store.open(replace(context, layout=replace(context.layout, root=tmp_path / "other"))) as opened:
        yield opened


@pytest.fixture
def archive(store: Store, make_image: MakeImage) -> bytes:
    make_image([{"a": b"1" * 5000}, {"b/c": b"2"}], "app:1", "example.com/x/app:2")
    return saved(store, "app:1", "example.com/x/app:2")


def test_what_was_saved_is_loaded_with_its_names(store: Store, other: Store, archive: bytes) -> None:
    loaded = load(other, Pipe(archive))  # type: ignore[arg-type]
    assert [str(name) for name in loaded[0].names] == ["docker.io/library/app:1", "example.com/x/app:2"]
    assert loaded[0].image.id == store.images.require("app:1").id
    with other.snapshots.view(other.images.unpacked(loaded[0].image)) as view:
        assert view.read_text("b/c", 10) == "2"
    assert other.images.require("app:1").manifest is not None
    assert os.listdir(other.workspace()) == []


@pytest.mark.parametrize(
    "compress",
    [gzip.compress, bz2.compress, lzma.compress, zstandard.ZstdCompressor().compress],
    ids=["gzip", "bzip2", "xz", "zstd"],
)
def test_a_compressed_archive_is_loaded(other: Store, archive: bytes, compress: Callable[[bytes], bytes]) -> None:
    assert len(load(other, io.BytesIO(compress(archive)))) == 1


def test_an_archive_is_the_same_each_time(store: Store, archive: bytes) -> None:
    assert saved(store, "app:1", "example.com/x/app:2") == archive


def test_an_archive_is_an_oci_layout_and_a_docker_archive(store: Store, archive: bytes) -> None:
    files = files_of(archive)
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    entries = json.loads(files["index.json"])["manifests"]
    assert [entry["annotations"] for entry in entries] == [
        {"io.containerd.image.name": "docker.io/library/app:1", "org.opencontainers.image.ref.name": "1"},
        {"io.containerd.image.name": "example.com/x/app:2", "org.opencontainers.image.ref.name": "2"},
    ]
    (docker,) = json.loads(files["manifest.json"])
    assert docker["RepoTags"] == ["app:1", "example.com/x/app:2"]
    assert sha256_of(files[docker["Config"]]) == store.images.require("app:1").id
    assert all(name in files for name in docker["Layers"])
    top = docker["Layers"][-1].rpartition("/")[2]
    assert json.loads(files["repositories"]) == {"app": {"1": top}, "example.com/x/app": {"2": top}}
    for name, data in files.items():
        if name.startswith("blobs/"):
            assert hex_of(sha256_of(data)) == name.rpartition("/")[2]


def test_an_image_saved_by_its_id_has_no_name(store: Store, other: Store, archive: bytes) -> None:
    image = store.images.require("app:1")
    loaded = load(other, io.BytesIO(saved(store, hex_of(image.id)[:12])))
    assert [(item.image.id, item.names) for item in loaded] == [(image.id, ())]
    assert "repositories" not in files_of(saved(store, hex_of(image.id)))


def test_a_repository_without_tag_means_all_its_tags(store: Store, other: Store, make_image: MakeImage) -> None:
    make_image([{"a": b"1"}], "app:1", "app:2", "app2:1")
    make_image([{"a": b"2"}], "app:3")
    loaded = load(other, io.BytesIO(saved(store, "app")))
    names = sorted(name.familiar() for item in loaded for name in item.names)
    assert names == ["app:1", "app:2", "app:3"]


def test_what_is_missing_cannot_be_saved(store: Store) -> None:
    with pytest.raises(NotFound, match="No such image: nothing"):
        saved(store, "nothing")


def as_docker_archive(files: Files) -> Files:
    """Rewrite an archive as older Dockers did: configs and layers under names of their own, layers uncompressed."""
    (entry,) = json.loads(files["manifest.json"])
    config = files[entry["Config"]]
    name = hex_of(sha256_of(config)) + ".json"
    rewritten = {name: config}
    layers = []
    for number, layer in enumerate(entry["Layers"]):
        layers.append(f"layer{number}/layer.tar")
        rewritten[layers[-1]] = gzip.decompress(files[layer])
    rewritten["manifest.json"] = json.dumps([{"Config": name, "RepoTags": ["old/app:9"], "Layers": layers}]).encode()
    return rewritten


def test_a_docker_archive_is_loaded(store: Store, other: Store, archive: bytes) -> None:
    (loaded,) = load(other, Pipe(tar_of(as_docker_archive(files_of(archive)))))  # type: ignore[arg-type]
    assert [name.familiar() for name in loaded.names] == ["old/app:9"]
    assert loaded.image.id == store.images.require("app:1").id
    assert other.images.require("old/app:9").manifest is not None


def test_a_link_within_a_docker_archive_is_followed(other: Store, archive: bytes) -> None:
    files = as_docker_archive(files_of(archive))
    files["real.tar"] = files.pop("layer0/layer.tar")
    link = tarfile.TarInfo("layer0/layer.tar")
    link.type, link.linkname = tarfile.SYMTYPE, "../real.tar"
    assert len(load(other, io.BytesIO(tar_of(files, link)))) == 1


@pytest.mark.parametrize("compress", [bz2.compress, lzma.compress, gzip.compress], ids=["bzip2", "xz", "gzip"])
def test_compressed_layers_of_a_docker_archive_are_taken(
    other: Store, archive: bytes, compress: Callable[[bytes], bytes]
) -> None:
    files = as_docker_archive(files_of(archive))
    files["layer0/layer.tar"] = compress(files["layer0/layer.tar"])
    assert len(load(other, io.BytesIO(tar_of(files)))) == 1


def link_member(kind: bytes, name: str, target: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def device_member() -> tarfile.TarInfo:
    member = tarfile.TarInfo("null")
    member.type, member.devmajor, member.devminor = tarfile.CHRTYPE, 1, 3
    return member


@pytest.mark.parametrize(
    "member",
    [
        tarfile.TarInfo("../evil"),
        tarfile.TarInfo("/etc/evil"),
        tarfile.TarInfo("blobs/../../evil"),
        link_member(tarfile.SYMTYPE, "index.json", "/etc/passwd"),
        link_member(tarfile.SYMTYPE, "blobs/x", "../../etc/passwd"),
        link_member(tarfile.LNKTYPE, "x", "../x"),
        device_member(),
    ],
    ids=lambda member: f"{member.name}-{member.linkname}",
)
def test_a_hostile_member_is_refused(other: Store, archive: bytes, member: tarfile.TarInfo) -> None:
    with pytest.raises(PybuildError, match="refused"):
        load(other, io.BytesIO(tar_of(files_of(archive), member)))
    untouched(other)


def untouched(store: Store) -> None:
    assert store.images.list() == ()
    assert list(store.blobs.digests()) == []
    assert os.listdir(store.workspace()) == []


def broken(files: Files, change: Callable[[Files], None]) -> bytes:
    change(files)
    return tar_of(files)


def blob(files: Files, place: int) -> str:
    """Name a blob by what `manifest.json` says: 0 the config, 1 and 2 the layers."""
    (entry,) = json.loads(files["manifest.json"])
    return str([entry["Config"], *entry["Layers"]][place])


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_missing_blob_is_named(other: Store, archive: bytes, place: int) -> None:
    files = files_of(archive)
    name = blob(files, place)
    del files[name]
    with pytest.raises(PybuildError, match=name.rpartition("/")[2]):
        load(other, io.BytesIO(tar_of(files)))
    untouched(other)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_blob_with_other_content_is_named(other: Store, archive: bytes, place: int) -> None:
    files = files_of(archive)
    name = blob(files, place)
    files[name] = files[name][:-1] + b"\xff"
    with pytest.raises(PybuildError, match=name.rpartition("/")[2]):
        load(other, io.BytesIO(tar_of(files)))
    untouched(other)


def with_config(files: Files, change: Callable[[dict[str, Any]], None]) -> Files:
    """Change the config of an archive, and all digests that follow from it."""
    config = json.loads(files.pop(blob(files, 0)))
    change(config)
    data = canonical_json(config)
    name = f"blobs/sha256/{hex_of(sha256_of(data))}"
    index = json.loads(files["index.json"])
    old = f"blobs/sha256/{hex_of(index['manifests'][0]['digest'])}"
    manifest = json.loads(files.pop(old))
    manifest["config"].update(digest=sha256_of(data), size=len(data))
    manifest_data = canonical_json(manifest)
    for entry in index["manifests"]:
        entry.update(digest=sha256_of(manifest_data), size=len(manifest_data))
    (docker,) = json.loads(files["manifest.json"])
    docker["Config"] = name
    return {
        **files,
        name: data,
        f"blobs/sha256/{hex_of(sha256_of(manifest_data))}": manifest_data,
        "index.json": json.dumps(index).encode(),
        "manifest.json": json.dumps([docker]).encode(),
    }


def test_a_layer_that_is_not_its_diff_id_is_refused(other: Store, archive: bytes) -> None:
    def swap(config: dict[str, Any]) -> None:
        config["rootfs"]["diff_ids"].reverse()

    with pytest.raises(PybuildError, match="expected sha256"):
        load(other, io.BytesIO(tar_of(with_config(files_of(archive), swap))))
    untouched(other)


def test_a_wrong_layer_is_refused_where_the_right_one_is_known(store: Store, archive: bytes) -> None:
    """A blob must be what it is said to be even where nothing needs to be unpacked."""
    files = as_docker_archive(files_of(archive))
    files["layer1/layer.tar"] = files["layer0/layer.tar"]
    with pytest.raises(PybuildError, match="expected sha256"):
        load(store, io.BytesIO(tar_of(files)))
    assert store.images.resolve("old/app:9") is None


def test_a_layer_too_many_is_refused(other: Store, archive: bytes) -> None:
    def drop(config: dict[str, Any]) -> None:
        config["rootfs"]["diff_ids"].pop()

    with pytest.raises(PybuildError, match="1 diff IDs and 2 layers"):
        load(other, io.BytesIO(tar_of(with_config(files_of(archive), drop))))
    untouched(other)


def test_a_config_with_a_wrong_field_is_refused(other: Store, archive: bytes) -> None:
    def spoil(config: dict[str, Any]) -> None:
        config["config"]["Env"] = ["A=1", 5]

    with pytest.raises(PybuildError, match=r"config\.Env\[1\]"):
        load(other, io.BytesIO(tar_of(with_config(files_of(archive), spoil))))
    untouched(other)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "neither an OCI layout"),
        (b"x" * 5000, "cannot be read"),
        (tar_of({"etc/passwd": b"root"}), "neither an OCI layout"),
        (tar_of({"manifest.json": b"{}"}), "must be a list"),
        (tar_of({"manifest.json": b"[]"}), "no image"),
        (tar_of({"manifest.json": b"[" * 9999}), "nested"),
        (tar_of({"manifest.json": b'[{"Config": "x", "Layers": []}]'}), "no file 'x'"),
        (tar_of({"repositories": b"{}"}), "before 1.10"),
        (tar_of({"oci-layout": b'{"imageLayoutVersion": "9.0.0"}', "index.json": b"{}"}), "version '9.0.0'"),
        (tar_of({"oci-layout": b"{}", "index.json": b"{}"}), "imageLayoutVersion: is missing"),
        (tar_of({"a": b"x" * 2000})[:1000], "cut off"),
        (gzip.compress(tar_of({"a": b"x" * 2000}), mtime=0)[:-9], "cut off"),
    ],
)
def test_what_is_no_archive_is_refused(other: Store, data: bytes, message: str) -> None:
    with pytest.raises(PybuildError, match=message):
        load(other, io.BytesIO(data))
    untouched(other)


def test_a_link_in_a_circle_is_refused(other: Store, archive: bytes) -> None:
    files = as_docker_archive(files_of(archive))
    del files["layer0/layer.tar"]
    members = (
        link_member(tarfile.SYMTYPE, "layer0/layer.tar", "b"),
        link_member(tarfile.SYMTYPE, "layer0/b", "layer.tar"),
    )
    with pytest.raises(PybuildError, match="circle"):
        load(other, io.BytesIO(tar_of(files, *members)))


def test_a_wrong_name_in_an_archive_is_refused(other: Store, archive: bytes) -> None:
    files = as_docker_archive(files_of(archive))
    entry = json.loads(files["manifest.json"])
    entry[0]["RepoTags"] = ["Not A Name"]
    files["manifest.json"] = json.dumps(entry).encode()
    with pytest.raises(PybuildError, match=r"refused.*Not A Name"):
        load(other, io.BytesIO(tar_of(files)))
    untouched(other)


@pytest.mark.parametrize(("name", "kept"), [("app@" + sha256_of(b"x"), []), ("app:7@" + sha256_of(b"x"), ["app:7"])])
def test_an_archive_cannot_claim_a_digest(other: Store, archive: bytes, name: str, kept: list[str]) -> None:
    files = as_docker_archive(files_of(archive))
    entry = json.loads(files["manifest.json"])
    entry[0]["RepoTags"] = [name]
    files["manifest.json"] = json.dumps(entry).encode()
    (loaded,) = load(other, io.BytesIO(tar_of(files)))
    assert [str(found.familiar()) for found in loaded.names] == kept
    assert other.images.resolve("app@" + sha256_of(b"x")) is None


def multi_platform(files: Files, *, whole: bool) -> Files:
    """Put an index for amd64 and arm64 around the image of an archive, sha512 as its digest."""
    index = json.loads(files["index.json"])
    first = index["manifests"][0]
    manifest = json.loads(files[f"blobs/sha256/{hex_of(first['digest'])}"])
    config = json.loads(files[blob(files, 0)])
    config["architecture"] = "arm64"
    arm_config = canonical_json(config)
    arm = canonical_json(
        {**manifest, "config": {**manifest["config"], "digest": sha256_of(arm_config), "size": len(arm_config)}}
    )
    entries = [
        {"mediaType": first["mediaType"], "digest": first["digest"], "size": first["size"]}
        | {"platform": {"os": "linux", "architecture": "amd64"}},
        {"mediaType": first["mediaType"], "digest": sha256_of(arm), "size": len(arm)}
        | {"platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}},
    ]
    inner = canonical_json(
        {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries}
    )
    digest = digest_of(inner, "sha512")
    outer = {
        "schemaVersion": 2,
        "manifests": [
            {
                "mediaType": "application/vnd.oci.image.index.v1+json",
                "digest": digest,
                "size": len(inner),
                "annotations": {"org.opencontainers.image.ref.name": "multi:1"},
            }
        ],
    }
    added = {f"blobs/sha512/{hex_of(digest)}": inner, "index.json": json.dumps(outer).encode()}
    if whole:
        added |= {f"blobs/sha256/{hex_of(sha256_of(data))}": data for data in (arm, arm_config)}
    kept = {name: data for name, data in files.items() if name not in {"manifest.json", "index.json"}}
    return {**kept, **added}


def test_of_an_index_the_image_for_this_platform_is_chosen(other: Store, archive: bytes) -> None:
    files = multi_platform(files_of(archive), whole=True)
    (loaded,) = load(other, io.BytesIO(tar_of(files)), platform=parse_platform("linux/arm64"))
    assert loaded.image.config.architecture == "arm64"
    assert [name.familiar() for name in loaded.names] == ["multi:1"]


def test_a_complete_index_is_kept_and_saved_again(other: Store, archive: bytes) -> None:
    files = multi_platform(files_of(archive), whole=True)
    load(other, io.BytesIO(tar_of(files)), platform=parse_platform("linux/amd64"))
    target = other.images.target(parse_reference("multi:1"))
    assert target is not None
    assert target.digest.startswith("sha512:")
    again = files_of(saved(other, "multi:1"))
    assert {name for name in files if name.startswith("blobs/")} == {n for n in again if n.startswith("blobs/")}


def test_of_an_incomplete_index_only_the_image_is_kept(other: Store, archive: bytes) -> None:
    files = multi_platform(files_of(archive), whole=False)
    (loaded,) = load(other, io.BytesIO(tar_of(files)), platform=parse_platform("linux/amd64"))
    assert loaded.image.config.architecture == "amd64"
    assert other.images.target(parse_reference("multi:1")) is None


def test_an_index_without_this_platform_says_what_there_is(other: Store, archive: bytes) -> None:
    files = multi_platform(files_of(archive), whole=True)
    with pytest.raises(PybuildError, match="no image for linux/s390x, only for linux/amd64, linux/arm64"):
        load(other, io.BytesIO(tar_of(files)), platform=parse_platform("linux/s390x"))
    untouched(other)


def test_loading_can_be_cancelled(other: Store, archive: bytes) -> None:
    other.context.cancel.set(15)
    with pytest.raises(Cancelled):
        load(other, io.BytesIO(archive))
    assert os.listdir(other.layout.tmp / other.workspace().name) == []
