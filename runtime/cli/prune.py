"""`pybuild image prune`: delete images that nobody needs, and what only they needed."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.cli.arguments import Arguments
from runtime.cli.confirm import confirmed
from runtime.cli.declare import Flag, Verb
from runtime.cli.output import printable
from runtime.context import Context
from runtime.store import Store

FLAGS = (
    Flag("--all", "-a", help="Delete all images that no container uses, not only those without a name"),
    Flag("--filter", kind="texts", metavar="NAME=VALUE", help="Delete only what fits (until, label, label!)"),
    Flag("--force", "-f", help="Don't ask"),
)
FILTERS = ("label", "label!", "until")

VERB = Verb(
    name="image prune",
    summary="Delete images without a name",
    needs_store=True,
    words=(0, 0),
    flags=FLAGS,
)


def run(args: Arguments, context: Context) -> int:
    """Print what was deleted, and how much space it had."""
    from runtime.cli.human import human_size  # lazy: not for the help

    everything = args.switch("all")
    if not confirmed(args, context, f"This will remove {what(everything=everything)}."):
        return 0
    with Store.open(context) as store:
        total = prune(store, args.texts("filter"), everything=everything)
    context.stdout.write(f"Total reclaimed space: {human_size(total, digits=4)}\n")
    return 0


def what(*, everything: bool) -> str:
    """Say which images go."""
    return "all images without at least one container associated to them" if everything else "all dangling images"


def prune(store: Store, filters: Sequence[str], *, everything: bool) -> int:
    """Delete images, and content that an ended command left; prints what went, returns the bytes it had."""
    from runtime.store.collect import collect  # lazy: not for the help
    from runtime.store.removal import prune_images  # lazy: not for the help
    from runtime.store.selection import image_filter  # lazy: not for the help

    context = store.context
    wanted = image_filter(store, filters, FILTERS)
    removed = prune_images(store, everything=everything, wanted=wanted)
    if not store.is_alone():
        context.stderr.write(f"waiting for other commands that use {context.layout.root} to end\n")
        context.stderr.flush()
    collected = collect(store)
    if removed or collected.snapshots:
        context.stdout.write("Deleted Images:\n")
    for item in removed:
        for name in item.untagged:
            context.stdout.write(f"untagged: {printable(name.familiar())}\n")
        if item.deleted is not None:
            context.stdout.write(f"deleted: {item.deleted.id}\n")
    for chain_id in collected.snapshots:
        context.stdout.write(f"deleted: {chain_id}\n")
    if removed or collected.snapshots:
        context.stdout.write("\n")
    return collected.size
