"""`pybuild system start` and `pybuild system unit`: have containers run whenever the machine does."""

from __future__ import annotations

import os
import sys

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.context import Context

VERB_START = Verb(
    name="system start",
    summary="Start the containers that are to run always, as after a boot",
    needs_store=True,
    interrupt="event",
    words=(0, 0),
)

VERB_UNIT = Verb(
    name="system unit",
    summary="Print a systemd unit that does so at every boot",
    words=(0, 0),
    flags=(Flag("--user", help="One for the service manager of an ordinary user"),),
)

_UNIT = """\
# {place}
[Unit]
Description=Containers of pybuild that are to run always ({root})
{order}
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={command}
# What runs a container stops it when it is told to terminate.
KillMode=control-group
Delegate=yes
TimeoutStopSec=120

[Install]
WantedBy={target}
"""

_SYSTEM = "Wants=network-online.target\nAfter=network-online.target local-fs.target\n"


def run_start(_args: Arguments, context: Context) -> int:
    """Start each and print its name; 1 where one could not be started."""
    from runtime.cli.severally import each
    from runtime.containers.again import start_detached
    from runtime.containers.boot import wanted
    from runtime.containers.records import Containers
    from runtime.store import Store

    with Store.open(context) as store:
        containers = Containers(store)
        found = {container.name: container for container in wanted(containers)}

        def act(name: str) -> str:
            start_detached(containers, found[name])
            return name

        return each(found, act, context)


def run_unit(args: Arguments, context: Context) -> int:
    """Print the unit; how it is put into force stands on standard error, so that the output can go to a file."""
    user = args.switch("user") or context.rootless
    place = "~/.config/systemd/user/pybuild.service" if user else "/etc/systemd/system/pybuild.service"
    words = [_program(), "--root", str(context.layout.root)]
    if context.config_file is not None:
        words += ["--config", os.path.abspath(context.config_file)]
    context.stdout.write(
        _UNIT.format(
            place=place,
            root=str(context.layout.root).replace("%", "%%"),
            order="" if user else _SYSTEM,
            command=" ".join(_quoted(word) for word in (*words, "system", "start")),
            target="default.target" if user else "multi-user.target",
        )
    )
    if sys.stdout.isatty():
        manager = "systemctl --user" if user else "systemctl"
        context.stderr.write(f"write this to {place}, then: {manager} enable --now pybuild.service\n")
        if user:
            context.stderr.write("and, to have it without a login: loginctl enable-linger\n")
    return 0


def _program() -> str:
    """Return the absolute path by which this program was called."""
    called = sys.argv[0]
    if os.sep in called:
        return os.path.abspath(called)
    from shutil import which  # lazy: only for this verb

    return which(called) or called


def _quoted(word: str) -> str:
    """Write a word as systemd reads it (systemd.service, COMMAND LINES)."""
    plain = word.replace("%", "%%").replace("$", "$$").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{plain}"' if any(char in plain for char in " \t;'\"\\") or not plain else plain
