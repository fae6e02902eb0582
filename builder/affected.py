"""Tell what a change of one file of the build context would run again, without running anything.

A step that reads the file runs again, and so does all that stands on what it makes. What another stage copies from
there runs only if it copies something that changes: the paths that a copy writes follow from the instruction; those
that a command writes are taken from the layer that it led to the last time, and are all paths where there is none.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from builder import imagestate
from builder.plan import Plan, PlannedNode, StagePlan, makes_layer, start_state
from builder.selection import has_wildcards, select
from builder.trees import SourceTree, clean, join, resolve
from frozen import Frozen
from grammar.instructions import Copy, Run
from runtime.errors import NotFound
from runtime.oci.digests import ChainID

if TYPE_CHECKING:
    from builder.imagestate import ImageState
    from builder.interfaces import BuildContext
    from builder.records import Records
    from runtime.store.snapshots import SnapshotStore

_EVERYTHING = b""
"""The path above all paths."""


class Affected(Frozen):
    """One step that would run again; `why` is "file", "parent", or "stage NAME"."""

    stage: str
    line: int
    name: str
    why: str


LayerOf = Callable[[StagePlan, PlannedNode], Path | None]
"""Gives the layer that a step led to the last time, None where that is not known."""


def affected_steps(plan: Plan, context: BuildContext, file: str, layer_of: LayerOf) -> tuple[Affected, ...]:
    """List the steps in the order of the Dockerfile. Raises NotFound where the context has no such file."""
    path = clean(file)
    if context.stat(path) is None:
        raise NotFound(
            f"{file} is not in {context.title}", hint="its path is relative to the context; perhaps it is ignored"
        )
    walk = _Walk(plan, context, path, layer_of)
    for stage in plan.stages:
        walk.stage(stage)
    return tuple(sorted(walk.found, key=lambda step: step.line))


class _Walk:
    """The walk through all stages; `changed` are the paths that would change in each stage's tree."""

    def __init__(self, plan: Plan, context: BuildContext, path: bytes, layer_of: LayerOf) -> None:
        self.found: list[Affected] = []
        self._plan = plan
        self._context = context
        self._path = path
        self._layer_of = layer_of
        self._changed: dict[int, tuple[bytes, ...]] = {}
        self._states: dict[int, ImageState] = {}

    def stage(self, plan: StagePlan) -> None:
        changed = () if plan.parent is None else self._changed[plan.parent]
        state = start_state(plan, None if plan.parent is None else self._states[plan.parent])
        for planned in plan.nodes:
            if makes_layer(planned, state):
                why, new = self._judge(plan, planned, state, changed)
                if why:
                    self.found.append(Affected(stage=plan.stage.label, line=planned.line, name=planned.name, why=why))
                    changed = tuple(dict.fromkeys((*changed, *new)))
            state = imagestate.apply(state, planned.instruction, planned.after, created=None, layer=False)
        self._changed[plan.stage.index] = changed
        self._states[plan.stage.index] = state

    def _judge(
        self, plan: StagePlan, planned: PlannedNode, state: ImageState, changed: Sequence[bytes]
    ) -> tuple[str, tuple[bytes, ...]]:
        """Tell why a step would run again, "" if it would not, and which paths it would write otherwise."""
        instruction = planned.instruction
        if isinstance(instruction, Copy):
            written = tuple(self._copied(planned, instruction, state))
            if written:
                why = "file" if instruction.from_ is None else f"stage {instruction.from_}"
                return why, written
            # What runs again only for its parent's sake writes what it wrote before.
            return ("parent", ()) if changed and not instruction.link else ("", ())
        why = self._mounted(planned) if isinstance(instruction, Run) else ""
        why = why or ("parent" if changed else "")
        if not why or not isinstance(instruction, Run):
            return why, ()
        layer = self._layer_of(plan, planned)
        return why, (_EVERYTHING,) if layer is None else tuple(_written(layer))

    def _copied(self, planned: PlannedNode, copy: Copy, state: ImageState) -> Iterator[bytes]:
        """Yield where the changed files that a copy takes would arrive."""
        target = _destination(copy, state)
        if copy.from_ is None:
            for word in copy.sources:
                yield from self._from_context(word, copy, target)
            return
        source = planned.sources.get(copy.from_)
        if source is None or source.stage is None:
            return
        changed = self._changed[source.stage]
        for word in copy.sources:
            named = _before_wildcard(word)
            for path in changed:
                if path == _EVERYTHING or _is_below(named, path):
                    yield from _places(copy, target, named.rpartition(b"/")[2])
                elif _is_below(path, named):
                    relative = path[len(named) :].lstrip(b"/")
                    yield from ((target,) if has_wildcards(word) or copy.parents else (join(target, relative),))

    def _from_context(self, word: str, copy: Copy, target: bytes) -> Iterator[bytes]:
        if "://" in word or word.startswith("git@"):
            return
        for selected in select(self._context, word, parents=copy.parents):
            if not _is_below(self._path, selected.path):
                continue
            relative = self._path[len(selected.path) :].lstrip(b"/")
            if copy.excludes and _excluded(copy.excludes, relative if selected.directory else selected.name):
                continue
            if copy.parents:
                yield join(target, b"/".join(selected.named.split(b"/")[selected.pivot :]))
            elif selected.directory:
                yield join(target, relative)
            else:
                yield from _places(copy, target, selected.name)

    def _mounted(self, planned: PlannedNode) -> str:
        """Tell which mount of a command would have other content: the whole of a stage counts, as for its key."""
        assert isinstance(planned.instruction, Run)
        for mount in planned.instruction.mounts:
            if mount.type != "bind":
                continue
            if mount.from_ is None:
                if _is_below(self._path, _resolved(self._context, mount.source)):
                    return "file"
                continue
            source = planned.sources.get(mount.from_)
            if source is not None and source.stage is not None and self._changed[source.stage]:
                return f"stage {mount.from_}"
        return ""


def latest_layer(records: Records, snapshots: SnapshotStore, origin: str) -> LayerOf:
    """Return what finds the layer that a step led to in the latest build of the same Dockerfile."""

    def find(plan: StagePlan, planned: PlannedNode) -> Path | None:
        site = f"{origin}#{plan.stage.label}.{planned.node.index}"
        chain: ChainID | None = records.latest_chain(planned.node.instruction.source, site)
        snapshot = None if chain is None else snapshots.get(chain)
        return None if snapshot is None else snapshot.path

    return find


def _written(layer: Path) -> Iterator[bytes]:
    """Yield what a layer has beside the directories that lead there; a directory without anything counts itself."""
    root = os.fsencode(layer)
    for directory, names, files in os.walk(root):
        relative = directory[len(root) :].lstrip(b"/")
        if not names and not files and relative:
            yield relative
        yield from (join(relative, name) for name in files)
        yield from (join(relative, name) for name in names if os.path.islink(os.path.join(directory, name)))


def _destination(copy: Copy, state: ImageState) -> bytes:
    path = os.path.normpath(os.path.join("/", state.working_directory, copy.destination))
    return os.fsencode(path).lstrip(b"/")


def _places(copy: Copy, target: bytes, name: bytes) -> tuple[bytes, ...]:
    """Return where a file may arrive: a destination without a slash at its end may be a directory in the image."""
    into = not target or copy.destination.endswith(("/", "/.")) or len(copy.sources) > 1
    return (join(target, name),) if into else (target, join(target, name))


def _before_wildcard(word: str) -> bytes:
    """Return the part of a source's path that is no pattern."""
    parts = []
    for part in word.split("/"):
        if has_wildcards(part):
            break
        parts.append(part)
    return clean("/".join(parts))


def _is_below(path: bytes, above: bytes) -> bool:
    return not above or path == above or path.startswith(above + b"/")


def _resolved(tree: SourceTree, source: str) -> bytes:
    try:
        return resolve(tree, clean(source))
    except NotFound:
        return clean(source)


def _excluded(patterns: Sequence[str], path: bytes) -> bool:
    from grammar.ignore import IgnoreFile

    return IgnoreFile(patterns).leaves_out(os.fsdecode(path))
