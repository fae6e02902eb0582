"""`pybuild diff`, `export` and `commit`: what a container changed, its tree as a tar, an image of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.cli.output import one_line
from runtime.context import Context
from runtime.errors import PybuildError, UsageError
from runtime.outputfile import output_file

VERB = Verb(
    name="diff",
    summary="Show what a container changed in its file system",
    usage="CONTAINER",
    words=(1, 1),
    needs_store=True,
)

VERB_EXPORT = Verb(
    name="export",
    summary="Write the tree of a container as a tar",
    usage="[OPTIONS] CONTAINER",
    words=(1, 1),
    needs_store=True,
    flags=(Flag("--output", "-o", kind="text", metavar="FILE", help="Write to a file instead of standard output"),),
)

VERB_COMMIT = Verb(
    name="commit",
    summary="Make an image of a container as it is",
    usage="[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    words=(1, 2),
    needs_store=True,
    flags=(
        Flag("--author", "-a", kind="text", metavar="TEXT", help="Who made it"),
        Flag("--change", "-c", kind="texts", metavar="INSTRUCTION", help='Apply an instruction such as CMD ["sh"]'),
        Flag("--message", "-m", kind="text", metavar="TEXT", help="Set the comment of the history"),
        Flag("--no-pause", help="Do not pause the container meanwhile"),
        Flag("--pause", "-p", help="Pause the container meanwhile (true unless =false)"),
    ),
)


def run(args: Arguments, context: Context) -> int:
    """Print `A`, `C` or `D` and the path, a line a change."""
    from runtime.containers.changes import changes
    from runtime.containers.records import Containers
    from runtime.store import Store

    with Store.open(context) as store:
        containers = Containers(store)
        for change in changes(containers, containers.find(args.words[0])):
            context.stdout.write(f"{change.kind} /{one_line(os.fsdecode(change.path))}\n")
    return 0


def run_export(args: Arguments, context: Context) -> int:
    """Write the tar; a terminal is no place for it."""
    from runtime.containers.changes import write_tree
    from runtime.containers.records import Containers
    from runtime.store import Store

    target = args.text("output")
    if target is None and sys.stdout.isatty():
        raise UsageError(
            "cowardly refusing to save to a terminal. Use the -o flag or redirect", hint="-o FILE, or > FILE"
        )
    with Store.open(context) as store:
        containers = Containers(store)
        container = containers.find(args.words[0])
        if target is None:
            write_tree(containers, container, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        else:
            if not os.path.isdir(os.path.dirname(target) or "."):
                raise PybuildError(f'invalid output path: directory "{os.path.dirname(target)}" does not exist')
            with output_file(Path(target)) as sink:
                write_tree(containers, container, sink)
        containers.record_event(container, "export")
    return 0


def run_commit(args: Arguments, context: Context) -> int:
    """Print the id of the image."""
    from runtime.containers.changes import commit
    from runtime.containers.groups import paths, pause, unpause
    from runtime.containers.records import Containers
    from runtime.oci.references import parse_reference
    from runtime.store import Store

    names = [parse_reference(text).tagged() for text in args.words[1:] if text]
    if any(name.digest is not None for name in names):
        raise UsageError(f"{args.words[1]!a}: an image cannot be given a digest")
    wants_pause = not args.switch("no-pause") and (args.switch("pause") or not args.given("pause"))
    with Store.open(context) as store:
        containers = Containers(store)
        container = containers.find(args.words[0])
        stopped = wants_pause and containers.state(container) == "running" and bool(paths(containers, container))
        if stopped:
            pause(containers, container, for_now=True)
        try:
            image = commit(
                containers,
                container,
                names,
                author=args.text("author") or "",
                message=args.text("message") or "",
                instructions=args.texts("change"),
            )
        finally:
            if stopped:
                unpause(containers, container)
    context.stdout.write(f"{image.id}\n")
    return 0
