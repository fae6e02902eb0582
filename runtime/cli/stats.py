"""`pybuild stats`: show what containers use, once or as it changes."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.context import Context

if TYPE_CHECKING:
    from runtime.containers.groups import Usage
    from runtime.containers.records import Container, Containers

VERB = Verb(
    name="stats",
    summary="Show what containers use",
    usage="[OPTIONS] [CONTAINER...]",
    words=(0, None),
    needs_store=True,
    flags=(
        Flag("--all", "-a", help="Those that do not run as well"),
        Flag("--format", kind="text", metavar="FORMAT", help="table, json or a Go template"),
        Flag("--no-stream", help="Show it once"),
        Flag("--no-trunc", help="Whole ids"),
    ),
)

_TABLE = "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}"
_HEADERS = {
    "Container": "CONTAINER",
    "ID": "CONTAINER ID",
    "Name": "NAME",
    "CPUPerc": "CPU %",
    "MemUsage": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %",
    "NetIO": "NET I/O",
    "BlockIO": "BLOCK I/O",
    "PIDs": "PIDS",
}
_INTERVAL = 1.0
"""Seconds between two measures: CPU is shown over them."""


def run(args: Arguments, context: Context) -> int:
    """Print a line a container; without `--no-stream` again every second until interrupted."""
    from runtime.cli.formats import write_list
    from runtime.containers.groups import usage
    from runtime.containers.records import Containers
    from runtime.registry.clientconfig import client_setting
    from runtime.store import Store

    form = args.text("format") or client_setting(context, "statsFormat")
    with Store.open(context) as store:
        containers = Containers(store)
        named = {containers.find(word).id: word for word in args.words}
        before: dict[str, tuple[float, int]] = {}
        first = True
        while True:
            shown = _shown(containers, named, args.switch("all"))
            rows = []
            for container in shown:
                running = containers.is_running(container)
                used = usage(containers, container) if running else None
                now = time.monotonic()
                then, cpu = before.get(container.id, (now, 0))
                percent = (used.cpu - cpu) / (now - then) / 1e7 if used is not None and now > then else 0.0
                if used is not None:
                    before[container.id] = now, used.cpu
                row = _row(container, used, percent, args.switch("no-trunc"))
                rows.append({**row, "Container": named.get(container.id, row["ID"])})
            if not first:
                if context.stdout.isatty() and not args.switch("no-stream"):
                    context.stdout.write("\x1b[2J\x1b[H")
                write_list(context, rows, form=form, table=_TABLE, headers=_HEADERS)
                context.stdout.flush()
                if args.switch("no-stream"):
                    return 0
            first = False
            with store.idle():
                time.sleep(_INTERVAL)
            containers.reconcile()


def _shown(containers: Containers, named: Iterable[str], every: bool) -> list[Container]:
    if named:
        return [found for identity in named if (found := containers.get(identity)) is not None]
    return [found for found in containers.list() if every or containers.is_running(found)]


def _row(container: Container, used: Usage | None, percent: float, whole: bool) -> dict[str, object]:
    from runtime.cli.human import binary_size, human_size
    from runtime.containers.groups import Usage

    identity = container.id if whole else container.short_id
    row: dict[str, object] = {"ID": identity, "Name": container.name}
    if used is None:  # it does not run
        used = Usage()
    return row | {
        "CPUPerc": f"{percent:.2f}%",
        "MemUsage": f"{binary_size(used.memory)} / {binary_size(used.limit)}",
        "MemPerc": f"{100 * used.memory / used.limit:.2f}%" if used.limit else "0.00%",
        "NetIO": f"{human_size(used.received)} / {human_size(used.sent)}",
        "BlockIO": f"{human_size(used.read)} / {human_size(used.written)}",
        "PIDs": str(used.pids),
    }
