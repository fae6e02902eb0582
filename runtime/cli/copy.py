"""`pybuild copy`: copy images between registries, layouts and archives, without a store in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.cli.transfers import CREDENTIALS, open_progress
from runtime.context import Context

if TYPE_CHECKING:
    from runtime.registry.credentials import CredentialSource
    from runtime.registry.places import Place

VERB = Verb(
    name="copy",
    usage="[OPTIONS] SOURCE TARGET",
    summary="Copy an image between registries (NAME), layouts (oci:DIR[:NAME]) and archives (oci-archive:FILE[:NAME])",
    words=(2, 2),
    interrupt="event",
    flags=(
        Flag("--all", "-a", help="Copy the images of all platforms, and the index"),
        Flag("--platform", kind="text", metavar="PLATFORM", help="Which image of an index, as linux/arm64"),
        Flag("--quiet", "-q", help="Print only the digest"),
        Flag("--referrers", help="Copy what speaks of the image, too: signatures, attestations"),
        CREDENTIALS,
        Flag("--src-creds", kind="text", metavar="USER[:PASSWORD]", help="Credentials for the registry of SOURCE"),
        Flag("--dest-creds", kind="text", metavar="USER[:PASSWORD]", help="Credentials for the registry of TARGET"),
    ),
)


def run(args: Arguments, context: Context) -> int:
    """Copy, and print the digest of what the target's name stands for now."""
    from runtime.oci.platforms import parse_platform  # lazy: not for the help
    from runtime.registry.copying import copy
    from runtime.registry.places import parse_place
    from runtime.registry.session import Session

    source, target = map(parse_place, args.words)
    wanted = args.text("platform")
    with (
        Session.open(context, _credentials(args, context, source, target)) as session,
        open_progress(context, push=True, quiet=args.switch("quiet")) as progress,
    ):
        copied = copy(
            source,
            target,
            session,
            platform=parse_platform(wanted) if wanted else None,
            everything=args.switch("all"),
            referrers=args.switch("referrers"),
            progress=progress,
        )
    context.stdout.write(f"{copied.digest}\n")
    return 0


def _credentials(args: Arguments, context: Context, source: Place, target: Place) -> CredentialSource | None:
    """Give what the flags say for the two registries; None where they say nothing."""
    from runtime.cli.processlist import hide
    from runtime.oci.references import parse_reference
    from runtime.registry.credentials import CredentialSource, parse_creds

    both = args.text("creds")
    given = {}
    for place, flag in ((source, "src-creds"), (target, "dest-creds")):
        text = args.text(flag) or both
        if text is not None:
            hide(text)
        if text is not None and place.kind == "registry":
            given[parse_reference(place.name).domain] = parse_creds(text)
    return CredentialSource(context, by_domain=given) if given else None
