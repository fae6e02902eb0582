"""`pybuild rm`: remove containers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.cli.output import complain
from runtime.cli.severally import each
from runtime.containers.records import Containers
from runtime.containers.removal import BATCH, remove, remove_resting
from runtime.context import Context
from runtime.errors import NotFound, UsageError
from runtime.store import Store

VERB = Verb(
    name="rm",
    summary="Remove containers",
    usage="[OPTIONS] CONTAINER [CONTAINER...]",
    words=(1, None),
    needs_store=True,
    flags=(
        Flag("--force", "-f", help="Kill those that run; those that do not exist are fine"),
        Flag("--link", "-l", help="Remove a link, named CONTAINER/ALIAS"),
        Flag("--volumes", "-v", help="Remove their anonymous volumes, too"),
    ),
)


def run(args: Arguments, context: Context) -> int:
    """Remove each container and print the word it was named by."""
    force, volumes = args.switch("force"), args.switch("volumes")
    status = 0
    with Store.open(context) as store:
        containers = Containers(store)
        if args.switch("link"):
            return _remove_links(containers, args.words, context)
        for start in range(0, len(args.words), BATCH):
            words = args.words[start : start + BATCH]
            gone = _remove_resting(containers, words, volumes=volumes) if len(words) > 1 else set()

            def act(word: str, gone: set[str] = gone) -> str:
                if word in gone:
                    gone.remove(word)  # the same word again is nobody's
                    return word
                try:
                    container = containers.find(word)
                except NotFound as error:
                    if not force:
                        raise
                    complain(context.stderr, error.message)
                    return ""
                remove(containers, container.id, force=force, volumes=volumes)
                return word

            status |= each(words, act, context)
    return status


def _remove_links(containers: Containers, words: Sequence[str], context: Context) -> int:
    from runtime.containers import links  # lazy: hardly anybody links containers any more

    def act(word: str) -> str:
        links.remove(containers, word)
        return word

    return each(words, act, context)


def _remove_resting(containers: Containers, words: Sequence[str], *, volumes: bool) -> set[str]:
    """Remove what can go at once and in one transaction; returns the words of those. Of two for one, the first."""
    named: dict[str, str] = {}
    for word in words:
        with suppress(NotFound, UsageError):
            named.setdefault(containers.find(word).id, word)
    gone = remove_resting(containers, tuple(named), volumes=volumes)
    return {word for container_id, word in named.items() if container_id in gone}
