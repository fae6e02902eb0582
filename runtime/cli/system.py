"""`pybuild system check`: verify the store, and say what is wrong."""

from __future__ import annotations

from frozen import replace
from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.cli.output import printable
from runtime.context import Context
from runtime.store import Store

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
