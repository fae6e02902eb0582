"""Keep volumes: directories `ROOT/volumes/NAME/_data` that outlive containers, filled from the image at first use."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from shutil import copyfileobj
from typing import TYPE_CHECKING

from runtime.store.layers.tree import Metadata, make_node, write_metadata
from runtime.store.trees import remove_tree

if TYPE_CHECKING:
    from runtime.context import Cancel
    from runtime.store import Store
    from runtime.store.view import MergedView

_TABLES = (
    """CREATE TABLE IF NOT EXISTS volumes(
        name TEXT PRIMARY KEY,
        created INTEGER NOT NULL,
        labels TEXT NOT NULL,
        anonymous INTEGER NOT NULL) WITHOUT ROWID""",
)
_CHUNK = 1 << 20


class Volumes:
    """The volumes of an open store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        store.database.ensure("volumes", 1, _TABLES)

    def data(self, name: str) -> Path:
        """Give the directory of a volume's content."""
        return self.store.layout.volumes / name / "_data"

    def use(
        self,
        name: str,
        *,
        labels: Mapping[str, str] | None = None,
        anonymous: bool = False,
        source: tuple[MergedView, PurePosixPath] | None = None,
    ) -> Path:
        """Return the content's directory of a volume, made if there is none.

        `source` is a directory in an image: an empty volume gets its content, owner and mode (Docker's first use). A
        new volume appears under its name when it is whole.
        """
        with self.store.locked("volume", name):
            data = self.data(name)
            if not data.is_dir():
                self._make(name, source)
            elif source is not None and not any(os.scandir(data)):
                _fill(data, *source, self.store.context.cancel)
            if self.store.database.one("SELECT 1 FROM volumes WHERE name = ?", name) is None:
                with self.store.database.write() as connection:
                    connection.execute(
                        "INSERT INTO volumes(name, created, labels, anonymous) VALUES(?, ?, ?, ?)",
                        (name, self.store.context.now(), json.dumps(dict(labels or {})), anonymous),
                    )
            return data

    def _make(self, name: str, source: tuple[MergedView, PurePosixPath] | None) -> None:
        made = self.store.workspace() / f"volume-{name}"
        data = made / "_data"
        os.mkdir(made, 0o700)
        try:
            os.mkdir(data)
            os.chmod(data, 0o755)
            if source is not None:
                _fill(data, *source, self.store.context.cancel)
            self.store.layout.volumes.mkdir(mode=0o700, exist_ok=True)
            remove_tree(self.store.layout.volumes / name)  # half of one, deleted by hand
            os.rename(made, self.store.layout.volumes / name)
        except BaseException:
            remove_tree(made)
            raise

    def remove_anonymous(self, names: Iterable[str]) -> None:
        """Remove those of the volumes that nobody named and no container has any more."""
        database = self.store.database
        for name in names:
            with self.store.locked("volume", name):
                if database.one("SELECT 1 FROM volumes WHERE name = ? AND anonymous", name) is None:
                    continue
                if database.one("SELECT 1 FROM containers WHERE instr(mounts, ?)", json.dumps(name)) is not None:
                    continue
                doomed = self.store.trash_name()
                with database.write() as connection:
                    connection.execute("DELETE FROM volumes WHERE name = ?", (name,))
                os.rename(self.store.layout.volumes / name, doomed)
                remove_tree(doomed)


def _fill(data: Path, view: MergedView, path: PurePosixPath, cancel: Cancel) -> None:
    """Copy a directory of an image into an empty directory; a path that is no directory there leaves it as it is."""
    top = os.fsencode(str(view.resolve(path)))
    links: dict[tuple[int, int], str] = {}
    directories: list[tuple[str, Metadata]] = []
    for relative, metadata, _ in view.walk(top):
        cancel.check()
        target = os.path.join(data, os.fsdecode(relative)) if relative else str(data)
        if metadata.kind == "directory":
            if relative:
                os.mkdir(target, 0o700)
            directories.append((target, metadata))
            continue
        if not relative:
            return
        first = links.setdefault((metadata.device, metadata.inode), target)
        if first != target:
            os.link(first, target, follow_symlinks=False)
        elif metadata.kind == "file":
            with view.open(top + b"/" + relative) as source, open(target, "xb") as sink:
                copyfileobj(source, sink, _CHUNK)
            _set(target, metadata)
        else:
            _make(target, metadata)
    for target, metadata in reversed(directories):
        _set(target, metadata)


def _make(target: str, metadata: Metadata) -> None:
    directory, name = os.path.split(target)
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        make_node(fd, os.fsencode(name), metadata)
        write_metadata(fd, os.fsencode(name), metadata)
    finally:
        os.close(fd)


def _set(target: str, metadata: Metadata) -> None:
    directory, name = os.path.split(target)
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        write_metadata(fd, os.fsencode(name), metadata)
    finally:
        os.close(fd)
