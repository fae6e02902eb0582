"""`pybuild pause` and `pybuild unpause`: freeze the processes of containers, and let them run on."""

from __future__ import annotations

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Verb
from runtime.cli.severally import each
from runtime.context import Context

VERB = Verb(
    name="pause",
    summary="Freeze all processes of containers",
    usage="CONTAINER [CONTAINER...]",
    words=(1, None),
    needs_store=True,
)

VERB_UNPAUSE = Verb(
    name="unpause",
    summary="Let paused containers run on",
    usage="CONTAINER [CONTAINER...]",
    words=(1, None),
    needs_store=True,
)


def run(args: Arguments, context: Context) -> int:
    """Pause each container and print the word it was named by."""
    return _each(args, context, frozen=True)


def run_unpause(args: Arguments, context: Context) -> int:
    """Let each container run on and print the word it was named by."""
    return _each(args, context, frozen=False)


def _each(args: Arguments, context: Context, *, frozen: bool) -> int:
    from runtime.containers.groups import pause, unpause
    from runtime.containers.records import Containers
    from runtime.store import Store

    with Store.open(context) as store:
        containers = Containers(store)

        def act(word: str) -> str:
            (pause if frozen else unpause)(containers, containers.find(word))
            return word

        return each(args.words, act, context)
