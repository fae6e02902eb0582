"""Layers on disk: made, committed, unpacked, written again, removed, lost and damaged."""

from __future__ import annotations

import ctypes
import hashlib
import io
import os
import shutil
import stat
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from frozen import replace
from runtime.context import Context
from runtime.errors import Cancelled, DigestMismatch, LayerError, StoreError
from runtime.oci.digests import ChainID, DiffID, chain_ids, hex_of
from runtime.store import Store
from runtime.store.collect import unneeded
from runtime.store.layers.writer import write_layer
from runtime.store.leases import add_pins
from runtime.store.snapshots import Snapshot
from tests.runtime.store.layers.trees import directory, entry, tar_of


def make(store: Store, parent: ChainID | None, *files: str) -> Snapshot:
    """Commit a layer of files that hold their own names."""
    with store.snapshots.prepare(parent) as preparation:
        for name in files:
            path = preparation.upperdir / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
            os.utime(path, (1000, 1000))
        return preparation.commit(preparation.measure())


def test_committed_layer_is_found_by_its_chain_id(store: Store) -> None:
    base = make(store, None, "a")
    top = make(store, base.chain_id, "b")
    assert base.chain_id == ChainID(base.diff_id)
    assert top.chain_id == chain_ids([base.diff_id, top.diff_id])[1]
    assert store.snapshots.get(top.chain_id) == top
    assert store.snapshots.stack(top.chain_id) == (top.path, base.path)
    assert top.path == store.layout.snapshots / hex_of(top.chain_id) / "fs"
    assert store.snapshots.list() == (base, top)
    with store.snapshots.view(top.chain_id) as view:
        assert view.listdir("/") == (b"a", b"b")


def test_layer_that_is_not_committed_leaves_nothing(store: Store) -> None:
    with store.snapshots.prepare(None) as preparation:
        (preparation.upperdir / "f").touch()
    assert list(store.workspace().iterdir()) == []
    assert list(store.layout.snapshots.iterdir()) == []


def test_failing_step_leaves_nothing(store: Store) -> None:
    with pytest.raises(RuntimeError), store.snapshots.prepare(None):
        raise RuntimeError
    assert list(store.workspace().iterdir()) == []


def test_equal_layer_is_kept_once(store: Store) -> None:
    first = make(store, None, "a")
    inode = (first.path / "a").stat().st_ino
    assert make(store, None, "a") == first
    assert (first.path / "a").stat().st_ino == inode
    assert list(store.workspace().iterdir()) == []


def test_two_threads_that_commit_one_layer_agree(store: Store) -> None:
    found: list[Snapshot] = []
    threads = [threading.Thread(target=lambda: found.append(make(store, None, "a", "b"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert len(list(store.layout.snapshots.iterdir())) == 1


def test_root_of_a_new_layer_is_as_the_root_below(store: Store) -> None:
    base = store.snapshots.apply(None, io.BytesIO(tar_of(directory("./", mode=0o711, mtime=77))))
    with store.snapshots.prepare(base.chain_id) as preparation:
        assert stat.S_IMODE(preparation.upperdir.stat().st_mode) == 0o711
        os.chmod(preparation.upperdir, 0o700)
        (preparation.upperdir / "f").touch()
        top = preparation.commit(preparation.measure())
    assert stat.S_IMODE(top.path.stat().st_mode) == 0o711
    assert top.path.stat().st_mtime == 77


def test_root_without_a_word_about_it_is_open_to_all(store: Store) -> None:
    assert stat.S_IMODE(make(store, None, "a").path.stat().st_mode) == 0o755
    applied = store.snapshots.apply(None, io.BytesIO(tar_of(entry("x"))))
    assert stat.S_IMODE(applied.path.stat().st_mode) == 0o755
    assert applied.path.stat().st_mtime == 0


def test_applied_layer_has_the_digest_of_its_tar(store: Store) -> None:
    tar = tar_of(entry("d/f", data=b"content"))
    diff_id = DiffID("sha256:" + hashlib.sha256(tar).hexdigest())
    found = store.snapshots.apply(None, io.BytesIO(tar), expected=diff_id)
    assert (found.diff_id, found.chain_id, found.size, found.tar_size) == (diff_id, ChainID(diff_id), 7, len(tar))


def test_applied_layer_may_have_a_sha512_diff_id(store: Store) -> None:
    tar = tar_of(entry("f"))
    diff_id = DiffID("sha512:" + hashlib.sha512(tar).hexdigest())
    assert store.snapshots.apply(None, io.BytesIO(tar), expected=diff_id).diff_id == diff_id


def test_wrong_digest_or_bad_tar_leaves_nothing(store: Store) -> None:
    with pytest.raises(DigestMismatch):
        store.snapshots.apply(None, io.BytesIO(tar_of(entry("f"))), expected=DiffID("sha256:" + "0" * 64))
    with pytest.raises(LayerError):
        store.snapshots.apply(None, io.BytesIO(tar_of(entry("../f"))))
    assert store.snapshots.list() == ()
    assert list(store.layout.snapshots.iterdir()) == []
    assert list(store.workspace().iterdir()) == []


def test_content_digest_does_not_depend_on_the_way_a_layer_came(store: Store) -> None:
    built = make(store, None, "a", "b")
    sink = io.BytesIO()
    store.snapshots.write_tar(built.chain_id, sink)
    store.snapshots.remove(built.chain_id)
    applied = store.snapshots.apply(None, io.BytesIO(sink.getvalue()))
    assert applied == built
    uid, gid = os.geteuid(), os.getegid()
    tar = tar_of(entry("b", data=b"b", mtime=5, uid=uid, gid=gid), entry("a", data=b"a", mtime=6, uid=uid, gid=gid))
    foreign = store.snapshots.apply(None, io.BytesIO(tar))
    assert foreign.content_digest == built.content_digest
    assert foreign.diff_id != built.diff_id


def test_tar_is_written_again_bit_for_bit(store: Store) -> None:
    found = make(store, None, "a", "d/b")
    sink = io.BytesIO()
    digests = store.snapshots.write_tar(found.chain_id, sink)
    assert digests.diff_id == found.diff_id == "sha256:" + hashlib.sha256(sink.getvalue()).hexdigest()


@pytest.mark.parametrize("name", ["a", "d/b", "z"])
def test_changed_file_is_named(store: Store, name: str) -> None:
    found = make(store, None, "a", "d/b", "z")
    (found.path / name).write_text("changed")
    for check in (store.snapshots.write_tar, store.snapshots.verify):
        with pytest.raises(StoreError, match=f"'{name}' is not what it was"):
            check(found.chain_id)
    assert store.snapshots.get(found.chain_id) == found


def test_missing_last_file_is_noticed(store: Store) -> None:
    found = make(store, None, "a", "z")
    (found.path / "z").unlink()
    with pytest.raises(StoreError, match="missing at its end"):
        store.snapshots.verify(found.chain_id)


def test_sound_layers_verify(store: Store) -> None:
    base = make(store, None, "a")
    top = store.snapshots.apply(base.chain_id, io.BytesIO(tar_of(entry(".wh.a"), entry("d/f", data=b"x"))))
    store.snapshots.verify(base.chain_id)
    store.snapshots.verify(top.chain_id)


def test_tar_of_another_writer_is_not_claimed(store: Store) -> None:
    found = store.snapshots.apply(None, io.BytesIO(tar_of(entry("z"), entry("a"))))
    with pytest.raises(StoreError, match="another writer"):
        store.snapshots.write_tar(found.chain_id)


def test_layer_whose_directory_is_gone_is_a_miss_and_can_be_made_again(store: Store) -> None:
    found = make(store, None, "a")
    os.rename(found.path.parent, store.trash_name())
    assert store.snapshots.get(found.chain_id) is None
    with pytest.raises(StoreError, match="not complete"):
        store.snapshots.stack(found.chain_id)
    assert make(store, None, "a") == found


def test_directory_without_a_record_is_replaced(store: Store) -> None:
    found = make(store, None, "a")
    with store.database.write() as connection:
        connection.execute("DELETE FROM snapshots")
    (found.path / "half").touch()
    assert make(store, None, "a") == found
    assert not (found.path / "half").exists()


def test_layer_of_another_boot_is_trusted_once_it_was_synced(store: Store) -> None:
    synced = make(store, None, "a")
    store.settle()
    end_boot(store)
    (synced.path / "a").write_text("other")
    assert store.snapshots.get(synced.chain_id) == synced


def test_layer_that_another_boot_left_unsynced_is_compared_before_it_is_used(store: Store) -> None:
    base = make(store, None, "a")
    top = make(store, base.chain_id, "b")
    end_boot(store)
    assert store.snapshots.get(top.chain_id) == top
    (base.path / "a").write_text("other")
    assert store.snapshots.get(base.chain_id) == base, "compared once"


@pytest.mark.parametrize("damaged", [0, 1])
def test_layer_of_which_a_power_cut_took_a_part_is_a_miss_and_can_be_made_again(store: Store, damaged: int) -> None:
    base = make(store, None, "a")
    top = make(store, base.chain_id, "b")
    end_boot(store)
    layer, name = [(base, "a"), (top, "b")][damaged]
    os.truncate(layer.path / name, 0)
    assert store.snapshots.get(top.chain_id) is None
    assert make(store, None, "a") == base
    assert make(store, base.chain_id, "b") == top
    store.snapshots.verify(layer.chain_id)


def end_boot(store: Store) -> None:
    """Make it look as if all that is unsynced came under another boot."""
    with store.database.write() as connection:
        connection.execute("UPDATE snapshots SET boot = '00000000' WHERE boot IS NOT NULL")


def test_layer_on_a_missing_parent_is_refused(store: Store) -> None:
    base = make(store, None, "a")
    with store.snapshots.prepare(base.chain_id) as preparation:
        digests = preparation.measure()
        store.snapshots.remove(base.chain_id)
        with pytest.raises(StoreError, match="was removed"):
            preparation.commit(digests)


def test_layer_is_removed_after_those_on_it(store: Store) -> None:
    base = make(store, None, "a")
    top = make(store, base.chain_id, "b")
    with pytest.raises(StoreError, match="is below layer"):
        store.snapshots.remove(base.chain_id)
    store.snapshots.remove(top.chain_id)
    store.snapshots.remove(base.chain_id)
    store.snapshots.remove(base.chain_id)
    assert store.snapshots.list() == ()
    assert list(store.layout.snapshots.iterdir()) == []
    assert list(store.layout.trash.iterdir()) == []


def make_on(store: Store, backing: Snapshot, *files: str) -> Snapshot:
    """Commit a layer of files that stands on another one."""
    with store.snapshots.prepare(backing.parent, backing=backing) as preparation:
        for name in files:
            path = preparation.upperdir / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"new {name}")
            for made in (path, path.parent):
                os.utime(made, (1000, 1000))
        preparation.stand_on_backing(backing.size)
        return preparation.commit(preparation.measure())


def test_a_layer_that_stands_on_another_is_both(store: Store, tmp_path: Path) -> None:
    base = make(store, None, "a", "d/b", "d/e/c")
    top = make_on(store, base, "d/b", "d/n")
    assert store.snapshots.get(top.chain_id) == top
    assert store.snapshots.stack(top.chain_id) == (top.path, base.path)
    with store.snapshots.view(top.chain_id) as view:
        assert [view.read_text(path) for path in ("a", "d/b", "d/e/c", "d/n")] == ["a", "new d/b", "d/e/c", "new d/n"]
    sink = io.BytesIO()
    assert store.snapshots.write_tar(top.chain_id, sink).diff_id == top.diff_id
    sink.seek(0)
    store.snapshots.verify(top.chain_id)
    base_tar = tmp_path / "whole"
    with tarfile.open(fileobj=sink) as tar:
        names = tar.getnames()
        tar.extraction_filter = lambda member, _place: member  # Python 3.12 warns of none; 3.11.2 knows no filter
        tar.extractall(base_tar)
    assert names == ["a", "d", "d/b", "d/e", "d/e/c", "d/n"]
    assert write_layer(base_tar) == write_layer(top.paths)


def test_what_a_layer_stands_on_stays(store: Store) -> None:
    base = make(store, None, "a")
    top = make_on(store, base, "b")
    with pytest.raises(StoreError, match="is below layer"):
        store.snapshots.remove(base.chain_id)
    add_pins(store.database, "cache:key", "snapshot", top.chain_id)
    assert unneeded(store).snapshots == ()
    shutil.rmtree(base.path)
    assert store.snapshots.get(top.chain_id) is None, "a layer without what it stands on is a miss"


def test_damage_is_found_in_what_a_layer_stands_on(store: Store) -> None:
    base = make(store, None, "a")
    top = make_on(store, base, "b")
    (base.path / "a").write_text("x")
    with pytest.raises(StoreError, match="'a' is not what it was"):
        store.snapshots.verify(top.chain_id)


def test_a_layer_that_was_made_over_nothing_is_put_on_another_without_its_files(store: Store) -> None:
    base = make(store, None, "a", "d/a")
    alone = make_on(store, make(store, None, "d/b", "d/c"), "d/c")
    top = store.snapshots.restack(base.chain_id, alone)
    assert top is not None
    assert (top.parent, top.diff_id, top.own_size, top.size) == (base.chain_id, alone.diff_id, 0, alone.size)
    assert store.snapshots.stack(top.chain_id) == (*top.paths, base.path)
    assert top.paths[1:] == alone.paths
    with store.snapshots.view(top.chain_id) as view:
        assert view.listdir("d") == (b"a", b"b", b"c")
        assert view.read_text("d/c") == "new d/c"
    assert store.snapshots.write_tar(top.chain_id).diff_id == alone.diff_id
    store.snapshots.verify(top.chain_id)
    assert store.snapshots.restack(top.chain_id, alone) is None, "its directories are there already"


def test_layers_of_an_older_store_are_found(context: Context) -> None:
    with Store.open(context) as store:
        base = make(store, None, "a")
        top = make(store, base.chain_id, "b")
        with store.database.write() as connection:
            connection.execute("ALTER TABLE snapshots DROP COLUMN backing")
            connection.execute("ALTER TABLE snapshots DROP COLUMN own_size")
            connection.execute("UPDATE components SET version = 1 WHERE name = 'snapshots'")
    with Store.open(context) as store:
        assert store.snapshots.list() == (base, top)
        assert make_on(store, top, "c").backing == top.chain_id
        assert store.database.read("SELECT name FROM sqlite_master WHERE name = 'snapshots_by_parent'")


def test_no_layer_stands_on_another_where_overlayfs_takes_no_more_or_has_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = make(store, None, "a")
    above = make(store, base.chain_id, "b")
    other = make(store, None, "c")
    with store.snapshots.prepare(above.chain_id, backing=base) as preparation:
        assert preparation.backing is None, "a directory cannot come twice"
    with store.snapshots.prepare(above.chain_id, backing=other) as preparation:
        assert preparation.backing == other
    monkeypatch.setattr("runtime.store.preparation._MOST_BELOW", 1)
    with store.snapshots.prepare(above.chain_id, backing=other) as preparation:
        assert preparation.backing is None


def test_failed_commit_leaves_no_record(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with store.snapshots.prepare(None) as preparation:
        digests = preparation.measure()
        monkeypatch.setattr(os, "rename", full)
        with pytest.raises(OSError, match="No space"):
            preparation.commit(digests)
        monkeypatch.undo()
    assert store.snapshots.list() == ()


def test_layers_outlive_the_store_that_made_them(context: Context) -> None:
    with Store.open(context) as store:
        found = make(store, None, "a")
    with Store.open(context) as store:
        assert store.snapshots.get(found.chain_id) == found


def test_sandbox_of_a_first_layer_is_the_directory_itself(store: Store) -> None:
    with store.snapshots.prepare(None) as preparation:
        assert preparation.rootfs() == {"path": os.fspath(preparation.upperdir)}


def test_sandbox_of_a_layer_is_an_overlay(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    base = make(store, None, "a")
    store.snapshots.overlay = True
    with store.snapshots.prepare(base.chain_id) as preparation:
        assert preparation.rootfs() == {
            "lowerdirs": [os.fspath(base.path)],
            "upperdir": os.fspath(preparation.upperdir),
            "workdir": os.fspath(preparation.workdir),
            "volatile": True,
        }


def test_layer_made_in_a_plain_tree_holds_what_changed(store: Store) -> None:
    base = store.snapshots.apply(
        None,
        io.BytesIO(
            tar_of(
                directory("d", mode=0o711, mtime=5),
                entry("d/kept", data=b"kept", mtime=5),
                entry("d/gone", mtime=5),
                entry("e/deep/changed", data=b"old", mtime=5),
                directory("f", mtime=5),
                entry("f/inside", mtime=5),
                entry("g", mtime=5),
            )
        ),
    )
    store.snapshots.overlay = False
    with store.snapshots.prepare(base.chain_id) as preparation:
        root = Path(str(preparation.rootfs()["path"]))
        (root / "d" / "gone").unlink()
        (root / "e" / "deep" / "changed").write_text("new")
        (root / "f" / "inside").unlink()
        (root / "f").rmdir()
        (root / "f").write_text("now a file")
        (root / "g").unlink()
        (root / "g").mkdir()
        (root / "new").mkdir()
        os.symlink("kept", root / "new" / "link")
        found = preparation.commit(preparation.measure())
        assert not root.exists()
    names = {os.fspath(path.relative_to(found.path)) for path in found.path.rglob("*")}
    assert names == {"d", "d/gone", "e", "e/deep", "e/deep/changed", "f", "g", "new", "new/link"}
    assert stat.S_IMODE((found.path / "d").stat().st_mode) == 0o711
    with store.snapshots.view(found.chain_id) as view:
        tree = {path.decode(): metadata.kind for path, metadata, _ in view.walk() if path}
    assert tree == {
        "d": "directory",
        "d/kept": "file",
        "e": "directory",
        "e/deep": "directory",
        "e/deep/changed": "file",
        "f": "file",
        "g": "directory",
        "new": "directory",
        "new/link": "symlink",
    }


def test_plain_tree_has_what_only_the_sandbox_sees(store: Store, tmp_path: Path) -> None:
    base = make(store, None, "a")
    (tmp_path / "stubs" / "dev").mkdir(parents=True)
    store.snapshots.overlay = False
    with store.snapshots.prepare(base.chain_id) as preparation:
        root = Path(str(preparation.rootfs(below=(tmp_path / "stubs",))["path"]))
        assert {path.name for path in root.iterdir()} == {"a", "dev"}
        assert preparation.measure().size == 0
        assert list(preparation.upperdir.iterdir()) == []


def test_interruption_stops_reading_and_writing(store: Store) -> None:
    found = make(store, None, "a")
    store.context.cancel.set(2)
    with pytest.raises(Cancelled):
        store.snapshots.write_tar(found.chain_id)
    with pytest.raises(Cancelled):
        store.snapshots.apply(None, io.BytesIO(tar_of(entry("x"))))
    assert list(store.workspace().iterdir()) == []


def test_failing_disk_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space") as caught:
        store.snapshots.apply(None, io.BytesIO(tar_of(entry("x", data=b"x"))))
    monkeypatch.undo()
    assert caught.value.__notes__ == ["unpacking 'x'"]
    assert list(store.workspace().iterdir()) == []
    assert list(store.layout.snapshots.iterdir()) == []


@pytest.fixture
def on_overlayfs(tmp_path: Path) -> Iterator[Path]:
    """A directory on overlayfs, as a container has it."""
    libc = ctypes.CDLL(None, use_errno=True)
    for name in ("lower", "upper", "work", "merged"):
        (tmp_path / name).mkdir()
    options = ",".join(f"{name}dir={tmp_path / name}" for name in ("lower", "upper", "work"))
    merged = tmp_path / "merged"
    if libc.mount(b"overlay", os.fsencode(merged), b"overlay", ctypes.c_ulong(0), options.encode()):
        raise OSError(ctypes.get_errno(), "mount")
    yield merged
    libc.umount2(os.fsencode(merged), 2)


@pytest.mark.overlay
def test_store_on_overlayfs_makes_the_same_layers(on_overlayfs: Path, context: Context, store: Store) -> None:
    inside = replace(context, layout=replace(context.layout, root=on_overlayfs / "root"))
    base = tar_of(directory("d"), entry("d/gone"), entry("d/kept"), entry("e/x"), entry("f"))
    change = tar_of(entry("d/.wh.gone"), entry("e/.wh..wh..opq"), entry("e/y"), entry(".wh.f"))
    with Store.open(inside) as nested:
        assert not nested.snapshots.overlay
        found = []
        for one in (store, nested):
            one.snapshots.overlay = False
            parent = one.snapshots.apply(None, io.BytesIO(base))
            top = one.snapshots.apply(parent.chain_id, io.BytesIO(change))
            with one.snapshots.prepare(top.chain_id) as preparation:
                root = Path(str(preparation.rootfs()["path"]))
                assert sorted(os.fspath(path.relative_to(root)) for path in root.rglob("*")) == [
                    "d",
                    "d/kept",
                    "e",
                    "e/y",
                ]
                (root / "d" / "kept").unlink()
                os.utime(root / "d", (1, 1))
                found.append((top.content_digest, preparation.commit(preparation.measure()).diff_id))
    assert found[0] == found[1]


@pytest.mark.overlay
def test_overlay_is_tried_once(store: Store) -> None:
    store.layout.tmp.joinpath("x").mkdir()
    assert store.snapshots.overlay in {True, False}
    assert store.database.one("SELECT overlay FROM snapshot_modes") is not None
    assert list(store.workspace().iterdir()) == []
