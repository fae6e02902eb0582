"""`pybuild top`: show the processes of a container, as the host sees them."""

from __future__ import annotations

import os
import pwd
import subprocess
import time
from contextlib import suppress

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Verb
from runtime.cli.output import printable
from runtime.context import Context
from runtime.errors import UsageError

VERB = Verb(
    name="top",
    summary="Show the processes of a container",
    usage="CONTAINER [ps OPTIONS]",
    words=(1, None),
    interspersed=False,
    needs_store=True,
)

_WIDTH = 20
_TITLES = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]


def run(args: Arguments, context: Context) -> int:
    """Print one line a process; options are those of the host's ps(1), by default what `ps -ef` shows."""
    from runtime.containers.groups import pids
    from runtime.containers.records import Containers
    from runtime.containers.refusals import not_running
    from runtime.store import Store

    with Store.open(context) as store:
        containers = Containers(store)
        container = containers.find(args.words[0])
        if not containers.is_running(container):
            raise not_running(container)
        found = pids(containers, container)
    rows = [_TITLES, *filter(None, map(_row, found))] if not args.words[1:] else _by_ps(args.words[1:], found)
    for row in rows:
        line = "".join(cell + " " * max(3, _WIDTH - len(cell)) for cell in row[:-1]) + row[-1]
        context.stdout.write(printable(line) + "\n")
    return 0


def _row(pid: int) -> list[str]:
    """Read one process; nothing where it has ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            head, _, tail = file.read().rpartition(")")
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace")
        uid = os.stat(f"/proc/{pid}").st_uid
        with open("/proc/uptime", encoding="ascii") as file:
            uptime = float(file.read().split()[0])
    except OSError:
        return []
    fields = tail.split()
    tick = os.sysconf("SC_CLK_TCK")
    used, age = (int(fields[11]) + int(fields[12])) / tick, max(uptime - int(fields[19]) / tick, 0.01)
    user = str(uid)
    with suppress(KeyError):
        user = pwd.getpwuid(uid).pw_name
    started = time.localtime(time.time() - age)
    hours, rest = divmod(int(used), 3600)
    return [
        user,
        str(pid),
        fields[1],
        str(min(99, int(100 * used / age))),
        time.strftime("%H:%M" if age < 86400 else "%b%d", started),
        _terminal(int(fields[4])),
        f"{hours:02}:{rest // 60:02}:{rest % 60:02}",
        words or f"[{head.partition('(')[2]}]",
    ]


def _terminal(number: int) -> str:
    return f"pts/{os.minor(number)}" if 136 <= os.major(number) <= 143 else "?"


def _by_ps(options: tuple[str, ...], found: tuple[int, ...]) -> list[list[str]]:
    """Run the host's ps and keep the rows of these processes."""
    try:
        result = subprocess.run(["ps", *options], capture_output=True, text=True, errors="replace", check=False)
    except FileNotFoundError:
        raise UsageError(
            "options need the program ps on this machine", hint="install procps, or leave them out"
        ) from None
    if result.returncode:
        raise UsageError(f"error running ps: {result.stderr.strip()}")
    lines = result.stdout.splitlines()
    titles = lines[0].split()
    if "PID" not in titles:
        raise UsageError("couldn't find PID field in ps output", hint="keep the column pid in the format")
    place = titles.index("PID")
    rows = [line.split(None, len(titles) - 1) for line in lines[1:]]
    return [titles, *(row for row in rows if len(row) > place and row[place].isdecimal() and int(row[place]) in found)]
