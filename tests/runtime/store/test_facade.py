from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from frozen import replace
from runtime.context import Context
from runtime.errors import Cancelled, StoreError
from runtime.store import Store, facade, placement
from runtime.store.leases import boot_mark, is_alive, lease, own_name, pinned_by
from runtime.store.locks import Lock, held
from runtime.store.trees import remove_tree


def test_a_root_is_made_private(context: Context) -> None:
    with Store.open(context):
        pass
    assert context.layout.root.stat().st_mode & 0o777 == 0o700
    for path in (context.layout.images, context.layout.snapshots, context.layout.tmp, context.layout.locks):
        assert path.is_dir()


def test_a_workspace_goes_with_the_store(context: Context) -> None:
    with Store.open(context) as store:
        workspace = store.workspace()
        (workspace / "a/b").mkdir(parents=True)
        assert workspace == store.workspace()
    assert os.listdir(context.layout.tmp) == []


def dead_owner() -> str:
    process = subprocess.Popen(["/bin/true"])
    process.wait()
    return f"{process.pid}-1-{boot_mark()}-0123"


def test_what_the_dead_left_is_swept(context: Context) -> None:
    with Store.open(context):
        pass
    left = context.layout.tmp / dead_owner()
    (left / "work/work").mkdir(parents=True)
    (left / "work/work").chmod(0)
    (context.layout.trash / "nobody").mkdir()
    (context.layout.tmp / "rubbish").touch()
    with Store.open(context):
        assert os.listdir(context.layout.tmp) == []
        assert os.listdir(context.layout.trash) == []


def test_what_the_living_have_is_kept(context: Context) -> None:
    with Store.open(context) as store:
        workspace = store.workspace()
        with Store.open(context):
            pass
        assert workspace.is_dir()


def test_what_a_process_of_another_pid_namespace_has_is_kept(context: Context) -> None:
    with Store.open(context):
        pass
    left = context.layout.tmp / dead_owner()
    left.mkdir()
    lock = Lock(left)
    lock.acquire(context.cancel, exclusive=False)
    with Store.open(context) as store:
        with store.database.write() as connection:
            connection.execute("INSERT INTO pins VALUES(?, 'blob', 'b')", (f"lease:{left.name}.0",))
        assert left.is_dir()
    with Store.open(context) as store:
        assert len(pinned_by(store.database, "blob", "b")) == 1
    lock.close()
    with Store.open(context) as store:
        assert not left.exists()
        assert pinned_by(store.database, "blob", "b") == ()


def test_a_lease_holds_until_its_owner_is_gone(context: Context) -> None:
    with Store.open(context) as store:
        with lease(store) as first:
            first.pin("blob", "sha256:a")
            with Store.open(context):
                pass
            assert pinned_by(store.database, "blob", "sha256:a") == (first.owner,)
        assert pinned_by(store.database, "blob", "sha256:a") == ()
        with store.database.write() as connection:
            connection.execute("INSERT INTO pins VALUES(?, 'blob', 'b')", (f"lease:{dead_owner()}",))
            connection.execute("INSERT INTO pins VALUES('container:x', 'blob', 'b')")
    with Store.open(context) as store:
        assert pinned_by(store.database, "blob", "b") == ("container:x",)


def test_an_owner_is_more_than_a_process_id(context: Context) -> None:
    name = own_name(context)
    assert is_alive(name)
    pid, _, boot, token = name.split("-")
    assert not is_alive(f"{pid}-1-{boot}-{token}")
    assert not is_alive(name.replace(boot, "00000000"))
    assert not is_alive("../etc")


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "9p", "fuse.sshfs"])
def test_a_network_file_system_is_refused(context: Context, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(placement, "file_system_of", lambda _path: kind)
    with pytest.raises(StoreError, match=kind) as caught, Store.open(context):
        pass
    assert "--root" in str(caught.value.hint)


def test_the_file_system_of_a_path_is_found() -> None:
    assert placement.file_system_of(Path("/proc/self")) == "proc"


@pytest.mark.root
def test_another_users_root_is_refused(context: Context) -> None:
    context.layout.root.mkdir()
    os.chown(context.layout.root, 12345, 0)
    with pytest.raises(StoreError, match="belongs to uid 12345"), Store.open(context):
        pass


def test_a_file_in_place_of_the_root_is_refused(context: Context) -> None:
    context.layout.root.touch()
    with pytest.raises(StoreError, match="no directory"), Store.open(context):
        pass


def test_changed_id_ranges_are_named(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store.open(context):
        pass
    monkeypatch.setattr(placement, "identity", lambda: "0 0:100000:65536 0:100000:65536")
    with pytest.raises(StoreError, match="100000:65536"), Store.open(context):
        pass


def test_a_newer_format_is_refused(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(facade, "FORMAT", 99)
        with Store.open(context):
            pass
    with pytest.raises(StoreError, match="format 99"), Store.open(context):
        pass


def test_the_exclusive_lock_waits_for_other_users(context: Context) -> None:
    order = []
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with Store.open(context):
            inside.set()
            leave.wait()
            order.append("other")

    thread = threading.Thread(target=other)
    with Store.open(context) as store:
        thread.start()
        inside.wait()
        threading.Timer(0.1, leave.set).start()
        with store.exclusive():
            order.append("exclusive")
    thread.join()
    assert order == ["other", "exclusive"]


def test_asking_whether_one_is_alone_keeps_the_lock(context: Context) -> None:
    with Store.open(context) as store:
        with Store.open(context):
            assert not store.is_alone()
        assert store.is_alone()
        with Store.open(context) as other:
            assert not other.is_alone()


def test_one_piece_of_work_is_done_by_one(context: Context) -> None:
    with Store.open(context) as store:
        active, most = [0], [0]

        def work() -> None:
            with store.locked("blob", "sha256:x"):
                active[0] += 1
                most[0] = max(most[0], active[0])
                active[0] -= 1

        threads = [threading.Thread(target=work) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert most == [1]


def test_waiting_for_a_lock_can_be_cancelled(context: Context, tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held(path, context.cancel):
        threading.Timer(0.05, context.cancel.set, [15]).start()
        with pytest.raises(Cancelled) as caught, held(path, context.cancel):
            pass
        assert caught.value.signal == 15


def test_two_roots_in_one_process_do_not_meet(context: Context, tmp_path: Path) -> None:
    other = replace(context, layout=replace(context.layout, root=tmp_path / "second"))
    with Store.open(context) as first, Store.open(other) as second:
        digest = first.blobs.put(b"x")
        assert not second.blobs.has(digest)


def test_a_very_deep_tree_is_deleted(tmp_path: Path) -> None:
    top = tmp_path / "top"
    script = "import os,sys\nos.mkdir(sys.argv[1]); os.chdir(sys.argv[1])\n"
    script += "for n in range(1500):\n os.mkdir('d'); open('f','w').close(); os.chdir('d')\n"
    subprocess.run([sys.executable, "-c", script, str(top)], check=True)
    remove_tree(top)
    assert not top.exists()


def test_deleting_a_tree_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").touch()
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/link").symlink_to(tmp_path / "kept")
    remove_tree(tmp_path / "tree")
    assert (tmp_path / "kept/file").exists()
