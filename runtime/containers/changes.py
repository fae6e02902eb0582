"""Find out what a container changed in its image, write its tree as a tar, make an image of it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO, Literal, NamedTuple

from runtime.containers.view import container_view
from runtime.oci.changes import apply_changes
from runtime.oci.documents import History, decode_config
from runtime.oci.times import rfc3339
from runtime.store.layers.tree import Kind, Metadata
from runtime.store.layers.writer import LayerWriter
from runtime.store.view import MergedView

if TYPE_CHECKING:
    from runtime.containers.records import Container, Containers
    from runtime.oci.digests import ChainID, DiffID
    from runtime.oci.references import Reference
    from runtime.store.images import Image

_OWN = frozenset(
    (b"dev", b"proc", b"sys", b"etc/hosts", b"etc/hostname", b"etc/mtab", b"etc/resolv.conf", b".dockerenv")
)
"""What every container has in its own layer: places that were made to mount on, and the mark of a container."""

_PLACES = (
    (b"dev", True), (b"dev/console", False), (b"dev/pts", True), (b"dev/shm", True), (b"etc", True),
    (b"etc/hostname", False), (b"etc/hosts", False), (b"etc/resolv.conf", False), (b"proc", True), (b"sys", True),
)  # fmt: skip
"""What Docker makes in every container to mount on, and whether it is a directory."""


class Change(NamedTuple):
    """One path that differs from the image: added, changed or deleted; `metadata` is what is there now."""

    kind: Literal["A", "C", "D"]
    path: bytes
    metadata: Metadata


_NOTHING = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
"""The SHA-256 of no bytes."""
_GONE = Metadata(kind="whiteout", mode=0, uid=0, gid=0)


def changes(containers: Containers, container: Container) -> list[Change]:
    """List what the container changed, parents first; a directory in which something changed is changed."""
    image = containers.store.images.get(container.image)  # type: ignore[arg-type]  # a digest, as create wrote it
    layered = not (containers.directory(container.id) / "rootfs").is_dir()
    with container_view(containers, container) as own, containers.store.snapshots.view(image.chain_id) as lower:
        return list(_compare(own, lower, b"", layered))


def _compare(own: MergedView, lower: MergedView, path: bytes, layered: bool) -> Iterator[Change]:
    """Compare what lies below a directory of both trees; `layered`: what has no part in the topmost layer is equal."""
    before = set(lower.names(path))
    now = set(own.names(path))
    for name in sorted(before | now):
        below = path + b"/" + name if path else name
        if below in _OWN:
            continue
        if name not in now:
            yield Change("D", below, _GONE)
            continue
        node = own.node(below)
        if node is None or (layered and 0 not in node.layers and name in before):
            continue
        metadata = node.metadata
        old = lower.entry(below) if name in before else None
        directory = metadata.kind == "directory"
        inner: list[Change] = []
        if directory:
            both = old is not None and old.kind == "directory"
            inner = list(_compare(own, lower, below, layered) if both else _all(own, below))
        if old is None:
            yield Change("A", below, metadata)
        elif inner or not _same(metadata, old, directory):
            yield Change("C", below, metadata)
        yield from inner


def _all(own: MergedView, path: bytes) -> Iterator[Change]:
    for name in own.names(path):
        below = path + b"/" + name
        metadata = own.entry(below)
        if metadata is not None:
            yield Change("A", below, metadata)
            if metadata.kind == "directory":
                yield from _all(own, below)


def _same(now: Metadata, before: Metadata, directory: bool) -> bool:
    kept = (now.kind, now.mode, now.uid, now.gid, now.rdev, now.link) == (
        before.kind, before.mode, before.uid, before.gid, before.rdev, before.link
    )  # fmt: skip
    return kept and (directory or (now.size, now.mtime_ns) == (before.size, before.mtime_ns))


def write_tree(containers: Containers, container: Container, sink: BinaryIO) -> None:
    """Write the container's whole tree as a tar, without what is mounted in it but with all that is mounted on."""
    with container_view(containers, container) as view, LayerWriter(sink) as writer:
        for path, metadata, _ in view.walk(b""):
            containers.store.context.cancel.check()
            if path:
                _add(writer, view, path, metadata)
        made = {b""}
        for path, is_directory in _PLACES:
            there = view.entry(path)
            if there is not None:
                made |= {path} if there.kind == "directory" else set()
            elif path.rpartition(b"/")[0] in made:
                kind: Kind = "directory" if is_directory else "file"
                place = Metadata(kind=kind, mode=0o755, uid=0, gid=0, mtime_ns=container.created)
                writer.add(path, place, digest=_NOTHING)
                made |= {path} if is_directory else set()
        writer.finish()


def _add(writer: LayerWriter, view: MergedView, path: bytes, metadata: Metadata) -> None:
    if metadata.kind != "file":
        writer.add(path, metadata)
        return
    fd = view.open_file(path)
    try:
        writer.add(path, metadata, fd)
    finally:
        os.close(fd)


def commit(
    containers: Containers,
    container: Container,
    names: Sequence[Reference],
    *,
    author: str = "",
    message: str = "",
    instructions: Sequence[str] = (),
) -> Image:
    """Make an image of the container as it is: its image's layers and one of its changes, if there are any.

    `instructions` are those of `--change`. The configuration is the container's. Raises UsageError for a wrong one.
    """
    store = containers.store
    image = store.images.get(container.image)  # type: ignore[arg-type]  # as above
    config = apply_changes(decode_config(_document(image, container)).config, instructions)
    parent = store.images.unpacked(image)
    added = _changed_layer(containers, container, parent)
    from frozen import replace
    from runtime.containers.announcing import announce_image

    created = rfc3339(store.context.now())
    command = " ".join(container.config.get("Cmd") or ())  # without the entrypoint, as Docker has it
    document = replace(
        image.config,
        created=created,
        author=author or image.config.author,
        config=config,
        diff_ids=(*image.config.diff_ids, *added),
        history=(
            *image.config.history,
            History(created=created, created_by=command, author=author, comment=message, empty_layer=not added),
        ),
    )
    made = store.images.record(document.encode(), names)
    announce_image(store, "create", made)
    for name in names:
        announce_image(store, "tag", made, name)
    told = {"imageRef": names[0].familiar()} if names else {}
    containers.record_event(container, "commit", comment=message, imageID=made.id, **told)
    return made


def _changed_layer(containers: Containers, container: Container, parent: ChainID | None) -> tuple[DiffID, ...]:
    """Make a layer on `parent` of what a container changed and return its diff ID; none where it changed nothing."""
    store = containers.store
    found = changes(containers, container)
    if not found:
        return ()
    with tempfile.TemporaryFile(dir=store.workspace()) as layer:
        with container_view(containers, container) as view, LayerWriter(layer) as writer:
            for change in found:
                _add(writer, view, change.path, change.metadata)
            digests = writer.finish()
        layer.seek(0)
        return (store.snapshots.apply(parent, layer, expected=digests.diff_id).diff_id,)


def _document(image: Image, container: Container) -> bytes:
    """Return the image's document with the container's settings in it."""
    document = json.loads(image.config.encode())
    wanted = "User ExposedPorts Env Entrypoint Cmd Volumes WorkingDir Labels StopSignal Healthcheck".split()
    settings = {name: container.config[name] for name in wanted if container.config.get(name)}  # type: ignore[literal-required]
    kept = {name: value for name, value in (document.get("config") or {}).items() if name not in wanted}
    document["config"] = {**kept, **settings}
    return json.dumps(document).encode()
