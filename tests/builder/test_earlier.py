"""A layer stands on an earlier one of the same instruction and has only what is new."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builder.steps.copy import CopyStep
from runtime.context import Context
from runtime.store.snapshots import Snapshot
from runtime.store.trees import remove_tree
from tests.builder.copybench import Bench, instruction, listing, open_bench, write

pytestmark = pytest.mark.root


@pytest.fixture
def bench(context: Context, tmp_path: Path) -> Iterator[Bench]:
    with open_bench(context, tmp_path) as opened:
        yield opened


def copied_again(bench: Bench, *sources: str, earlier: Snapshot | None = None, **options: object) -> Snapshot:
    """Copy into a layer that stays, with an earlier one at hand."""
    step, given = CopyStep(instruction(*sources, to="/x/", **options)), bench.given()
    step.key_parts(given)
    with bench.store.snapshots.prepare(bench.parent.chain, backing=earlier) as preparation:
        taken = step.execute(given, preparation)
        measured = preparation.measure()
        assert taken in (None, measured)
        return preparation.commit(measured)


def own(snapshot: Snapshot) -> set[str]:
    """Name the files that a layer does not share with the one that it stands on."""
    return {path.name for path in snapshot.path.rglob("*") if not path.is_dir() or path.is_symlink()}


def test_a_layer_stands_on_an_earlier_one_and_has_only_what_is_new(bench: Bench) -> None:
    (bench.directory / "d/h").unlink()
    (bench.directory / "d/large").write_bytes(b"0123456789abcdef" * (3 << 16))
    before = copied_again(bench, "a", "b", "d")
    write(bench.directory, {"d/new": "new\n", "b": "other\n"})
    again = copied_again(bench, "a", "b", "d", earlier=before)
    assert again.backing == before.chain_id
    assert own(again) == {"new", "b"}
    assert again.own_size == len("new\n" + "other\n")
    alone = copied_again(bench, "a", "b", "d")
    assert alone == again, "the layer of the same content is the same layer"
    with bench.store.snapshots.view(again.chain_id) as view:
        assert (view.read_text("x/new"), view.read_text("x/b"), view.read_text("x/a")) == ("new\n", "other\n", "a\n")
        assert view.listdir("x") == tuple(sorted({*os.listdir(os.fsencode(before.path / "x")), b"new"}))
    bench.store.snapshots.verify(again.chain_id)


@pytest.mark.parametrize(
    "change",
    [
        lambda base: (base / "a").write_text("z\n"),
        lambda base: (base / "a").chmod(0o600),
        lambda base: os.utime(base / "a", (5, 5)),
    ],
)
def test_a_file_that_is_not_as_it_was_is_not_shared(bench: Bench, change: Callable[[Path], object]) -> None:
    before = copied_again(bench, "a", "b")
    change(bench.directory)
    assert own(copied_again(bench, "a", "b", earlier=before)) == {"a"}


def test_hard_links_are_those_of_one_layer(bench: Bench) -> None:
    os.link(bench.directory / "d/sub/g", bench.directory / "elsewhere")
    before = copied_again(bench, "d")
    write(bench.directory, {"d/new": "new\n"})
    again = copied_again(bench, "d", earlier=before)
    assert own(again) == {"new", "f", "h"}, "names of one file stay together; a name that is not copied is none"
    first, second = (again.path / "x" / name for name in ("f", "h"))
    assert first.stat().st_ino == second.stat().st_ino
    assert (first.stat().st_nlink, (before.path / "x/sub/g").stat().st_nlink) == (2, 1)


def test_two_files_never_become_one_by_way_of_an_earlier_layer(bench: Bench) -> None:
    before = copied_again(bench, "d")
    (bench.directory / "d/h").unlink()
    write(bench.directory, {"d/h": "f\n"})
    again = copied_again(bench, "d", earlier=before)
    assert (again.path / "x/f").stat().st_ino != (again.path / "x/h").stat().st_ino


@pytest.mark.parametrize(
    ("gone", "new"),
    [
        (["e/s/f"], {}),
        (["e/z"], {}),
        (["e/s"], {}),
        (["e/s"], {"e/s": "a file now"}),
        (["e/z"], {"e/z/f": "a directory now"}),
    ],
)
def test_a_layer_that_lacks_something_of_an_earlier_one_stands_alone(
    bench: Bench, gone: list[str], new: dict[str, str | None]
) -> None:
    write(bench.directory, {"e/a": "a", "e/s/f": "f", "e/s/g": "g", "e/z": "z"})
    before = copied_again(bench, "e")
    for name in gone:
        remove_tree(bench.directory / name)
    write(bench.directory, new)
    again = copied_again(bench, "e", earlier=before)
    assert again.backing is None
    assert listing(again.path / "x") == listing(bench.directory / "e")


def test_a_changed_directory_alone_is_made_again(bench: Bench) -> None:
    write(bench.directory, {"e/s/f": "f"})
    before = copied_again(bench, "e")
    (bench.directory / "e/s").chmod(0o700)
    again = copied_again(bench, "e", earlier=before)
    assert own(again) == set()
    assert stat.S_IMODE((again.path / "x/s").stat().st_mode) == 0o700
    with bench.store.snapshots.view(again.chain_id) as view:
        assert view.read_text("x/s/f") == "f"


def test_a_layer_may_stand_on_one_that_stands_on_another(bench: Bench) -> None:
    write(bench.directory, {"e/a": "a", "e/b": "b", "e/s/f": "f"})
    first = copied_again(bench, "e")
    write(bench.directory, {"e/b": "b2", "e/s/g": "g"})
    second = copied_again(bench, "e", earlier=first)
    write(bench.directory, {"e/s/f": "f2"})
    third = copied_again(bench, "e", earlier=second)
    assert (third.paths, own(third)) == ((third.path, second.path, first.path), {"f"})
    with bench.store.snapshots.view(third.chain_id) as view:
        found = [view.read_text(f"x/{name}") for name in ("a", "b", "s/f", "s/g")]
    assert found == ["a", "b2", "f2", "g"]
    bench.store.snapshots.verify(third.chain_id)
    (bench.directory / "e/a").unlink()
    assert copied_again(bench, "e", earlier=third).backing is None


def test_files_that_an_image_has_already_are_written_once(bench: Bench) -> None:
    def older(upper: Path) -> None:
        write(upper, {"x/a": "older", "x/s/f": "older"})

    bench.layer(older)
    write(bench.directory, {"e/a": "a", "e/s/f": "f", "e/b": "b"})
    before = copied_again(bench, "e")
    (bench.directory / "e/b").write_text("changed")
    again = copied_again(bench, "e", earlier=before)
    assert (again.backing, own(again)) == (before.chain_id, {"b"})


def test_an_order_that_is_not_the_tar_s_makes_a_layer_of_its_own(bench: Bench) -> None:
    before = copied_again(bench, "b", "a")
    (bench.directory / "b").write_text("other")
    again = copied_again(bench, "b", "a", earlier=before)
    assert (again.backing, own(again)) == (None, {"a", "b"})


def test_a_link_in_an_earlier_layer_leads_nowhere(bench: Bench, tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", {"f": "f\n"})
    write(bench.directory, {"e/a": "a"})
    (bench.directory / "e/sub").symlink_to(outside)
    before = copied_again(bench, "e")
    (bench.directory / "e/sub").unlink()
    write(bench.directory, {"e/sub/f": "f\n"})
    again = copied_again(bench, "e", earlier=before)
    assert (again.backing, (again.path / "x/sub/f").stat().st_ino) != (None, (outside / "f").stat().st_ino)
