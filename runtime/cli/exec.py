"""`pybuild exec`: run a further command in a container that runs."""

from __future__ import annotations

import os

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.cli.output import complain
from runtime.context import Context
from runtime.errors import UsageError

VERB = Verb(
    name="exec",
    summary="Run a further command in a running container",
    usage="[OPTIONS] CONTAINER COMMAND [ARG...]",
    words=(2, None),
    interspersed=False,
    needs_store=True,
    interrupt="event",
    flags=(
        Flag("--detach", "-d", help="Leave it to run by itself"),
        Flag("--detach-keys", kind="text", metavar="KEYS", help="Keys that detach from it, as ctrl-p,ctrl-q"),
        Flag("--env", "-e", kind="texts", metavar="NAME[=VALUE]", help="Set a variable"),
        Flag("--env-file", kind="texts", metavar="FILE", help="Read variables from a file"),
        Flag("--interactive", "-i", help="Keep standard input open"),
        Flag("--privileged", help="Give the command every capability"),
        Flag("--tty", "-t", help="Give it a terminal"),
        Flag("--user", "-u", kind="text", metavar="USER[:GROUP]", help="Run as this user"),
        Flag("--workdir", "-w", kind="text", metavar="DIR", help="Working directory"),
    ),
)


def run(args: Arguments, context: Context) -> int:
    """Run it; returns its exit status, 126 and 127 where it cannot be started, 1 where the container does not run."""
    from threading import Thread

    from runtime.cli.clientwishes import detach_keys
    from runtime.containers.execute import Command, execute
    from runtime.containers.records import Containers
    from runtime.sandbox.grace import expect_move
    from runtime.store import Store

    keys = detach_keys(args, context)
    detach, tty, stdin = args.switch("detach"), args.switch("tty"), args.switch("interactive")
    if tty and stdin and not detach and not os.isatty(0):
        raise UsageError("the input device is not a TTY", hint="leave -t out where standard input is no terminal")
    variables: dict[str, str | None] = {}
    if args.texts("env") or args.texts("env-file"):
        from runtime.cli.containersettings import read_variables  # lazy: 10 ms

        variables = read_variables(args, context)
    command = Command(
        args=args.words[1:],
        env=tuple(f"{name}={value}" for name, value in variables.items() if value is not None),
        user=args.text("user") or "",
        cwd=args.text("workdir") or "",
        tty=tty,
        stdin=stdin,
        privileged=args.switch("privileged"),
    )
    Thread(target=expect_move, daemon=True).start()  # of the command, into the container's group, 10 ms from here
    with Store.open(context) as store:
        containers = Containers(store)
        container = containers.find(args.words[0])
        outcome = execute(containers, container, command, detach=detach, keys=keys)
        alone = outcome.kind == "lost" and not containers.conclude(container.id, patience=0.1)
    if outcome.text:
        complain(context.stderr, outcome.text)
    if alone:
        complain(context.stderr, "what looked after the command was killed, and the command with it")
    elif outcome.kind == "lost":
        complain(context.stderr, f"the monitor of container {container.name} was killed, and the container with it")
    return outcome.code
