"""`pybuild history`: show how an image came to be, the latest entry first."""

from __future__ import annotations

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.context import Context
from runtime.errors import NotFound
from runtime.store import Store

VERB = Verb(
    name="history",
    usage="[OPTIONS] IMAGE",
    summary="Show the history of an image",
    needs_store=True,
    words=(1, 1),
    flags=(
        Flag("--format", kind="text", metavar="FORMAT", help="'table', 'table TEMPLATE', 'json' or a Go template"),
        Flag("--human", "-H", help="Print sizes and times for people (the default; --human=false for numbers)"),
        Flag("--no-trunc", help="Don't truncate output"),
        Flag("--platform", kind="text", metavar="PLATFORM", help="Only if the image is for this platform"),
        Flag("--quiet", "-q", help="Only show ids"),
    ),
)

_HEADERS = {
    "ID": "IMAGE",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "CreatedBy": "CREATED BY",
    "Size": "SIZE",
    "Comment": "COMMENT",
}
_TABLE = "{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}"
_RAW_TABLE = "{{.ID}}\t{{.CreatedAt}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}"
_LONGEST = 45
"""Characters of a command that are shown."""


def run(args: Arguments, context: Context) -> int:
    """Print the entries."""
    from runtime.cli.formats import write_list  # lazy: not for the help
    from runtime.store.shapes import image_history  # lazy: not for the help

    with Store.open(context) as store:
        image = store.images.require(args.words[0])
        wanted = args.text("platform")
        if wanted is not None:
            from runtime.oci.platforms import matches, parse_platform  # lazy: hardly ever

            asked = parse_platform(wanted)
            if not matches(asked, image.config.platform):
                raise NotFound(
                    f"image with reference {args.words[0]} was found but its platform ({image.config.platform}) does "
                    f"not match the specified platform ({asked})"
                )
        items = image_history(store, image)
    whole = args.switch("no-trunc")
    human = args.switch("human") or not args.given("human")
    rows = [_row(context, item, whole, human) for item in items]
    if args.switch("quiet"):
        for row in rows:
            context.stdout.write(f"{row['ID']}\n")
        return 0
    write_list(context, rows, form=args.text("format"), table=_TABLE if human else _RAW_TABLE, headers=_HEADERS)
    return 0


def _row(context: Context, item: dict[str, object], whole: bool, human: bool) -> dict[str, object]:
    from runtime.cli.human import human_size, since  # lazy: not for the help
    from runtime.oci.times import rfc3339  # lazy: not for the help

    seconds, size, identity = item["Created"], item["Size"], str(item["Id"])
    created = seconds * 1_000_000_000 if isinstance(seconds, int) and seconds else None
    command = str(item["CreatedBy"]).replace("\t", " ")
    if not whole and len(command) > _LONGEST:
        command = command[: _LONGEST - 1] + "…"
    moment = rfc3339(created) if created is not None else "N/A"
    return {
        "Comment": item["Comment"],
        "CreatedAt": moment,
        "CreatedBy": command,
        "CreatedSince": since(created, context.now()) if human else moment,
        "ID": identity if whole else identity.partition(":")[2][:12] or identity,
        "Size": human_size(size) if human and isinstance(size, int) else str(size),
    }
