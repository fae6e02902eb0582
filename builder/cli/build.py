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
    from builder.cachetransfer.importing import SharedCache
    from builder.cli.calls import Call
    from builder.cli.inputs import Inputs
    from builder.exporters.export import Exported
    from builder.namedcontexts import NamedContexts
    from builder.reporter import Reporter
    from builder.solver import BuildResult, Solver
    from builder.stepclient import StepServer
    from runtime.store import Store

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
    from builder.cli.inputs import Wanted, open_inputs, remotes_opener
    from builder.failures import explained
    from builder.namedcontexts import NamedContexts
    from builder.reporter import Reporter
    from builder.secretfiles import sweep_secrets
    from builder.stepclient import StepServer
    from runtime.store import Store

    sweep_secrets(context)
    with ExitStack() as stack:
        store = stack.enter_context(Store.open(context))
        # The server's end comes before the store's: its sandboxes have layers of the store mounted.
        server = stack.enter_context(StepServer())
        sink = stack.enter_context(open_display(mode, context.stderr, context.environ, context.now))
        reporter = Reporter(sink, context.now, [secret.value for secret in request.options.secrets.values()])
        remotes = remotes_opener(store, context, reporter, request.options, stack)
        wanted = Wanted(context=request.context, dockerfile=request.dockerfile, build_args=request.build_args)
        inputs = stack.enter_context(open_inputs(wanted, store, remotes))
        contexts = stack.enter_context(
            NamedContexts(request.contexts, store, remotes, keep_git_dir=wanted.keep_git_dir)
        )
        with explained(inputs.source):
            return _solve(request, inputs, contexts, store, server, reporter)


def _solve(
    request: BuildRequest,
    inputs: Inputs,
    contexts: NamedContexts,
    store: Store,
    server: StepServer,
    reporter: Reporter,
) -> Exported:
    """Read the Dockerfile, plan, execute, export."""
    from builder.bases import Bases
    from builder.exporters.export import export
    from builder.graphcache import load_graph
    from builder.linting import warn_of_findings
    from builder.plan import make_plan
    from builder.policy import collect_slice, read_cache_policy
    from builder.solver import Solver

    source = inputs.source
    graph = load_graph(
        store.context,
        source.text,
        target=request.target,
        build_args=request.build_args,
        platform=request.platform,
        host=request.host_platform,
        named_contexts=request.contexts,
    )
    with reporter.working(f"[internal] load build definition from {source.name}") as vertex:
        vertex.status(f"transferring dockerfile: {len(source.text.encode(errors='surrogateescape'))}B", done=True)
    for warning in graph.warnings:
        reporter.warn(f"{warning.rule}: {warning.message}", warning.line)
    bases = Bases(store, reporter, policy=request.pull, lock=inputs.lock, locked=request.locked)
    plan = make_plan(graph, bases, inputs.context, request.options, server, contexts)
    warn_of_findings(plan, inputs.ignore, reporter)
    place = request.context if inputs.directory is None else os.path.abspath(inputs.directory)
    exported = None
    solver = None
    try:
        with ExitStack() as stack:
            solver = Solver(
                plan,
                store,
                inputs.context,
                request.options,
                reporter,
                source=source,
                origin=f"{place}:{source.name}",
                shared=_open_shared(store, request, reporter, stack),
            )
            built = solver.solve()
        built = _share(built, solver, store, request, reporter)
        exported = export(built, store, request.options, reporter, outputs=request.outputs, names=request.names)
        collect_slice(store, read_cache_policy(store.context))
        return exported
    finally:
        if request.explain is not None and solver is not None:
            _explain(request, store.context, solver, source.name, None if exported is None else exported.id)


def _open_shared(store: Store, request: BuildRequest, reporter: Reporter, stack: ExitStack) -> SharedCache | None:
    if not request.cache_from:
        return None
    from builder.cachetransfer.wishes import open_shared  # lazy: most builds use the cache of the store alone

    return open_shared(store, request.cache_from, reporter, stack)


def _share(built: BuildResult, solver: Solver, store: Store, request: BuildRequest, reporter: Reporter) -> BuildResult:
    if not request.cache_to:
        return built
    from builder.cachetransfer.wishes import finished  # lazy: most builds write no cache elsewhere

    return finished(built, solver, store, request.cache_to, reporter)


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
