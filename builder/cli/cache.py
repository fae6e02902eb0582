"""`pybuild cache ls`, `cache du` and `cache prune`: see what the build cache holds, and delete of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from runtime.cli.arguments import Arguments
from runtime.cli.confirm import confirmed
from runtime.cli.declare import Flag, Verb
from runtime.cli.output import one_line, printable
from runtime.context import Context
from runtime.errors import UsageError
from runtime.store import Store

if TYPE_CHECKING:
    from builder.cachestore import CacheEntry

_FILTER = Flag(
    "--filter", kind="texts", metavar="NAME=VALUE", help="Choose by until, id, type, description, shared, inuse"
)

VERB_LS = Verb(
    name="cache ls",
    summary="List what the build cache holds",
    needs_store=True,
    words=(0, 0),
    flags=(
        _FILTER,
        Flag("--format", kind="text", metavar="FORMAT", help="'table', 'json' or a Go template"),
        Flag("--no-trunc", help="Don't shorten descriptions"),
        Flag("--quiet", "-q", help="Print ids only"),
    ),
)

VERB_DU = Verb(
    name="cache du",
    summary="Show what the build cache takes",
    needs_store=True,
    words=(0, 0),
    flags=(
        _FILTER,
        Flag("--format", kind="text", metavar="FORMAT", help="'json' for one object"),
        Flag("--verbose", help="Show all that is known of each entry"),
        Flag("--builder", kind="text", hidden=True),
    ),
)

VERB_PRUNE = Verb(
    name="cache prune",
    summary="Delete from the build cache",
    needs_store=True,
    words=(0, 0),
    flags=(
        Flag("--all", "-a", help="Also what images have, too: their next build starts anew"),
        _FILTER,
        Flag("--force", "-f", help="Don't ask"),
        Flag("--format", kind="text", metavar="FORMAT", help="'json' for one object"),
        Flag("--keep-storage", kind="text", metavar="BYTES", help="Keep this much of the most recently used"),
        Flag("--until", kind="text", metavar="TIME", help="Only what was not used since: 24h, or a time"),
        Flag("--max-used-space", kind="text", hidden=True),
        Flag("--reserved-space", kind="text", hidden=True),
        Flag("--builder", kind="text", hidden=True),
        Flag("--verbose", hidden=True),
    ),
)

_HEADERS = {
    "ID": "CACHE ID",
    "CacheType": "CACHE TYPE",
    "Size": "SIZE",
    "CreatedSince": "CREATED",
    "LastUsedSince": "LAST USED",
    "UsageCount": "USAGE",
    "Shared": "SHARED",
    "Description": "DESCRIPTION",
}
_TABLE = "\t".join(f"{{{{.{name}}}}}" for name in _HEADERS)
_NAMES = ("until", "unused-for", "id", "type", "description", "shared", "private", "inuse")
_DESCRIPTION = 60
_Test = Callable[["CacheEntry"], bool]


def run_ls(args: Arguments, context: Context) -> int:
    """Print one line for each entry, the most recently used first."""
    from builder.cachestore import entries
    from runtime.cli.formats import write_list  # lazy: not for the help

    with Store.open(context) as store:
        found = choose(entries(store), args.texts("filter"), None, context)[::-1]
    if args.switch("quiet"):
        context.stdout.write("".join(f"{entry.id}\n" for entry in found))
        return 0
    long = args.switch("no-trunc") or args.text("format") == "json"
    rows = [_row(entry, context.now(), long=long) for entry in found]
    write_list(context, rows, form=args.text("format"), table=_TABLE, headers=_HEADERS)
    return 0


def run_du(args: Arguments, context: Context) -> int:
    """Print entries and sums as `docker buildx du` does."""
    from builder.cachestore import entries
    from runtime.cli.formats import align
    from runtime.cli.human import human_size, since

    form = _only_json(args)
    with Store.open(context) as store:
        found = choose(entries(store), args.texts("filter"), None, context)[::-1]
    private = sum(entry.freeable for entry in found)
    shared = sum(entry.size for entry in found if entry.shared)
    sums = {"Shared": shared, "Private": private, "Reclaimable": private, "Total": private + shared}
    if form:
        from runtime.cli.templates import to_json

        listed = [_document(entry) for entry in found]
        context.stdout.write(to_json({"version": 1, "entries": listed, **_lower(sums)}) + "\n")
        return 0
    if args.switch("verbose"):
        for entry in found:
            for name, value in _document(entry).items():
                context.stdout.write(printable(f"{name}:\t{one_line(str(value))}\n"))
            context.stdout.write("\n")
    else:
        lines = ["ID\tRECLAIMABLE\tSIZE\tLAST ACCESSED"]
        for entry in found:
            freeable = str(bool(entry.freeable)).lower()
            used = since(entry.used, context.now())
            lines.append(f"{entry.id}\t{freeable}\t{human_size(entry.size, digits=4)}\t{used}")
        context.stdout.write("\n".join(align(lines)) + "\n")
    context.stdout.write("".join(f"{name}:\t{human_size(size, digits=4)}\n" for name, size in sums.items()))
    return 0


def run_prune(args: Arguments, context: Context) -> int:
    """Delete entries, oldest first, and the layers that nothing else needs."""
    from builder.cachestore import entries, oldest_beyond
    from builder.policy import parse_size
    from runtime.cli.human import human_size

    form = _only_json(args)
    keep = args.text("keep-storage") or args.text("max-used-space") or args.text("reserved-space")
    limit = None if keep is None else parse_size(keep)
    everything = args.switch("all")
    what = "all build cache" if everything else "all build cache that no image has"
    if not confirmed(args, context, f"This will remove {what}."):
        return 0
    with Store.open(context) as store:
        found = choose(entries(store), args.texts("filter"), args.text("until"), context)
        if not everything:
            found = tuple(entry for entry in found if not entry.shared)
        gone, size = prune(store, oldest_beyond(found, limit) if limit is not None else found)
        alone = store.is_alone()
    if form:
        from runtime.cli.templates import to_json

        document = {"version": 1, "deleted": [entry.id for entry in gone], "space": size, "complete": alone}
        context.stdout.write(to_json(document) + "\n")
        return 0
    tell_deleted(gone, context)
    context.stdout.write(f"Total reclaimed space: {human_size(size, digits=4)}\n")
    if gone and not alone:
        context.stderr.write("others use the store: the space is freed by a prune or build when they have ended\n")
    return 0


def prune(store: Store, chosen: Sequence[CacheEntry]) -> tuple[tuple[CacheEntry, ...], int]:
    """Delete entries, and the layers that nothing else needs; gives those that went, and the bytes they had.

    The layers stay for a later collection if others have the store open.
    """
    from builder.cachestore import delete
    from runtime.store.collect import collect

    gone = delete(store, chosen)
    return gone, collect(store, wait=False).size + sum(entry.size for entry in gone if entry.path is not None)


def tell_deleted(gone: Sequence[CacheEntry], context: Context) -> None:
    """Print the ids of what went, if anything did."""
    if gone:
        context.stdout.write("Deleted build cache objects:\n" + "".join(f"{entry.id}\n" for entry in gone) + "\n")


def _only_json(args: Arguments) -> bool:
    form = args.text("format")
    if form not in (None, "table", "json"):
        raise UsageError(f"--format {form}: only json is known here", hint="`pybuild cache ls` takes templates")
    return form == "json"


def choose(
    found: Sequence[CacheEntry], filters: Sequence[str], until: str | None, context: Context
) -> tuple[CacheEntry, ...]:
    """Give the entries that filters fit: values of one name are alternatives, names all have to fit."""
    values: dict[str, list[str]] = {}
    for text in filters:
        name, separator, value = text.partition("=")
        if "~" in name or name.endswith("!") or name not in _NAMES:
            raise UsageError(f"invalid filter {text!a}", hint="the filters are " + ", ".join(_NAMES))
        values.setdefault(name, []).append(value if separator else "true")
    if until is not None:
        values.setdefault("until", []).append(until)
    tests = [_test(name, given, context) for name, given in values.items()]
    return tuple(entry for entry in found if all(test(entry) for test in tests))


def _test(name: str, values: Sequence[str], context: Context) -> _Test:
    if name in ("until", "unused-for"):
        from runtime.oci.moments import parse_moment

        limit = min(parse_moment(_in_hours(value), context.now(), name) for value in values)
        return lambda entry: entry.used < limit
    if name == "id":
        return lambda entry: any(value and entry.id.startswith(value) for value in values)
    if name == "type":
        from builder.cachestore import TYPES

        for value in values:
            if value not in TYPES:
                raise UsageError(f"there is no cache type {value!a}", hint=f"the types are {', '.join(TYPES)}")
        return lambda entry: entry.type in values
    if name == "description":
        return lambda entry: any(value in entry.description for value in values)
    wanted = {_boolean(name, value) for value in values}
    if name == "inuse":
        return lambda entry: entry.in_use in wanted
    return lambda entry: (entry.shared == (name == "shared")) in wanted


def _in_hours(text: str) -> str:
    """Let days be written, too, as BuildKit does not: 60d."""
    match = re.fullmatch(r"(\d+)d", text, re.ASCII)
    return f"{int(match[1]) * 24}h" if match else text


def _boolean(name: str, value: str) -> bool:
    if value.lower() not in ("true", "1", "false", "0"):
        raise UsageError(f"invalid filter '{name}={value}'", hint=f"write {name}=true or {name}=false")
    return value.lower() in ("true", "1")


def _row(entry: CacheEntry, now: int, *, long: bool) -> dict[str, object]:
    from runtime.cli.human import human_size, since

    text = entry.description
    return {
        "ID": entry.id,
        "CacheType": entry.type,
        "Size": human_size(entry.size),
        "CreatedSince": since(entry.created, now),
        "LastUsedSince": since(entry.used, now),
        "UsageCount": str(entry.uses),
        "Shared": str(entry.shared).lower(),
        "InUse": str(entry.in_use).lower(),
        "Description": text if long or len(text) <= _DESCRIPTION else text[: _DESCRIPTION - 1] + "…",
    }


def _document(entry: CacheEntry) -> dict[str, object]:
    from runtime.oci.times import rfc3339

    return {
        "id": entry.id,
        "type": entry.type,
        "size": entry.size,
        "created": rfc3339(entry.created),
        "lastUsed": rfc3339(entry.used),
        "usageCount": entry.uses,
        "shared": entry.shared,
        "inUse": entry.in_use,
        "description": entry.description,
    }


def _lower(sums: dict[str, int]) -> dict[str, int]:
    return {name.lower(): size for name, size in sums.items()}
