"""Say what the solver, the steps and the build context owe each other.

A *step* is one instruction that may change the tree. The solver walks a stage's nodes in order; for each it asks the
step for its key parts, looks the key up, and only on a miss lets the step work in a prepared snapshot::

    step  = steps.select.step_of(instruction)  # steps.copy.CopyStep for COPY and ADD
    parts = step.key_parts(given)          # JSON-able: everything the result depends on, and nothing else
    key   = keys.key_of(parts)
    hit?  -> the recorded result
    miss  -> with snapshots.prepare(parent) as preparation:
                 step.execute(given, preparation)
                 parts again; other key -> once more under the new key, at most three times
                 preparation.measure() … commit(), record

`key_parts` is called under no lock and may read (scan the context, look into other results); it must give the same
for the same content, whatever the times, inodes and order of directories are. `execute` is called with the lock of
the key held, in one thread; several steps run at once, and share `BuildContext` and `Store`, which are thread-safe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from builder.trees import SourceTree
from frozen import Frozen, field
from runtime.oci.digests import ChainID, Digest

if TYPE_CHECKING:
    from builder.filelists import ReadFiles
    from builder.remote.sources import Remotes
    from builder.sshagents import Agents
    from grammar.instructions import ResolvedInstruction
    from runtime.context import Context
    from runtime.store.facade import Store
    from runtime.store.layers.writer import LayerDigests
    from runtime.store.preparation import Preparation
    from runtime.store.view import MergedView

KeyParts: TypeAlias = dict[str, object]
"""What a key is made of: a JSON object, kept with the record so that a later miss can name the first difference."""


class Result(Frozen):
    """A tree: what a node of the graph led to.

    `chain` names the stack of layers on disk, None for an empty tree. `content` digests what the tree holds, times
    left out; two results with one `content` are the same to every step that follows.
    """

    chain: ChainID | None
    content: Digest


class BaseImage(Frozen):
    """An image that a build stands on: `name` as the Dockerfile has it, `document` its configuration as JSON."""

    name: str
    id: str
    document: Mapping[str, Any]
    result: Result

    @property
    def environment(self) -> tuple[str, ...]:
        return tuple((self.document.get("config") or {}).get("Env") or ())

    @property
    def triggers(self) -> tuple[str, ...]:
        """The texts of ONBUILD."""
        return tuple((self.document.get("config") or {}).get("OnBuild") or ())


class BuildContext(SourceTree, Protocol):
    """The files that the caller sends: a directory seen through its ignore file, or nothing.

    Paths are relative to the context's root, "/"-separated, "" or "." for all of it; they never lead out of it,
    by `..` or by a link. What the ignore file excludes is not there. Nothing is scanned before the first question.
    """

    def digest(self, path: str) -> Digest:
        """Digest the content of the file or tree at `path`, as it would be mounted. Raises NotFound."""

    def materialise(self, path: str, workspace: Path) -> tuple[Path, Digest]:
        """Copy the file or tree at `path` into a new entry of `workspace`; returns it and the digest of the copy.

        For `RUN --mount=type=bind`: a step never sees the user's live directory.
        """


class Given(Frozen):
    """All that a step may look at.

    `parent` is the tree that it changes, `view` the same tree to read. `sources` are the trees that the instruction
    names by `--from` or `from=` (key: the name as the resolved instruction has it); the build context is none of them.
    `variables` are ENV and ARG values in effect, the later one winning, `proxies` the predeclared proxy arguments
    that were given: only RUN sees those, and no key does.
    `user`, `working_directory` (absolute, perhaps with `..`) and `shell` are the image's at this point, "" and the
    default where unset.
    `changed` is called by `execute` with the path of a source that was not the same as when its key was made.
    `epoch` is SOURCE_DATE_EPOCH in seconds, or None.
    """

    context: Context
    store: Store
    build_context: BuildContext
    parent: Result
    view: MergedView
    sources: Mapping[str, Result]
    variables: Mapping[str, str]
    proxies: Mapping[str, str]
    user: str
    working_directory: str
    shell: tuple[str, ...]
    platform: str
    epoch: int | None
    output: Callable[[int, bytes], None]
    """Takes what the step prints: stream 1 or 2, and bytes."""
    contexts: Mapping[str, BuildContext] = field(default_factory=dict)
    remotes: Callable[[], Remotes] | None = None
    fetch: bool = True
    agents: Agents | None = None


class Step(Protocol):
    """One instruction at work; made anew for each build from the resolved instruction, frozen."""

    @property
    def instruction(self) -> ResolvedInstruction:
        """The instruction that it does."""

    @property
    def linked(self) -> bool:
        """True where the layer depends on no parent (COPY --link): it is made over an empty tree and put on top."""

    def check(self, build_context: BuildContext) -> None:
        """Refuse what can be seen to be wrong before anything runs, as a source that is not in the build context.

        Raises what `key_parts` would raise later on. Called for all steps of a build before the first one works.
        """

    def key_parts(self, given: Given) -> KeyParts:
        """Name what the result depends on beside the parent's content, which the solver adds (unless `linked`).

        COPY and ADD: the instruction in canonical form, destination, ownership and mode as they will be written
        (names looked up in `given.view`), and the digests of the files in the order copied. Raises NotFound or
        PybuildError for sources that are missing, with the nearest name that exists.
        """

    def files(self, given: Given) -> Sequence[ReadFiles]:
        """Give what the step reads file by file, as `key_parts` saw it: kept so that a later miss can name one.

        Called once, for a step that has to run, after `key_parts`; empty for one that reads no files.
        """

    def execute(self, given: Given, preparation: Preparation) -> LayerDigests | None:
        """Make the layer in `preparation.upperdir`, perhaps on top of its `backing`; nothing is committed here.

        Returns the digests where they were computed while the bytes went by, else None and the solver measures.
        Raises SourceChanged where a source no longer is what `key_parts` saw; then both are called once more.
        """


class SourceChanged(Exception):
    """A source changed between key and copy; `path` is its name in the context."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class NotFetched(Exception):
    """A step's key depends on something that has to be downloaded first, which was not to be done now."""
