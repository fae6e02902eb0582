"""`pybuild load`: take in the images of a tar."""

from __future__ import annotations

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.cli.inputs import opened_input
from runtime.cli.output import printable
from runtime.context import Context
from runtime.errors import DocumentError, StoreError
from runtime.store import Store

VERB = Verb(
    name="load",
    summary="Load images from a tar: an OCI layout or a docker archive, compressed or not",
    needs_store=True,
    words=(0, 0),
    flags=(
        Flag("--input", "-i", kind="text", metavar="FILE", help="Read from a file instead of the standard input"),
        Flag("--platform", kind="text", metavar="PLATFORM", help="Choose the image of this platform from an index"),
        Flag("--quiet", "-q", help="Print nothing but what was loaded (as always)"),
    ),
)


def run(args: Arguments, context: Context) -> int:
    """Load, and print the names, or the ids of images that got none."""
    from runtime.containers.announcing import announce_image
    from runtime.oci.platforms import parse_platform  # lazy: not for the help
    from runtime.store.loading import load  # lazy: not for the help

    platform = args.text("platform")
    wanted = parse_platform(platform) if platform else None
    with Store.open(context) as store, opened_input(args.text("input")) as stream:
        try:
            loaded = load(store, stream, platform=wanted)
        except (StoreError, DocumentError) as error:
            if args.given("input"):
                error.message = f"{args.text('input')}: {error.message}"
            elif isinstance(error, DocumentError):
                error.message = f"the archive: {error.message}"
            raise
        for item in loaded:
            announce_image(store, "load", item.image, item.names[0] if item.names else None)
    for item in loaded:
        for name in item.names:
            context.stdout.write(f"Loaded image: {printable(name.familiar())}\n")
        if not item.names:
            context.stdout.write(f"Loaded image ID: {item.image.id}\n")
    return 0
