"""`pybuild graph`: show which instructions a build would run, and what each of them reads."""

from __future__ import annotations

import sys
from pathlib import Path

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.cli.output import printable
from runtime.context import Context
from runtime.errors import UsageError

_FORMATS = ("text", "json", "dot", "mermaid", "svg")

VERB = Verb(
    name="graph",
    usage="[OPTIONS] [PATH]",
    summary="Show the instruction graph of a Dockerfile",
    words=(0, 1),
    needs_store=True,  # for --affected: what a base says, and what commands led to
    flags=(
        Flag("--affected", kind="text", metavar="FILE", help="List what a change of this file of PATH runs again"),
        Flag("--file", "-f", kind="text", metavar="FILE", help="Dockerfile (PATH/Dockerfile unless given; - is stdin)"),
        Flag("--target", kind="text", metavar="STAGE", help="Show what this stage needs, not the last one"),
        Flag("--build-arg", kind="texts", metavar="NAME[=VALUE]", help="Set a build argument"),
        Flag("--build-context", kind="texts", metavar="NAME=VALUE", help="Let a named context stand for a stage"),
        Flag("--platform", kind="text", metavar="PLATFORM", help="Platform of the image, as linux/arm64"),
        Flag("--format", kind="text", metavar="FORMAT", help="text (the default), json, dot, mermaid or svg"),
    ),
)


def run(args: Arguments, context: Context) -> int:
    """Print the graph of one Dockerfile; return 1 if there is a fault in it."""
    if args.text("affected") is not None:
        return _affected(args, context)
    form = args.text("format") or "text"
    if form not in _FORMATS:
        raise UsageError(f"--format cannot be '{form}'", hint=f"it is one of {', '.join(_FORMATS)}")
    from grammar.errors import DockerfileError
    from grammar.graph import build_graph
    from grammar.parser import parse  # lazy: 60 ms
    from grammar.render import render
    from runtime.oci.platforms import host_platform

    name, text = _read(args)
    try:
        graph = build_graph(
            parse(text),
            args.text("target"),
            _build_args(args.texts("build-arg"), context),
            args.text("platform"),
            build_platform=str(host_platform()),
            named_contexts=[entry.partition("=")[0] for entry in args.texts("build-context")],
        )
        context.stdout.write(render(graph, form))
    except DockerfileError as error:
        place = "" if error.line is None else f"{error.line}: "
        context.stderr.write(f"{printable(name)}:{place or ' '}{printable(error.message)}\n")
        if error.hint:
            context.stderr.write(f"  hint: {printable(error.hint)}\n")
        return 1
    for warned in graph.warnings:
        place = "" if warned.line is None else f"{warned.line}: "
        context.stderr.write(f"{printable(name)}:{place or ' '}warning: {printable(warned.message)}\n")
    return 0


def _affected(args: Arguments, context: Context) -> int:
    """Print the steps that a change of one file runs again, in the order of the Dockerfile."""
    import json
    import os
    from contextlib import ExitStack

    from builder.affected import affected_steps, latest_layer
    from builder.bases import Bases
    from builder.cli.contexts import read_dockerfile
    from builder.context import open_context, read_ignore_file
    from builder.failures import explained
    from builder.graphcache import load_graph
    from builder.options import BuildOptions
    from builder.plan import make_plan
    from builder.records import Records
    from builder.reporter import Reporter
    from builder.stepclient import StepServer
    from runtime.oci.platforms import host_platform
    from runtime.store import Store

    form = args.text("format") or "text"
    if form not in ("text", "json"):
        raise UsageError(f"--affected has no form {form!a}", hint="write text or json")
    if args.texts("build-context"):
        raise UsageError("--affected knows no further contexts", hint="leave --build-context out")
    directory = args.words[0] if args.words else "."
    file = args.text("affected") or ""
    if os.path.isabs(file):
        file = os.path.relpath(file, os.path.realpath(directory))
    source = read_dockerfile(args.text("file"), directory, context)
    host = str(host_platform())
    with ExitStack() as stack, explained(source):
        store = stack.enter_context(Store.open(context))
        graph = load_graph(
            context,
            source.text,
            target=args.text("target"),
            build_args=_build_args(args.texts("build-arg"), context),
            platform=args.text("platform") or host,
            host=host,
        )
        ignore = read_ignore_file(Path(directory), source.path)
        opened = stack.enter_context(open_context(store, Path(directory), None if ignore is None else ignore[1]))
        bases = Bases(store, Reporter(lambda _: None, context.now))
        plan = make_plan(graph, bases, opened, BuildOptions(), stack.enter_context(StepServer()))
        origin = f"{os.path.abspath(directory)}:{source.name}"
        steps = affected_steps(plan, opened, file, latest_layer(Records(store), store.snapshots, origin))
    if form == "json":
        rows = [{"stage": step.stage, "line": step.line, "name": step.name, "why": step.why} for step in steps]
        context.stdout.write(json.dumps({"version": 1, "file": file, "steps": rows}) + "\n")
        return 0
    for step in steps:
        context.stdout.write(printable(f"{source.name}:{step.line}: {step.name} ({step.why})\n"))
    return 0


def _read(args: Arguments) -> tuple[str, str]:
    """Return the file's name for messages, and its text; bytes that are no UTF-8 become U+FFFD."""
    directory = Path(args.words[0] if args.words else ".")
    file = args.text("file")
    if file == "-":
        return "<stdin>", sys.stdin.buffer.read().decode(errors="replace")
    path = Path(file) if file else directory if directory.is_file() else directory / "Dockerfile"
    return str(path), path.read_bytes().decode(errors="replace")


def _build_args(entries: tuple[str, ...], context: Context) -> dict[str, str]:
    """Return the arguments; a name without a value takes that of the environment, if there is one."""
    values: dict[str, str] = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        if equals:
            values[name] = value
        elif name in context.environ:
            values[name] = context.environ[name]
    return values
