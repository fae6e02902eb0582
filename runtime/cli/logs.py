"""`pybuild logs`: show what a container wrote."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.containers.following import Run
from runtime.containers.logs import LogReader, Record
from runtime.containers.records import Containers
from runtime.context import Context
from runtime.errors import PybuildError, UsageError
from runtime.store import Store

VERB = Verb(
    name="logs",
    summary="Show the output of a container",
    usage="[OPTIONS] CONTAINER",
    words=(1, 1),
    needs_store=True,
    flags=(
        Flag("--details", help="Show the labels and variables that --log-opt asked for"),
        Flag("--follow", "-f", help="Go on until the container ends"),
        Flag("--since", kind="text", metavar="TIME", help="Begin at a time, as 2024-01-02T03:04:05Z or 10m"),
        Flag("--tail", "-n", kind="text", metavar="N", help="Begin with the last N lines"),
        Flag("--timestamps", "-t", help="Show when each line was written"),
        Flag("--until", kind="text", metavar="TIME", help="End at a time, as 2024-01-02T03:04:05Z or 10m"),
    ),
)

_BATCH = 1 << 16
_SOONEST, _LATEST = 0.002, 0.1
"""Seconds between two looks at a log that is followed: little where it grows, lest it is rotated away unread."""


def run(args: Arguments, context: Context) -> int:
    """Print the log, each stream to where it belongs."""
    from runtime.oci.moments import parse_moment

    tail = args.text("tail") or "all"
    if tail != "all" and not re.fullmatch(r"[+-]?\d+", tail, re.ASCII):
        raise UsageError(f'invalid value for "tail": {tail}', hint="a number of lines, or all")
    since, until = (
        parse_moment(text, context.now(), flag) if (text := args.text(flag)) else None for flag in ("since", "until")
    )
    until = until or None  # as docker has it: the epoch is no end
    with Store.open(context) as store:
        containers = Containers(store)
        container = containers.find(args.words[0])
        log_config = container.host_config.get("LogConfig") or {}
        if log_config.get("Type") == "none":
            raise PybuildError(
                "configured logging driver does not support reading", hint="it was made with --log-driver none"
            )
        told = b""
        if args.switch("details"):
            from runtime.cli.logflags import details

            told = details(container)
        with LogReader(containers.directory(container.id) / "log") as log, store.idle():
            if since is not None:
                log.since = since
            log.until = until
            if tail != "all" and not tail.startswith("-"):
                log.skip_to_last(int(tail))
            if args.switch("follow"):
                _follow(log, Run(containers, container), args.switch("timestamps"), told)
            else:
                _print(log.read(), args.switch("timestamps"), told)
    return 0


def _follow(log: LogReader, run: Run, timestamps: bool, details: bytes) -> None:
    """Print what a run writes until it is over, or nothing more may be shown."""
    import time  # only for those who wait

    pause = _LATEST
    while True:
        end = run.over()
        if end is not None and (log.until is None or end < log.until):
            log.until = end
        now = time.time_ns()
        came = _print(log.read(), timestamps, details)
        if end is not None or log.ended or (log.until is not None and now > log.until):
            return
        pause = _SOONEST if came else min(2 * pause, _LATEST)
        time.sleep(pause)


def _print(records: Iterator[Record], timestamps: bool, details: bytes) -> bool:
    """Write records, many of one stream at a time; tells whether there were any."""
    waiting: list[bytes] = []
    size = 0
    stderr = came = False
    for record in records:
        if record.stderr != stderr or size >= _BATCH:
            _write(waiting, stderr)
            waiting, size, stderr = [], 0, record.stderr
        came = True
        if record.begins and (timestamps or details):
            waiting.append((f"{record.time} ".encode() if timestamps else b"") + details)
        waiting.append(record.text)
        size += len(record.text)
    _write(waiting, stderr)
    return came


def _write(pieces: list[bytes], stderr: bool) -> None:
    stream = sys.stderr if stderr else sys.stdout
    stream.flush()
    data = memoryview(b"".join(pieces))
    while data:
        data = data[os.write(stream.fileno(), data) :]
