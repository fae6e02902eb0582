"""Keep volumes: directories `ROOT/volumes/NAME/_data` that outlive containers, filled from the image at first use."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from shutil import copyfileobj
from typing import TYPE_CHECKING

from frozen import Frozen
from runtime.containers.announcing import announce
from runtime.errors import Conflict, NotFound, UsageError
from runtime.store.layers.tree import Metadata, make_node, write_metadata
from runtime.store.trees import remove_tree

if TYPE_CHECKING:
    from runtime.context import Cancel
    from runtime.store import Store
    from runtime.store.database import Row
    from runtime.store.view import MergedView

_TABLES = (
    """CREATE TABLE IF NOT EXISTS volumes(
        name TEXT PRIMARY KEY,
        created INTEGER NOT NULL,
        labels TEXT NOT NULL,
        anonymous INTEGER NOT NULL,
        options TEXT NOT NULL DEFAULT '{}') WITHOUT ROWID""",
)
_MIGRATIONS = {1: ("ALTER TABLE volumes ADD COLUMN options TEXT NOT NULL DEFAULT '{}'",)}
_OPTIONS = ("device", "o", "type")
_ANONYMOUS = "com.docker.volume.anonymous"
"""The label by which everybody finds the volumes that nobody named."""
_CHUNK = 1 << 20


class Volume(Frozen):
    """One volume. `created` is in nanoseconds since the epoch; `options` are `type`, `device` and `o` as given."""

    name: str
    created: int
    labels: Mapping[str, str]
    anonymous: bool
    options: Mapping[str, str]


class Volumes:
    """The volumes of an open store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        store.database.ensure("volumes", 2, _TABLES, migrations=_MIGRATIONS)

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
                    announce(connection, self.store.context.now(), "volume", "create", name, {"driver": "local"})
            return data

    def list(self) -> tuple[Volume, ...]:
        """Return all volumes by name."""
        return tuple(_volume(row) for row in self.store.database.read("SELECT * FROM volumes ORDER BY name"))

    def get(self, name: str) -> Volume | None:
        """Return one volume."""
        row = self.store.database.one("SELECT * FROM volumes WHERE name = ?", name)
        return None if row is None else _volume(row)

    def create(self, name: str, *, labels: Mapping[str, str], options: Mapping[str, str], anonymous: bool) -> Volume:
        """Make a volume; one that is there already with the same options is fine.

        Raises UsageError for options that are not known, Conflict where it is there with others.
        """
        unknown = sorted(set(options) - set(_OPTIONS))
        if "size" in unknown:
            raise UsageError(
                f"create {name}: quota size requested but no quota support", hint="a tmpfs has one: o=size=10m"
            )
        if unknown:
            raise UsageError(f'create {name}: invalid option: "{unknown[0]}"', hint="there are type, device and o")
        if options and not options.get("device") and options.get("type") != "tmpfs":
            missing = "type" if not options.get("type") else "device"
            raise UsageError(f'create {name}: missing required option: "{missing}"')
        mount_of("/", options)  # its errors belong here
        there = self.get(name)
        if there is not None:
            if dict(there.options) != dict(options) and options:
                raise Conflict(f"volume {name} already exists with other options")
            return there
        self.use(name, labels=labels, anonymous=anonymous)
        with self.store.database.write() as connection:
            connection.execute("UPDATE volumes SET options = ? WHERE name = ?", (json.dumps(dict(options)), name))
        made = self.get(name)
        if made is None:
            raise NotFound(f"get {name}: no such volume")  # removed by somebody else at this moment
        return made

    def users(self, name: str) -> tuple[str, ...]:
        """Return the ids of the containers that have the volume, whether they run or not."""
        if self.store.database.one("SELECT 1 FROM sqlite_master WHERE name = 'containers'") is None:
            return ()
        rows = self.store.database.read("SELECT id, mounts FROM containers WHERE instr(mounts, ?)", json.dumps(name))
        return tuple(row["id"] for row in rows if any(mount.get("Name") == name for mount in json.loads(row["mounts"])))

    def remove(self, name: str, *, force: bool = False) -> None:
        """Remove a volume and its content. Raises NotFound (not with `force`), Conflict for one that is in use."""
        with self.store.locked("volume", name):
            if self.get(name) is None:
                if force:
                    return
                raise NotFound(f"get {name}: no such volume", hint="`pybuild volume ls` lists them")
            users = self.users(name)
            if users:
                raise Conflict(
                    f"remove {name}: volume is in use - [{', '.join(users)}]", hint="remove its containers first"
                )
            doomed = self.store.trash_name()
            with self.store.database.write() as connection:
                connection.execute("DELETE FROM volumes WHERE name = ?", (name,))
                announce(connection, self.store.context.now(), "volume", "destroy", name, {"driver": "local"})
            with suppress(FileNotFoundError):
                os.rename(self.store.layout.volumes / name, doomed)
                remove_tree(doomed)

    def size(self, name: str) -> int:
        """Count the bytes of the files in a volume."""
        total = 0
        for base, _, names in os.walk(self.data(name)):
            for file in names:
                with suppress(FileNotFoundError):
                    total += os.lstat(os.path.join(base, file)).st_size
        return total

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
        for name in names:
            volume = self.get(name)
            if volume is not None and volume.anonymous:
                with suppress(Conflict):
                    self.remove(name, force=True)


def mount_of(target: str, options: Mapping[str, str]) -> dict[str, object] | None:
    """Return the runtime-spec mount of a volume with options; None for one that is a directory of the root's.

    Kinds are tmpfs and bind (`type=none,o=bind` is Docker's spelling). Raises UsageError for others.
    """
    if not options:
        return None
    kind = options.get("type", "none")
    words = [word for word in options.get("o", "").split(",") if word]
    if kind == "tmpfs":
        mode = () if any(word.startswith("mode=") for word in words) else ("mode=1777",)
        return {
            "destination": target,
            "type": "tmpfs",
            "source": "tmpfs",
            "options": [*mode, *words],
        }
    if kind in ("none", "bind") and ("bind" in words or "rbind" in words or kind == "bind"):
        device = options["device"]
        if not device.startswith("/"):
            raise UsageError(f"volume option device={device}: the path must be absolute")
        rest = [word for word in words if word not in ("bind", "rbind")]
        return {"destination": target, "type": "bind", "source": device, "options": ["rbind", "rprivate", *rest]}
    raise UsageError(
        f"volume option type={kind}: it cannot be mounted here", hint="there are type=tmpfs, and type=none with o=bind"
    )


def _volume(row: Row) -> Volume:
    marks = {_ANONYMOUS: ""} if row["anonymous"] else {}
    return Volume(
        name=row["name"],
        created=row["created"],
        labels=dict(sorted({**json.loads(row["labels"]), **marks}.items())),
        anonymous=bool(row["anonymous"]),
        options=dict(sorted(json.loads(row["options"]).items())),
    )


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
