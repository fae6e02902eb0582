"""`pybuild system check` and `pybuild system df`: verify the store, and show what takes its space."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from frozen import replace
from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.cli.output import printable
from runtime.context import Context
from runtime.store import Store

if TYPE_CHECKING:
    from runtime.store.collect import Collected

VERB_CHECK = Verb(
    name="system check",
    summary="Verify every blob, layer and name, and say what is wrong",
    needs_store=True,
    words=(0, 0),
    flags=(
        Flag("--format", kind="text", metavar="FORMAT", help="'json' for one object"),
        Flag("--repair", help="Undo first what can be undone: take out what is damaged, make it again where it can be"),
    ),
)

VERB_DF = Verb(
    name="system df",
    summary="Show what takes the space",
    needs_store=True,
    words=(0, 0),
    flags=(Flag("--format", kind="text", metavar="FORMAT", help="'table', 'json' or a Go template"),),
)

_HEADERS = {
    "Type": "TYPE",
    "TotalCount": "TOTAL",
    "Active": "ACTIVE",
    "Size": "SIZE",
    "Reclaimable": "RECLAIMABLE",
}
_TABLE = "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}"


def run_check(args: Arguments, context: Context) -> int:
    """Verify; 1 if something is wrong."""
    from runtime.store.check import check  # lazy: not for the help

    done: tuple[str, ...] = ()
    with Store.open(context) as store:
        if args.switch("repair"):
            done = _repair(store)
        report = check(store)
        if not store.database.check():
            from runtime.registry.server.checking import check_records  # lazy: 9 ms

            report = replace(report, problems=(*report.problems, *check_records(store)))
    if args.text("format") == "json":
        from runtime.cli.templates import to_json  # lazy: not for the help

        problems = [{"what": problem.what, "message": problem.message} for problem in report.problems]
        counts = {"blobs": report.blobs, "layers": report.snapshots, "images": report.images}
        document = {"version": 1, **counts, "problems": problems, **({"repaired": list(done)} if done else {})}
        context.stdout.write(to_json(document) + "\n")
        return 1 if report.problems else 0
    for text in done:
        context.stdout.write(printable(f"{text}\n"))
    for problem in report.problems:
        context.stdout.write(printable(f"{problem}\n"))
    if report.problems:
        context.stderr.write(f"pybuild: {len(report.problems)} problems found in {context.layout.root}\n")
        return 1
    context.stdout.write(
        f"{context.layout.root}: {report.images} images, {report.snapshots} layers and {report.blobs} blobs are sound\n"
    )
    return 0


def _repair(store: Store) -> tuple[str, ...]:
    """Repair the store and what containers left; says who is waited for."""
    from runtime.containers.records import Containers
    from runtime.containers.sweeping import sweep_groups
    from runtime.store.repair import repair

    if not store.is_alone():
        store.context.stderr.write(f"waiting for other commands that use {store.layout.root} to end\n")
        store.context.stderr.flush()
    done = repair(store)
    if store.database.check():
        return done
    return (
        *done,
        *(f"container {found[:12]}: its control group is removed" for found in sweep_groups(Containers(store))),
    )


def run_df(args: Arguments, context: Context) -> int:
    """Print a line for each kind of thing."""
    from runtime.cli.formats import write_list  # lazy: not for the help
    from runtime.store.collect import unneeded  # lazy: not for the help

    with Store.open(context) as store:
        garbage = unneeded(store)
        rows = [_images(store, garbage), _directories("Containers", context.layout.containers)]
        rows.append(_directories("Local Volumes", context.layout.volumes))
        rows.append(_build_cache(store))
    write_list(context, rows, form=args.text("format"), table=_TABLE, headers=_HEADERS)
    return 0


def _images(store: Store, garbage: Collected) -> dict[str, object]:
    from runtime.cli.human import human_size  # lazy: not for the help
    from runtime.store.collect import disk_usage  # lazy: not for the help
    from runtime.store.removal import containers_of  # lazy: not for the help

    images = store.images.list()
    used = sum(1 for image in images if containers_of(store, image))
    paths = [snapshot.path for snapshot in store.snapshots.list()]
    size = disk_usage([*paths, store.layout.images])
    return {
        "Active": str(used),
        "Reclaimable": human_size(garbage.size),
        "Size": human_size(size),
        "TotalCount": str(len(images)),
        "Type": "Images",
    }


def _directories(kind: str, directory: Path) -> dict[str, object]:
    from runtime.cli.human import human_size  # lazy: not for the help
    from runtime.store.collect import disk_usage  # lazy: not for the help

    count = sum(1 for _ in directory.iterdir()) if directory.is_dir() else 0
    size = human_size(disk_usage([directory]))
    return {"Active": "0", "Reclaimable": "0B", "Size": size, "TotalCount": str(count), "Type": kind}


def _build_cache(store: Store) -> dict[str, object]:
    """Count what cache records alone hold; the layers that images hold as well are the images'."""
    from runtime.cli.human import human_size  # lazy: not for the help

    row = store.database.one(
        """SELECT count(DISTINCT pins.owner), coalesce(sum(snapshots.own_size), 0) FROM pins
        LEFT JOIN snapshots ON snapshots.chain_id = pins.target
        WHERE pins.owner >= 'cache:' AND pins.owner < 'cache;'"""
    )
    count, size = (int(row[0]), int(row[1])) if row else (0, 0)
    return {
        "Active": "0",
        "Reclaimable": human_size(size),
        "Size": human_size(size),
        "TotalCount": str(count),
        "Type": "Build Cache",
    }
