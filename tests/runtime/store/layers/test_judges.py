"""Layers as other programs unpack them: GNU tar, umoci, skopeo."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from runtime.store.layers.tree import CAPABILITY, make_whiteout, set_opaque
from runtime.store.layers.writer import write_layer
from runtime.store.view import MergedView
from tests.runtime.store.layers.trees import describe, opened, unpack

pytestmark = [pytest.mark.peer, pytest.mark.root]
LONG = "directory-of-some-length/" * 8 + "n" * 150
V2 = b"\x01\x00\x00\x02\x00\x04\x00\x00" + bytes(12)


def needed(missing: Callable[[str], None], *programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            missing(program)


def run(*words: str | Path) -> bytes:
    done = subprocess.run([os.fspath(word) for word in words], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.fixture
def rich(tmp_path: Path) -> Path:
    """A layer with one of everything."""
    root = tmp_path / "rich"
    (root / "d" / "empty").mkdir(parents=True)
    (root / "d" / "file").write_bytes(b"x" * 1000)
    os.link(root / "d" / "file", root / "another-name")
    (root / LONG).parent.mkdir(parents=True)
    (root / LONG).write_text("long")
    os.link(root / LONG, root / ("z" + "l" * 120))
    os.symlink("t" * 150, root / "link")
    (root / "é ü\n").touch()
    (root / os.fsdecode(b"raw\xff")).touch()
    os.mkfifo(root / "fifo", 0o640)
    os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(root / "disk", stat.S_IFBLK | 0o660, os.makedev(259, 1000))
    (root / "setuid").touch()
    os.chown(root / "setuid", 3_000_000, 33)
    os.chmod(root / "setuid", 0o6755)
    (root / "capable").touch()
    os.setxattr(root / "capable", CAPABILITY, V2)
    with open(root / "sparse", "wb") as file:
        file.truncate(2 << 20)
    for name, mtime in (("setuid", -1000), ("capable", 1 << 33), ("another-name", 1)):
        os.utime(root / name, (0, mtime))
    return root


def test_gnu_tar_makes_the_same_tree(rich: Path, tmp_path: Path, missing: Callable[[str], None]) -> None:
    needed(missing, "tar")
    with open(tmp_path / "layer.tar", "wb") as sink:
        write_layer(rich, sink)
    copy = tmp_path / "copy"
    copy.mkdir()
    run("tar", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf", tmp_path / "layer.tar", "-C", copy)
    assert describe(copy) == describe(rich)


def test_tar_of_gnu_tar_makes_the_same_layer(rich: Path, tmp_path: Path, missing: Callable[[str], None]) -> None:
    needed(missing, "tar")
    tar = run("tar", "--xattrs", "--xattrs-include=*", "--numeric-owner", "--format=pax", "-cf", "-", "-C", rich, ".")
    unpack(tar, tmp_path / "copy")
    assert write_layer(tmp_path / "copy") == write_layer(rich)


def test_standard_library_reads_the_same_tree(rich: Path, tmp_path: Path) -> None:
    sink = io.BytesIO()
    write_layer(rich, sink)
    with tarfile.open(fileobj=io.BytesIO(sink.getvalue()), errorlevel=2) as tar:
        assert [os.fsencode(member.name) for member in tar] == list(describe(rich))


def layout(directory: Path, layers: Sequence[Path]) -> Path:
    """Write an OCI image layout with one image, `image`, of uncompressed layers, bottom first."""
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, media_type: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": f"application/vnd.oci.image.{media_type}", "digest": f"sha256:{digest}", "size": len(data)}

    def put_json(value: object, media_type: str) -> dict[str, object]:
        return put(json.dumps(value).encode(), media_type)

    described = []
    for layer in layers:
        sink = io.BytesIO()
        write_layer(layer, sink)
        described.append(put(sink.getvalue(), "layer.v1.tar"))
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in described]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": put_json(config, "config.v1+json"),
        "layers": described,
    }
    entry = {**put_json(manifest, "manifest.v1+json"), "annotations": {"org.opencontainers.image.ref.name": "image"}}
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return directory


@pytest.fixture
def changing(tmp_path: Path) -> Path:
    """A layer for on top of `rich`, with whiteouts and an opaque directory."""
    root = tmp_path / "changing"
    (root / "d").mkdir(parents=True)
    (root / "d" / "new").write_text("new")
    (root / "setuid").write_text("replaced")
    with opened(root) as fd:
        set_opaque(fd, b"d")
        make_whiteout(fd, b"fifo")
        make_whiteout(fd, b"directory-of-some-length")
    return root


def test_umoci_unpacks_the_tree_that_the_view_shows(
    rich: Path, changing: Path, tmp_path: Path, missing: Callable[[str], None]
) -> None:
    needed(missing, "umoci")
    layout(tmp_path / "layout", [rich, changing])
    run("umoci", "unpack", "--image", f"{tmp_path / 'layout'}:image", tmp_path / "bundle")
    with MergedView([changing, rich]) as view:
        shown = {path: (m.kind, m.mode, m.uid, m.gid, m.rdev, m.link, m.size) for path, m, _ in view.walk() if path}
    with MergedView([tmp_path / "bundle" / "rootfs"]) as view:
        unpacked = {path: (m.kind, m.mode, m.uid, m.gid, m.rdev, m.link, m.size) for path, m, _ in view.walk() if path}
    assert unpacked == shown


def test_skopeo_copies_layers_with_their_diff_ids(
    rich: Path, changing: Path, tmp_path: Path, missing: Callable[[str], None]
) -> None:
    needed(missing, "skopeo")
    layout(tmp_path / "layout", [rich, changing])
    run("skopeo", "copy", "-q", f"oci:{tmp_path / 'layout'}:image", f"docker-archive:{tmp_path / 'image.tar'}:image:1")
    with tarfile.open(tmp_path / "image.tar") as archive:
        manifest = archive.extractfile("manifest.json")
        assert manifest is not None
        names = json.load(manifest)[0]["Layers"]
        found = []
        for name in names:
            layer = archive.extractfile(name)
            assert layer is not None
            found.append("sha256:" + hashlib.sha256(layer.read()).hexdigest())
    assert found == [write_layer(rich).diff_id, write_layer(changing).diff_id]
