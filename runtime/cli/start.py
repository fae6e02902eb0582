"""`pybuild start` and `pybuild restart`: start containers that were made before."""

from __future__ import annotations

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.cli.output import complain
from runtime.context import Context
from runtime.errors import UsageError

VERB = Verb(
    name="start",
    summary="Start containers that were made or have ended",
    usage="[OPTIONS] CONTAINER [CONTAINER...]",
    words=(1, None),
    needs_store=True,
    interrupt="event",
    flags=(
        Flag("--attach", "-a", help="Attach to its output and pass signals on"),
        Flag("--detach-keys", kind="text", metavar="KEYS", help="Keys that detach from it, as ctrl-p,ctrl-q"),
        Flag("--interactive", "-i", help="Attach its standard input"),
    ),
)

VERB_RESTART = Verb(
    name="restart",
    summary="Stop containers and start them again",
    usage="[OPTIONS] CONTAINER [CONTAINER...]",
    words=(1, None),
    needs_store=True,
    flags=(
        Flag("--signal", "-s", kind="text", metavar="SIGNAL", help="Signal to send instead of the container's own"),
        Flag(
            "--timeout", "--time", "-t", kind="integer", metavar="SECONDS", help="Seconds before SIGKILL, -1 for ever"
        ),
    ),
)


def run(args: Arguments, context: Context) -> int:
    """Start each container and print the word it was named by; one that is attached prints what it writes."""
    from runtime.cli.clientwishes import detach_keys
    from runtime.cli.severally import each
    from runtime.containers.again import start_attached, start_detached
    from runtime.containers.foreground import StartFailed
    from runtime.containers.records import Containers
    from runtime.store import Store

    keys = detach_keys(args, context)
    attached = args.switch("attach") or args.switch("interactive")
    if attached and len(args.words) > 1:
        raise UsageError("you cannot start and attach multiple containers at once")
    with Store.open(context) as store:
        containers = Containers(store)
        if not attached:

            def act(word: str) -> str:
                start_detached(containers, containers.find(word))
                return word

            return each(args.words, act, context)
        container = containers.find(args.words[0])
        if containers.is_running(container):
            from runtime.containers.execute import attach

            return attach(containers, container, stdin=args.switch("interactive"), proxy=True, keys=keys).code
        try:
            return start_attached(containers, container, stdin=args.switch("interactive"), proxy=True, keys=keys)
        except StartFailed as failure:
            complain(context.stderr, failure.message, failure.hint)
            return failure.exit_code if failure.exit_code != 125 else 1


def run_restart(args: Arguments, context: Context) -> int:
    """Restart each container and print the word it was named by."""
    from runtime.cli.severally import each
    from runtime.containers.again import start_detached
    from runtime.containers.lifecycle import stop
    from runtime.containers.quantities import parse_signal
    from runtime.containers.records import Containers
    from runtime.containers.removal import kept
    from runtime.store import Store

    asked = args.text("signal")
    number = parse_signal(asked) if asked else 0
    with Store.open(context) as store:
        containers = Containers(store)

        def act(word: str) -> str:
            container = containers.find(word)
            with kept(containers, container):
                stop(containers, container, signal_number=number, timeout=args.integer("timeout"))
                start_detached(containers, containers.find(container.id))
            containers.record_event(container, "restart")
            return word

        return each(args.words, act, context)
