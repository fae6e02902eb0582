"""Builds that run no command: stages, scopes, caching, times, outputs. They need neither the superuser nor a mount."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import pytest

from builder.exporters.outputs import Output
from builder.failures import InstructionFailed
from builder.options import BuildOptions
from grammar.errors import DockerfileError
from runtime.errors import Cancelled
from runtime.store import Store
from tests.builder.benches import Bench

DAY = 86_400 * 10**9


def test_a_second_build_remembers_everything_and_gives_the_same_image_on_another_day(bench: Bench) -> None:
    bench.write({"a": "1"})
    text = "FROM scratch\nENV X=1\nCOPY a /\nWORKDIR /w\nUSER 5\n"
    first = bench.build(text, now=DAY)
    second = bench.build(text, now=2 * DAY)
    assert first.executed == 2
    assert second.executed == 0
    assert second.cached == ["COPY a /", "WORKDIR /w"]
    assert first.id == second.id


def test_an_image_without_layers_keeps_the_time_of_its_first_build(bench: Bench) -> None:
    text = "FROM scratch\nENV X=1\n"
    first = bench.build(text, now=DAY)
    assert first.config["created"] == "1970-01-02T00:00:00Z"
    assert bench.build(text, now=2 * DAY).id == first.id


def test_a_changed_file_runs_the_copy_again_and_names_what_changed(bench: Bench) -> None:
    bench.write({"a": "1", "b": "1"})
    text = "FROM scratch\nCOPY a /\nCOPY b /\nWORKDIR /w\n"
    bench.build(text)
    bench.write({"b": "2"})
    again = bench.build(text)
    assert again.ran == ["COPY b /", "WORKDIR /w"]
    assert "it is not as it was" in again.reasons[0]
    assert again.reasons[1].endswith("what it builds on is not the same")


def test_times_of_files_do_not_count(bench: Bench) -> None:
    import os

    bench.write({"a": "1"})
    first = bench.build("FROM scratch\nCOPY a /\n")
    os.utime(bench.directory / "a", (1, 1))
    second = bench.build("FROM scratch\nCOPY a /\n")
    assert second.executed == 0
    assert first.id == second.id


def test_a_step_that_gives_what_it_gave_before_lets_all_that_follows_be_remembered(bench: Bench) -> None:
    bench.write({"a": "1", "copy/a": "1"})
    first = bench.build("FROM scratch\nCOPY a /a\nWORKDIR /w\n", now=DAY)
    second = bench.build("FROM scratch\nCOPY copy/a /a\nWORKDIR /w\n", now=2 * DAY)
    third = bench.build("FROM scratch\nCOPY ./copy/../copy/a /b/../a\nWORKDIR /w\n", now=3 * DAY)
    assert second.cached[-1:] == ["WORKDIR /w"]
    assert third.cached[-1:] == ["WORKDIR /w"]
    assert first.config["rootfs"] == second.config["rootfs"] == third.config["rootfs"]
    assert [entry["created"] for entry in first.config["history"]] == [
        entry["created"] for entry in second.config["history"]
    ]


def test_no_cache_runs_everything_and_still_gives_the_same_layers(bench: Bench) -> None:
    bench.write({"a": "1"})
    text = "FROM scratch AS x\nCOPY a /\nFROM scratch\nCOPY --from=x a /b\n"
    first = bench.build(text)
    again = bench.build(text, options=BuildOptions(no_cache=True))
    assert again.executed == 2
    assert again.id == first.id
    filtered = bench.build(text, options=BuildOptions(no_cache_stages=frozenset(("x",))))
    assert filtered.ran == ["COPY a /"]


def test_a_record_whose_layer_is_gone_is_a_miss(bench: Bench) -> None:
    bench.write({"a": "1"})
    bench.build("FROM scratch\nCOPY a /\n")
    shutil.rmtree(next(bench.context.layout.snapshots.iterdir()))
    again = bench.build("FROM scratch\nCOPY a /\n")
    assert again.executed == 1
    assert again.reasons == ["its result is no longer in the store"]


def test_records_pin_their_layers(bench: Bench) -> None:
    bench.write({"a": "1"})
    bench.build("FROM scratch\nCOPY a /\n")
    with Store.open(bench.context) as store:
        (row,) = store.database.read("SELECT owner, kind, target FROM pins")
    assert row["owner"].startswith("cache:sha256:")
    assert row["kind"] == "snapshot"


def test_a_stage_on_a_stage_keeps_history_environment_and_arguments(bench: Bench) -> None:
    built = bench.build(
        "FROM scratch AS one\nARG X=1\nENV Y=$X\nWORKDIR /a\nCMD a\nFROM one\nENV Z=$X$Y\nWORKDIR b\nENTRYPOINT e\n"
    )
    assert built.config["config"]["Env"][1:] == ["Y=1", "Z=11"]
    assert built.config["config"]["WorkingDir"] == "/a/b"
    assert "Cmd" not in built.config["config"]
    assert built.history[0] == "ARG X=1"
    assert len(built.config["rootfs"]["diff_ids"]) == 2


def test_stages_that_the_target_does_not_need_are_not_built(bench: Bench) -> None:
    text = "FROM scratch AS a\nWORKDIR /a\nFROM scratch AS b\nWORKDIR /b\nFROM scratch\nCOPY --from=a /a /\n"
    assert bench.build(text, target="a").ran == ["WORKDIR /a"]
    assert bench.build(text).ran == ["COPY --from=a /a /"]


def test_triggers_of_an_image_run_in_the_image_that_is_built_on_it(bench: Bench) -> None:
    bench.build("FROM scratch\nONBUILD WORKDIR /on\nONBUILD LABEL l=1\n", names=("base",))
    built = bench.build("FROM base\nENV A=1\n")
    assert built.ran == ["ONBUILD WORKDIR /on"]
    assert built.history[-3:] == ["WORKDIR /on", "LABEL l=1", "ENV A=1"]
    assert "OnBuild" not in built.config["config"]


def test_a_linked_copy_is_remembered_over_another_parent(bench: Bench) -> None:
    bench.write({"a": "1", "b": "2"})
    first = bench.build("FROM scratch\nCOPY b /\nCOPY --link a /x/\n")
    bench.write({"b": "3"})
    second = bench.build("FROM scratch\nCOPY b /\nCOPY --link a /x/\n")
    assert second.ran == ["COPY b /"]
    assert first.config["rootfs"]["diff_ids"][1] == second.config["rootfs"]["diff_ids"][1]
    assert first.config["rootfs"]["diff_ids"][0] != second.config["rootfs"]["diff_ids"][0]


def test_working_directory_of_the_root_makes_no_layer(bench: Bench) -> None:
    built = bench.build("FROM scratch\nWORKDIR /\nWORKDIR /a\nWORKDIR /a\n")
    assert [entry.get("empty_layer", False) for entry in built.config["history"]] == [True, False, False]
    assert len(built.config["rootfs"]["diff_ids"]) == 2


def test_source_date_epoch_gives_one_image_from_two_roots_at_two_times(bench: Bench, tmp_path: Path) -> None:
    bench.write({"a": "1"})
    text = "FROM scratch\nCOPY a /d/\nWORKDIR /w\nENV A=1\n"
    options = BuildOptions(epoch=1000)
    first = bench.build(text, options=options, now=DAY)
    shutil.rmtree(bench.context.layout.root)
    second = bench.build(text, options=options, now=2 * DAY)
    assert first.id == second.id
    assert {entry["created"] for entry in first.config["history"]} == {"1970-01-01T00:16:40Z"}


def test_labels_of_the_command_line_win_and_leave_no_history(bench: Bench) -> None:
    built = bench.build("FROM scratch\nLABEL a=1 b=2\n", options=BuildOptions(labels={"a": "x"}))
    assert built.config["config"]["Labels"] == {"a": "x", "b": "2"}
    assert built.history == ["LABEL a=1 b=2"]


def test_nothing_runs_when_a_later_source_is_missing(bench: Bench) -> None:
    with pytest.raises(InstructionFailed, match="nothere") as caught:
        bench.build("FROM scratch\nWORKDIR /a\nCOPY nothere /\n")
    assert caught.value.line == 3
    assert bench.events == []


def test_a_base_is_no_beginning_of_an_id_but_the_twelve_digits_that_are_shown(bench: Bench) -> None:
    built = bench.build("FROM scratch\nENV A=1\n")
    digits = built.id.removeprefix("sha256:")
    with pytest.raises(InstructionFailed, match=f"No such image: {digits[:6]}"):
        bench.build(f"FROM {digits[:6]}\nENV B=1\n")
    assert bench.build(f"FROM {digits[:12]}\nENV B=1\n").config["config"]["Env"][-2:] == ["A=1", "B=1"]


def test_a_base_that_is_missing_names_the_stage_that_was_meant(bench: Bench) -> None:
    with pytest.raises(InstructionFailed, match="No such image: bilder") as caught:
        bench.build("FROM scratch AS builder\nFROM bilder\nENV A=1\n")
    assert caught.value.line == 2
    assert "builder" in (caught.value.hint or "")


def test_a_word_that_cannot_expand_is_refused_with_its_line(bench: Bench) -> None:
    with pytest.raises(DockerfileError) as caught:
        bench.build("FROM scratch\nWORKDIR /a\nENV A=${B:?is not set}\n")
    assert caught.value.line == 3


def test_a_build_that_runs_no_command_starts_no_process(bench: Bench) -> None:
    assert not bench.build("FROM scratch\nWORKDIR /a\n").started_server


def test_the_tree_can_be_written_as_a_tar_and_as_a_directory(bench: Bench, tmp_path: Path) -> None:
    bench.write({"a": "1", "d/b": "2"})
    outputs = (
        Output(type="tar", destination=str(tmp_path / "t.tar")),
        Output(type="local", destination=str(tmp_path / "out")),
    )
    built = bench.build("FROM scratch\nCOPY . /x/\n", outputs=outputs)
    assert built.config == {}
    with tarfile.open(tmp_path / "t.tar") as tar:
        assert tar.getnames() == ["x", "x/a", "x/d", "x/d/b"]
    assert (tmp_path / "out/x/d/b").read_text() == "2"


def test_an_archive_holds_the_image_and_its_names(bench: Bench, tmp_path: Path) -> None:
    target = tmp_path / "image.tar"
    built = bench.build(
        "FROM scratch\nWORKDIR /a\n",
        names=("app",),
        outputs=(Output(type="oci", destination=str(target), compression="uncompressed"),),
    )
    with tarfile.open(target) as tar:
        names = tar.getnames()
    assert "index.json" in names
    assert f"blobs/sha256/{built.id[7:]}" in names
    with Store.open(bench.context) as store:
        assert store.images.resolve("app") is None


def test_names_are_found_under_both_spellings(bench: Bench) -> None:
    built = bench.build("FROM scratch\nWORKDIR /a\n", names=("app", "localhost:5000/x:1"))
    with Store.open(bench.context) as store:
        for name in ("app", "docker.io/library/app:latest", "localhost:5000/x:1", built.id):
            image = store.images.resolve(name)
            assert image is not None
            assert image.id == built.id


def test_a_copy_from_a_stage_that_is_as_it_was_reads_nothing_of_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.write({"a": "1"})
    text = "FROM scratch AS x\nCOPY a /\nFROM scratch\nCOPY --from=x /a /b\n"
    bench.build(text)

    def refuse(*_: object) -> bytes:
        raise AssertionError("a file of the stage was read")

    monkeypatch.setattr("builder.trees.ImageTree.file_digest", refuse)
    assert bench.build(text).executed == 0


def test_an_interruption_reaches_the_scan_of_the_context(bench: Bench) -> None:
    bench.write({"d/a": "1"})
    bench.context.cancel.set(15)
    with pytest.raises(Cancelled) as caught:
        bench.build("FROM scratch\nCOPY d /\n")
    assert caught.value.signal == 15


def test_a_command_for_another_processor_is_refused_before_anything_runs(bench: Bench) -> None:
    text = "FROM scratch\nWORKDIR /a\nRUN true\n"
    with pytest.raises(InstructionFailed, match="RUN for linux/arm64 cannot be executed") as caught:
        bench.build(text, platform="linux/arm64")
    assert caught.value.line == 3
    built = bench.build("FROM scratch\nWORKDIR /a\n", platform="linux/arm/v7")
    assert (built.config["architecture"], built.config["variant"]) == ("arm", "v7")
