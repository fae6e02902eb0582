"""`pybuild build`: build an image from a Dockerfile. Also what `pybuild -t NAME DIRECTORY` means."""

from __future__ import annotations

import errno
import json
import os
from contextlib import ExitStack, suppress
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING

from builder.cli.buildflags import FLAGS, BuildRequest, read_request
from builder.progress.displays import open_display, resolve_mode
from frozen import replace
from runtime.cli.arguments import Arguments
from runtime.cli.declare import Verb
from runtime.context import Context
from runtime.errors import PybuildError, StepFailed, UsageError
from runtime.oci.digests import chain_ids

if TYPE_CHECKING:
    from builder.cli.calls import Call
    from builder.exporters.export import Exported
    from builder.reporter import Reporter
    from builder.stepclient import StepServer
    from builder.verification import Verdict
    from runtime.store import Store

VERB = Verb(
    name="build",
    usage="[OPTIONS] PATH | URL | -",
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
    _prepare_files(request)
    try:
        exported = _build(request, context, mode)
    except StepFailed as error:
        if request.options.on_failure == "shell":
            _open_failed(request, context, error)
        raise
    if request.iidfile is not None:
        _write("iidfile", request.iidfile, exported.id)
    if request.metadata_file is not None:
        from builder.cli.building import metadata

        _write("metadata-file", request.metadata_file, json.dumps(metadata(exported), indent=2) + "\n")
    if mode == "quiet" and not request.writes_to_stdout and request.explain != "json":
        context.stdout.write(f"{exported.id}\n")
    return 0


def rebuild(args: Arguments, context: Context, progress: str, name: str) -> Verdict:
    """Build without the cache, keeping nothing, and compare with the image that is called `name`."""
    from builder.exporters.outputs import Output
    from builder.verification import compare
    from runtime.store import Store

    request = read_request(args, context)
    request = replace(
        request,
        options=replace(request.options, no_cache=True, isolated=True),
        outputs=(Output(type="cacheonly"),),
        words=(),
    )
    with Store.open(context) as store:  # keeps what is built from being collected before it was compared
        image = store.images.require(name)
        exported = _build(request, context, resolve_mode(progress, context.stderr, context.environ))
        (built,) = exported.images
        return compare(
            store,
            before=json.loads(store.blobs.read(image.id, 1 << 26)),
            after=json.loads(built.config),
            chains=(store.images.unpacked(image), chain_ids(built.diff_ids)[-1] if built.diff_ids else None),
            times=request.options.epoch is not None,
        )


def _open_failed(request: BuildRequest, context: Context, error: StepFailed) -> None:
    """Let the user into the step that failed, and delete it afterwards."""
    import threading

    from builder.debugshell import run_shell
    from builder.keptsteps import kept_steps, remove_kept
    from runtime.store import Store

    with Store.open(context) as store:
        kept = next((step for step in kept_steps(store) if step.id in (error.hint or "")), None)
        if kept is None or threading.active_count() > 1:  # with threads nothing may be forked: `debug` opens it
            return
        context.stderr.write(f"{error.message}\na shell in the failed step follows; 'exit' leaves\n")
        context.stderr.flush()
        try:
            run_shell(store, kept, request.options, None)
        finally:
            remove_kept(store, [kept])
            error.hint = None


def _answer(request: BuildRequest, call: Call, context: Context) -> int:
    """Answer a question about the Dockerfile instead of building it."""
    from builder.cli.calls import Question, answer, shown_name
    from builder.cli.inputs import Wanted, open_inputs, remotes_opener
    from builder.reporter import Reporter
    from runtime.store import Store

    with ExitStack() as stack:
        store = stack.enter_context(Store.open(context))
        remotes = remotes_opener(store, context, Reporter(_nowhere, context.now), request.options, stack)
        wanted = Wanted(context=request.context, dockerfile=request.dockerfile, build_args=request.build_args)
        inputs = stack.enter_context(open_inputs(wanted, store, remotes))
    question = Question(
        source=inputs.source,
        shown=shown_name(inputs.source),
        target=request.target,
        build_args=request.build_args,
        platform=request.platforms[0],
        host_platform=request.host_platform,
        named_contexts=tuple(request.contexts),
        ignore=inputs.ignore,
    )
    return answer(call, question, context)


def _nowhere(_event: object) -> None:
    """Show nothing."""


def _build(request: BuildRequest, context: Context, mode: str) -> Exported:
    """Open what a build needs, do it, close everything; faults of the Dockerfile get its name."""
    from builder.buildlogs import logged
    from builder.cli.building import Building, Surroundings, explain, remote_pins
    from builder.cli.inputs import Wanted, open_inputs, remotes_opener
    from builder.failures import explained
    from builder.namedcontexts import NamedContexts
    from builder.reporter import Reporter
    from builder.stepclient import StepServer
    from builder.sweeping import sweep
    from runtime.store import Store

    sweep(context)
    with ExitStack() as stack:
        store = stack.enter_context(Store.open(context))
        # The server's end comes before the store's: its sandboxes have layers of the store mounted.
        server = stack.enter_context(StepServer())
        sink = stack.enter_context(open_display(mode, context.stderr, context.environ, context.now))
        sink, log = stack.enter_context(logged(context, sink))
        reporter = Reporter(sink, context.now, [secret.value for secret in request.options.secrets.values()])
        remotes = remotes_opener(store, context, reporter, request.options, stack)
        wanted = Wanted(context=request.context, dockerfile=request.dockerfile, build_args=request.build_args)
        inputs = stack.enter_context(open_inputs(wanted, store, remotes))
        pinned = remotes_opener(
            store, context, reporter, request.options, stack, lambda: remote_pins(request, inputs, reporter)
        )
        if request.options.services or request.options.network not in ("default", "none", "host"):
            request = _with_network(request, store, reporter, server, stack)
        contexts = stack.enter_context(NamedContexts(request.contexts, store, pinned, keep_git_dir=wanted.keep_git_dir))
        around = Surroundings(
            request=request,
            inputs=inputs,
            contexts=contexts,
            remotes=pinned,
            store=store,
            server=server,
            reporter=reporter,
        )
        building = Building(around)
        exported = None
        try:
            with explained(inputs.source):
                exported = building.run()
                return exported
        except StepFailed as error:
            error.hint = error.hint or (None if log is None else f"all that the build printed is in {log}")
            raise
        finally:
            if request.explain is not None:
                explain(building, around, None if exported is None else exported.id)


def _with_network(
    request: BuildRequest, store: Store, reporter: Reporter, server: StepServer, stack: ExitStack
) -> BuildRequest:
    """Find the network and the services that the steps are to have; the services end with `stack`."""
    from builder.serving import Serving, find_images
    from runtime.network.networks import Networks

    options = request.options
    if options.network not in ("default", "none", "host"):
        options = replace(options, network=Networks(store).find(options.network).name)
    for service in options.services if request.locked else ():
        if "sha256:" not in service.image:  # a name may be another image tomorrow, and pybuild.lock holds none of these
            raise UsageError(
                f"--locked: the image of service {service.name}, {service.image}, is not pinned",
                hint="name it by its digest: NAME=IMAGE@sha256:…",
            )
    services = find_images(store, reporter, options.services)
    if services:
        server.serving = stack.enter_context(Serving(store, reporter, services))
    return replace(request, options=replace(options, services=services))


def _prepare_files(request: BuildRequest) -> None:
    """Refuse files that could not be written at the end; an id of an earlier build does not outlive a failed one."""
    if any(output.destination is not None for output in request.outputs):
        from builder.exporters.destinations import check_destination

        for output in request.outputs:
            check_destination(output)
    for flag, path in (("iidfile", request.iidfile), ("metadata-file", request.metadata_file)):
        if path is None:
            continue
        try:
            status = path.stat()
        except FileNotFoundError:
            if path.is_symlink():
                continue  # it is made where the link leads, or told about at the end
            if not path.parent.is_dir():
                raise _unwritable(flag, path, os.strerror(errno.ENOENT)) from None
            if not os.access(path.parent, os.W_OK | os.X_OK):
                raise _unwritable(flag, path, os.strerror(errno.EACCES)) from None
            continue
        except OSError as error:
            raise _unwritable(flag, path, error.strerror) from error
        if S_ISDIR(status.st_mode):
            raise _unwritable(flag, path, os.strerror(errno.EISDIR))
        if not os.access(path, os.W_OK):
            raise _unwritable(flag, path, os.strerror(errno.EACCES))
        if flag == "iidfile" and S_ISREG(status.st_mode):
            with suppress(OSError):
                path.unlink()


def _write(flag: str, path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise _unwritable(flag, path, error.strerror) from error


def _unwritable(flag: str, path: Path, reason: str | None) -> PybuildError:
    return PybuildError(f"--{flag} {path} cannot be written: {reason}", hint="name a file in a directory of yours")
