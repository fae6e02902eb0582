"""`pybuild logs`: show what a container wrote."""

from __future__ import annotations

import os
import sys

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.containers.logs import LogReader, Record
from runtime.containers.records import Containers
from runtime.context import Context
from runtime.errors import UsageError
from runtime.store import Store

VERB = Verb(
    name="logs",
    summary="Show the output of a container",
    usage="[OPTIONS] CONTAINER",
    words=(1, 1),
    needs_store=True,
    flags=(
        Flag("--follow", "-f", help="Go on until the container ends"),
        Flag("--tail", "-n", kind="text", metavar="N", help="Begin with the last N lines"),
        Flag("--timestamps", "-t", help="Show when each line was written"),
    ),
)

_INTERVAL = 0.1
"""Seconds between two looks at a log that is followed."""


def run(args: Arguments, context: Context) -> int:
    """Print the log, each stream to where it belongs."""
    tail = args.text("tail") or "all"
    if tail != "all" and not (tail.isdecimal() and tail.isascii()):
        raise UsageError(f'invalid value for "tail": {tail}', hint="a number of lines, or all")
    with Store.open(context) as store:
        containers = Containers(store)
        container = containers.find(args.words[0])
        with LogReader(containers.directory(container.id) / "log") as log, store.idle():
            if tail != "all":
                log.skip_to_last(int(tail))
            while True:
                last = not args.switch("follow") or not containers.is_running(container)
                for record in log.read():
                    _print(record, args.switch("timestamps"))
                if last:
                    return 0
                import time  # only for those who wait

                time.sleep(_INTERVAL)


def _print(record: Record, timestamps: bool) -> None:
    stream = sys.stderr if record.stderr else sys.stdout
    head = f"{record.time} ".encode() if timestamps and record.begins else b""
    stream.flush()
    data = memoryview(head + record.text)
    while data:
        data = data[os.write(stream.fileno(), data) :]
