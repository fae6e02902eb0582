"""`pybuild rmi`: take names from images, and remove images."""

from __future__ import annotations

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.cli.output import complain, printable
from runtime.context import Context
from runtime.errors import NotFound, PybuildError
from runtime.store import Store

VERB = Verb(
    name="rmi",
    usage="[OPTIONS] IMAGE [IMAGE...]",
    summary="Remove images",
    needs_store=True,
    words=(1, None),
    flags=(
        Flag("--force", "-f", help="Remove also what has other names or a stopped container; what is missing is fine"),
        Flag("--no-prune", help="Do not delete untagged parents (images here have none)"),
        Flag("--platform", kind="texts", metavar="PLATFORM", help="Accepted for Docker's sake", hidden=True),
    ),
)


def run(args: Arguments, context: Context) -> int:
    """Remove each; one that cannot be removed does not stop the others."""
    from runtime.containers.announcing import announce_image
    from runtime.store.collect import collect  # lazy: not for the help
    from runtime.store.removal import Removed, remove_image  # lazy: not for the help

    status = 0
    deleted = False
    with Store.open(context) as store:
        for text in args.words:
            image = store.images.resolve(text)
            try:
                removed: Removed = remove_image(store, text, force=args.switch("force"))
            except PybuildError as error:
                complain(context.stderr, error.message, error.hint)
                if not (args.switch("force") and isinstance(error, NotFound)):
                    status = 1
                continue
            for name in removed.untagged:
                if image is not None:
                    announce_image(store, "untag", image)
                context.stdout.write(f"Untagged: {printable(name.familiar())}\n")
            if removed.deleted is not None:
                deleted = True
                announce_image(store, "delete", removed.deleted)
                context.stdout.write(f"Deleted: {removed.deleted.id}\n")
        if deleted:
            for chain_id in collect(store, wait=False).snapshots:
                context.stdout.write(f"Deleted: {chain_id}\n")
    return status
