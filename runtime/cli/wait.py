"""`pybuild wait`: wait for the end of containers and print their exit codes."""

from __future__ import annotations

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Verb
from runtime.cli.severally import each
from runtime.containers.lifecycle import wait
from runtime.containers.records import Containers
from runtime.context import Context
from runtime.store import Store

VERB = Verb(
    name="wait",
    summary="Wait until containers end, print their exit codes",
    usage="CONTAINER [CONTAINER...]",
    words=(1, None),
    needs_store=True,
)


def run(args: Arguments, context: Context) -> int:
    """Print one exit code a line, in the order of the words."""
    with Store.open(context) as store:
        containers = Containers(store)

        def act(word: str) -> str:
            container = containers.find(word)
            with store.idle():
                return str(wait(containers, container))

        return each(args.words, act, context)
