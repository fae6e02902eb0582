"""`pybuild pull`: bring images from a registry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.cli.transfers import CREDENTIALS, open_progress, open_session
from runtime.context import Context
from runtime.errors import UsageError
from runtime.store import Store

if TYPE_CHECKING:
    from runtime.oci.platforms import Platform
    from runtime.oci.references import Reference
    from runtime.registry.events import Sink
    from runtime.registry.pull import Pulled
    from runtime.registry.session import Session

VERB = Verb(
    name="pull",
    usage="[OPTIONS] NAME[:TAG|@DIGEST]",
    summary="Bring an image from a registry",
    needs_store=True,
    words=(1, 1),
    interrupt="event",
    flags=(
        Flag("--all-tags", "-a", help="Bring all tags of the repository"),
        Flag("--platform", kind="text", metavar="PLATFORM", help="Which image of an index, as linux/arm64"),
        Flag("--quiet", "-q", help="Print only the name"),
        Flag("--referrers", help="Bring what speaks of the image, too: signatures, attestations"),
        CREDENTIALS,
        Flag("--disable-content-trust", hidden=True),
    ),
)


def run(args: Arguments, context: Context) -> int:
    """Pull, and print the name of what is here now."""
    from frozen import replace
    from runtime.containers.announcing import announce_image
    from runtime.oci.platforms import parse_platform  # lazy: not for the help
    from runtime.oci.references import DEFAULT_TAG, parse_reference
    from runtime.registry.pull import pull_all

    reference = parse_reference(args.words[0])
    quiet = args.switch("quiet")
    everything = args.switch("all-tags")
    if everything and (reference.tag or reference.digest):
        raise UsageError("tag can't be used with --all-tags/-a")
    if not everything and not quiet and reference.tag is None and reference.digest is None:
        context.stderr.write(f"Using default tag: {DEFAULT_TAG}\n")
    wanted = args.text("platform")
    platform = parse_platform(wanted) if wanted else None
    with (
        Store.open(context) as store,
        open_session(args, context) as session,
        open_progress(context, quiet=quiet) as progress,
    ):
        get = pull_all if everything else _pull_one
        for pulled in get(
            store, reference, session, platform=platform, referrers=args.switch("referrers"), progress=progress
        ):
            announce_image(store, "pull", pulled.image, pulled.reference)
            if quiet:
                continue
            name = pulled.reference.familiar()
            told = "Downloaded newer image for" if pulled.changed else "Image is up to date for"
            context.stdout.write(f"Digest: {pulled.digest}\nStatus: {told} {name}\n")
            context.stdout.flush()
    shown = replace(reference, tag=None) if everything else reference.tagged()
    context.stdout.write(f"{shown}\n")
    return 0


def _pull_one(
    store: Store,
    reference: Reference,
    session: Session,
    *,
    platform: Platform | None,
    referrers: bool,
    progress: Sink,
) -> Iterator[Pulled]:
    """Do the same as `pull_all` with one image."""
    from runtime.registry.pull import pull  # lazy: not for the help

    yield pull(store, reference, session, platform=platform, referrers=referrers, progress=progress)
