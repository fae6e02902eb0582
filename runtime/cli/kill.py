"""`pybuild kill`: send a signal to containers."""

from __future__ import annotations

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.cli.severally import each
from runtime.containers.lifecycle import kill
from runtime.containers.quantities import parse_signal
from runtime.containers.records import Containers
from runtime.context import Context
from runtime.errors import PybuildError
from runtime.store import Store

VERB = Verb(
    name="kill",
    summary="Send a signal to running containers",
    usage="[OPTIONS] CONTAINER [CONTAINER...]",
    words=(1, None),
    needs_store=True,
    flags=(Flag("--signal", "-s", kind="text", metavar="SIGNAL", help="Which one (SIGKILL)"),),
)


def run(args: Arguments, context: Context) -> int:
    """Signal each container and print the word it was named by."""
    text = args.text("signal") or "SIGKILL"
    with Store.open(context) as store:
        containers = Containers(store)

        def act(word: str) -> str:
            try:
                kill(containers, containers.find(word), parse_signal(text))
            except PybuildError as error:
                raise PybuildError(f"cannot kill container: {word}: {error.message}", hint=error.hint) from error
            return word

        return each(args.words, act, context)
