"""`pybuild image prune` and `pybuild system prune`: delete images that nobody needs, and what only they needed."""

from __future__ import annotations

from runtime.cli.arguments import Arguments
from runtime.cli.confirm import confirmed
from runtime.cli.declare import Flag, Verb
from runtime.cli.output import printable
from runtime.context import Context
from runtime.store import Store

_FLAGS = (
    Flag("--all", "-a", help="Delete all images that no container uses, not only those without a name"),
    Flag("--filter", kind="texts", metavar="NAME=VALUE", help="Delete only what fits (until, label, label!)"),
    Flag("--force", "-f", help="Don't ask"),
)

VERB_IMAGE = Verb(
    name="image prune",
    summary="Delete images without a name",
    needs_store=True,
    words=(0, 0),
    flags=_FLAGS,
)

VERB_SYSTEM = Verb(
    name="system prune",
    summary="Delete images without a name, and all content that nothing needs",
    needs_store=True,
    words=(0, 0),
    flags=_FLAGS,
)

_FILTERS = ("label", "label!", "until")


def run_image(args: Arguments, context: Context) -> int:
    """Prune images."""
    what = (
        "all images without at least one container associated to them" if args.switch("all") else "all dangling images"
    )
    return _prune(args, context, f"This will remove {what}.")


def run_system(args: Arguments, context: Context) -> int:
    """Prune images, and content that an ended command left."""
    what = (
        "all images without at least one container associated to them" if args.switch("all") else "all dangling images"
    )
    return _prune(args, context, f"This will remove:\n  - {what}\n  - all content that nothing needs\n")


def _what(args: Arguments) -> str:
    every = args.switch("all")
    return "all images without at least one container associated to them" if every else "all dangling images"


def _prune(args: Arguments, context: Context, warning: str) -> int:
    from runtime.cli.human import human_size  # lazy: not for the help
    from runtime.store.collect import collect  # lazy: not for the help
    from runtime.store.removal import prune_images  # lazy: not for the help
    from runtime.store.selection import image_filter  # lazy: not for the help

    if not confirmed(args, context, warning):
        return 0
    with Store.open(context) as store:
        wanted = image_filter(store, args.texts("filter"), _FILTERS)
        removed = prune_images(store, everything=args.switch("all"), wanted=wanted)
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
    context.stdout.write(f"Total reclaimed space: {human_size(collected.size)}\n")
    return 0
