"""`pybuild stop`: ask containers to end, and end them."""

from __future__ import annotations

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.cli.severally import each
from runtime.containers.lifecycle import stop
from runtime.containers.quantities import parse_signal
from runtime.containers.records import Containers
from runtime.context import Context
from runtime.store import Store

VERB = Verb(
    name="stop",
    summary="Stop running containers",
    usage="[OPTIONS] CONTAINER [CONTAINER...]",
    words=(1, None),
    needs_store=True,
    flags=(
        Flag("--signal", "-s", kind="text", metavar="SIGNAL", help="Signal to send instead of the container's own"),
        Flag(
            "--timeout", "--time", "-t", kind="integer", metavar="SECONDS", help="Seconds before SIGKILL, -1 for ever"
        ),
    ),
)


def run(args: Arguments, context: Context) -> int:
    """Stop each container and print the word it was named by."""
    asked = args.text("signal")
    number = parse_signal(asked) if asked else 0
    with Store.open(context) as store:
        containers = Containers(store)

        def act(word: str) -> str:
            stop(containers, containers.find(word), signal_number=number, timeout=args.integer("timeout"))
            return word

        return each(args.words, act, context)
