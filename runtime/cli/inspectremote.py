"""`pybuild inspect --remote`: show what registries have under names, without pulling."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.cli.output import complain
from runtime.cli.transfers import credential_source
from runtime.errors import NotFound
from runtime.oci.references import parse_reference

if TYPE_CHECKING:
    from runtime.cli.arguments import Arguments
    from runtime.context import Context


def inspect_remote(args: Arguments, context: Context) -> int:
    """Print a document for each name, then say which were not found; 1 if there were such."""
    from runtime.cli.formats import write_objects
    from runtime.oci.platforms import parse_platform
    from runtime.registry.remote import remote_document
    from runtime.registry.transport import Transport

    references = [parse_reference(text) for text in args.words]
    wanted = args.text("platform")
    platform = parse_platform(wanted) if wanted else None
    found: list[dict[str, object]] = []
    missing: list[NotFound] = []
    with Transport(context, credentials=credential_source(args, context)) as transport:
        for reference in references:
            try:
                found.append(remote_document(transport, reference, platform))
            except NotFound as error:
                missing.append(error)
    form = args.text("format")
    if found or form in (None, "", "json"):
        write_objects(context, found, form=form)
    for absent in missing:
        complain(context.stderr, absent.message, absent.hint)
    return 1 if missing else 0
