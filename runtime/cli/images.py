"""`pybuild images`: list images, one line a name."""

from __future__ import annotations

from collections.abc import Iterator

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.context import Context
from runtime.oci.digests import Digest
from runtime.oci.references import Reference
from runtime.store import Store
from runtime.store.images import Image
from runtime.store.selection import created_at, image_filter, name_matches

VERB = Verb(
    name="images",
    usage="[OPTIONS] [REPOSITORY[:TAG]]",
    summary="List images",
    needs_store=True,
    words=(0, 1),
    flags=(
        Flag("--all", "-a", help="Show all images (there are no hidden ones)"),
        Flag("--digests", help="Show digests"),
        Flag("--filter", "-f", kind="texts", metavar="NAME=VALUE", help="Show only what fits (dangling, label, …)"),
        Flag("--format", kind="text", metavar="FORMAT", help="'table', 'table TEMPLATE', 'json' or a Go template"),
        Flag("--no-trunc", help="Don't truncate ids"),
        Flag("--quiet", "-q", help="Only show ids"),
    ),
)

_NONE = "<none>"
_HEADERS = {
    "ID": "IMAGE ID",
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Digest": "DIGEST",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Size": "SIZE",
    "Containers": "CONTAINERS",
    "VirtualSize": "SIZE",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
}
_TABLE = "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
_DIGESTS_TABLE = "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"


def run(args: Arguments, context: Context) -> int:
    """Print the list."""
    from runtime.cli.clientwishes import wished_format
    from runtime.cli.formats import write_list  # lazy: not for -q

    filters = list(args.texts("filter"))
    patterns = [text.partition("=")[2] for text in filters if text.startswith("reference=")]
    if args.words:
        patterns = [args.words[0]]
        filters = [*(text for text in filters if not text.startswith("reference=")), f"reference={args.words[0]}"]
    form = wished_format(args, context, "imagesFormat")
    with Store.open(context) as store:
        wanted = image_filter(store, filters)
        images = sorted(filter(wanted, store.images.list()), key=lambda image: (created_at(image), image.sequence))
        counts = _containers(store) if _counting(form or "") else {}
    images.reverse()
    whole = args.switch("no-trunc")
    digests = args.switch("digests")
    lines = [line for image in images for line in lines_of(image, patterns, digests)]
    if args.switch("quiet") and not args.text("format"):
        for image, _, _, _ in lines:
            context.stdout.write(f"{_shown(image.id, whole)}\n")
        return 0
    rows = [{**row_of(context, *line, whole=whole), "Containers": counts.get(line[0].id, "0")} for line in lines]
    table = _DIGESTS_TABLE if digests else _TABLE
    write_list(context, rows, form=form, table=table, headers=_HEADERS)
    return 0


def _counting(form: str) -> bool:
    """Tell whether a format shows how many containers each image has."""
    return form == "json" or ".Containers" in form or "json ." in form


def _containers(store: Store) -> dict[str, str]:
    from runtime.containers.records import Containers  # lazy: hardly ever asked for

    counts: dict[str, int] = {}
    for container in Containers(store).list():
        counts[container.image] = counts.get(container.image, 0) + 1
    return {image: str(count) for image, count in counts.items()}


def lines_of(image: Image, patterns: list[str], digests: bool) -> Iterator[tuple[Image, str, str, str]]:
    """Give image, repository, tag and digest for each line of an image."""

    def matching(names: tuple[Reference, ...]) -> list[Reference]:
        return [name for name in names if not patterns or name_matches(name, patterns)]

    names, pulled = matching(image.names), matching(image.digests)
    by_repository: dict[str, list[str]] = {}
    for name in pulled:
        by_repository.setdefault(name.familiar_name, []).append(str(name.digest))
    for name in names:
        known = by_repository.get(name.familiar_name) if digests else None
        for digest in known or [_NONE]:
            yield image, name.familiar_name, name.tag or _NONE, digest
    tagged = {name.familiar_name for name in names}
    for repository, known in by_repository.items():
        if repository not in tagged:
            for digest in known if digests else [_NONE]:
                yield image, repository, _NONE, digest
    if not names and not pulled:
        yield image, _NONE, _NONE, _NONE


def _shown(image_id: Digest, whole: bool) -> str:
    return image_id if whole else image_id.partition(":")[2][:12]


def row_of(context: Context, image: Image, repository: str, tag: str, digest: str, *, whole: bool) -> dict[str, object]:
    """Return the fields of one line but for the number of containers."""
    from runtime.cli.human import NEVER, calendar_time, human_size, since  # lazy: not for the help

    return {
        "CreatedAt": calendar_time(image.config.created),
        "CreatedSince": since(image.config.created, context.now()),
        "Digest": digest,
        "ID": _shown(image.id, whole),
        "Repository": repository,
        "SharedSize": NEVER,
        "Size": human_size(image.size),
        "Tag": tag,
        "UniqueSize": NEVER,
        "VirtualSize": human_size(image.size, digits=4),
    }
