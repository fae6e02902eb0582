"""`pybuild container prune`: remove all containers that do not run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from runtime.cli.arguments import Arguments
from runtime.cli.confirm import confirmed
from runtime.cli.declare import Flag, Verb
from runtime.context import Context

if TYPE_CHECKING:
    from runtime.store import Store

VERB = Verb(
    name="container prune",
    summary="Remove all stopped containers",
    words=(0, 0),
    needs_store=True,
    flags=(
        Flag("--filter", kind="texts", metavar="NAME=VALUE", help="Remove only what fits (until, label, label!)"),
        Flag("--force", "-f", help="Don't ask"),
    ),
)


def run(args: Arguments, context: Context) -> int:
    """Print the ids of those removed, and how much space they had."""
    from runtime.cli.human import human_size
    from runtime.containers.filters import split_filters
    from runtime.store import Store

    given = split_filters(args.texts("filter"), ("label", "label!", "until"))
    if not confirmed(args, context, "This will remove all stopped containers."):
        return 0
    with Store.open(context) as store:
        total = prune(store, given)
    context.stdout.write(f"Total reclaimed space: {human_size(total, digits=4)}\n")
    return 0


def prune(store: Store, given: Mapping[str, Sequence[str]]) -> int:
    """Remove the containers that fit the filters and do not run; prints their ids, returns the bytes they had."""
    from runtime.containers.filters import label_fits
    from runtime.containers.inspection import own_size
    from runtime.containers.records import Container, Containers
    from runtime.containers.removal import remove_stopped
    from runtime.oci.moments import parse_moment

    before = [parse_moment(text, store.context.now(), "until") for text in given.get("until", ())]
    containers = Containers(store)

    def fits(container: Container) -> bool:
        labels = container.config.get("Labels") or {}
        return (
            not (container.state == "running" and containers.is_held(container.id))
            and all(label_fits(labels, text) for text in given.get("label", ()))
            and not any(label_fits(labels, text) for text in given.get("label!", ()))
            and all(container.created < moment for moment in before)
        )

    sizes = {container.id: own_size(containers, container) for container in containers.list() if fits(container)}
    removed = remove_stopped(containers, tuple(sizes))
    if removed:
        store.context.stdout.write("Deleted Containers:\n" + "".join(f"{identity}\n" for identity in removed) + "\n")
    return sum(sizes[identity] for identity in removed)
