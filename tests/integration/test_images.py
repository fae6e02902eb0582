"""Images through the installed program: as root and as a user, and between it and other tools.

`PYBUILD_TEST_PEERS` holds the words before another tool's name, `PYBUILD_TEST_PEERS_PREFIX` what that tool has before
the paths of this machine; without them the tools are looked for here.
"""

from __future__ import annotations

import io
import json
import os
import shlex
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.programs import Program

pytestmark = [pytest.mark.root, pytest.mark.userns]

Peer = Callable[..., str]

# Read now: each test begins with a clean environment.
BEFORE = shlex.split(os.environ.get("PYBUILD_TEST_PEERS", ""))
PREFIX = os.environ.get("PYBUILD_TEST_PEERS_PREFIX", "")


@pytest.fixture
def peer(missing: Callable[[str], None]) -> Peer:
    """Return a function that runs another tool and returns its standard output."""

    def run(tool: str, *words: str) -> str:
        if not BEFORE and shutil.which(tool) is None:
            missing(tool)
        if tool == "docker" and subprocess.run([*BEFORE, tool, "info"], capture_output=True, check=False).returncode:
            missing("a docker engine that answers")
        result = subprocess.run([*BEFORE, tool, *words], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        return result.stdout

    return run


def seen(path: Path) -> str:
    """Give a path as the other tools see it."""
    return PREFIX + str(path)


@pytest.fixture
def rich(pybuild: Program) -> Program:
    """Return the program with an image `rich:1` that has owners, links, a fifo and long names."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, uid, mode in (("bin/tool", 0, 0o4755), ("data/x", 33, 0o640), ("data/" + "n" * 150, 1000, 0o600)):
            entry = tarfile.TarInfo(name)
            entry.size, entry.uid, entry.gid, entry.mode, entry.mtime = len(name), uid, uid, mode, 1_600_000_000
            tar.addfile(entry, io.BytesIO(name.encode()))
        for name, kind, link in (("bin/sym", tarfile.SYMTYPE, "tool"), ("bin/hard", tarfile.LNKTYPE, "bin/tool")):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, link
            tar.addfile(entry)
        entry = tarfile.TarInfo("pipe")
        entry.type = tarfile.FIFOTYPE
        tar.addfile(entry)
    pybuild("import", "-c", 'CMD ["tool"]', "-c", "LABEL a=b", "-", "rich:1", input=output.getvalue())
    return pybuild


def test_an_image_comes_back_from_a_pipe(rich: Program) -> None:
    image_id = rich.text("images", "-q", "--no-trunc")
    archive = rich("save", "rich:1").stdout
    rich("rmi", "rich:1")
    assert rich.text("images", "-q") == ""
    assert rich.text("load", input=archive) == "Loaded image: rich:1"
    assert rich.text("images", "-q", "--no-trunc") == image_id
    assert rich("save", "rich:1").stdout == archive
    rich("system", "check")


def test_root_and_user_get_the_same_layers(rich: Program) -> None:
    layers = json.loads(rich.text("inspect", "rich:1"))[0]["RootFS"]["Layers"]
    assert layers == ["sha256:d292fc0dd8f1bcf5758de9e9abc0fe8514b0b9983790163ec84571124103c4d4"]


def test_what_is_missing_ends_with_one_and_dockers_words(pybuild: Program) -> None:
    result = pybuild("inspect", "nothing", status=1)
    assert (result.stdout, result.stderr) == (b"[]\n", b"pybuild: No such object: nothing\n")
    for words in (("rmi", "nothing"), ("tag", "nothing", "x"), ("save", "nothing"), ("history", "nothing")):
        result = pybuild(*words, status=1)
        assert b"No such image: nothing" in result.stderr
        assert result.stdout == b""


def test_a_broken_archive_ends_with_one_message(rich: Program) -> None:
    archive = rich("save", "rich:1").stdout
    for data in (archive[:3000], b"", b"junk" * 500, archive[:-2000].replace(b"rich:1", b"Rich 1")):
        result = rich("load", input=data, status=1)
        assert result.stdout == b""
        assert result.stderr.startswith(b"pybuild: ")
        assert b"Traceback" not in result.stderr
    rich("system", "check")


@pytest.mark.peer
def test_skopeo_reads_the_store_in_place(rich: Program, peer: Peer) -> None:
    rich("save", "rich:1", "-o", rich.home / "x.tar")
    for name in ("rich:1", "docker.io/library/rich:1"):
        found = json.loads(peer("skopeo", "inspect", f"oci:{seen(rich.root)}/images:{name}"))
        assert found["Labels"] == {"a": "b"}


@pytest.mark.peer
def test_umoci_unpacks_the_same_tree(rich: Program, peer: Peer, tmp_path: Path) -> None:
    if rich.user:
        pytest.skip("the layout is the same for both")
    rich("save", "rich:1", "-o", rich.home / "x.tar")
    peer("umoci", "unpack", "--image", f"{seen(rich.root)}/images:rich:1", f"{seen(tmp_path)}/bundle")
    tree = tmp_path / "bundle/rootfs"
    assert (tree / "bin/tool").stat().st_mode & 0o7777 == 0o4755
    assert (tree / "bin/tool").stat().st_ino == (tree / "bin/hard").stat().st_ino
    assert (tree / "data/x").stat().st_uid == 33
    assert (tree / "data" / ("n" * 150)).is_file()
    assert os.readlink(tree / "bin/sym") == "tool"


@pytest.mark.peer
@pytest.mark.parametrize("kind", ["docker-archive", "oci-archive"])
def test_archives_of_skopeo_are_loaded(rich: Program, peer: Peer, kind: str) -> None:
    rich("save", "rich:1", "-o", rich.home / "x.tar")
    image_id = rich.text("images", "-q", "--no-trunc")
    target = rich.home / f"{kind}.tar"
    peer("skopeo", "copy", "-q", f"oci:{seen(rich.root)}/images:rich:1", f"{kind}:{seen(target)}:peer/app:2")
    rich.own(target)
    assert rich.text("load", "-i", target) == "Loaded image: peer/app:2"
    assert rich.text("inspect", "-f", "{{.Id}}", "peer/app:2") == image_id


@pytest.mark.peer
@pytest.mark.parametrize("tool", ["docker", "podman"])
def test_engines_load_what_was_saved_and_give_it_back(rich: Program, peer: Peer, tool: str) -> None:
    name = f"pybuild-test-{os.getpid()}:{tool}"
    image_id = rich.text("images", "-q", "--no-trunc")
    rich("tag", "rich:1", name)
    rich("save", name, "-o", rich.home / "x.tar")
    peer(tool, "load", "-q", "-i", seen(rich.home / "x.tar"))
    try:
        theirs = peer(tool, "inspect", "-f", "{{.Id}}", name).strip().removeprefix("sha256:")
        peer(tool, "save", "-o", seen(rich.home / "back.tar"), name)
    finally:
        peer(tool, "rmi", "-f", name)
    assert theirs == image_id.removeprefix("sha256:")
    rich.own(rich.home / "back.tar")
    rich("rmi", "-f", image_id)
    loaded = rich.text("load", "-i", rich.home / "back.tar")
    assert loaded.removeprefix("Loaded image: ").removeprefix("localhost/") == name
    assert rich.text("images", "-q", "--no-trunc") == image_id
