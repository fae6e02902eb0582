"""Keep the instruction graphs of files that were built before: reading one back needs no parser.

A graph is kept pickled below the root, which belongs to its owner alone (0700), under a digest of all that it was
made from: the file's text, the arguments, and the program's own version.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.oci.digests import canonical_json, hex_of, sha256_of
from runtime.version import VERSION

if TYPE_CHECKING:
    from builder.namedcontexts import NamedContext
    from grammar.graph import InstructionGraph
    from runtime.context import Context

_KEPT = 64
_FORMAT = 1


def load_graph(
    context: Context,
    text: str,
    *,
    target: str | None,
    also: Sequence[str] = (),
    build_args: Mapping[str, str],
    platform: str,
    host: str,
    named_contexts: Mapping[str, NamedContext] | None = None,
) -> InstructionGraph:
    """Return the graph of a text for `target` and the stages of `also`, parsed only if it never was.

    Raises DockerfileError.
    """
    contexts = named_contexts or {}
    stages = {name: found.place for name, found in contexts.items() if found.kind == "stage"}
    names = sorted(contexts.keys() - stages.keys())
    request = [_FORMAT, VERSION, sys.hexversion, _code_stamp(), text, target, dict(build_args), platform, host]
    request += [names, stages, list(also)]
    path = context.layout.root / "graphs" / hex_of(sha256_of(canonical_json(request)))
    with suppress(OSError, pickle.PickleError, EOFError, AttributeError, ImportError, ValueError, TypeError):
        graph: InstructionGraph = pickle.loads(path.read_bytes())
        return graph
    from grammar.encoding import check_commands, is_sound, made_sound
    from grammar.graph import build_graph
    from grammar.parser import parse  # lazy: 60 ms

    graph = build_graph(
        parse(text) if is_sound(text) else made_sound(parse(text)),
        target,
        build_args,
        platform,
        also=also,
        build_platform=host,
        named_contexts=names,
        stage_contexts=stages,
    )
    check_commands(graph)
    with suppress(OSError):  # the next build parses again
        _keep(context, path, graph)
    return graph


def _code_stamp() -> int:
    """Tell when the language was last changed: a checkout may change without a new version."""
    directory = Path(__file__).resolve().parent.parent / "grammar"
    with os.scandir(directory) as entries:
        return max(entry.stat().st_mtime_ns for entry in entries if entry.name.endswith((".py", ".lark")))


def _keep(context: Context, path: Path, graph: InstructionGraph) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{context.token(8)}")
    try:
        temporary.write_bytes(pickle.dumps(graph, protocol=pickle.HIGHEST_PROTOCOL))
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
    entries = sorted(path.parent.iterdir(), key=lambda entry: entry.stat().st_mtime_ns, reverse=True)
    for entry in entries[_KEPT:]:
        entry.unlink(missing_ok=True)
