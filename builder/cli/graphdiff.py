"""`pybuild graph diff`: compare two Dockerfiles by what they would do, not by how they are written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.cli.output import printable
from runtime.context import Context
from runtime.errors import NotFound, PybuildError, UsageError

if TYPE_CHECKING:
    from grammar.graph import InstructionGraph, Node, Stage

VERB = Verb(
    name="graph diff",
    usage="[OPTIONS] A B",
    summary="Compare the instruction graphs of two Dockerfiles; the status is 1 where they differ",
    words=(2, 2),
    flags=(
        Flag("--target", kind="text", metavar="STAGE", help="Compare what this stage needs, not the last one"),
        Flag("--build-arg", kind="texts", metavar="NAME[=VALUE]", help="Set a build argument"),
        Flag("--platform", kind="text", metavar="PLATFORM", help="Platform of the image, as linux/arm64"),
        Flag("--format", kind="text", metavar="FORMAT", help="text (the default) or json"),
    ),
)

_SIGNS = {"added": "+", "removed": "-", "follows": "~"}


def run(args: Arguments, context: Context) -> int:
    """Print what is added, removed, and what runs again because of it; equal graphs print nothing."""
    form = args.text("format") or "text"
    if form not in ("text", "json"):
        raise UsageError(f"--format cannot be '{form}'", hint="it is text or json")
    before, after = (_graph(word, args, context) for word in args.words)
    changes = _changes(before, after)
    if form == "json":
        context.stdout.write(json.dumps({"version": 1, "equal": not changes, "changes": changes}) + "\n")
        return 1 if changes else 0
    stage = None
    for change in changes:
        if change["stage"] != stage:
            stage = change["stage"]
            context.stdout.write(printable(f"stage {stage}\n"))
        line = f"{_SIGNS[str(change['change'])]} {change['line']}: {change['name']}\n"
        context.stdout.write(printable(line))
    return 1 if changes else 0


def _graph(word: str, args: Arguments, context: Context) -> InstructionGraph:
    from builder.cli.buildflags import read_build_args
    from grammar.errors import DockerfileError
    from grammar.graph import build_graph
    from grammar.parser import parse  # lazy: 60 ms
    from runtime.oci.platforms import host_platform

    path = Path(word) / "Dockerfile" if Path(word).is_dir() else Path(word)
    try:
        text = path.read_bytes().decode(errors="replace")
    except OSError as error:
        raise NotFound(f"{path}: {error.strerror}", hint="name two Dockerfiles, or their directories") from error
    try:
        return build_graph(
            parse(text),
            args.text("target"),
            read_build_args(args.texts("build-arg"), context.environ),
            args.text("platform"),
            build_platform=str(host_platform()),
        )
    except DockerfileError as error:
        place = "" if error.line is None else f"{error.line}: "
        raise PybuildError(f"{path}:{place or ' '}{error.message}", hint=error.hint) from error


def _changes(before: InstructionGraph, after: InstructionGraph) -> list[dict[str, object]]:
    """List changes stage by stage; stages are paired by name, those without one by their number."""
    old = {stage.label: stage for stage in before.stages}
    new = {stage.label: stage for stage in after.stages}
    found: list[dict[str, object]] = []
    for label in dict.fromkeys((*old, *new)):
        if label not in new:
            found += [_change("removed", label, node) for node in old[label].nodes]
        elif label not in old:
            found += [_change("added", label, node) for node in new[label].nodes]
        else:
            found += _compare(label, old[label], new[label])
    return found


def _compare(label: str, old: Stage, new: Stage) -> list[dict[str, object]]:
    """Align the instructions of two stages; one with the same text over something else follows."""
    from difflib import SequenceMatcher  # lazy: 4 ms

    before, after = ([_text(node) for node in stage.nodes] for stage in (old, new))
    found = []
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            pairs = zip(old.nodes[i1:i2], new.nodes[j1:j2], strict=True)
            found += [_change("follows", label, node) for was, node in pairs if was.digest != node.digest]
        else:
            found += [_change("removed", label, node) for node in old.nodes[i1:i2]]
            found += [_change("added", label, node) for node in new.nodes[j1:j2]]
    return found


def _text(node: Node) -> str:
    bodies = [heredoc.content for heredoc in node.instruction.heredocs]
    return "\0".join((" ".join(node.instruction.source.split()), *bodies))


def _change(kind: str, stage: str, node: Node) -> dict[str, object]:
    name = " ".join(node.instruction.source.split())
    return {"change": kind, "stage": stage, "line": node.instruction.start_line, "name": name, "digest": node.digest}
