"""Caches that go from one root to another: what comes along, what is taken, and what is not believed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from builder.cachetransfer import document
from builder.cachetransfer.exporting import Sent, describe_layers, send
from builder.cachetransfer.importing import import_all, read_cache
from builder.cachetransfer.places import DirectoryPlace
from builder.cachetransfer.wishes import read_cache_from, read_cache_to
from builder.keys import SEMANTICS
from builder.options import BuildOptions
from builder.records import Records
from builder.steps.cachemounts import entry_of
from frozen import replace
from runtime.context import Context
from runtime.errors import DocumentError, PybuildError, UsageError
from runtime.oci.digests import sha256_of
from runtime.oci.documents import Descriptor, Manifest
from runtime.store import Store
from runtime.store.view import MergedView
from tests.builder.benches import Bench, Built

TEXT = """FROM scratch AS one
COPY src /src/
WORKDIR /w
FROM scratch AS two
COPY big /big
FROM scratch
COPY --from=one /src/a /a
COPY --link --from=two /big /linked/
WORKDIR /end
"""


@pytest.fixture
def other(bench: Bench, tmp_path: Path) -> Bench:
    """Another machine with the same sources and an empty root."""
    layout = replace(bench.context.layout, root=tmp_path / "other", run=tmp_path / "other-run")
    return Bench(context=replace(bench.context, layout=layout), directory=bench.directory)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def build(bench: Bench, text: str = TEXT, *, to: str = "", place: Path | None = None, **options: object) -> Built:
    source = () if place is None else read_cache_from([f"type=local,src={place}"])
    return bench.build(text, cache_from=source, cache_to=read_cache_to([to] if to else []), **options)  # type: ignore[arg-type]


def prepare(bench: Bench) -> None:
    bench.write({"src/a": "1", "src/b": "2", "big": "x" * 100_000})


@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_second_machine_runs_no_step_and_makes_the_same_image(
    bench: Bench, other: Bench, place: Path, mode: str
) -> None:
    prepare(bench)
    first = build(bench, to=f"type=local,dest={place},mode={mode}")
    second = build(other, place=place)
    assert second.ran == []
    assert second.executed == 0
    assert second.id == first.id
    with Store.open(other.context) as store:
        store.snapshots.view(store.images.get(second.id).chain_id).close()  # type: ignore[arg-type]
        assert len(store.snapshots.list()) == 3, "only the layers of the image were fetched"


def test_with_all_layers_only_what_changed_runs(bench: Bench, other: Bench, place: Path) -> None:
    prepare(bench)
    build(bench, to=f"type=local,dest={place},mode=max")
    bench.write({"src/b": "3"})
    second = build(other, place=place)
    assert second.ran == ["COPY src /src/", "WORKDIR /w"]
    assert "COPY --from=one /src/a /a" in second.cached


def test_a_machine_that_needed_no_layer_passes_all_of_them_on(
    bench: Bench, other: Bench, place: Path, tmp_path: Path
) -> None:
    prepare(bench)
    build(bench, to=f"type=local,dest={place},mode=max")
    second = tmp_path / "second"
    build(other, place=place, to=f"type=local,dest={second},mode=max")
    before = {path: path.stat().st_ino for path in place.rglob("*") if path.is_file()}
    build(other, place=place, to=f"type=local,dest={place},mode=max")
    assert {path: path.stat().st_ino for path in place.rglob("*") if path.is_file()} == before
    assert {path.name for path in (second / "blobs/sha256").iterdir()} == {
        path.name for path in (place / "blobs/sha256").iterdir()
    }
    layout = replace(bench.context.layout, root=tmp_path / "third", run=tmp_path / "third-run")
    third = Bench(context=replace(bench.context, layout=layout), directory=bench.directory)
    bench.write({"src/b": "3"})
    assert build(third, place=second).ran == ["COPY src /src/", "WORKDIR /w"]


def test_without_a_stages_layers_that_stage_runs_if_anything_has_to(bench: Bench, other: Bench, place: Path) -> None:
    prepare(bench)
    build(bench, to=f"type=local,dest={place},mode=min")
    again = build(other, TEXT + "WORKDIR /more\n", place=place)
    assert again.ran[-1] == "WORKDIR /more"
    assert "COPY src /src/" in again.ran


def test_an_unchanged_cache_is_not_written_again(bench: Bench, place: Path) -> None:
    prepare(bench)
    build(bench, to=f"type=local,dest={place},mode=max")
    before = {path: path.stat().st_ino for path in place.rglob("*") if path.is_file()}
    build(bench, to=f"type=local,dest={place},mode=max")
    assert {path: path.stat().st_ino for path in place.rglob("*") if path.is_file()} == before


def test_a_layer_that_is_not_what_it_says_is_refused_and_made_anew(bench: Bench, other: Bench, place: Path) -> None:
    prepare(bench)
    first = build(bench, to=f"type=local,dest={place},mode=max", now=10**18)
    for path in (place / "blobs/sha256").iterdir():
        if path.read_bytes()[:2] == b"\x1f\x8b":
            path.write_bytes(path.read_bytes()[:-9] + b"\0" * 9)
    second = build(other, place=place, now=10**18)
    assert second.executed == 6
    assert any("cannot be used" in text for text in second.warnings)
    assert second.config["rootfs"] == first.config["rootfs"]


def test_a_record_that_leads_to_other_content_is_refused(bench: Bench, other: Bench, place: Path) -> None:
    bench.write({"a": "1", "b": "2"})
    with Store.open(bench.context):
        pass
    one = bench.build("FROM scratch\nCOPY a /f\n")
    two = bench.build("FROM scratch\nCOPY b /f\n")
    assert one.id != two.id
    with Store.open(bench.context) as store:
        records, aliases = Records(store).everything()
        layers, blobs = describe_layers(store, records)
        wrong = tuple(replace(record, chain=records[1 - index].chain) for index, record in enumerate(records))
        lie = document.CacheDocument(records=wrong, aliases=aliases, layers=layers)
        send(store, DirectoryPlace(place), lie, blobs)
    again = build(other, "FROM scratch\nCOPY a /f\n", place=place)
    assert again.executed == 1
    assert again.id
    with Store.open(other.context) as store, open_tree(store, again) as view:
        assert view.read_text("/f", 10) == "1"


@contextmanager
def open_tree(store: Store, built: Built) -> Iterator[MergedView]:
    with store.snapshots.view(store.images.get(built.id).chain_id) as view:  # type: ignore[arg-type]
        yield view


def test_a_cache_that_is_not_there_is_a_warning(bench: Bench, tmp_path: Path) -> None:
    prepare(bench)
    built = build(bench, place=tmp_path / "nowhere")
    assert built.executed == 6
    assert any("there is no cache at" in text for text in built.warnings)


def test_a_cache_of_another_version_is_told_and_not_used(
    bench: Bench, other: Bench, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(bench)
    build(bench, to=f"type=local,dest={place}")
    monkeypatch.setattr(document, "SEMANTICS", SEMANTICS + 1)
    built = build(other, place=place)
    assert built.executed == 6
    assert any("written by another version of pybuild" in text for text in built.warnings)


def test_no_cache_takes_nothing_from_a_shared_cache_either(bench: Bench, other: Bench, place: Path) -> None:
    prepare(bench)
    build(bench, to=f"type=local,dest={place},mode=max")
    assert build(other, place=place, options=BuildOptions(no_cache=True)).executed == 6
    filtered = build(other, place=place, options=BuildOptions(no_cache_stages=frozenset(("two",))))
    assert filtered.ran == ["COPY big /big"]


def test_what_was_taken_is_a_hit_without_the_cache_from_then_on(bench: Bench, other: Bench, place: Path) -> None:
    prepare(bench)
    text = "FROM scratch\nCOPY src /src/\nWORKDIR /w\n"
    build(bench, text, to=f"type=local,dest={place}")
    build(other, text, place=place)
    assert build(other, text).executed == 0


def test_reset_drops_what_the_new_cache_does_not_need(bench: Bench, place: Path) -> None:
    prepare(bench)
    build(bench, to=f"type=local,dest={place},mode=max")
    bench.write({"big": "y" * 100_000})
    build(bench, to=f"type=local,dest={place},mode=max,reset=true")
    index = json.loads((place / "index.json").read_text())
    manifest = json.loads((place / "blobs/sha256" / index["manifests"][0]["digest"][7:]).read_text())
    assert len(list((place / "blobs/sha256").iterdir())) == len(manifest["layers"]) + 2
    assert manifest["artifactType"] == "application/vnd.pybuild.cache.v1"


def export(context: Context, place: Path) -> Sent:
    with Store.open(context) as store:
        records, aliases = Records(store).everything()
        layers, blobs = describe_layers(store, records)
        found = document.CacheDocument(records=records, aliases=aliases, layers=layers)
        return send(store, DirectoryPlace(place), found, blobs, mounts=True)


def make_mount(context: Context, content: str) -> Path:
    path = entry_of(context, "/root/.cache")
    (path / "data" / "deep").mkdir(parents=True, exist_ok=True)
    (path / "data" / "deep" / "file").write_text(content)
    (path / "data").chmod(0o711)
    return path / "data"


def test_everything_goes_along_with_cache_mounts_and_a_second_export_writes_nothing(
    bench: Bench, other: Bench, place: Path
) -> None:
    prepare(bench)
    first = build(bench)
    make_mount(bench.context, "cached")
    sent = export(bench.context, place)
    assert sent.written == sent.total
    again = export(bench.context, place)
    assert (again.written, again.digest) == (0, sent.digest)
    with Store.open(other.context) as store:
        offered = read_cache(DirectoryPlace(place))
        assert offered is not None
        records, mounts, problems = import_all(store, offered)
        assert (records, mounts, problems) == (6, 1, ())
        assert import_all(store, offered)[1] == 0, "a mount that is there stays as it is"
    data = next(other.context.layout.cache_mounts.iterdir()) / "data"
    assert (data / "deep/file").read_text() == "cached"
    assert data.stat().st_mode & 0o777 == 0o711
    second = build(other)
    assert second.executed == 0
    assert second.id == first.id


def test_mounts_of_one_id_that_began_otherwise_stay_apart(bench: Bench, other: Bench, place: Path) -> None:
    variants = ("", "700 7:8", "sha256:abc src")
    for number, variant in enumerate(variants):
        data = entry_of(bench.context, "go", variant=variant) / "data"
        data.mkdir()
        data.chmod(0o700 + number)
        (data / "file").write_text(variant)
    unknown = entry_of(bench.context, "old", variant="700 1:1")
    (unknown / "data").mkdir()
    (unknown / "variant").unlink()
    bytes_alone = entry_of(bench.context, "\udcff")
    (bytes_alone / "data").mkdir()
    left_out = export(bench.context, place).left_out
    assert sorted(text.partition(" has ")[2] for text in left_out) == [
        "a beginning that is not known, and was left out",
        "an id that is no text, and was left out",
    ]
    assert export(bench.context, place).written == 0
    with Store.open(other.context) as store:
        offered = read_cache(DirectoryPlace(place))
        assert offered is not None
        assert import_all(store, offered)[1:] == (3, ())
    for number, variant in enumerate(variants):
        data = entry_of(other.context, "go", variant=variant) / "data"
        assert (data / "file").read_text() == variant
        assert data.stat().st_mode & 0o777 == 0o700 + number


def test_an_image_carries_its_own_cache(bench: Bench) -> None:
    bench.write({"a": "1"})
    plain = bench.build("FROM scratch\nCOPY a /\n")
    built = build(bench, "FROM scratch\nCOPY a /\n", to="type=inline")
    assert built.id != plain.id
    assert "vnd.pybuild.cache.v1" in built.config
    assert "statement" not in built.config["vnd.pybuild.cache.v1"]


@pytest.mark.parametrize(
    ("flag", "word", "said"),
    [
        ("from", "type=gha", "not supported"),
        ("from", "type=local", "src is required"),
        ("from", "type=x,ref=y", "invalid argument"),
        ("from", "type=local,src=x,mode=max", "mode is not supported"),
        ("from", "type=inline", "name the image"),
        ("to", "type=local,dest=x,mode=some", "min or max"),
        ("to", "type=local,dest=x,compression=lz4", "no compression"),
        ("to", "type=local,dest=x,compression-level=high", "from 0 to 22"),
        ("to", "type=registry", "ref is required"),
        ("to", "type=local,dest=x,what", "no NAME=VALUE"),
        ("to", "type=registry,ref=x,oci-mediatypes=false", "always an OCI manifest"),
    ],
)
def test_wrong_wishes_are_refused(flag: str, word: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        (read_cache_from if flag == "from" else read_cache_to)([word])


def test_layers_are_packed_as_the_wish_says(bench: Bench, place: Path) -> None:
    bench.write({"a": "a" * 100_000})
    text = "FROM scratch\nCOPY a /\n"

    def kinds(options: str) -> set[str]:
        shutil.rmtree(place, ignore_errors=True)
        bench.build(text, cache_to=read_cache_to([f"type=local,dest={place},{options}"]))
        index = json.loads((place / "index.json").read_text())
        manifest = json.loads((place / "blobs/sha256" / index["manifests"][0]["digest"][7:]).read_text())
        return {layer["mediaType"].rpartition("+")[2] for layer in manifest["layers"]}

    assert kinds("mode=min") == {"gzip"}
    assert kinds("compression=zstd,compression-level=3") == {"gzip"}, "what is packed already stays as it is"
    assert kinds("compression=zstd,compression-level=3,force-compression=true") == {"zstd"}


def test_wishes_say_more() -> None:
    assert read_cache_to(["type=inline,mode=max"])[0].type == "inline"
    assert read_cache_from(["type=registry,ref=x,registry.insecure=true"])[0].insecure
    (wish,) = read_cache_to(["type=registry,ref=x,compression-level=9,force-compression=1,image-manifest=true"])
    assert (wish.level, wish.force, wish.insecure) == (9, True, False)


def test_a_name_alone_is_a_registrys() -> None:
    (wish,) = read_cache_from(["user/app:cache"])
    assert (wish.type, wish.place) == ("registry", "user/app:cache")


def test_what_is_no_cache_is_refused(place: Path) -> None:
    there = DirectoryPlace(place)
    other = Descriptor(media_type="application/x", digest=sha256_of(b"x"), size=1)
    there.finish(Manifest(config=other, layers=()))
    with pytest.raises(PybuildError, match="is no cache of pybuild"):
        read_cache(there)
    (place / "index.json").write_text("[]")
    with pytest.raises(DocumentError):
        read_cache(there)
