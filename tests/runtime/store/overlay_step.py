"""Make a layer as a step does, on a real overlay mount, and print its digests: `overlay_step.py DIRECTORY`.

Runs as root of a mount namespace of its own, or of a user namespace. The last step says whether what the view shows is
what the kernel shows.
"""

from __future__ import annotations

import ctypes
import io
import os
import shutil
import sys
from pathlib import Path

from runtime.context import Context, Layout
from runtime.store import Store
from runtime.store.layers.records import in_user_namespace
from tests.runtime.store.layers.trees import describe, directory, entry, hard_link, symlink, tar_of, unpack

BASE = tar_of(
    directory("dir", mode=0o2755, gid=50),
    entry("dir/changed", data=b"old", uid=33),
    entry("dir/deleted"),
    entry("dir/owned"),
    directory("replaced"),
    entry("replaced/inside"),
    directory("emptied"),
    entry("emptied/one"),
    entry("file-then-directory"),
    entry("linked", data=b"x"),
    hard_link("linked-too", "linked"),
    symlink("link", "dir"),
    entry("untouched", data=b"untouched"),
)


def change(root: Path) -> None:
    """Do what a step may do to a tree."""
    with open(root / "dir" / "changed", "a") as file:
        file.write(" and new")
    (root / "dir" / "deleted").unlink()
    os.chown(root / "dir" / "owned", 1000, 50)
    os.chmod(root / "dir" / "owned", 0o4755)
    shutil.rmtree(root / "replaced")
    (root / "replaced").mkdir()
    (root / "replaced" / "new").touch()
    (root / "emptied" / "one").unlink()
    (root / "file-then-directory").unlink()
    (root / "file-then-directory").mkdir()
    (root / "linked").write_text("no longer the same")
    os.link(root / "dir" / "changed", root / "another-name")
    (root / "link").unlink()
    os.symlink("untouched", root / "link")
    os.setxattr(root / "dir" / "owned", "security.capability", b"\x01\x00\x00\x02\x00\x04\x00\x00" + bytes(12))
    os.mkfifo(root / "fifo")


def settle_times(root: Path) -> None:
    """Give everything below `root` the same time, so that two runs have the same bytes."""
    for directory_path, directories, files in os.walk(root, topdown=False):
        for name in (*directories, *files):
            os.utime(os.path.join(directory_path, name), (1000, 1000), follow_symlinks=False)


def main(base: Path) -> None:
    """Print content digest and diff ID of the layer, and whether the view is right."""
    os.umask(0o022)
    libc = ctypes.CDLL(None, use_errno=True)
    context = Context(layout=Layout(root=base / "root", run=base / "run", key="0123456789"), environ={}, rootless=False)
    target = base / "merged"
    target.mkdir()
    with Store.open(context) as store:
        below = store.snapshots.apply(None, io.BytesIO(BASE))
        with store.snapshots.prepare(below.chain_id) as preparation:
            rootfs = preparation.rootfs(below=(_made(base / "stubs"),))
            options = ",".join(f"{name}={rootfs[name]}" for name in ("upperdir", "workdir"))
            options += f",lowerdir={':'.join(map(str, rootfs['lowerdirs']))},volatile"  # type: ignore[call-overload]
            options += ",userxattr" if in_user_namespace() else ",index=off,metacopy=off,redirect_dir=off"
            if libc.mount(b"overlay", os.fsencode(target), b"overlay", ctypes.c_ulong(0), options.encode()):
                raise OSError(ctypes.get_errno(), f"mount {options}")
            change(target)
            shown = describe(target, times=False)
            libc.umount2(os.fsencode(target), 0)
            settle_times(preparation.upperdir)
            layer = preparation.commit(preparation.measure())
        print(layer.content_digest, layer.diff_id)
        store.snapshots.write_tar(layer.chain_id)
        with store.snapshots.view(layer.chain_id) as view:
            seen = [(path, m.kind, m.mode, m.uid, m.gid, m.link) for path, m, _ in view.walk() if path]
        print(
            seen == [(path, kind, mode, uid, gid, link) for path, (kind, mode, uid, gid, _, link, *_) in shown.items()]
        )
        sink = io.BytesIO()
        store.snapshots.write_tar(layer.chain_id, sink)
        with store.snapshots.view(below.chain_id) as view:
            unpack(sink.getvalue(), base / "again", view)
        print(describe(base / "again") == describe(layer.path))


def _made(path: Path) -> Path:
    path.mkdir()
    return path


if __name__ == "__main__":
    main(Path(sys.argv[1]))
