"""Say what an image is, in a form that two builders' images can be compared in: config, history, layers, tree.

Reads the archive that `docker save` and `pybuild save` write, with the standard library alone: nothing of the code
that is under test decides what the archive says.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import Any, NamedTuple

_TYPES = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.DIRTYPE: "directory",
    tarfile.SYMTYPE: "symlink",
    tarfile.CHRTYPE: "character",
    tarfile.BLKTYPE: "block",
    tarfile.FIFOTYPE: "fifo",
}
_CONFIG_KEYS = (
    *("User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal"),
    *("Healthcheck", "OnBuild", "Shell", "ArgsEscaped"),
)


class Node(NamedTuple):
    """One file of the merged tree; `links` names the first path of its hard-link group."""

    kind: str
    mode: int
    uid: int
    gid: int
    content: str
    target: str
    device: tuple[int, int]
    xattrs: tuple[tuple[str, str], ...]
    links: str
    mtime: int

    def compared(self) -> list[Any]:
        """Return what is compared, as JSON has it: everything but the time."""
        return [
            self.kind,
            oct(self.mode),
            f"{self.uid}:{self.gid}",
            self.content,
            self.target,
            list(self.device),
            [list(pair) for pair in self.xattrs],
            self.links,
        ]


def describe(archive: bytes, *, base_layers: int) -> dict[str, Any]:
    """Describe the only image of `archive`; `base_layers` counts the layers that are the base's and not described.

    `tree` maps paths to what is there, of those that are not as in the base; a removed one is None. A directory that
    a layer only passes through is as it was. `times` maps the files of `tree` to their times.
    """
    with tarfile.open(fileobj=io.BytesIO(archive)) as outer:
        manifest = json.load(_member(outer, "manifest.json"))[0]
        config = json.load(_member(outer, manifest["Config"]))
        layers = [_member(outer, name).read() for name in manifest["Layers"]]
    merged: dict[str, Node] = {}
    base: dict[str, Node] = {}
    for number, layer in enumerate(layers):
        if number == base_layers:
            base = dict(merged)
        _apply(merged, layer)
    if base_layers == len(layers):
        base = merged
    tree: dict[str, Any] = {}
    for path in sorted(set(base) | set(merged)):
        now = merged[path].compared() if path in merged else None
        if path not in base or now != base[path].compared():
            tree[path] = now
    return {
        "config": {key: config["config"][key] for key in _CONFIG_KEYS if config["config"].get(key)},
        "platform": [config["os"], config["architecture"], config.get("author")],
        "history": [
            [entry.get("created_by", ""), bool(entry.get("empty_layer")), entry.get("comment", "")]
            for entry in config.get("history", [])
        ],
        "layers": len(layers),
        "tree": tree,
        "times": {path: merged[path].mtime for path in tree if path in merged and merged[path].kind == "file"},
    }


def _member(tar: tarfile.TarFile, name: str) -> io.BufferedIOBase:
    stream = tar.extractfile(name)
    assert stream is not None, name
    return stream  # type: ignore[return-value]


def _apply(merged: dict[str, Node], layer: bytes) -> None:
    """Apply one layer's tar (OCI image-spec, layer.md § Applying Changesets)."""
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        members = tar.getmembers()
        for member in members:
            path = member.name.removeprefix("./").strip("/")
            parent, _, name = path.rpartition("/")
            if name == ".wh..wh..opq":
                _remove_below(merged, parent)
            elif name.startswith(".wh."):
                removed = f"{parent}/{name[4:]}".strip("/")
                merged.pop(removed, None)
                _remove_below(merged, removed)
        for member in members:
            path = member.name.removeprefix("./").strip("/")
            if not path or path.rpartition("/")[2].startswith(".wh."):
                continue
            if not member.isdir():
                _remove_below(merged, path)
            merged[path] = _node(tar, member, merged)


def _remove_below(merged: dict[str, Node], path: str) -> None:
    for other in [other for other in merged if other.startswith(path + "/")]:
        del merged[other]


def _node(tar: tarfile.TarFile, member: tarfile.TarInfo, merged: dict[str, Node]) -> Node:
    if member.islnk():
        first = member.linkname.removeprefix("./").strip("/")
        return merged[first]._replace(links=first)
    content = ""
    stream = tar.extractfile(member) if member.isfile() else None
    if stream is not None:
        content = hashlib.sha256(stream.read()).hexdigest()
    kind = _TYPES[member.type]
    device = (member.devmajor, member.devminor) if kind in ("character", "block") else (0, 0)
    xattrs = tuple(
        sorted(
            (key.removeprefix("SCHILY.xattr."), value.encode("utf-8", "surrogateescape").hex())
            for key, value in member.pax_headers.items()
            if key.startswith("SCHILY.xattr.")
        )
    )
    target = member.linkname if kind == "symlink" else ""
    mode = 0o777 if kind == "symlink" else member.mode & 0o7777
    return Node(kind, mode, member.uid, member.gid, content, target, device, xattrs, "", int(member.mtime))
