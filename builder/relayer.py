"""Make the layers of an image anew from those that were built: clamp their times, or squash them into one.

The base's layers stay as they are. What comes out depends on what goes in alone: two machines get the same layers.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from builder import imagestate
from builder.records import Records
from frozen import replace
from runtime.errors import PybuildError
from runtime.oci.digests import ChainID, DiffID
from runtime.store.layers.tree import Metadata
from runtime.store.layers.writer import LayerWriter, Sink, TimePolicy, write_layer
from runtime.store.snapshots import next_chain

if TYPE_CHECKING:
    from builder.interfaces import Result
    from builder.records import Record
    from builder.solver import BuildResult
    from runtime.store.facade import Store
    from runtime.store.view import MergedView

_TABLES = (
    """CREATE TABLE IF NOT EXISTS builder_rewritten(
        diff_id TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        since INTEGER NOT NULL,
        rewritten TEXT NOT NULL,
        PRIMARY KEY (diff_id, epoch, since)) WITHOUT ROWID""",
)
_NEVER = 1 << 40
"""Seconds since the epoch: later than any file."""


def clamp_times(store: Store, build: BuildResult, epoch: int) -> BuildResult:
    """Let times later than `epoch` (s) become it in all layers of the build, remembered ones too.

    So do the times of what a RUN wrote, or WORKDIR made, before an `epoch` that is later: whether a layer was made now
    or is remembered makes no difference. A layer that has no such time stays the very same.
    """
    store.database.ensure("rewritten", 1, _TABLES)
    records = Records(store)
    chain = build.base
    for layer in own_layers(store, build):
        store.context.cancel.check()
        snapshot = store.snapshots.get(layer)
        assert snapshot is not None
        since = _made_since(records.maker(layer))
        policy = TimePolicy(latest=epoch, since=since)
        known = (snapshot.diff_id, epoch, since)
        row = store.database.one(
            "SELECT rewritten FROM builder_rewritten WHERE diff_id = ? AND epoch = ? AND since = ?", *known
        )
        paths = snapshot.paths
        if row is None:
            diff_id = write_layer(paths, store.snapshots.watched_sink(), times=policy).diff_id
            with store.database.write() as connection:
                connection.execute("INSERT OR REPLACE INTO builder_rewritten VALUES(?, ?, ?, ?)", (*known, diff_id))
        else:
            diff_id = DiffID(row[0])
        following = next_chain(chain, diff_id)
        if store.snapshots.get(following) is None:
            _apply(store, chain, diff_id, partial(write_layer, paths, times=policy))
        chain = following
    return _with_chain(build, chain)


def _made_since(record: Record | None) -> int:
    """Return from which time on (s) the files of a step's layer have no time of their own; `_NEVER` for a copy's."""
    if record is None or record.keyword not in ("run", "workdir"):
        return _NEVER
    if record.keyword == "workdir":
        return 0
    # The kernel's clock for files lags behind by some milliseconds.
    return (record.created - record.elapsed - 10**8) // 10**9


def squash(store: Store, build: BuildResult) -> BuildResult:
    """Put all layers of the build into one on top of the base; the history says how many they were."""
    layers = own_layers(store, build)
    state = build.stage.state
    if len(layers) < 2:
        return build
    chain = build.stage.result.chain
    with store.snapshots.view(chain) as view, store.snapshots.view(build.base) as below:
        top = _apply(store, build.base, None, lambda sink: _write_difference(view, below, sink))
    own = [entry for entry in state.history if not entry.inherited]
    emptied = tuple(
        entry if entry.inherited else replace(entry, document={**entry.document, "empty_layer": True})
        for entry in state.history
    )
    text = f"squashed {len(layers)} layers"
    last = imagestate.Entry(
        document={"created_by": "", "comment": text},
        inherited=False,
        created=next((entry.created for entry in reversed(own) if entry.created is not None), None),
    )
    squashed = _with_chain(build, top)
    return replace(squashed, stage=replace(squashed.stage, state=replace(state, history=(*emptied, last))))


def own_layers(store: Store, build: BuildResult) -> tuple[ChainID, ...]:
    """List the layers that lie on the base, the lowest first."""
    found: list[ChainID] = []
    chain = build.stage.result.chain
    while chain is not None and chain != build.base:
        found.append(chain)
        snapshot = store.snapshots.get(chain)
        if snapshot is None:
            raise PybuildError(f"layer {chain} was removed while the image was built", hint="build again")
        chain = snapshot.parent
    return tuple(reversed(found))


def _with_chain(build: BuildResult, chain: ChainID | None) -> BuildResult:
    result: Result = replace(build.stage.result, chain=chain)
    return replace(build, stage=replace(build.stage, result=result))


def _apply(store: Store, parent: ChainID | None, expected: DiffID | None, produce: Callable[[Sink], object]) -> ChainID:
    """Unpack on `parent` what a second thread writes as a tar."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            with open(writer, "wb") as sink:
                produce(sink)
        except BrokenPipeError:
            pass  # the other side has its own error to tell
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        with open(reader, "rb") as stream:
            snapshot = store.snapshots.apply(parent, stream, expected=expected)
    finally:
        thread.join()
    if failures:
        raise failures[0]
    return snapshot.chain_id


def _write_difference(view: MergedView, below: MergedView, sink: Sink) -> None:
    """Write a layer that makes `below` into `view`: what is new or other, and a whiteout for what is gone.

    Entries come in the order of a walk through the layer's own directory, so that its tar can be written again.
    """
    old = set(below.layers)
    with LayerWriter(sink) as writer:
        pending = [iter(_children(view, below, b"", old))]
        while pending:
            path = next(pending[-1], None)
            if path is None:
                pending.pop()
                continue
            node = view.node(path)
            if node is None:
                writer.add(path, Metadata("whiteout", 0, 0, 0))
                continue
            layer = view.layers[node.layers[0]]
            if layer in old:
                continue  # nothing of a layer above lies in it either
            if node.metadata.kind == "file":
                fd = view.open_file(path)
                try:
                    writer.add(path, node.metadata, fd)
                finally:
                    os.close(fd)
                continue
            writer.add(path, node.metadata)
            if node.metadata.kind == "directory":
                pending.append(iter(_children(view, below, path, old)))
        writer.finish()


def _children(view: MergedView, below: MergedView, path: bytes, old: Collection[Path]) -> list[bytes]:
    """List what is in a directory, and what was in it, in byte order."""
    names = set(view.names(path))
    before = below.entry(path) if old else None
    if before is not None and before.kind == "directory":
        names |= set(below.names(path))
    prefix = path + b"/" if path else b""
    return [prefix + name for name in sorted(names)]
