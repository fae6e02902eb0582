"""Make a layer: an upperdir over those below it, perhaps on an earlier layer; then its digests, then its name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.oci.digests import ChainID
from runtime.store.layers.tree import Metadata, read_metadata, write_open
from runtime.store.layers.walk import opened
from runtime.store.layers.writer import LayerDigests, write_layer
from runtime.store.trees import remove_tree

if TYPE_CHECKING:
    from runtime.store.plain import PlainTree
    from runtime.store.snapshots import Snapshot, SnapshotStore

_MOST_BELOW = 250
"""Overlayfs takes 500 directories: with more layers than this below it, none stands on another."""
_BARE_ROOT = Metadata("directory", 0o755, 0, 0)


class Preparation:
    """A layer in the making, on top of `parent`. Nothing of it is left unless `commit` is called.

    `lowerdirs`: the layers below, topmost first. `upperdir`: where the layer is made, its root with the metadata of
    the root below. `workdir`: overlayfs' own, good for one mount. `backing`: a layer that this one may stand on.
    """

    def __init__(
        self, snapshots: SnapshotStore, parent: ChainID | None, directory: Path, backing: Snapshot | None
    ) -> None:
        self.parent = parent
        self.lowerdirs = snapshots.stack(parent) if parent is not None else ()
        # overlayfs refuses a directory that comes twice
        usable = backing and len(self.lowerdirs) <= _MOST_BELOW and not set(backing.paths) & set(self.lowerdirs)
        self.backing = backing if usable else None
        self.stands_on: Snapshot | None = None
        self.shared = 0
        """Bytes of file content that are those of the layer that this one stands on."""
        self.directory = directory
        self.upperdir = directory / "snapshot" / "fs"
        self.workdir = directory / "work"
        self._snapshots = snapshots
        self._plain: PlainTree | None = None
        for path in (self.upperdir.parent, self.upperdir, self.workdir):
            path.mkdir(mode=0o700)
        self._root = _BARE_ROOT
        self._take_root()
        self._dress_root()

    def put_on(self, parent: ChainID, *, dress: bool) -> None:
        """Learn what a layer lies on that was made before that was here; `dress` its root like the one below, too."""
        self.parent, self.lowerdirs = parent, self._snapshots.stack(parent)
        if dress:
            self._take_root()
            self._dress_root()

    def rootfs(self, *, below: Sequence[Path] = ()) -> dict[str, object]:
        """Describe the tree for a sandbox (the request's `rootfs`): an overlay mount, or a directory with all of it.

        A whole directory is made where the store's file system cannot hold an upperdir; the upperdir itself is the
        tree where nothing lies below. `below` are directories under all layers that only the sandbox sees, as mount
        points. What the sandbox changes becomes the layer when `measure` is called, which ends the use of the tree.
        """
        lowerdirs = (*self.lowerdirs, *below)
        if not lowerdirs:
            return {"path": os.fspath(self.upperdir)}
        if self._snapshots.overlay:
            return {
                "lowerdirs": [os.fspath(path) for path in lowerdirs],
                "upperdir": os.fspath(self.upperdir),
                "workdir": os.fspath(self.workdir),
                "volatile": True,
            }
        from runtime.store.plain import PlainTree

        if self._plain is None:
            self._plain = PlainTree.copied(lowerdirs, self.directory / "rootfs")
        return {"path": os.fspath(self._plain.path)}

    def measure(self) -> LayerDigests:
        """Take all digests of the layer in one read; nothing may be mounted on it or write to it any more."""
        if self._plain is not None:
            plain, self._plain = self._plain, None
            plain.collect(self.upperdir)
        paths = (self.upperdir,) if self.stands_on is None else (self.upperdir, *self.stands_on.paths)
        return write_layer(paths, self._snapshots.watched_sink())

    def stand_on_backing(self, shared: int) -> None:
        """Say that the layer is what lies in the upperdir and, below that, all of the backing: `shared` bytes of files.

        Without this it is the upperdir alone. Nothing of the backing may be missing in the layer.
        """
        self.stands_on = self.backing
        self.shared = shared

    def begin_alone(self) -> None:
        """Empty the upperdir, for a layer that turns out not to stand on the backing."""
        self.backing = None
        remove_tree(self.upperdir)
        self.upperdir.mkdir(mode=0o700)
        self._dress_root()

    def commit(self, digests: LayerDigests) -> Snapshot:
        """Give the layer its name. If an equal one exists, that one is returned and this one is discarded."""
        self._dress_root()
        return self._snapshots.publish(self, digests, unpacked=False)

    def _take_root(self) -> None:
        if self.lowerdirs:
            with opened(self.lowerdirs[0]) as (fd,):
                self._root = read_metadata(fd, b".")

    def _dress_root(self) -> None:
        """Give the layer's root the metadata of the root below; its tar has no entry for it."""
        with opened(self.upperdir) as (fd,):
            write_open(fd, self._root)
