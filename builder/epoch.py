"""Read SOURCE_DATE_EPOCH, wherever it is said: the command line, the environment, or the Dockerfile itself.

It is a number of seconds, or a word for when something remote was last changed: `context` is the build context, else
the word names a further context, or a stage FROM scratch that holds one ADD of a URL or repository. A repository has
the time of its commit; a file what its server says, an archive else that of its newest file. What is local has none:
then there is no epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from grammar.errors import DockerfileError
from runtime.errors import UsageError

if TYPE_CHECKING:
    from builder.namedcontexts import NamedContexts
    from builder.remote.sources import RemoteFile, Remotes
    from builder.trees import SourceTree
    from grammar.graph import InstructionGraph, Stage
    from grammar.instructions import Copy
    from runtime.store.facade import Store

NAME = "SOURCE_DATE_EPOCH"
CONTEXT = "context"


def is_seconds(text: str) -> bool:
    """Tell whether a text is a number of seconds, and no word."""
    return text.isascii() and text.isdecimal() and len(text) < 12


def file_word(graph: InstructionGraph) -> str:
    """Return what the file says where nobody else does: the default of an ARG before FROM."""
    return "" if NAME in graph.build_args else graph.global_args.get(NAME, "")


def line_of(graph: InstructionGraph) -> int | None:
    """Return the line in which the file says it."""
    for node in graph.dockerfile.instructions:
        if any(word.partition("=")[0] == NAME for word in node.arguments):
            return node.start_line
    return None


def newest_file(tree: SourceTree) -> int | None:
    """Return when the newest file of a tree was changed, in seconds; None where it has none."""
    times = [metadata.mtime_ns for _, metadata, _ in tree.walk(b"") if metadata.kind == "file"]
    return max(times) // 10**9 if times else None


def time_of_file(file: RemoteFile, url: str, store: Store, remotes: Remotes) -> int | None:
    """Return when the file of a URL was last changed: as the server says, else the time of what an archive holds."""
    if file.mtime_ns:
        return file.mtime_ns // 10**9
    from builder.webcontext import is_archive, open_archive_at

    file = remotes.verified(file, url, None)
    return newest_file(open_archive_at(url, store, remotes, url)) if is_archive(file.path) else None


class Words:
    """What a word can name: the build context, `changed` when it says; `contexts`; stages, graphs by `graph_of`."""

    def __init__(
        self,
        store: Store,
        changed: Callable[[], int | None],
        contexts: NamedContexts,
        remotes: Callable[[], Remotes],
        graph_of: Callable[[str], InstructionGraph],
    ) -> None:
        self._store = store
        self._changed = changed
        self._contexts = contexts
        self._remotes = remotes
        self._graph_of = graph_of

    def seconds(self, word: str, graph: InstructionGraph) -> int | None:
        """Return the time that `word` names, in seconds. Raises UsageError, DockerfileError and what asking raises."""
        if is_seconds(word):
            return int(word)
        if word == CONTEXT:
            return self._changed()
        if word.lower() in self._contexts:
            return self._contexts.changed(word.lower())
        if word.lower() in graph.stage_names:
            alone = self._graph_of(word)
            return self._time_of(_only_addition(alone), alone.target_stage)
        hint = f"give whole seconds since 1970, {CONTEXT}, or the name of a context or of a stage"
        raise UsageError(f"invalid {NAME}: {word}", hint=hint)

    def _time_of(self, copy: Copy, stage: Stage) -> int | None:
        from builder.remote.words import is_git, is_web
        from builder.steps.additions import git_source

        word = copy.sources[0] if len(copy.sources) == 1 and not copy.files else ""
        if is_git(word):
            return self._remotes().time_of(git_source(copy, word))
        if is_web(word):
            return time_of_file(self._remotes().file(word, copy.checksum), word, self._store, self._remotes())
        raise _unsuitable(stage, "must contain exactly one remote ADD source")


def _only_addition(graph: InstructionGraph) -> Copy:
    """Return the one ADD of the target, which has no other instructions but ARG."""
    from grammar.instructions import Arg, Copy

    stage = graph.target_stage
    if stage.base.kind != "scratch":
        raise _unsuitable(stage, "must use FROM scratch")
    scope = graph.scope()
    found: list[Copy] = []
    for node in stage.nodes[1:]:
        scope, instruction = scope.apply(node.instruction)
        if isinstance(instruction, Copy) and instruction.keyword == "add":
            found.append(instruction)
        elif not isinstance(instruction, Arg):
            raise _unsuitable(stage, f"must hold ARG and ADD alone, no {node.instruction.keyword.upper()}")
    if len(found) != 1:
        raise _unsuitable(stage, "must contain exactly one remote ADD")
    return found[0]


def _unsuitable(stage: Stage, reason: str) -> DockerfileError:
    return DockerfileError(
        f"the stage {stage.label} is to give {NAME}, and so {reason}",
        line=stage.nodes[0].instruction.start_line,
        hint="as in: FROM scratch AS source, and ADD https://example.com/project.git#v1 /",
    )
