"""Whole builds by command line: several platforms, targets and outputs; layers made anew."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from builder.cli import build
from frozen import replace
from runtime.cli.arguments import read_arguments
from runtime.context import Context
from runtime.errors import PybuildError, UsageError
from runtime.store import Store

DAY = 86_400 * 10**9


@dataclass
class Shop:
    """The verb on a directory of its own."""

    context: Context
    directory: Path

    def __call__(self, *words: str, now: int = 10**18, environ: dict[str, str] | None = None) -> str:
        """Build quietly; give what it printed."""
        out = io.StringIO()
        context = replace(self.context, stdout=out, stderr=io.StringIO(), environ=environ or {}, now=lambda: now)
        assert build.run(read_arguments(build.VERB, ("-q", *words, str(self.directory))), context) == 0
        return out.getvalue().strip()

    def write(self, text: str, files: dict[str, str] | None = None) -> None:
        (self.directory / "Dockerfile").write_text(text)
        for name, content in (files or {}).items():
            path = self.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)

    def config(self, name: str) -> dict[str, Any]:
        with Store.open(self.context) as store:
            found: dict[str, Any] = store.images.require(name).config.raw
            return found

    def layers(self, name: str) -> list[dict[str, int]]:
        """Give the files of each layer with their times in seconds."""
        found = []
        with Store.open(self.context) as store:
            image = store.images.require(name)
            for diff_id, chain in zip(image.config.diff_ids, chains(image.config.diff_ids), strict=True):
                data = io.BytesIO()
                assert store.snapshots.write_tar(chain, data).diff_id == diff_id
                data.seek(0)
                with tarfile.open(fileobj=data) as tar:
                    found.append({member.name: int(member.mtime) for member in tar})
        return found


def chains(diff_ids: Iterable[Any]) -> Any:
    from runtime.oci.digests import chain_ids

    return chain_ids(tuple(diff_ids))


@pytest.fixture
def shop(context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    directory = tmp_path / "src"
    directory.mkdir()
    monkeypatch.chdir(tmp_path)
    return Shop(context, directory)


def test_several_platforms_make_one_index(shop: Shop, tmp_path: Path) -> None:
    shop.write(
        "FROM --platform=$BUILDPLATFORM scratch AS made\nARG TARGETARCH\nCOPY bin-$TARGETARCH /bin\n"
        "FROM scratch\nCOPY --from=made /bin /bin\n",
        {"bin-amd64": "1", "bin-arm64": "2"},
    )
    printed = shop(
        "--platform", "linux/amd64,linux/arm64", "-t", "app", "--metadata-file", "facts", "-o", "type=image",
        "-o", "type=oci,dest=app.tar,annotation-index.a=b,annotation[linux/arm64].c=d",
        "-o", "type=local,dest=out", "-o", "type=tar,dest=trees.tar", "-o", "type=oci,tar=false,dest=layout",
    )  # fmt: skip
    facts = json.loads((tmp_path / "facts").read_text())
    assert facts["containerimage.digest"] == printed
    assert facts["containerimage.descriptor"]["mediaType"].endswith("image.index.v1+json")
    with tarfile.open("app.tar") as tar:
        outer = read(tar, "index.json")
        index = read(tar, "blobs/sha256/" + outer["manifests"][0]["digest"][7:])
        assert index["annotations"] == {"a": "b"}
        assert [item["platform"]["architecture"] for item in index["manifests"]] == ["amd64", "arm64"]
        manifests = [read(tar, "blobs/sha256/" + item["digest"][7:]) for item in index["manifests"]]
        assert [manifest.get("annotations") for manifest in manifests] == [None, {"c": "d"}]
    assert (tmp_path / "out/linux_amd64/bin").read_text() == "1"
    assert (tmp_path / "out/linux_arm64/bin").read_text() == "2"
    with tarfile.open("trees.tar") as tar:
        assert tar.getnames() == ["linux_amd64", "linux_amd64/bin", "linux_arm64", "linux_arm64/bin"]
    layout = json.loads((tmp_path / "layout/index.json").read_text())
    assert layout["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"] == "latest"
    assert shop.config("app")["architecture"] == "amd64"


def read(tar: tarfile.TarFile, name: str) -> Any:
    file = tar.extractfile(name)
    assert file is not None
    return json.loads(file.read())


def test_one_platform_may_have_a_directory_of_its_own(shop: Shop, tmp_path: Path) -> None:
    shop.write("FROM scratch\nCOPY a /\n", {"a": "1"})
    shop("-o", "type=local,dest=out,platform-split=true", "--platform", "linux/arm/v7")
    assert (tmp_path / "out/linux_arm_v7/a").read_text() == "1"


def test_a_command_for_a_foreign_platform_is_refused(shop: Shop) -> None:
    shop.write("FROM scratch\nRUN true\n")
    with pytest.raises(PybuildError, match="RUN for linux/s390x cannot be executed on this machine"):
        shop("--platform", "linux/s390x")


def test_stages_get_their_names_in_one_go(shop: Shop) -> None:
    shop.write("FROM scratch AS one\nENV A=1\nFROM scratch AS two\nENV A=2\nFROM scratch\nENV A=3\n")
    shop("-t", "last", "-t", "one=first:1", "-t", "two=second", "-t", "one=again")
    values = {name: shop.config(name)["config"]["Env"][-1] for name in ("last", "first:1", "second", "again")}
    assert values == {"last": "A=3", "first:1": "A=1", "second": "A=2", "again": "A=1"}
    with pytest.raises(PybuildError, match="three"):
        shop("-t", "three=x")


def test_each_stage_with_a_name_is_the_target_of_its_own_build(shop: Shop) -> None:
    shop.write("ARG TARGETSTAGE\nFROM scratch AS one\nARG TARGETSTAGE\nENV A=$TARGETSTAGE\nFROM one AS two\n")
    shop("-t", "two", "-t", "one=first")
    assert [shop.config(name)["config"]["Env"][-1] for name in ("two", "first")] == ["A=two", "A=one"]


def test_the_smaller_cache_holds_the_layers_of_stages_with_names_too(shop: Shop, tmp_path: Path) -> None:
    shop.write(
        "FROM scratch AS tools\nCOPY a /tool\nFROM scratch AS one\nCOPY a /1\nCOPY --from=tools /tool /\n"
        "FROM scratch\nCOPY a /2\n",
        {"a": "1"},
    )
    words = ("-t", "last", "-t", "one=first")
    shop(*words, "--cache-to", "type=local,dest=cache")
    layout = replace(shop.context.layout, root=tmp_path / "other", run=tmp_path / "other-run")
    other = Shop(replace(shop.context, layout=layout), shop.directory)
    explained = json.loads(other(*words, "--cache-from", "type=local,src=cache", "--explain=json"))
    assert (explained["steps"], explained["cached"]) == ([], 4)
    assert [other.config(name) for name in ("last", "first")] == [shop.config(name) for name in ("last", "first")]


def test_arguments_come_from_files_and_the_command_line_wins(shop: Shop, tmp_path: Path) -> None:
    shop.write("FROM scratch\nARG A\nARG B\nENV X=$A$B\n")
    (tmp_path / "args").write_text("# comment\n\nA=1\nB=2\n")
    shop("-t", "app", "--build-arg-file", "args", "--build-arg", "B=3")
    assert shop.config("app")["config"]["Env"][-1] == "X=13"


def test_squashed_layers_are_one_on_the_base(shop: Shop) -> None:
    shop.write("FROM scratch\nCOPY base /base/\nCOPY base/gone /gone\n", {"base/keep": "1", "base/gone": "1"})
    shop("-t", "base")
    shop.write(
        "FROM base\nCOPY a /a\nCOPY b /a\nCOPY base/keep /new/dir/\n",
        {"a": "1", "b": "22"},
    )
    shop("-t", "plain")
    shop("-t", "squashed", "--squash")
    plain, squashed = shop.config("plain"), shop.config("squashed")
    assert len(plain["rootfs"]["diff_ids"]) == 5
    assert squashed["rootfs"]["diff_ids"][:2] == plain["rootfs"]["diff_ids"][:2]
    assert len(squashed["rootfs"]["diff_ids"]) == 3
    assert squashed["history"][-1]["comment"] == "squashed 3 layers"
    assert sum(not entry.get("empty_layer") for entry in squashed["history"]) == 3
    assert sorted(shop.layers("squashed")[2]) == ["a", "new", "new/dir", "new/dir/keep"]


def test_times_become_the_epoch_in_remembered_layers_too_and_the_bases_stay(shop: Shop) -> None:
    shop.write("FROM scratch\nCOPY a /base\n", {"a": "1"})
    os.utime(shop.directory / "a", (3000, 3000))
    shop("-t", "base")
    shop.write("FROM base\nCOPY a /new\nCOPY b /old\n", {"b": "2"})
    os.utime(shop.directory / "b", (500, 500))
    shop("-t", "kept", environ={"SOURCE_DATE_EPOCH": "1000"})
    assert list(shop.layers("kept")) == [{"base": 3000}, {"new": 3000}, {"old": 500}]
    shop("-t", "clamped", "-o", "type=image,rewrite-timestamp=true", environ={"SOURCE_DATE_EPOCH": "1000"})
    assert list(shop.layers("clamped")) == [{"base": 3000}, {"new": 1000}, {"old": 500}]
    assert shop.config("kept")["rootfs"]["diff_ids"][2] == shop.config("clamped")["rootfs"]["diff_ids"][2]
    assert shop.config("clamped")["created"] == "1970-01-01T00:16:40Z"
    shop("-t", "flag", "--timestamp", "1000")
    assert shop.config("flag")["rootfs"] == shop.config("clamped")["rootfs"]


def test_two_machines_make_one_image_an_hour_apart(shop: Shop, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    other.mkdir()
    for directory, time in ((shop.directory, 5000), (other, 9000)):
        place = Shop(shop.context, directory)
        place.write("FROM scratch\nCOPY sub /s\nWORKDIR /w\nCOPY <<x /x\nhi\nx\n", {"sub/b": "1", "sub/a": "2"})
        for path in directory.rglob("*"):
            os.utime(path, (time, time))
    layout = replace(shop.context.layout, root=tmp_path / "root2", run=tmp_path / "run2")
    second = Shop(replace(shop.context, layout=layout), other)
    words = ("--timestamp", "1000")
    assert shop(*words, now=10**18) == second(*words, now=10**18 + 3600 * 10**9)
    first_layout, second_layout = ("type=oci,dest=one.tar",), ("type=oci,dest=two.tar",)
    shop(*words, "-o", *first_layout)
    second(*words, "-o", *second_layout, now=2 * 10**18)
    assert subprocess.run(["cmp", "one.tar", "two.tar"], check=False).returncode == 0


def test_compression_is_that_of_each_output(shop: Shop, tmp_path: Path) -> None:
    shop.write("FROM scratch\nCOPY a /\n", {"a": "1" * 1000})
    shop("-t", "app", "-o", "type=oci,tar=false,dest=one,compression=zstd,force-compression=true",
         "-o", "type=oci,tar=false,dest=two,compression=gzip,force-compression=true,compression-level=9",
         "-o", "type=oci,tar=false,dest=three,compression=uncompressed,force-compression=true")  # fmt: skip
    kinds = []
    for name in ("one", "two", "three"):
        index = json.loads((tmp_path / name / "index.json").read_text())
        manifest = json.loads((tmp_path / name / "blobs/sha256" / index["manifests"][0]["digest"][7:]).read_text())
        kinds.append(manifest["layers"][0]["mediaType"].rpartition(".")[2])
    assert kinds == ["tar+zstd", "tar+gzip", "tar"]


def test_times_that_no_epoch_says_stay(shop: Shop) -> None:
    shop.write("FROM scratch\nCOPY a /\n", {"a": "1"})
    os.utime(shop.directory / "a", (5000, 5000))
    shop("-t", "kept", "-o", "type=image,rewrite-timestamp=true")
    assert shop.layers("kept")[-1]["a"] == 5000


def test_what_makes_no_sense_together_is_refused(shop: Shop) -> None:
    shop.write("FROM scratch\nENV A=1\n")
    for words in (
        ("-o", "type=docker,dest=x", "--platform", "linux/amd64,linux/arm64"),
        ("-o", "type=oci,dest=x,annotation-index.a=b"),
        ("--push",),
        ("--annotation", "a=b", "-o", "type=tar,dest=x"),
    ):
        with pytest.raises(UsageError):
            shop(*words)


def test_build_arguments_of_buildkit_ask_for_an_index_and_for_a_cache_in_the_image(shop: Shop, tmp_path: Path) -> None:
    shop.write("FROM scratch\nCOPY a /\n", {"a": "1"})
    shop(
        "-t", "app", "--build-arg", "BUILDKIT_MULTI_PLATFORM=1", "--metadata-file", "facts", "-o", "type=oci,dest=x.tar"
    )
    facts = json.loads((tmp_path / "facts").read_text())
    assert facts["containerimage.descriptor"]["mediaType"].endswith("image.index.v1+json")
    shop("-t", "app", "--build-arg", "BUILDKIT_INLINE_CACHE=1")
    assert "vnd.pybuild.cache.v1" in shop.config("app")
    shop("-t", "app", "--platform", "local")
    assert "vnd.pybuild.cache.v1" not in shop.config("app")
