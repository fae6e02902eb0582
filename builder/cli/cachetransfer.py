"""`pybuild cache export` and `cache import`: carry the whole build cache, cache mounts included, to another machine."""

from __future__ import annotations

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.cli.output import printable
from runtime.context import Context
from runtime.errors import NotFound, PybuildError, UsageError
from runtime.store import Store

_FORMAT = Flag("--format", kind="text", metavar="FORMAT", help="'json' for one object")

VERB_EXPORT = Verb(
    name="cache export",
    usage="[OPTIONS] DIR | oci:DIR | HOST[:PORT]/NAME[:TAG]",
    summary="Write the build cache, cache mounts included, to a directory or a registry",
    needs_store=True,
    words=(1, 1),
    flags=(
        Flag("--compression", kind="text", metavar="KIND", help="Of layers that are not compressed yet: gzip, zstd"),
        _FORMAT,
        Flag("--no-mounts", help="Leave cache mounts out"),
        Flag("--reset", help="Drop what a directory holds beside the new cache"),
    ),
)

VERB_IMPORT = Verb(
    name="cache import",
    usage="[OPTIONS] DIR | oci:DIR | HOST[:PORT]/NAME[:TAG]",
    summary="Take a build cache that `cache export` or `--cache-to` wrote",
    needs_store=True,
    words=(1, 1),
    flags=(_FORMAT,),
)


def run_export(args: Arguments, context: Context) -> int:
    """Write what is not there yet, and say how much that was."""
    from builder.cachetransfer.document import CacheDocument
    from builder.cachetransfer.exporting import Packing, describe_layers, send
    from builder.cachetransfer.places import DirectoryPlace, place_of
    from builder.records import Records
    from runtime.cli.human import human_size
    from runtime.store.compression import Compression

    form = _form(args)
    kinds: dict[str, Compression] = {"gzip": "gzip", "zstd": "zstd", "uncompressed": "none"}
    compression = args.text("compression") or "gzip"
    if compression not in kinds:
        raise UsageError(f"there is no compression {compression!a}", hint="gzip, zstd and uncompressed are known")
    with Store.open(context) as store, place_of(context, args.words[0], write=True) as place:
        if args.switch("reset"):
            if not isinstance(place, DirectoryPlace):
                raise UsageError("--reset is for directories: a registry collects its garbage itself")
            place.reset = True
        records, aliases = Records(store).everything()
        layers, blobs = describe_layers(store, records, packing=Packing(kinds[compression]))
        document = CacheDocument(records=records, aliases=aliases, layers=layers)
        sent = send(store, place, document, blobs, mounts=not args.switch("no-mounts"))
        title = place.title
    for text in sent.left_out:
        context.stderr.write(printable(f"warning: {text}\n"))
    if form == "json":
        from runtime.cli.templates import to_json

        facts = {"digest": sent.digest, "records": len(records), "size": sent.total, "written": sent.written}
        context.stdout.write(to_json({"version": 1, **facts, "leftOut": list(sent.left_out)}) + "\n")
        return 0
    context.stdout.write(
        f"{printable(title)}: {len(records)} steps, {human_size(sent.total)}, {human_size(sent.written)} new\n"
        f"{sent.digest}\n"
    )
    return 0


def run_import(args: Arguments, context: Context) -> int:
    """Take all of a cache; 1 if something of it could not be taken."""
    from builder.cachetransfer.importing import import_all, read_cache
    from builder.cachetransfer.places import place_of

    form = _form(args)
    with Store.open(context) as store, place_of(context, args.words[0], write=False) as place:
        offered = read_cache(place)
        if offered is None:
            raise NotFound(f"there is no cache at {place.title}", hint="`pybuild cache export` writes one")
        if offered.document.foreign:
            raise PybuildError(
                f"the cache at {place.title} was written by another version of pybuild", hint="export it with this one"
            )
        records, mounts, problems = import_all(store, offered)
        title = place.title
    for text in problems:
        context.stderr.write(printable(f"pybuild: {text}\n"))
    if form == "json":
        from runtime.cli.templates import to_json

        facts = {"records": records, "mounts": mounts, "problems": list(problems)}
        context.stdout.write(to_json({"version": 1, **facts}) + "\n")
    else:
        context.stdout.write(f"{printable(title)}: {records} steps and {mounts} cache mounts taken\n")
    return 1 if problems else 0


def _form(args: Arguments) -> str | None:
    form = args.text("format")
    if form not in (None, "json"):
        raise UsageError(f"--format {form}: only json is known here")
    return form
