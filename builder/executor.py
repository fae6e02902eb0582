"""Do one step: look its key up, or run it under the lock of its key and record what it led to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import EDQUOT, ENOSPC
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from builder import keys
from builder.explanation import Below, Explained, Now, causes_of
from builder.failures import SourceText, failure_text
from builder.filelists import pack
from builder.interfaces import Given, KeyParts, NotFetched, Result, SourceChanged, Step
from builder.options import BuildOptions
from builder.plan import PlannedNode
from builder.records import Miss, Record, Records
from builder.reporter import Reporter, Vertex
from frozen import asdict, replace
from grammar.instructions import Copy, Workdir
from runtime.context import Cancel
from runtime.errors import Cancelled, PybuildError, StepFailed, StoreError
from runtime.oci.digests import ChainID, DiffID, Digest
from runtime.store.locks import held
from runtime.store.placement import disk_error
from runtime.store.snapshots import next_chain

if TYPE_CHECKING:
    from builder.cachetransfer.importing import SharedCache
    from grammar.graph import Stage
    from runtime.store.facade import Store
    from runtime.store.layers.writer import LayerDigests
    from runtime.store.preparation import Preparation
    from runtime.store.snapshots import Snapshot

_ATTEMPTS = 3
_LOCK_FILES = 4096


class LayersElsewhere(Exception):
    """A tree was to be read whose layers are not here yet."""


class AbsentTree:
    """Stand in for the view of a tree that was not fetched; whoever looks into it learns that."""

    def __getattr__(self, name: str) -> object:
        raise LayersElsewhere(name)


class Executor:
    """Does the steps of one build. Thread-safe.

    `source` is the Dockerfile; `origin` tells this build's steps from another's when a miss is explained. `fresh` holds
    what ran for any of the builds that are done together, by key.
    """

    def __init__(
        self,
        store: Store,
        stop: Cancel,
        options: BuildOptions,
        reporter: Reporter,
        *,
        source: SourceText,
        origin: str,
        shared: SharedCache | None = None,
        fresh: dict[Digest, Record] | None = None,
    ) -> None:
        self._shared = shared
        self._fresh = {} if fresh is None else fresh
        self._lazy: dict[Digest, Record] = {}
        self.seen: dict[Digest, Record] = {}
        """The records that this build used or made, by key."""
        self.aliases: dict[Digest, Digest] = {}
        self._store = store
        self._stop = stop
        self._options = options
        self._reporter = reporter
        self._source = source
        self._origin = origin
        self._records = Records(store)
        self._used: dict[Digest, None] = {}
        self._asked: dict[str, KeyParts] = {}
        """Parts of the keys, by node, of steps that turned out not to be remembered and are about to be done."""
        self.explained: list[Explained] = []
        """Why each step ran, in the order in which they began; filled where the build's options ask for it."""

    @property
    def cached(self) -> int:
        """How many steps were remembered."""
        return len(self._used)

    def finish(self) -> None:
        """Note which records this build used."""
        self._records.touch(self._used)

    def remembered(self, planned: PlannedNode, given: Given, *, lazy: bool = False) -> Record | None:
        """Return the record of a step's key, None if it has to run.

        With `lazy`, a record of another machine's cache counts although its layers are not here: see `settle`.
        """
        step = planned.step
        assert step is not None
        alias = self._alias(planned, given)
        record = None if alias is None else self._known(alias, alias=True, lazy=lazy)
        if record is None:
            try:
                parts = self._parts(step, given)
            except NotFetched:
                return None
            except (LayersElsewhere, StoreError):
                if not lazy:
                    raise
                return None  # to know more, a tree is needed that is not here
            record = self._known(keys.key_of(parts), lazy=lazy)
            if record is None and not lazy:
                self._asked[planned.node.id] = parts
        if record is not None:
            self._note(record, alias, lazy=lazy)
            self._used[record.key] = None
        return record

    def settle(self, chain: ChainID | None) -> bool:
        """Fetch the tree that a build led to without any layer of its own; False where that cannot be."""
        assert self._shared is not None
        try:
            if chain is not None and not self._shared.fetch(chain):
                return False
            for record in self._lazy.values():
                if record.chain is None or self._store.snapshots.get(record.chain) is not None:
                    self._shared.take(record)
        except PybuildError as error:
            if isinstance(error, Cancelled):
                raise
            self._reporter.warn(f"the cache cannot be used: {error.message}")
            return False
        for alias, key in self.aliases.items():
            if self._records.lookup(key) is not None:
                self._records.add_alias(alias, key)
        return True

    def reset(self) -> None:
        """Forget what was found without layers."""
        self._lazy.clear()
        self._used.clear()
        self.seen.clear()
        self.aliases.clear()

    def _known(self, key: Digest, *, alias: bool = False, lazy: bool = False) -> Record | None:
        """Look a key or alias up here, then in the caches of other machines."""
        record = self._records.aliased(key) if alias else self._records.lookup(key)
        if record is not None or self._shared is None:
            return record
        offered = self._shared.aliased(key) if alias else self._shared.lookup(key)
        if offered is None:
            return None
        if lazy:
            self._lazy[offered.key] = offered
            return offered
        try:
            return self._shared.take(offered)
        except PybuildError as error:
            if isinstance(error, Cancelled):
                raise
            self._reporter.warn(f"a layer of the cache cannot be used: {error.message}")
            return None

    def _note(self, record: Record, alias: Digest | None, *, lazy: bool = False) -> None:
        """Keep in mind what this build used; what was found by its key is found by its alias from now on."""
        self.seen[record.key] = record
        if alias is None:
            return
        self.aliases[alias] = record.key
        if not lazy and self._records.aliased(alias) is None:
            self._records.add_alias(alias, record.key)

    def do(
        self, planned: PlannedNode, given: Given, stage: Stage, below: Below, title: Callable[[], str], *, anew: bool
    ) -> tuple[Record, bool]:
        """Return a step's record, and whether it ran; with `anew` it does, unless it just did for another build.

        Raises StepFailed, with the lines of the Dockerfile and of the output, for a command that failed.
        """
        alias = self._alias(planned, given)
        known = None if anew or alias is None else self._known(alias, alias=True)
        if known is not None:
            self._reporter.cached(title(), planned.line)
            ran = False
        else:
            known, ran = self._do(planned, given, stage, below, title, anew=anew)
        if not ran:
            self._used[known.key] = None
        self.seen[known.key] = known
        if alias is not None:
            self.aliases[alias] = known.key
            if not self._options.isolated:
                self._records.add_alias(alias, known.key)
        return known, ran

    def _do(
        self, planned: PlannedNode, given: Given, stage: Stage, below: Below, title: Callable[[], str], *, anew: bool
    ) -> tuple[Record, bool]:
        step = planned.step
        assert step is not None
        changed = ""
        for _ in range(_ATTEMPTS):
            parts = self._asked.pop(planned.node.id, None) or self._parts(step, given)
            key = keys.key_of(parts)
            self._stop.check()
            record = self._fresh.get(key) if anew else self._known(key)
            if record is None:
                with held(self._lock_path(key), self._stop):
                    # Whoever held the lock may just have done the work.
                    record = self._fresh.get(key) if anew else self._records.lookup(key)
                    if record is None:
                        changed, record = self._run(
                            planned, given, stage=stage, below=below, title=title(), key=key, parts=parts, anew=anew
                        )
                        if record is None:
                            continue
                        self._fresh[key] = record
                        return record, True
            self._reporter.cached(title(), planned.line)
            return record, False
        raise PybuildError(
            f"{changed} changed while it was being read", hint="build again when nothing writes to the context"
        )

    def placed(self, record: Record, given: Given, step: Step, *, lazy: bool = False) -> Result:
        """Return the tree after a step: its record's, or for a linked one its layer on top of the parent."""
        if not step.linked:
            return Result(chain=record.chain, content=record.content)
        content = keys.next_content(given.parent.content, record.content)
        if given.parent.chain is None or record.chain is None:
            return Result(chain=record.chain or given.parent.chain, content=content)
        if lazy and self._store.snapshots.get(record.chain) is None:
            assert self._shared is not None
            diff_id = self._shared.diff_id(record.chain)
            if diff_id is None:
                raise LayersElsewhere
            return Result(chain=next_chain(given.parent.chain, DiffID(diff_id)), content=content)
        return Result(chain=self._stacked(given.parent.chain, record.chain).chain_id, content=content)

    def _alias(self, planned: PlannedNode, given: Given) -> Digest | None:
        """Digest what a copy from another tree depends on without looking into that tree; None for all other steps.

        Its key is over the files that it takes, and to find those again means to read them. Where neither the whole
        of that tree nor anything else has changed, these files have not.
        """
        instruction = planned.instruction
        if not isinstance(instruction, Copy) or instruction.from_ is None or instruction.from_ in given.contexts:
            return None
        return keys.key_of(
            {
                "semantics": keys.SEMANTICS,
                "instruction": asdict(instruction),
                "parent": given.parent.content,
                "source": given.sources[instruction.from_].content,
                "directory": given.working_directory,
            }
        )

    def _parts(self, step: Step, given: Given) -> KeyParts:
        parent = None if step.linked else given.parent.content
        # A command sees SOURCE_DATE_EPOCH as a variable or not at all; a directory that is made has it as its time.
        epoch = self._options.epoch if isinstance(step.instruction, Workdir) else None
        return keys.complete(step.key_parts(given), parent=parent, epoch=epoch)

    def _lock_path(self, key: Digest) -> Path:
        number = int.from_bytes(sha256(key.encode()).digest()[:4], "big") % _LOCK_FILES
        return self._store.layout.locks / f"step-{number:03x}"

    def _run(
        self,
        planned: PlannedNode,
        given: Given,
        *,
        stage: Stage,
        below: Below,
        title: str,
        key: Digest,
        parts: KeyParts,
        anew: bool,
    ) -> tuple[str, Record | None]:
        """Run a step; gives its record, or the path of a source that changed meanwhile."""
        assert planned.step is not None
        statement = planned.node.instruction.source
        keyword = planned.node.instruction.keyword
        site = f"{self._origin}#{stage.label}.{planned.node.index}"
        reason = Miss(reason="nothing is taken from the cache", kind="asked") if anew else None
        reason = reason or self._records.explain(key, parts, site=site, statement=statement)
        files = pack(planned.step.files(given))
        below = below.with_values(statement, planned.before.visible)
        if self._options.explain:
            now = Now(parts=parts, files=files, below=below, environment=planned.before.environment)
            self.explained.append(
                Explained(
                    stage=stage.label,
                    line=planned.line,
                    name=planned.name,
                    reason=reason.reason,
                    causes=causes_of(reason, now),
                )
            )
        with self._reporter.working(title, planned.line, str(reason)) as vertex:
            started = given.context.now()
            try:
                given = replace(given, output=vertex.output)
                chain, content, earlier = self._layer(planned, given, stage, keyword=keyword, site=site)
            except SourceChanged as changed:
                return changed.path, None
            except StepFailed as error:
                raise self._told(error, planned, vertex) from error
            ended = given.context.now()
            record = Record(
                key=key,
                keyword=keyword,
                parent=None if planned.step.linked else given.parent.content,
                content=content,
                chain=chain,
                created=ended if earlier is None else earlier.created,
                elapsed=ended - started if earlier is None else earlier.elapsed,
                site=site,
                statement=statement,
                parts=parts,
                below=below,
            )
            if self._options.isolated:
                return "", record
            return "", self._records.store(record, replace_earlier=anew, files=files)

    def _layer(
        self, planned: PlannedNode, given: Given, stage: Stage, *, keyword: str, site: str
    ) -> tuple[ChainID | None, Digest, Record | None]:
        """Make a step's layer; gives chain, content, and the record of an equal layer that takes its place."""
        step = planned.step
        assert step is not None
        parent = None if step.linked else given.parent
        chain = None if parent is None else parent.chain
        backing = self._earlier_layer(planned, site)
        with self._room_named(), self._store.snapshots.prepare(chain, backing=backing) as preparation:
            digests: LayerDigests | None
            try:
                digests = step.execute(given, preparation)
            except StepFailed as error:
                if self._options.on_failure is not None:
                    self._keep(planned, given, preparation, stage, error)
                raise
            self._stop.check()
            if digests is None:
                digests = preparation.measure()
            content = Digest(digests.content_digest)
            if parent is not None:
                content = keys.next_content(parent.content, content)
            earlier = None
            if not self._options.isolated:
                earlier = self._records.equal_result(
                    parent=None if parent is None else parent.content, keyword=keyword, content=content
                )
            if earlier is not None:
                return earlier.chain, content, earlier
            return preparation.commit(digests).chain_id, content, None

    @contextmanager
    def _room_named(self) -> Iterator[None]:
        """Say of a full disk whose it is; the kernel names no file where a write fails."""
        try:
            yield
        except OSError as error:
            if error.errno not in (ENOSPC, EDQUOT):
                raise
            raise disk_error(self._store.layout.root, "writing the layer", error) from error

    def _keep(
        self, planned: PlannedNode, given: Given, preparation: Preparation, stage: Stage, error: StepFailed
    ) -> None:
        """Keep a step that failed, and say how to look at it."""
        from builder.keptsteps import keep  # lazy: only where it was asked for
        from builder.steps.run import RunStep

        if not isinstance(planned.step, RunStep):
            return
        statement = planned.node.instruction.source
        identifier = keep(
            self._store,
            planned.step,
            given,
            preparation,
            stage=stage.label,
            line=planned.line,
            statement=statement,
            exit_code=error.exit_code,
        )
        if identifier is None:
            error.hint = "the step could not be kept: the store's file system has no overlayfs"
        else:
            error.hint = f"open it with `pybuild debug {identifier}`"

    def _earlier_layer(self, planned: PlannedNode, site: str) -> Snapshot | None:
        """Return the layer that a copy last led to, or the one that this stands on; None where little of it is left."""
        if not isinstance(planned.instruction, Copy):
            return None
        snapshots = self._store.snapshots
        chain = self._records.latest_chain(planned.node.instruction.source, site)
        earlier = None if chain is None else snapshots.get(chain)
        if earlier is None or earlier.backing is None:
            return earlier
        return snapshots.get(earlier.backing) if earlier.own_size * 2 < earlier.size else None

    def _stacked(self, parent: ChainID, layer: ChainID) -> Snapshot:
        """Put the layer of a linked step, made over nothing, on top of another tree."""
        snapshots = self._store.snapshots
        alone = snapshots.get(layer)
        assert alone is not None
        found = snapshots.get(next_chain(parent, alone.diff_id))
        if found is not None:
            return found
        from builder.restack import restack  # lazy: only for COPY --link

        return restack(self._store, parent, alone)

    def _told(self, error: StepFailed, planned: PlannedNode, vertex: Vertex) -> StepFailed:
        node = planned.node.instruction
        text = failure_text(
            error.message,
            source=self._source,
            first=node.start_line,
            last=node.end_line,
            title=vertex.name,
            output=vertex.last_lines(),
        )
        return StepFailed(text, exit_code=error.exit_code, hint=error.hint)
