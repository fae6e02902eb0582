"""Compare an image with one that was built again from the same request, and name the first file that differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from builder.statcache import digest_stream
from frozen import Frozen

if TYPE_CHECKING:
    from runtime.oci.digests import ChainID
    from runtime.store.facade import Store
    from runtime.store.layers.tree import Metadata
    from runtime.store.view import MergedView


class Verdict(Frozen):
    """What a comparison found. `same`: bit for bit, or but for the times of a build without SOURCE_DATE_EPOCH.

    `path` is the first file that differs and `changes` what about it; `fields` are parts of the configuration.
    """

    same: bool
    exact: bool
    path: str | None = None
    changes: tuple[str, ...] = ()
    layer: int | None = None
    fields: tuple[str, ...] = ()


def compare(
    store: Store,
    *,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    chains: tuple[ChainID | None, ChainID | None],
    times: bool,
) -> Verdict:
    """Compare two images by their configurations as JSON and by their trees; without `times` those do not count."""
    diffs = [list(document["rootfs"]["diff_ids"]) for document in (before, after)]
    exact = before == after
    if exact:
        return Verdict(same=True, exact=True)
    fields = tuple(_fields(_plain(before, times=times), _plain(after, times=times), ""))
    layer = _first_other(*diffs)
    if layer is None:
        return Verdict(same=not fields, exact=False, fields=fields)
    found = _first_file(store, chains, times=times)
    if found is None:
        # The trees are equal in what counts: the layers differ in times, or in what a later one hides.
        return Verdict(same=not fields and not times, exact=False, layer=layer, fields=fields)
    return Verdict(same=False, exact=False, path=found[0], changes=found[1], layer=layer, fields=fields)


def _plain(document: Mapping[str, Any], *, times: bool) -> dict[str, Any]:
    """Leave out what the layers are, and with it all times where they do not count."""
    found = {name: value for name, value in document.items() if name != "rootfs"}
    if not times:
        found.pop("created", None)
        found["history"] = [
            {name: value for name, value in entry.items() if name != "created"} for entry in found.get("history") or ()
        ]
    return found


def _fields(before: object, after: object, name: str) -> list[str]:
    """Name the deepest fields in which two documents differ."""
    if before == after:
        return []
    if isinstance(before, dict) and isinstance(after, dict):
        found = []
        for key in sorted(before.keys() | after.keys()):
            found += _fields(before.get(key), after.get(key), f"{name}.{key}" if name else key)
        return found
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [
            text
            for index, pair in enumerate(zip(before, after, strict=True))
            for text in _fields(*pair, f"{name}[{index}]")
        ]
    return [name]


def _first_other(before: Sequence[str], after: Sequence[str]) -> int | None:
    """Return the number, from 1, of the first layer that differs."""
    for index, pair in enumerate(zip(before, after, strict=False)):
        if pair[0] != pair[1]:
            return index + 1
    return None if len(before) == len(after) else min(len(before), len(after)) + 1


def _first_file(
    store: Store, chains: tuple[ChainID | None, ChainID | None], *, times: bool
) -> tuple[str, tuple[str, ...]] | None:
    import os

    with store.snapshots.view(chains[0]) as before, store.snapshots.view(chains[1]) as after:
        ours = _entries(before)
        theirs = _entries(after)
        for path in sorted(ours.keys() | theirs.keys(), key=lambda path: path.split(b"/")):
            store.context.cancel.check()
            shown = "/" + os.fsdecode(path)
            if path not in ours:
                return shown, ("added",)
            if path not in theirs:
                return shown, ("removed",)
            if ours[path][1] == theirs[path][1]:
                continue  # of one and the same layer
            changes = _changes(before, after, path, ours[path][0], theirs[path][0], times=times)
            if changes:
                return shown, changes
    return None


def _entries(view: MergedView) -> dict[bytes, tuple[Metadata, object]]:
    if not view.layers:
        return {}
    return {path: (metadata, layer) for path, metadata, layer in view.walk() if path}


def _changes(
    before: MergedView, after: MergedView, path: bytes, old: Metadata, new: Metadata, *, times: bool
) -> tuple[str, ...]:
    if old.kind != new.kind:
        return (f"kind: {old.kind} became {new.kind}",)
    found = []
    if old.kind == "file" and (old.size != new.size or _digest(before, path) != _digest(after, path)):
        found.append("content")
    if old.kind != "symlink" and old.mode != new.mode:
        found.append(f"mode: {old.mode:o} became {new.mode:o}")
    if (old.uid, old.gid) != (new.uid, new.gid):
        found.append(f"owner: {old.uid}:{old.gid} became {new.uid}:{new.gid}")
    if old.link != new.link:
        found.append("link target")
    if old.rdev != new.rdev:
        found.append("device")
    if dict(old.xattrs) != dict(new.xattrs):
        found.append("attributes")
    if times and old.mtime_ns // 10**9 != new.mtime_ns // 10**9:
        found.append(f"time: {old.mtime_ns // 10**9} became {new.mtime_ns // 10**9}")
    return tuple(found)


def _digest(view: MergedView, path: bytes) -> bytes:
    import os

    fd = view.open_file(path)
    try:
        return digest_stream(fd)
    finally:
        os.close(fd)
