"""`pybuild debug`: open the sandbox of a failed step that was kept; `debug ls` and `debug rm`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.cli.arguments import Arguments
from runtime.cli.confirm import confirmed
from runtime.cli.declare import Flag, Verb
from runtime.context import Context
from runtime.errors import UsageError
from runtime.store import Store

if TYPE_CHECKING:
    from builder.keptsteps import KeptStep

VERB = Verb(
    name="debug",
    usage="[OPTIONS] [ID] [STAGE|LINE]",
    summary="Open a shell in the sandbox of a failed step that was kept",
    needs_store=True,
    words=(0, 2),
    interrupt="event",
    flags=(
        Flag("--command", "-c", kind="text", metavar="TEXT", help="Run this in the step's shell, not an open one"),
        Flag("--secret", kind="texts", metavar="id=NAME,src=FILE", help="A secret of the step: none was kept"),
    ),
)

VERB_LS = Verb(
    name="debug ls",
    summary="List the failed steps that are kept",
    needs_store=True,
    words=(0, 0),
    flags=(
        Flag("--format", kind="text", metavar="FORMAT", help="'table', 'json' or a Go template"),
        Flag("--quiet", "-q", help="Print ids only"),
    ),
)

VERB_RM = Verb(
    name="debug rm",
    usage="[OPTIONS] [ID...]",
    summary="Delete failed steps that are kept",
    needs_store=True,
    words=(0, None),
    flags=(Flag("--all", "-a", help="Delete all"), Flag("--force", "-f", help="Don't ask")),
)

_HEADERS = {
    "ID": "STEP ID",
    "Stage": "STAGE",
    "Line": "LINE",
    "ExitCode": "EXIT CODE",
    "CreatedSince": "FAILED",
    "Size": "SIZE",
    "Statement": "INSTRUCTION",
}
_TABLE = "\t".join(f"{{{{.{name}}}}}" for name in _HEADERS)
_SHOWN = 50


def run(args: Arguments, context: Context) -> int:
    """Run the shell; its status is ours."""
    from builder.debugshell import run_shell
    from builder.keptsteps import find_kept
    from builder.options import BuildOptions
    from builder.secrets import read_secrets

    words = args.words
    secrets = read_secrets(args.texts("secret"), context.environ)
    with Store.open(context) as store:
        kept = find_kept(store, words[0] if words else None, words[1] if len(words) > 1 else None)
        text = args.text("command")
        command = None if text is None else ["/bin/sh", "-c", text]
        if command is None:
            context.stderr.write(f"step {kept.id}: line {kept.line}, exit code {kept.exit_code}; 'exit' leaves\n")
            context.stderr.flush()
        return run_shell(store, kept, BuildOptions(secrets=secrets), command)


def run_ls(args: Arguments, context: Context) -> int:
    """Print one line for each kept step, the latest first."""
    from builder.keptsteps import kept_steps
    from runtime.cli.formats import write_list

    with Store.open(context) as store:
        found = kept_steps(store, measured=not args.switch("quiet"))
    if args.switch("quiet"):
        context.stdout.write("".join(f"{step.id}\n" for step in found))
        return 0
    long = args.text("format") is not None
    rows = [_row(step, context.now(), long=long) for step in found]
    write_list(context, rows, form=args.text("format"), table=_TABLE, headers=_HEADERS)
    return 0


def run_rm(args: Arguments, context: Context) -> int:
    """Delete kept steps, and print their ids."""
    from builder.keptsteps import find_kept, kept_steps, remove_kept

    everything = args.switch("all")
    if everything == bool(args.words):
        raise UsageError("name the steps, or write --all", hint="`pybuild debug ls` lists them")
    if everything and not confirmed(args, context, "This will remove all kept steps."):
        return 0
    with Store.open(context) as store:
        steps = kept_steps(store) if everything else tuple(find_kept(store, word) for word in args.words)
        remove_kept(store, steps)
    context.stdout.write("".join(f"{step.id}\n" for step in steps))
    return 0


def _row(step: KeptStep, now: int, *, long: bool) -> dict[str, object]:
    from runtime.cli.human import human_size, since

    text = " ".join(step.statement.split())
    return {
        "ID": step.id,
        "Stage": step.stage,
        "Line": str(step.line),
        "ExitCode": str(step.exit_code),
        "CreatedSince": since(step.created, now),
        "Size": human_size(step.size),
        "Statement": text if long or len(text) <= _SHOWN else text[: _SHOWN - 1] + "…",
    }
