"""`pybuild version`: say which pybuild this is, on what."""

from __future__ import annotations

import json
import os
import platform

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.context import Context
from runtime.version import VERSION

VERB = Verb(
    name="version",
    summary="Show the version",
    words=(0, 0),
    flags=(
        Flag("--format", "-f", kind="text", metavar="FORMAT", help="'json' or a Go template"),
        Flag("--short", "-q", help="Only the number"),
    ),
)


def _side(machine: os.uname_result) -> dict[str, object]:
    """Return what Docker tells of its client and of its engine; here both are this program."""
    names = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
    return {
        "Version": VERSION,
        "Os": machine.sysname.lower(),
        "Arch": names.get(machine.machine, machine.machine),
        "KernelVersion": machine.release,
        "Context": "default",
        "Platform": {"Name": "pybuild"},
    }


def run(args: Arguments, context: Context) -> int:
    """Print the version."""
    machine = os.uname()
    facts: dict[str, object] = {
        "version": 1,
        "Version": VERSION,
        "Python": platform.python_version(),
        "Os": machine.sysname.lower(),
        "Arch": machine.machine,
        "KernelVersion": machine.release,
    }
    facts |= {side: _side(machine) for side in ("Client", "Server")}
    wanted = args.text("format")
    if args.switch("short"):
        context.stdout.write(f"{VERSION}\n")
    elif wanted == "json":
        context.stdout.write(json.dumps(facts) + "\n")
    elif wanted:
        from runtime.cli.templates import render  # lazy: only for templates

        context.stdout.write(render(wanted, facts) + "\n")
    else:
        context.stdout.write(
            f"pybuild version {VERSION} (Python {facts['Python']}, {machine.sysname} {machine.release})\n"
        )
    return 0
