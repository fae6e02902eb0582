"""`pybuild rm`: remove containers."""

from __future__ import annotations

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.cli.output import complain
from runtime.cli.severally import each
from runtime.containers.records import Containers
from runtime.containers.removal import remove
from runtime.context import Context
from runtime.errors import NotFound
from runtime.store import Store

VERB = Verb(
    name="rm",
    summary="Remove containers",
    usage="[OPTIONS] CONTAINER [CONTAINER...]",
    words=(1, None),
    needs_store=True,
    flags=(
        Flag("--force", "-f", help="Kill those that run; those that do not exist are fine"),
        Flag("--volumes", "-v", help="Remove their anonymous volumes, too"),
    ),
)


def run(args: Arguments, context: Context) -> int:
    """Remove each container and print the word it was named by."""
    force = args.switch("force")
    with Store.open(context) as store:
        containers = Containers(store)

        def act(word: str) -> str:
            try:
                container = containers.find(word)
            except NotFound as error:
                if not force:
                    raise
                complain(context.stderr, error.message)
                return ""
            remove(containers, container.id, force=force, volumes=args.switch("volumes"))
            return word

        return each(args.words, act, context)
