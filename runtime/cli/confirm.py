"""Ask before something is deleted."""

from __future__ import annotations

import sys

from runtime.cli.arguments import Arguments
from runtime.context import Context
from runtime.errors import UsageError


def confirmed(args: Arguments, context: Context, warning: str) -> bool:
    """Ask `warning` and `[y/N]` on the terminal, unless the flag `force` was given.

    Raises UsageError where nobody can answer.
    """
    if args.switch("force"):
        return True
    if not sys.stdin.isatty():
        raise UsageError("this deletes things, and nobody can be asked here", hint="use -f to go on without a question")
    context.stderr.write(f"WARNING! {warning}\nAre you sure you want to continue? [y/N] ")
    context.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
