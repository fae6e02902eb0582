"""Show images in the shapes of the Engine API (1.51): ImageInspect, HistoryResponseItem.

The one place where these are built; the command line formats them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from frozen import replace
from runtime.errors import DocumentError
from runtime.oci.digests import ChainID, chain_ids
from runtime.oci.times import parse_time, rfc3339

if TYPE_CHECKING:
    from runtime.store.facade import Store
    from runtime.store.images import Image

_SECOND = 1_000_000_000
_ZERO_TIME = "0001-01-01T00:00:00Z"
_MISSING = "<missing>"


def image_inspect(store: Store, image: Image) -> dict[str, object]:
    """Give ImageInspect, in the order in which Docker prints it."""
    config = image.config
    document: dict[str, object] = {
        "Id": image.id,
        "RepoTags": [name.familiar() for name in image.names],
        "RepoDigests": [name.familiar() for name in image.digests],
        "Parent": "",
        "Comment": config.history[-1].comment if config.history else "",
        "Created": config.created or _ZERO_TIME,
        "DockerVersion": "",
        "Author": config.author,
        "Architecture": config.architecture,
    }
    if config.variant:
        document["Variant"] = config.variant
    document["Os"] = config.os
    if config.os_version:
        document["OsVersion"] = config.os_version
    document |= {
        "Size": image.size,
        "GraphDriver": _graph_driver(store, image),
        "RootFS": {"Type": "layers", "Layers": list(config.diff_ids)},
        "Metadata": {"LastTagTime": rfc3339(image.tagged) if image.tagged else _ZERO_TIME},
    }
    if image.manifest is not None:
        document["Descriptor"] = image.manifest.raw
    document["Config"] = _sorted(replace(config.config, extra={}).raw)
    return document


def _sorted(value: object) -> object:
    """Sort the keys of objects, as Docker prints an image's config."""
    return {key: _sorted(value[key]) for key in sorted(value)} if isinstance(value, dict) else value


def image_history(store: Store, image: Image) -> list[dict[str, object]]:
    """Give HistoryResponseItem for each entry, the latest first; `Created` in seconds since the epoch.

    Layers that no history speaks of come as entries without text.
    """
    chain = chain_ids(image.config.diff_ids)
    items: list[dict[str, object]] = []
    used = 0
    for entry in image.config.history:
        size = 0
        if not entry.empty_layer and used < len(chain):
            size = _layer_size(store, image, used, chain[used])
            used += 1
        items.append(
            _history_item(entry.created, entry.created_by, entry.comment, size),
        )
    items += [
        _history_item(None, "", "", _layer_size(store, image, place, chain[place])) for place in range(used, len(chain))
    ]
    items.reverse()
    if items:
        items[0]["Id"] = image.id
        items[0]["Tags"] = [name.familiar() for name in image.names] or None
    return items


def _history_item(created: str | None, created_by: str, comment: str, size: int) -> dict[str, object]:
    try:
        seconds = parse_time(created or "") // _SECOND
    except DocumentError:
        seconds = 0
    return {
        "Comment": comment,
        "Created": seconds,
        "CreatedBy": created_by,
        "Id": _MISSING,
        "Size": size,
        "Tags": None,
    }


def _layer_size(store: Store, image: Image, place: int, chain_id: ChainID) -> int:
    snapshot = store.snapshots.get(chain_id)
    if snapshot is not None:
        return snapshot.size
    blob = store.images.layers.remembered(image.config.diff_ids[place])
    return blob.size if blob is not None else 0


def _graph_driver(store: Store, image: Image) -> dict[str, object]:
    """Say where the layers lie, in the words of Docker's overlay2."""
    paths: list[str] = []
    for chain_id in reversed(chain_ids(image.config.diff_ids)):
        snapshot = store.snapshots.get(chain_id)
        if snapshot is None:
            return {"Data": None, "Name": "overlayfs"}
        paths += map(str, snapshot.paths)
    if not paths:
        return {"Data": None, "Name": "overlayfs"}
    data = {"LowerDir": ":".join(paths[1:])} if len(paths) > 1 else {}
    return {"Data": {**data, "UpperDir": paths[0]}, "Name": "overlayfs"}
