"""`pybuild tag`: give an image one more name."""

from __future__ import annotations

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Verb
from runtime.containers.announcing import announce_image
from runtime.context import Context
from runtime.errors import UsageError
from runtime.oci.references import parse_reference
from runtime.store import Store

VERB = Verb(
    name="tag",
    usage="SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    summary="Give an image one more name",
    needs_store=True,
    words=(2, 2),
)


def run(args: Arguments, context: Context) -> int:
    """Set the name."""
    source, target = args.words
    reference = parse_reference(target)
    if reference.digest is not None:
        raise UsageError(f"{target!a}: refusing to create a tag with a digest reference")
    with Store.open(context) as store:
        image = store.images.require(source)
        store.images.tag(image, reference.tagged())
        announce_image(store, "tag", image, reference.tagged())
    return 0
