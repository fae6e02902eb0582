"""`pybuild build`: build an image from a Dockerfile. Also what `pybuild -t NAME DIRECTORY` means."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from builder.cli.buildflags import FLAGS, BuildRequest, read_request
from builder.progress.displays import open_display, resolve_mode
from runtime.cli.arguments import Arguments
from runtime.cli.declare import Verb
from runtime.context import Context

if TYPE_CHECKING:
    from builder.cli.calls import Call
    from builder.exporters.export import Exported
    from builder.solver import Solver

VERB = Verb(
    name="build",
    usage="[OPTIONS] PATH | -",
    summary="Build an image from a Dockerfile",
    flags=FLAGS,
    words=(1, 1),
    needs_store=True,
    interrupt="event",
)


def run(args: Arguments, context: Context) -> int:
    """Build, and print the image's id where only that was asked for."""
    request = read_request(args, context)
    if request.call is not None:
        return _answer(request, request.call, context)
    mode = resolve_mode(request.progress, context.stderr, context.environ)
    exported = _build(request, context, mode)
    if request.iidfile is not None:
        request.iidfile.write_text(exported.id)
    if request.metadata_file is not None:
        _write_metadata(request.metadata_file, exported)
    if mode == "quiet" and not request.writes_to_stdout and request.explain != "json":
        context.stdout.write(f"{exported.id}\n")
    return 0


def _answer(request: BuildRequest, call: Call, context: Context) -> int:
    """Answer a question about the Dockerfile instead of building it."""
    from builder.cli.calls import Question, answer, shown_name
    from builder.cli.contexts import read_dockerfile
    from builder.context import read_ignore_file

    source = read_dockerfile(request.dockerfile, request.context, context)
    directory = Path(request.context)
    found = read_ignore_file(directory, source.path) if directory.is_dir() else None
    question = Question(
        source=source,
        shown=shown_name(source),
        target=request.target,
        build_args=request.build_args,
        platform=request.platform,
        host_platform=request.host_platform,
        ignore=None if found is None else found[1],
    )
    return answer(call, question, context)


def _build(request: BuildRequest, context: Context, mode: str) -> Exported:
    """Open what a build needs, do it, close everything; faults of the Dockerfile get its name."""
    from builder.bases import Bases
    from builder.cli.contexts import build_lock, open_build_context, read_dockerfile
    from builder.exporters.export import export
    from builder.failures import explained
    from builder.graphcache import load_graph
    from builder.linting import warn_of_findings
    from builder.plan import make_plan
    from builder.policy import collect_slice, read_cache_policy
    from builder.reporter import Reporter
    from builder.secretfiles import sweep_secrets
    from builder.solver import Solver
    from builder.stepclient import StepServer
    from runtime.store import Store

    sweep_secrets(context)
    source = read_dockerfile(request.dockerfile, request.context, context)
    with ExitStack() as stack:
        store = stack.enter_context(Store.open(context))
        # The server's end comes before the store's: its sandboxes have layers of the store mounted.
        server = stack.enter_context(StepServer())
        with explained(source):
            graph = load_graph(
                context,
                source.text,
                target=request.target,
                build_args=request.build_args,
                platform=request.platform,
                host=request.host_platform,
            )
            build_context = stack.enter_context(open_build_context(request, source, store))
            sink = stack.enter_context(open_display(mode, context.stderr, context.environ, context.now))
            values = [secret.value for secret in request.options.secrets.values()]
            reporter = Reporter(sink, context.now, values)
            with reporter.working(f"[internal] load build definition from {source.name}") as vertex:
                vertex.status(
                    f"transferring dockerfile: {len(source.text.encode(errors='surrogateescape'))}B", done=True
                )
            for warning in graph.warnings:
                reporter.warn(f"{warning.rule}: {warning.message}", warning.line)
            bases = Bases(store, reporter, policy=request.pull, lock=build_lock(request), locked=request.locked)
            plan = make_plan(graph, bases, build_context, request.options, server)
            warn_of_findings(plan, build_context.ignore, reporter)
            solver = Solver(
                plan,
                store,
                build_context,
                request.options,
                reporter,
                source=source,
                origin=f"{os.path.abspath(request.context)}:{source.name}",
            )
            exported = None
            try:
                built = solver.solve()
                exported = export(built, store, request.options, reporter, outputs=request.outputs, names=request.names)
                collect_slice(store, read_cache_policy(context))
                return exported
            finally:
                if request.explain is not None:
                    _explain(request, context, solver, source.name, None if exported is None else exported.id)


def _explain(request: BuildRequest, context: Context, solver: Solver, source: str, image: str | None) -> None:
    """Print why each step ran, also those of a build that failed; elsewhere where an archive has standard output."""
    from builder.explanation import to_document, to_text
    from runtime.cli.output import printable

    stream = context.stderr if request.writes_to_stdout else context.stdout
    if request.explain == "json":
        import json

        stream.write(json.dumps(to_document(solver.explained, solver.cached, image)) + "\n")
    else:
        stream.write(printable(to_text(solver.explained, source, solver.cached)))


def _write_metadata(path: Path, exported: Exported) -> None:
    import json

    document: dict[str, str] = {"containerimage.config.digest": exported.id, "containerimage.digest": exported.id}
    if exported.names:
        document["image.name"] = ",".join(str(name) for name in exported.names)
    path.write_text(json.dumps(document, indent=2) + "\n")
