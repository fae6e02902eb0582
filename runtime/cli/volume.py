"""`pybuild volume`: make, list, show and remove volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.context import Context
from runtime.errors import UsageError

if TYPE_CHECKING:
    from runtime.containers.volumes import Volume, Volumes
    from runtime.store import Store

_FILTER = Flag("--filter", "-f", kind="texts", metavar="NAME=VALUE", help="dangling, driver, label, name")
_FORMAT = Flag("--format", kind="text", metavar="FORMAT", help="table, json or a Go template")

VERB_CREATE = Verb(
    name="volume create",
    summary="Make a volume",
    usage="[OPTIONS] [VOLUME]",
    words=(0, 1),
    needs_store=True,
    flags=(
        Flag("--driver", "-d", kind="text", metavar="NAME", help="local"),
        Flag("--label", kind="texts", metavar="NAME=VALUE", help="Set a label"),
        Flag("--name", kind="text", metavar="NAME", help="Its name", hidden=True),
        Flag("--opt", "-o", kind="texts", metavar="NAME=VALUE", help="type=tmpfs|none, device=PATH, o=OPTIONS"),
    ),
)
VERB_LS = Verb(
    name="volume ls",
    summary="List volumes",
    words=(0, 0),
    needs_store=True,
    flags=(_FILTER, _FORMAT, Flag("--quiet", "-q", help="Names alone")),
)
VERB_INSPECT = Verb(
    name="volume inspect",
    summary="Show what is known of volumes",
    usage="[OPTIONS] VOLUME [VOLUME...]",
    words=(1, None),
    needs_store=True,
    flags=(Flag("--format", "-f", kind="text", metavar="FORMAT", help="'json' or a Go template"),),
)
VERB_RM = Verb(
    name="volume rm",
    summary="Remove volumes",
    usage="[OPTIONS] VOLUME [VOLUME...]",
    words=(1, None),
    needs_store=True,
    flags=(Flag("--force", "-f", help="Those that do not exist are fine"),),
)
VERB_PRUNE = Verb(
    name="volume prune",
    summary="Remove volumes that no container has",
    words=(0, 0),
    needs_store=True,
    flags=(
        Flag("--all", "-a", help="Those with a name as well"),
        Flag("--filter", kind="texts", metavar="NAME=VALUE", help="Remove only what fits (label, label!)"),
        Flag("--force", "-f", help="Don't ask"),
    ),
)

_HEADERS: dict[str, object] = {
    "Name": "VOLUME NAME",
    "Driver": "DRIVER",
    "Scope": "SCOPE",
    "Mountpoint": "MOUNTPOINT",
    "Label": str,
    "Labels": "LABELS",
    "Links": "LINKS",
    "Size": "SIZE",
    "Availability": "AVAILABILITY",
    "Group": "GROUP",
    "Status": "STATUS",
}


def run_create(args: Arguments, context: Context) -> int:
    """Make it and print its name; without one it is anonymous and gets 64 digits."""
    from runtime.containers.mounts import check_driver, check_volume_name
    from runtime.containers.records import Containers
    from runtime.containers.volumes import Volumes
    from runtime.store import Store

    given = [word for word in (*args.words, args.text("name")) if word]
    if len(given) > 1:
        raise UsageError(
            "conflicting options: cannot specify a volume-name through both --name and as a positional arg"
        )
    name = given[0] if given else context.token(64)
    check_volume_name(name)
    try:
        check_driver(args.text("driver") or "")
    except UsageError as error:
        raise UsageError(f"create {name}: {error.message}", hint=error.hint) from None
    labels, options = _labels(args.texts("label")), _pairs(args.texts("opt"))
    with Store.open(context) as store:
        Containers(store)  # its tables hold the events
        Volumes(store).create(name, labels=labels, options=options, anonymous=not given)
    context.stdout.write(f"{name}\n")
    return 0


def run_ls(args: Arguments, context: Context) -> int:
    """Print the volumes by name."""
    from runtime.cli.clientwishes import wished_format
    from runtime.cli.formats import natural, write_list
    from runtime.containers.filters import label_fits, pattern, split_filters
    from runtime.containers.volumes import Volumes
    from runtime.store import Store

    given = split_filters(args.texts("filter"), ("dangling", "driver", "label", "name"))
    dangling = _truth(given, "dangling")
    names = [pattern(text) for text in given.get("name", ())]
    with Store.open(context) as store:
        volumes = Volumes(store)
        rows = []
        for volume in sorted(volumes.list(), key=lambda volume: natural(volume.name)):
            if dangling is not None and bool(volumes.users(volume.name)) == dangling:
                continue
            if not all(label_fits(dict(volume.labels), text) for text in given.get("label", ())):
                continue
            if names and not any(name.search(volume.name) for name in names):
                continue
            if "driver" in given and "local" not in given["driver"]:
                continue
            rows.append(_row(volumes, volume))
    if args.switch("quiet") and args.text("format") in (None, "table"):
        context.stdout.writelines(f"{row['Name']}\n" for row in rows)
    else:
        form = wished_format(args, context, "volumesFormat")
        write_list(context, rows, form=form, table="{{.Driver}}\t{{.Name}}", headers=_HEADERS)
    return 0


def run_inspect(args: Arguments, context: Context) -> int:
    """Print the documents of the volumes; 1 if one is not there."""
    from runtime.cli.formats import write_objects
    from runtime.cli.output import printable
    from runtime.store import Store

    with Store.open(context) as store:
        found = [(name, find_volume(store, name, False)) for name in args.words]
    write_objects(context, [item for _, item in found if item is not None], form=args.text("format"))
    missing = [name for name, item in found if item is None]
    for name in missing:
        context.stderr.write(f"pybuild: No such volume: {printable(name)}\n")
    return 1 if missing else 0


def run_rm(args: Arguments, context: Context) -> int:
    """Remove each volume and print its name."""
    from runtime.cli.severally import each
    from runtime.containers.records import Containers
    from runtime.containers.volumes import Volumes
    from runtime.errors import NotFound
    from runtime.store import Store

    with Store.open(context) as store:
        Containers(store)  # what dead monitors left is folded in
        volumes = Volumes(store)

        def act(word: str) -> str:
            if volumes.get(word) is None and not args.switch("force"):
                raise NotFound(f"No such volume: {word}", hint="`pybuild volume ls` lists them")
            volumes.remove(word, force=args.switch("force"))
            return word

        return each(args.words, act, context)


def run_prune(args: Arguments, context: Context) -> int:
    """Print the names of those removed, and how much space they had."""
    from runtime.cli.confirm import confirmed
    from runtime.cli.human import human_size
    from runtime.containers.filters import split_filters
    from runtime.store import Store

    given = split_filters(args.texts("filter"), ("all", "label", "label!"))
    if args.switch("all") and "all" in given:
        raise UsageError("conflicting options: cannot specify both --all and --filter all=1")
    every = args.switch("all") or bool(_truth(given, "all"))
    what = "all local volumes" if every else "anonymous local volumes"
    if not confirmed(args, context, f"This will remove {what} not used by at least one container."):
        return 0
    with Store.open(context) as store:
        total = prune(store, given, every=every)
    context.stdout.write(f"Total reclaimed space: {human_size(total, digits=4)}\n")
    return 0


def prune(store: Store, given: Mapping[str, Sequence[str]], *, every: bool) -> int:
    """Remove the volumes that fit the filters and are not in use; prints their names, returns the bytes they had."""
    from runtime.containers.filters import label_fits
    from runtime.containers.records import Containers
    from runtime.containers.volumes import Volumes
    from runtime.errors import Conflict

    Containers(store)  # what dead monitors left is folded in
    removed, total = [], 0
    volumes = Volumes(store)
    for volume in volumes.list():
        labels = dict(volume.labels)
        if (
            not (every or volume.anonymous)
            or not all(label_fits(labels, text) for text in given.get("label", ()))
            or any(label_fits(labels, text) for text in given.get("label!", ()))
            or volumes.users(volume.name)
        ):
            continue
        size = volumes.size(volume.name)
        try:
            volumes.remove(volume.name, force=True)
        except Conflict:  # taken by a new container at this moment
            continue
        removed.append(volume.name)
        total += size
    if removed:
        store.context.stdout.write("Deleted Volumes:\n" + "".join(f"{name}\n" for name in removed) + "\n")
    return total


def find_volume(store: Store, text: str, _sizes: bool) -> dict[str, object] | None:
    """Give the Engine API's Volume of the one that `text` names."""
    from runtime.containers.volumes import Volumes
    from runtime.oci.times import rfc3339

    volumes = Volumes(store)
    volume = volumes.get(text)
    if volume is None:
        return None
    return {
        "CreatedAt": rfc3339(volume.created // 1_000_000_000 * 1_000_000_000),
        "Driver": "local",
        "Labels": dict(volume.labels) or None,
        "Mountpoint": str(volumes.data(text)),
        "Name": text,
        "Options": dict(volume.options) or None,
        "Scope": "local",
    }


def _row(volumes: Volumes, volume: Volume) -> dict[str, object]:
    labels = dict(volume.labels)
    return {
        "Name": volume.name,
        "Driver": "local",
        "Scope": "local",
        "Mountpoint": str(volumes.data(volume.name)),
        "Label": lambda name: labels.get(name, ""),
        "Labels": ",".join(f"{name}={value}" for name, value in sorted(labels.items())),
        "Links": "N/A",
        "Size": "N/A",
        "Availability": "N/A",
        "Group": "N/A",
        "Status": "N/A",
    }


def _truth(given: Mapping[str, Sequence[str]], name: str) -> bool | None:
    """Read a filter that is true or false; None where it is not given."""
    values = set(given.get(name, ()))
    if not values:
        return None
    if not (values <= {"1", "t", "T", "TRUE", "true", "True"} or values <= {"0", "f", "F", "FALSE", "false", "False"}):
        raise UsageError(f"invalid filter '{name}={' '.join(sorted(values))}'", hint="true or false")
    return bool(values & {"1", "t", "T", "TRUE", "true", "True"})


def _labels(texts: tuple[str, ...]) -> dict[str, str]:
    for text in texts:
        name = text.partition("=")[0]
        fault = "empty name" if not name else "it contains whitespaces" if len(name.split()) > 1 else ""
        if fault:
            raise UsageError(f'invalid argument "{text}" for "--label" flag: invalid label "{text}": {fault}')
    return _pairs(texts)


def _pairs(texts: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not name:
            raise UsageError(f"invalid argument {text!r}: write NAME=VALUE")
        found[name] = value
    return found
