"""`pybuild attach`: be a further terminal of a running container."""

from __future__ import annotations

import os

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.cli.output import complain
from runtime.context import Context
from runtime.errors import PybuildError

VERB = Verb(
    name="attach",
    summary="Attach to the streams of a running container",
    usage="[OPTIONS] CONTAINER",
    words=(1, 1),
    needs_store=True,
    interrupt="event",
    flags=(
        Flag("--detach-keys", kind="text", metavar="KEYS", help="Keys that detach from it, as ctrl-p,ctrl-q"),
        Flag("--no-stdin", help="Do not attach standard input"),
        Flag("--sig-proxy", help="Pass signals on to it (true unless =false)"),
    ),
)


def run(args: Arguments, context: Context) -> int:
    """Return the container's exit status once it ends."""
    from runtime.cli.clientwishes import detach_keys
    from runtime.containers.execute import attach
    from runtime.containers.records import Containers
    from runtime.store import Store

    keys = detach_keys(args, context)
    proxy = args.switch("sig-proxy") or not args.given("sig-proxy")
    with Store.open(context) as store:
        containers = Containers(store)
        container = containers.find(args.words[0])
        if container.config.get("Tty") and not args.switch("no-stdin") and not os.isatty(0):
            raise PybuildError("the input device is not a TTY", hint="--no-stdin shows what it writes")
        outcome = attach(containers, container, stdin=not args.switch("no-stdin"), proxy=proxy, keys=keys)
    if outcome.text:
        complain(context.stderr, outcome.text)
    return outcome.code
