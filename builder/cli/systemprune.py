"""`pybuild system prune`: delete containers, networks, volumes, images and build cache that nobody needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frozen import replace
from runtime.cli import prune as images
from runtime.cli.arguments import Arguments
from runtime.cli.confirm import confirmed
from runtime.cli.declare import Flag
from runtime.context import Context
from runtime.errors import UsageError
from runtime.store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VERB = replace(
    images.VERB,
    name="system prune",
    summary="Delete containers that do not run, networks, images and build cache that nobody uses",
    flags=(*images.FLAGS, Flag("--volumes", help="Delete anonymous volumes that nobody uses, too")),
)


def run(args: Arguments, context: Context) -> int:
    """Print what was deleted, kind by kind, and how much space it had."""
    from runtime.cli.containerprune import prune as prune_containers
    from runtime.cli.human import human_size
    from runtime.cli.network import prune as prune_networks
    from runtime.cli.volume import prune as prune_volumes
    from runtime.containers.filters import split_filters

    everything, volumes, filters = args.switch("all"), args.switch("volumes"), args.texts("filter")
    given = split_filters(filters, images.FILTERS)
    if volumes and "until" in given:
        raise UsageError('the "until" filter is not supported with "--volumes"')
    if not confirmed(args, context, _warning(filters, everything=everything, volumes=volumes)):
        return 0
    with Store.open(context) as store:
        total = prune_containers(store, given)
        prune_networks(store, filters)
        total += prune_volumes(store, given, every=False) if volumes else 0
        total += images.prune(store, filters, everything=everything)
        total += _prune_cache(store, given, everything=everything)
    context.stdout.write(f"Total reclaimed space: {human_size(total, digits=4)}\n")
    return 0


def _warning(filters: Sequence[str], *, everything: bool, volumes: bool) -> str:
    """Say what goes, in Docker's words."""
    doomed = (
        "all stopped containers",
        "all networks not used by at least one container",
        *(["all anonymous volumes not used by at least one container"] if volumes else []),
        images.what(everything=everything),
        "all build cache" if everything else "unused build cache",
    )
    lines = "".join(f"  - {what}\n" for what in doomed)
    held = "".join(f"  - {text}\n" for text in filters)
    return f"This will remove:\n{lines}" + (f"\n  Items to be pruned will be filtered with:\n{held}" if held else "")


def _prune_cache(store: Store, given: Mapping[str, Sequence[str]], *, everything: bool) -> int:
    """Delete build cache: what no image has, or all of it. Nothing there has a label, so a wanted one fits nothing."""
    from builder.cachestore import entries
    from builder.cli.cache import choose, prune, tell_deleted

    if given.get("label"):
        return 0
    found = choose(entries(store), [f"until={text}" for text in given.get("until", ())], None, store.context)
    gone, size = prune(store, [entry for entry in found if everything or not entry.shared])
    tell_deleted(gone, store.context)
    return size
