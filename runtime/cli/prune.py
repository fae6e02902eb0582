"""`pybuild image prune` and `pybuild system prune`: delete what nobody needs, and what only that needed."""

from __future__ import annotations

from runtime.cli.arguments import Arguments
from runtime.cli.confirm import confirmed
from runtime.cli.declare import Flag, Verb
from runtime.cli.output import printable
from runtime.context import Context
from runtime.errors import UsageError
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
    summary="Delete containers that do not run, networks and images that nobody uses, and what only they needed",
    needs_store=True,
    words=(0, 0),
    flags=(*_FLAGS, Flag("--volumes", help="Delete anonymous volumes that nobody uses, too")),
)

_FILTERS = ("label", "label!", "until")


def run_image(args: Arguments, context: Context) -> int:
    """Prune images."""
    if not confirmed(args, context, f"This will remove {_what(args)}."):
        return 0
    with Store.open(context) as store:
        total = _prune_images(store, args)
    _tell_total(context, total)
    return 0


def run_system(args: Arguments, context: Context) -> int:
    """Prune containers, networks, volumes where that is asked for, and images; the build cache has its own verb."""
    from runtime.cli.containerprune import prune as prune_containers
    from runtime.cli.network import prune as prune_networks
    from runtime.cli.volume import prune as prune_volumes
    from runtime.containers.filters import split_filters

    volumes = args.switch("volumes")
    given = split_filters(args.texts("filter"), _FILTERS)
    if volumes and "until" in given:
        raise UsageError('the "until" filter is not supported with "--volumes"')
    doomed = ["all stopped containers", "all networks not used by at least one container"]
    doomed += ["all anonymous volumes not used by at least one container"] if volumes else []
    lines = "".join(f"  - {what}\n" for what in (*doomed, _what(args)))
    chosen = "".join(f"  - {text}\n" for text in args.texts("filter"))
    chosen = f"\n  Items to be pruned will be filtered with:\n{chosen}" if chosen else ""
    if not confirmed(args, context, f"This will remove:\n{lines}{chosen}"):
        return 0
    with Store.open(context) as store:
        total = prune_containers(store, given)
        total += prune_volumes(store, given, every=False) if volumes else 0
        prune_networks(store, args.texts("filter"))
        total += _prune_images(store, args)
    _tell_total(context, total)
    return 0


def _what(args: Arguments) -> str:
    every = args.switch("all")
    return "all images without at least one container associated to them" if every else "all dangling images"


def _tell_total(context: Context, total: int) -> None:
    from runtime.cli.human import human_size  # lazy: not for the help

    context.stdout.write(f"Total reclaimed space: {human_size(total)}\n")


def _prune_images(store: Store, args: Arguments) -> int:
    """Delete images, and content that an ended command left; returns the bytes they had."""
    from runtime.store.collect import collect  # lazy: not for the help
    from runtime.store.removal import prune_images  # lazy: not for the help
    from runtime.store.selection import image_filter  # lazy: not for the help

    context = store.context
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
    return collected.size
