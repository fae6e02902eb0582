"""`pybuild push`: send images to a registry."""

from __future__ import annotations

from typing import cast

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.cli.transfers import CREDENTIALS, open_progress, open_session
from runtime.context import Context
from runtime.errors import UsageError
from runtime.store import Store
from runtime.store.compression import Compression

VERB = Verb(
    name="push",
    usage="[OPTIONS] NAME[:TAG]",
    summary="Send an image to a registry",
    needs_store=True,
    words=(1, 1),
    interrupt="event",
    flags=(
        Flag("--all-tags", "-a", help="Send all tags of the repository"),
        Flag("--compression", kind="text", metavar="KIND", help="Compress layers that are not yet: gzip, zstd, none"),
        Flag("--platform", kind="text", metavar="PLATFORM", help="Which image of an index, as linux/arm64"),
        Flag("--quiet", "-q", help="Print only the name"),
        Flag("--referrers", help="Send what speaks of the image, too: signatures, attestations"),
        CREDENTIALS,
        Flag("--disable-content-trust", hidden=True),
    ),
)


def run(args: Arguments, context: Context) -> int:
    """Push, and print the digest under which the registry has it now."""
    from runtime.oci.platforms import parse_platform  # lazy: not for the help
    from runtime.oci.references import DEFAULT_TAG, parse_reference
    from runtime.registry.push import push, tags_of

    reference = parse_reference(args.words[0])
    quiet = args.switch("quiet")
    everything = args.switch("all-tags")
    compression = args.text("compression") or "gzip"
    if compression not in {"gzip", "zstd", "none"}:
        raise UsageError(f"unknown compression {compression!a}", hint="gzip, zstd and none are known")
    if reference.digest is not None:
        raise UsageError("cannot push a digest reference", hint=f"push {reference.familiar_name}:TAG")
    if everything and reference.tag is not None:
        raise UsageError("tag can't be used with --all-tags/-a")
    if not quiet:
        if not everything and reference.tag is None:
            context.stderr.write(f"Using default tag: {DEFAULT_TAG}\n")
        context.stderr.write(f"The push refers to repository [{reference.name}]\n")
    wanted = args.text("platform")
    with (
        Store.open(context) as store,
        open_session(args, context) as session,
        open_progress(context, push=True, quiet=quiet) as progress,
    ):
        for name in tags_of(store, reference) if everything else (reference.tagged(),):
            pushed = push(
                store,
                name,
                session,
                platform=parse_platform(wanted) if wanted else None,
                compression=cast(Compression, compression),
                referrers=args.switch("referrers"),
                progress=progress,
            )
            if not quiet:
                context.stdout.write(f"{name.tag}: digest: {pushed.digest} size: {pushed.size}\n")
                context.stdout.flush()
    if quiet:
        context.stdout.write(f"{reference if everything else reference.tagged()}\n")
    return 0
